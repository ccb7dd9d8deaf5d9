"""Attention against the reference in double precision, on every instruction set."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lowbit import _core
from lowbit.reference import layers

# (heads, head_dim): the bundled model's shape, odd widths, the narrowest, a wide one.
SHAPES = [(12, 32), (3, 7), (1, 1), (2, 17), (2, 64)]
# Around the 16 lanes and the 48 query rows, with an empty text between others.
LENGTHS = [[1], [2, 0, 15], [16, 17, 1], [31, 33], [47, 48, 49], [128], [0], [5, 97]]


def pointers(lengths: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def normal(count: int, tokens: int, width: int) -> list[np.ndarray]:
    rng = np.random.default_rng([count, tokens, width])
    return list(rng.standard_normal((count, tokens, width), dtype=np.float32))


def log_denominators(q: np.ndarray, k: np.ndarray, heads: int, indptr: np.ndarray) -> np.ndarray:
    """What `attention` returns as lse: log(sum_j exp(score)) of every token and head."""
    width = q.shape[1] // heads
    lse = np.zeros((len(q), heads))
    for (begin, end), head in itertools.product(itertools.pairwise(indptr), range(heads)):
        columns = slice(head * width, (head + 1) * width)
        scores = q[begin:end, columns] @ k[begin:end, columns].T / np.sqrt(width)
        lse[begin:end, head] = np.logaddexp.reduce(scores, axis=1) if end > begin else 0
    return lse


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_forward_and_backward_equal_the_reference(isa, dropout, shape, lengths):
    heads, width = shape
    indptr = pointers(lengths)
    q, k, v, dout = normal(4, int(indptr[-1]), heads * width)
    options = (heads, indptr, dropout, 5, 8)
    out, lse = _core.attention(q, k, v, *options)
    gradients = _core.attention_backward(dout, q, k, v, out, lse, *options)
    exact = [array.astype(np.float64) for array in (q, k, v, dout)]
    expected = layers.attention(*exact[:3], *options)
    np.testing.assert_allclose(out, expected, rtol=0, atol=4e-6)
    np.testing.assert_allclose(lse, log_denominators(*exact[:2], heads, indptr), atol=4e-6)
    wanted = layers.attention_backward(exact[3], *exact[:3], *options)
    for name, gradient, true in zip("qkv", gradients, wanted, strict=True):
        size = np.abs(true).max(initial=1.0)
        np.testing.assert_allclose(gradient, true, rtol=0, atol=4e-6 * size, err_msg=f"d{name}")


def test_a_text_of_512_tokens(isa):
    indptr = pointers([512, 3])
    q, k, v, dout = normal(4, 515, 32)
    out, lse = _core.attention(q, k, v, 2, indptr)
    gradients = _core.attention_backward(dout, q, k, v, out, lse, 2, indptr)
    exact = [array.astype(np.float64) for array in (q, k, v, dout)]
    np.testing.assert_allclose(out, layers.attention(*exact[:3], 2, indptr), atol=2e-6)
    wanted = layers.attention_backward(exact[3], *exact[:3], 2, indptr)
    for gradient, true in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(gradient, true, rtol=0, atol=2e-5)


def test_gradients_are_the_slope_of_the_forward(isa):
    indptr = pointers([5, 2, 9])
    q, k, v, dout = normal(4, 16, 12)
    options = (2, indptr, 0.3, 11, 4)
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


@pytest.mark.usefixtures("restore_threads")
def test_bits_do_not_depend_on_the_threads(isa):
    indptr = pointers([3, 70, 1, 20, 0, 33])
    q, k, v, dout = normal(4, int(indptr[-1]), 48)
    results = set()
    for threads in (1, 2, 3):
        _core.set_num_threads(threads)
        out, lse = _core.attention(q, k, v, 4, indptr, 0.1, 3, 0)
        gradients = _core.attention_backward(dout, q, k, v, out, lse, 4, indptr, 0.1, 3, 0)
        results.add(b"".join(array.tobytes() for array in (out, lse, *gradients)))
    assert len(results) == 1


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
