"""Affine codes: against their definitions in double precision, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.quantization.affine import (
    AffineParams,
    dequantize_linear,
    fake_quantize,
    fake_quantize_backward,
    learned_step_backward,
    quantize_linear,
)

RANGES = [(0, 255), (-128, 127), (-127, 127), (0, 15), (-8, 7), (0, 3), (0, 65535)]
SLICES = AffineParams([0.25, 2.0], [1, 0], -8, 7)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_values_and_gradients_follow_the_formula(low, high):
    x, dy = normal(3000) * 3, normal(3000, seed=1)
    params = AffineParams(8 / (high - low), (2 * low + high) // 3, low, high)
    inverse = np.float32(1) / params.scale
    codes = np.rint(x * inverse).astype(np.int64) + params.zero_point
    cut = np.clip(codes, low, high)
    expected = (cut - params.zero_point).astype(np.float32) * params.scale
    assert (fake_quantize(x, params) == expected).all()
    assert (fake_quantize_backward(dy, x, params) == dy * (codes == cut)).all()
    assert 0 < (codes != cut).sum() < 1500


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
@pytest.mark.parametrize("ends", [(-0.17, 5.0), (-1.0, 1.0), (2.0, 3.0), (-9.0, -1.0), (0.0, 0.0)])
def test_narrow_ranges_have_as_many_codes_on_both_sides(ends, bits):
    params = AffineParams.from_range(*ends, bits, narrow_range=True)
    last = 2 ** (bits - 1) - 1
    assert (params.low, params.high) == (-last, last)
    x = np.linspace(*ends, 999).astype(np.float32)
    assert np.abs(fake_quantize(x, params) - x).max() <= 0.51 * params.scale
    both = AffineParams.from_range(*ends, bits, True, narrow_range=True)
    alone = AffineParams.from_range(*ends, bits, True)
    assert (both.low, both.zero_point, both.scale) == (alone.low, 0, alone.scale)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_slices_are_rounded_like_tensors_of_their_own(axis):
    x, dy = normal(2, 2), normal(2, 2, seed=1)
    got = fake_quantize(x, SLICES, axis)
    dx, dscale = learned_step_backward(dy, x, SLICES, axis)
    for k in range(2):
        at = (slice(None),) * (axis % 2) + (k,)
        one = AffineParams(SLICES.scale[k], SLICES.zero_point[k], -8, 7)
        assert (got[at] == fake_quantize(x[at], one)).all()
        for own, other in zip(
            (dx[at], dscale[k]), learned_step_backward(dy[at], x[at], one), strict=True
        ):
            assert (own == other).all()
        assert (fake_quantize_backward(dy, x, SLICES, axis)[at] == dx[at]).all()
        codes = quantize_linear(x, SLICES, axis)
        assert (codes[at] == quantize_linear(x[at], one)).all()
        assert (
            dequantize_linear(codes, SLICES, axis)[at] == dequantize_linear(codes[at], one)
        ).all()


def test_the_gradient_of_the_scale_is_that_of_the_rounded_values():
    """With codes held and x / scale taken for them where inside, as the paper derives it."""
    x, dy = normal(500) * 2, normal(500, seed=1)
    params = AffineParams(0.3, 2, -8, 7)
    v = x.astype(np.float64) / np.float64(params.scale)
    codes = np.rint(v) + 2
    inside = (codes >= -8) & (codes <= 7)
    steps = np.where(inside, np.rint(v) - v, np.where(codes < -8, -10.0, 5.0))
    _, got = learned_step_backward(dy, x, params, factor=1)
    assert got == pytest.approx(np.sum(steps * dy), rel=1e-4)
    _, scaled = learned_step_backward(dy, x, params)
    assert scaled == pytest.approx(float(got) / np.sqrt(500 * 5), rel=1e-6)


def test_training_the_scale_finds_one_that_loses_less():
    x = normal(4000)
    start = scale = 2.0

    def error(scale: float) -> float:
        return float(np.mean((fake_quantize(x, AffineParams(scale, 0, -4, 3)) - x) ** 2))

    for _ in range(200):
        params = AffineParams(scale, 0, -4, 3)
        _, gradient = learned_step_backward(2 * (fake_quantize(x, params) - x), x, params)
        scale -= 0.01 * float(gradient)
    best = min(error(s) for s in np.linspace(0.2, 2, 100))
    assert error(scale) < 1.05 * best < 0.2 * error(start)


def test_ties_and_numbers_beyond_the_range():
    x = np.array([-0.0, 0.5, 1.5, -0.5, 1e38, -1e38, np.inf, -np.inf], np.float32)
    params = AffineParams(1, 3, 0, 255)
    assert quantize_linear(x, params).tolist() == [3, 3, 5, 3, 255, 0, 255, 0]
    assert fake_quantize(x, params).tolist() == [0, 0, 2, 0, 252, -3, 252, -3]
    assert not np.signbit(fake_quantize(x, params)[:4]).any()
    assert fake_quantize_backward(np.ones(8), x, params).tolist() == [1] * 4 + [0] * 4
    tiny = AffineParams(np.finfo(np.float32).tiny, 0, 0, 255)
    assert fake_quantize(np.float32(0), tiny) == 0 and fake_quantize(1e30, tiny) < 1e-30
    assert np.isnan(fake_quantize([np.nan], params)).all()
    assert fake_quantize_backward([2.0], [np.nan], params) == 0


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 2)])
def test_empty_arrays_stay_empty(shape):
    x, one = np.zeros(shape, np.float32), AffineParams(1, 0, -8, 7)
    for got in (fake_quantize(x, one), fake_quantize_backward(x, x, one)):
        assert got.shape == shape and got.dtype == np.float32
    assert quantize_linear(x, one).dtype == np.int8
    assert learned_step_backward(x, x, one)[1] == 0


@given(
    ends=st.tuples(*[st.floats(-1.5 * 2.0**127, 1.5 * 2.0**127, width=32)] * 2).map(sorted),
    bits=st.integers(2, 16),
    symmetric=st.booleans(),
    parts=st.lists(st.floats(0, 1), min_size=1, max_size=20),
)
@settings(deadline=None)
def test_ranges_are_covered(ends, bits, symmetric, parts):
    params = AffineParams.from_range(*ends, bits, symmetric)
    first, last = (np.float64(end) for end in ends)
    x = np.clip(first * np.array(parts) + last * (1 - np.array(parts)), *ends).astype(np.float32)
    error = np.abs(fake_quantize(x, params).astype(np.float64) - x)
    rounding = 2.0**-21 * np.abs(x.astype(np.float64)) + np.finfo(np.float32).tiny
    held = np.isfinite(error)  # the last code may stand for more than float32 holds
    assert (error <= params.scale / 2 + rounding)[held].all()
    assert fake_quantize(0.0, params) == 0
    if symmetric:
        assert params.zero_point == 0 and params.low == -params.high


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"scale has shape \(2,\), zero_point \(\)"):
        AffineParams([1.0, 2.0], 0, 0, 255)
    with pytest.raises(ValueError, match="codes from 3 to 3"):
        AffineParams(1, 3, 3, 3)
    for scale in (0.0, -1.0, np.nan, np.inf, 1e-39):
        with pytest.raises(ValueError, match="every scale must be finite"):
            AffineParams(scale, 0, 0, 255)
    for zero in (-1, 256, 0.5):
        with pytest.raises(ValueError, match="zero points must be whole, from 0 to 255"):
            AffineParams(1, zero, 0, 255)
    with pytest.raises(ValueError, match="bits=1"):
        AffineParams.from_range(0, 1, 1)
    with pytest.raises(ValueError, match="finite and in order"):
        AffineParams.from_range(1, 0)
    x = np.zeros((2, 3))
    with pytest.raises(ValueError, match=r"fake_quantize: params have shape \(2,\); axis=1"):
        fake_quantize(x, SLICES, 1)
    with pytest.raises(ValueError, match=r"axis=None of \(2, 3\) needs \(\)"):
        fake_quantize(x, SLICES)
    with pytest.raises(ValueError, match="axis=2, and there are 2 dimensions"):
        fake_quantize(x, SLICES, 2)
    with pytest.raises(ValueError, match=r"dy has shape \(3,\), x \(2, 3\)"):
        fake_quantize_backward(x[0], x, SLICES, 0)
    x[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"quantize_linear: x\[1, 2\] is nan; no code"):
        quantize_linear(x, SLICES, 0)
    with pytest.raises(ValueError, match="no 16 bits hold -1 to 65535"):
        quantize_linear(x[0], AffineParams(1, 0, -1, 65535))
    with pytest.raises(TypeError, match="fake_quantize: x has dtype"):
        fake_quantize(["a"], SLICES)
