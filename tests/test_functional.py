"""lowbit.functional against plain NumPy in double precision, and against finite differences."""

from __future__ import annotations

import numpy as np
import pytest

import lowbit.functional as F
from lowbit.reference import attention, layers
from lowbit.reference import functional as reference
from products import normal

COLUMNS = [1, 15, 16, 17, 384, 1000]
ACTIVATIONS = {
    "gelu": (F.gelu, F.gelu_backward, layers.gelu, layers.gelu_backward),
    "gelu_tanh": (
        lambda x: F.gelu(x, "tanh"),
        lambda dy, x: F.gelu_backward(dy, x, "tanh"),
        reference.gelu_tanh,
        reference.gelu_tanh_backward,
    ),
    "silu": (F.silu, F.silu_backward, reference.silu, reference.silu_backward),
}


def close(got: np.ndarray, expected: np.ndarray, tolerance: float = 2e-6) -> None:
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("columns", COLUMNS)
def test_softmax(isa, columns):
    rng = np.random.default_rng(columns)
    x, dy = 4 * normal(rng, 3, 7, columns), normal(rng, 3, 7, columns)
    y = F.softmax(x)
    close(y, layers.softmax(x.astype(np.float64)))
    close(F.softmax_backward(dy, y), reference.softmax_backward(dy, y.astype(np.float64)))


def test_softmax_of_extreme_rows(isa):
    inf, nan = np.inf, np.nan
    x = [[1e38, -1e38, 0.0], [-inf, 0.0, 0.0], [-inf, -inf, -inf], [nan, 1.0, 2.0]]
    y = F.softmax(x)
    assert y[0].tolist() == [1, 0, 0] and y[1].tolist() == [0, 0.5, 0.5]
    assert np.isnan(y[2:]).all()
    assert F.softmax(np.zeros((0, 5))).shape == (0, 5)
    assert F.softmax(np.zeros((2, 0))).shape == (2, 0)


@pytest.mark.parametrize("columns", COLUMNS)
def test_normalization(isa, columns):
    rng = np.random.default_rng(columns)
    x, dy = 3 * normal(rng, 5, columns) + 1, normal(rng, 5, columns)
    gamma, beta = normal(rng, columns), normal(rng, columns)
    exact = [array.astype(np.float64) for array in (dy, x, gamma)]
    close(F.rms_norm(x, gamma, 1e-6), reference.rms_norm(*exact[1:], 1e-6))
    close(F.rms_norm_backward(dy, x, gamma), reference.rms_norm_backward(*exact, 1e-6), 5e-6)
    close(F.layer_norm(x, gamma, beta), layers.layer_norm(*exact[1:], beta, 1e-5), 5e-6)
    expected = layers.layer_norm_backward(*exact, 1e-5)
    close(F.layer_norm_backward(dy, x, gamma), expected, 1e-5)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_over_all_magnitudes(isa, name):
    forward, backward, exact, exact_backward = ACTIVATIONS[name]
    size = np.geomspace(1e-30, 1e30, 4001).astype(np.float32)
    x = np.concatenate([[0], size, -size, normal(np.random.default_rng(0), 999)]).astype(np.float32)
    with np.errstate(over="ignore"):
        wide = np.clip(x.astype(np.float64), -100, np.inf)  # 0 in float from there on
        expected = np.where(x < -100, 0, exact(wide))
        slope = np.where(x < -100, 0, exact_backward(np.ones_like(wide), np.clip(wide, None, 1e9)))
    np.testing.assert_allclose(forward(x), expected, rtol=1e-6, atol=5e-7)
    np.testing.assert_allclose(backward(np.ones_like(x), x), slope, rtol=1e-6, atol=1e-6)
    assert np.isnan(forward([np.nan])).all() and np.isnan(backward([1.0], [np.nan])).all()


@pytest.mark.parametrize("name", ["softmax", "rms_norm", "layer_norm", *ACTIVATIONS])
def test_gradients_are_finite_differences(name):
    rng = np.random.default_rng(7)
    x, dy, gamma = (rng.standard_normal(shape) for shape in ((2, 6), (2, 6), 6))
    forward, gradient = {
        "softmax": (layers.softmax, lambda: F.softmax_backward(dy, F.softmax(x))),
        "rms_norm": (
            lambda v: reference.rms_norm(v, gamma, 1e-6),
            lambda: F.rms_norm_backward(dy, x, gamma),
        ),
        "layer_norm": (
            lambda v: layers.layer_norm(v, gamma, np.zeros(6), 1e-5),
            lambda: F.layer_norm_backward(dy, x, gamma),
        ),
        **{key: (f[2], lambda f=f: f[1](dy, x)) for key, f in ACTIVATIONS.items()},
    }[name]
    got, step = gradient(), 1e-5
    for place in np.ndindex(x.shape):
        nudge = np.zeros_like(x)
        nudge[place] = step
        change = (dy * (forward(x + nudge) - forward(x - nudge))).sum() / (2 * step)
        assert abs(got[place] - change) <= 1e-5 * max(1, abs(change))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("indptr", [None, [0, 30, 30, 31, 70]])
def test_attention(isa, indptr, causal):
    rng = np.random.default_rng(3)
    q, k, v, dy = (normal(rng, 70, 24) for _ in range(4))
    ends = np.array([0, 70] if indptr is None else indptr)
    exact = [array.astype(np.float64) for array in (q, k, v)]
    expected = attention.attention(*exact, 3, ends, causal=causal)
    close(F.attention(q, k, v, 3, indptr, causal=causal), expected)
    got = F.attention_backward(dy, q, k, v, 3, indptr, causal=causal)
    wanted = attention.attention_backward(dy.astype(np.float64), *exact, 3, ends, causal=causal)
    for one, other in zip(got, wanted, strict=True):
        close(one, other, 1e-5)


def test_types_shapes_and_views():
    rng = np.random.default_rng(1)
    wide = normal(rng, 4, 40)
    x, gamma = wide[:, 4:24], normal(rng, 20)
    assert np.array_equal(F.softmax(x), F.softmax(x.copy()))
    assert np.array_equal(F.rms_norm(x, gamma), F.rms_norm(x.copy(), gamma))
    half = x.astype(np.float16)
    for y in (F.softmax(half), F.rms_norm(half, gamma), F.gelu(half), F.silu(half[0])):
        assert y.dtype == np.float16
    assert F.gelu(half[0]).shape == (20,)


def test_bad_arguments_are_named():
    x, ones = np.ones((2, 4)), np.ones(4)
    with pytest.raises(ValueError, match='gelu: approximate="fast" is not known; use "none" or'):
        F.gelu(x, "fast")
    with pytest.raises(ValueError, match="rms_norm: gamma has 3 values, expected 4"):
        F.rms_norm(x, np.ones(3))
    with pytest.raises(ValueError, match="rms_norm: eps=-1 must not be negative"):
        F.rms_norm(x, ones, -1)
    with pytest.raises(ValueError, match="softmax_backward: dy"):
        F.softmax_backward(np.ones((3, 4)), x)
    with pytest.raises(TypeError, match="attention: indptr has dtype float64; pass integers"):
        F.attention(x, x, x, 2, [0.0, 2.0])
    with pytest.raises(ValueError, match="attention: heads=3 does not divide the width 4"):
        F.attention(x, x, x, 3)
    with pytest.raises(ValueError, match="silu_backward: dy has 3 values, expected 8"):
        F.silu_backward(np.ones(3), x)
