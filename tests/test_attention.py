"""Attention against the reference in double precision, on every instruction set."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from lowbit import _core
from lowbit.reference import attention as reference

# (heads, head_dim): the bundled model's shape, odd widths, the narrowest, a wide one.
SHAPES = [(12, 32), (3, 7), (1, 1), (2, 17), (2, 64)]
# Around the 16 lanes and the 48 query rows, with an empty text between others.
LENGTHS = [[1], [2, 0, 15], [16, 17, 1], [31, 33], [47, 48, 49], [128], [0], [5, 97]]


def pointers(lengths: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def normal(count: int, tokens: int, width: int) -> list[np.ndarray]:
    rng = np.random.default_rng([count, tokens, width])
    return list(rng.standard_normal((count, tokens, width), dtype=np.float32))


def log_denominators(
    q: np.ndarray, k: np.ndarray, heads: int, indptr: np.ndarray, causal: bool = False
) -> np.ndarray:
    """What `attention` returns as lse: log(sum_j exp(score)) of every token and head."""
    width = q.shape[1] // heads
    lse = np.zeros((len(q), heads))
    for (begin, end), head in itertools.product(itertools.pairwise(indptr), range(heads)):
        columns = slice(head * width, (head + 1) * width)
        scores = q[begin:end, columns] @ k[begin:end, columns].T / np.sqrt(width)
        if causal:
            scores[np.triu_indices(end - begin, 1)] = -np.inf
        lse[begin:end, head] = np.logaddexp.reduce(scores, axis=1) if end > begin else 0
    return lse


def assert_equal_the_reference(arrays: list[np.ndarray], *options: Any) -> None:
    """Forward and backward of q, k, v and dout; `options` as `_core.attention` takes them."""
    heads, indptr, *_, causal = options
    q, k, v, dout = arrays
    out, lse = _core.attention(q, k, v, *options)
    gradients = _core.attention_backward(dout, q, k, v, out, lse, *options)
    exact = [array.astype(np.float64) for array in arrays]
    expected = reference.attention(*exact[:3], *options)
    np.testing.assert_allclose(out, expected, rtol=0, atol=4e-6)
    np.testing.assert_allclose(lse, log_denominators(*exact[:2], heads, indptr, causal), atol=4e-6)
    wanted = reference.attention_backward(exact[3], *exact[:3], *options)
    for name, gradient, true in zip("qkv", gradients, wanted, strict=True):
        size = np.abs(true).max(initial=1.0)
        np.testing.assert_allclose(gradient, true, rtol=0, atol=4e-6 * size, err_msg=f"d{name}")


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("dropout", "causal"), [(0.0, False), (0.25, False), (0.25, True)])
def test_forward_and_backward_equal_the_reference(isa, dropout, causal, shape, lengths):
    heads, width = shape
    indptr = pointers(lengths)
    arrays = normal(4, int(indptr[-1]), heads * width)
    assert_equal_the_reference(arrays, heads, indptr, dropout, 5, 8, causal)


@pytest.mark.parametrize("lengths", [[512, 3], [0, 513], [1030, 700]], ids=str)
@pytest.mark.parametrize(("dropout", "causal"), [(0.0, False), (0.1, False), (0.1, True)])
def test_texts_of_several_blocks_equal_the_reference(dropout, causal, lengths):
    indptr = pointers(lengths)
    arrays = normal(4, int(indptr[-1]), 2 * 20)
    assert_equal_the_reference(arrays, 2, indptr, dropout, 5, 8, causal)


def test_blocks_of_unlike_scores_share_one_softmax():
    """The weights of the first keys must shrink to nothing, or stay all there is."""
    q, k, v, _ = normal(4, 1200, 16)
    for first, last, share in ((0, 600, slice(600, 1200)), (600, 1200, slice(0, 600))):
        keys = k.copy()
        keys[first:last] -= 1e4 * np.sign(q[0])
        queries = np.abs(q) * np.sign(q[0])
        out, _ = _core.attention(queries, keys, v, 1, pointers([1200]))
        exact = [array.astype(np.float64) for array in (queries, keys[share], v[share])]
        scores = exact[0] @ exact[1].T / 4
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        expected = weights @ exact[2] / weights.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(out, expected, rtol=0, atol=2e-4)


def test_a_causal_token_is_not_moved_by_later_ones(isa):
    q, k, v, dout = normal(4, 1100, 16)
    options = (1, pointers([1100]), 0.0, 0, 0, True)
    out, lse = _core.attention(q, k, v, *options)
    for cut in (1, 49, 700):
        part = [np.ascontiguousarray(array[:cut]) for array in (q, k, v)]
        alone, _ = _core.attention(*part, 1, pointers([cut]), causal=True)
        np.testing.assert_allclose(alone, out[:cut], rtol=0, atol=1e-6)
    dout[:900] = 0  # nothing flows to what only later tokens would see
    dq, dk, _ = _core.attention_backward(dout, q, k, v, out, lse, *options)
    assert not np.any(dq[:900]) and np.all(np.any(dk[:900], axis=1))


def test_nan_reaches_the_texts_it_is_in_and_no_other(isa):
    q, k, v, _ = normal(4, 60, 16)
    k[5, 3] = np.nan
    out, lse = _core.attention(q, k, v, 1, pointers([30, 30]))
    assert np.isnan(out[:30]).all() and np.isnan(lse[:30]).all()
    assert np.isfinite(out[30:]).all() and np.isfinite(lse[30:]).all()


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_are_the_slope_of_the_forward(isa, causal):
    indptr = pointers([5, 2, 9])
    q, k, v, dout = normal(4, 16, 12)
    options = (2, indptr, 0.3, 11, 4, causal)
    out, lse = _core.attention(q, k, v, *options)
    gradients = _core.attention_backward(dout, q, k, v, out, lse, *options)
    for index, gradient in enumerate(gradients):
        direction = normal(5, 16, 12)[4]
        moved = []
        for step in (1e-2, -1e-2):
            inputs = [q, k, v]
            inputs[index] = inputs[index] + np.float32(step) * direction
            y, _ = _core.attention(*inputs, *options)
            moved.append(float((dout.astype(np.float64) * y).sum()))
        slope = (moved[0] - moved[1]) / 2e-2
        along = float((gradient.astype(np.float64) * direction).sum())
        assert along == pytest.approx(slope, rel=2e-3, abs=2e-3)


def test_a_text_does_not_see_its_neighbours(isa):
    q, k, v, dout = normal(4, 40, 24)
    together = pointers([13, 0, 27])
    out, lse = _core.attention(q, k, v, 3, together)
    gradients = _core.attention_backward(dout, q, k, v, out, lse, 3, together)
    for begin, end in ((0, 13), (13, 40)):
        part = [np.ascontiguousarray(array[begin:end]) for array in (q, k, v, dout)]
        alone, lse_alone = _core.attention(*part[:3], 3, pointers([end - begin]))
        assert np.array_equal(alone, out[begin:end])
        assert np.array_equal(lse_alone, lse[begin:end])
        slopes = _core.attention_backward(
            part[3], *part[:3], alone, lse_alone, 3, pointers([end - begin])
        )
        for one, other in zip(slopes, gradients, strict=True):
            assert np.array_equal(one, other[begin:end])


def test_scores_too_large_for_exp_stay_finite(isa):
    q, k, v, dout = normal(4, 20, 16)
    q, k = q * np.float32(300), k * np.float32(300)
    indptr = pointers([20])
    out, lse = _core.attention(q, k, v, 1, indptr)
    best = (q.astype(np.float64) @ k.T.astype(np.float64)).argmax(axis=1)
    np.testing.assert_allclose(out, v[best], atol=1e-6)
    for gradient in _core.attention_backward(dout, q, k, v, out, lse, 1, indptr):
        assert np.all(np.isfinite(gradient))


def test_equal_scores_give_the_mean_of_the_values(isa):
    v = normal(1, 37, 8)[0]
    zeros = np.zeros_like(v)
    out, lse = _core.attention(zeros, zeros, v, 2, pointers([37]))
    expected = v.astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(out, np.tile(expected, (37, 1)), atol=2e-7)
    np.testing.assert_allclose(lse, np.log(37), rtol=1e-6)


@pytest.mark.parametrize(
    ("lengths", "heads"), [([3, 70, 1, 20, 0, 33], 4), ([1700], 1)], ids=["short", "long"]
)
@pytest.mark.parametrize("causal", [False, True])
def test_bits_do_not_depend_on_the_threads(same_bits, lengths, heads, causal):
    indptr = pointers(lengths)
    q, k, v, dout = normal(4, int(indptr[-1]), heads * 12)
    options = (heads, indptr, 0.1, 3, 0, causal)

    def run() -> list[np.ndarray]:
        out, lse = _core.attention(q, k, v, *options)
        return [out, lse, *_core.attention_backward(dout, q, k, v, out, lse, *options)]

    same_bits(run)


def test_dropout_follows_seed_and_counter():
    q, k, v = normal(3, 30, 16)
    indptr = pointers([30])
    same, _ = _core.attention(q, k, v, 2, indptr, 0.5, 1, 4)
    assert np.array_equal(same, _core.attention(q, k, v, 2, indptr, 0.5, 1, 4)[0])
    for seed, counter in ((2, 4), (1, 8)):
        other, _ = _core.attention(q, k, v, 2, indptr, 0.5, seed, counter)
        assert not np.array_equal(same, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 3}, "attention: heads=3 does not divide the width 8"),
        ({"k": np.zeros((5, 8), np.float32)}, r"attention: k has shape \(5, 8\), expected \(6, 8"),
        ({"v": np.zeros((6, 4), np.float32)}, r"attention: v has shape \(6, 4\), expected \(6, 8"),
        ({"indptr": np.array([0, 5])}, "attention: indptr ends at 5, but there are 6 rows"),
        ({"indptr": np.array([1, 6])}, "attention: indptr must start with 0"),
        ({"indptr": np.array([0, 6, 4, 6])}, "attention: indptr falls from 6 to 4 at position 2"),
        ({"indptr": np.zeros(0, np.int64)}, "attention: indptr must start with 0"),
        ({"dropout": 1.0}, r"attention: dropout=1 is not in \[0, 1\)"),
        ({"dropout": -0.1}, r"attention: dropout=-0.1 is not in \[0, 1\)"),
        ({"dropout": float("nan")}, "attention: dropout=-?nan"),
        ({"dropout": 0.1, "counter": 2}, "attention: counter=2 is not a multiple of 4"),
        ({"q": np.zeros(6, np.float32)}, "attention: q has 1 dimensions, expected 2"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    arguments = {name: np.zeros((6, 8), np.float32) for name in "qkv"}
    arguments |= {"heads": 2, "indptr": np.array([0, 6]), **change}
    with pytest.raises(ValueError, match=message):
        _core.attention(**arguments)


@pytest.mark.parametrize(
    ("name", "shape"), [("dout", (6, 4)), ("out", (5, 8)), ("lse", (6, 8)), ("lse", (5, 2))]
)
def test_backward_refuses_other_shapes(name, shape):
    arguments = {key: np.zeros((6, 8), np.float32) for key in ("dout", "q", "k", "v", "out")}
    arguments |= {"lse": np.zeros((6, 2), np.float32), name: np.zeros(shape, np.float32)}
    with pytest.raises(ValueError, match=f"attention_backward: {name} has shape"):
        _core.attention_backward(**arguments, heads=2, indptr=np.array([0, 6]))
