"""Half-quadratic quantization: the steps of the reference, and what it must not lose."""

import itertools

import numpy as np
import pytest

from lowbit.quantization import hqq, quantize, quantize_to
from lowbit.quantization.hqq import round_to_affine
from lowbit.reference import hqq as reference
from lowbit.reference.quantization import NF4

LEVELS = {"int8": np.arange(-127, 128), "int4": np.arange(-8, 8), "nf4": NF4}
STEPS = {"int8": 1, "int4": 1, "nf4": 2 / 15}
SHAPES = [(1, 1), (3, 40), (37, 150), (300, 64)]
TOPS = {"int4": 15, "int8": 255}
NORM = 0.7


def heavy_tailed(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_t(3, shape).astype(np.float32)


def groups(w: np.ndarray, size: int) -> list[np.ndarray]:
    """The groups of each place [N, size or less], in float64."""
    return [w[:, k : k + size].astype(np.float64) for k in range(0, w.shape[1], size)]


def lost(w: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    """Sum of |error|^0.7 of each group [N, groups]."""
    errors = np.abs(values.astype(np.float64) - w) ** NORM
    return np.add.reduceat(errors, np.arange(0, w.shape[1], size), axis=1)


def affine_values(w, scales, zeros, size, top):
    codes = round_to_affine(w, scales, zeros, size, top)
    scale, zero = (np.repeat(of, size, axis=1)[:, : w.shape[1]] for of in (scales, zeros))
    return (codes - zero) * scale


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("format", LEVELS)
def test_every_group_has_its_best_round_of_the_reference(format, shape):
    w = heavy_tailed(*shape)
    size = 32 if shape[1] > 32 else shape[1]
    scales, zeros = hqq(w, format, 32)
    assert zeros is None and scales.dtype == np.float32
    got = lost(w, quantize_to(w, scales, format, 32, False).dequantize(), size)
    first = quantize(w, format, 32).scales().astype(np.float64)
    for place, group in enumerate(groups(w, size)):
        start = first[:, place : place + 1]
        beta = 10 * (np.abs(start) * STEPS[format]) ** (NORM - 2)
        rounds = reference.scale_rounds(group, start, LEVELS[format], NORM, beta)
        errors = [
            lost(group, reference.round_to_levels(group, scale, LEVELS[format]), size)[:, 0]
            for scale in itertools.islice(rounds, 20)
        ]
        # A weight near the middle of two levels may fall to the other one in float32.
        near = np.isclose(got[:, place], np.min(errors, axis=0), rtol=1e-3, atol=1e-3)
        assert near.mean() > 0.97


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("format", TOPS)
def test_zero_points_are_those_of_the_reference(format, shape):
    w, top = heavy_tailed(*shape), TOPS[format]
    size = 32 if shape[1] > 32 else shape[1]
    scales, zeros = hqq(w, format, 32, "fractions")
    got = lost(w, affine_values(w, scales, zeros, size, top), size)
    for place, group in enumerate(groups(w, size)):
        scale, zero = reference.first_affine(group, top)
        np.testing.assert_allclose(scales[:, place], scale[:, 0], rtol=1e-5)
        beta = 10 * scale ** (NORM - 2)
        rounds = reference.affine_rounds(group, scale, zero, top, NORM, beta)
        errors = []
        for tried in itertools.islice(rounds, 20):
            codes = np.clip(np.rint(group / scale + tried), 0, top)
            errors.append(lost(group, (codes - tried) * scale, size)[:, 0])
        near = np.isclose(got[:, place], np.min(errors, axis=0), rtol=1e-3, atol=1e-3)
        assert near.mean() > 0.97


@pytest.mark.parametrize("group_size", [16, 64, None])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("format", LEVELS)
def test_no_group_loses_and_more_rounds_never_do(format, seed, group_size):
    w = heavy_tailed(40, 200, seed=seed)
    size = group_size or 200
    before = lost(w, quantize(w, format, group_size).dequantize(), size)
    for rounds in (1, 5, 20, 60):
        scales, _ = hqq(w, format, group_size, rounds=rounds)
        error = lost(w, quantize_to(w, scales, format, group_size, False).dequantize(), size)
        assert np.all(error <= before * (1 + 1e-5))
        before = error
    if format != "int8":
        assert (
            error.sum() < 0.99 * lost(w, quantize(w, format, group_size).dequantize(), size).sum()
        )


@pytest.mark.parametrize("format", TOPS)
@pytest.mark.parametrize("seed", range(5))
def test_sought_zero_points_beat_those_of_the_ends(format, seed):
    w = heavy_tailed(40, 200, seed=seed) + 1
    ends, sought = (hqq(w, format, 64, "fractions", rounds=rounds) for rounds in (1, 20))
    np.testing.assert_array_equal(ends[0], sought[0])
    errors = [lost(w, affine_values(w, *of, 64, TOPS[format]), 64) for of in (ends, sought)]
    assert np.all(errors[1] <= errors[0] * (1 + 1e-5)) and errors[1].sum() < 0.98 * errors[0].sum()


@pytest.mark.parametrize("format", ["int4", "nf4"])
def test_outliers_are_let_go_where_squares_would_follow_them(format):
    w = np.random.default_rng(0).uniform(-1, 1, (64, 64)).astype(np.float32)
    w[:, 0] = 4

    def error_of_others(scales):
        values = quantize_to(w, scales, format, 64, False).dequantize()
        return np.abs(values - w)[:, 1:].mean()

    nearest, sought = quantize(w, format, 64).scales(), hqq(w, format)[0]
    squares = hqq(w, format, beta=0.01)[0]  # lets nothing go: plain least squares
    assert error_of_others(sought) < 0.95 * error_of_others(squares) < error_of_others(nearest)
    assert error_of_others(sought) < 0.9 * error_of_others(nearest)


@pytest.mark.parametrize("shift", [0, 1, -9])
@pytest.mark.parametrize("format", TOPS)
@pytest.mark.parametrize("seed", range(3))
def test_zero_points_that_are_codes_are_whole_and_beat_those_of_the_ends(format, seed, shift):
    w, top = heavy_tailed(40, 200, seed=seed) + shift, TOPS[format]
    errors = []
    for rounds in (1, 5, 20):
        scales, zeros = hqq(w, format, 64, "codes", rounds=rounds)
        assert zeros.dtype == np.int32
        codes = zeros + (128 if format == "int8" else 0)
        assert codes.min() >= 0 and codes.max() <= top
        errors.append(lost(w, affine_values(w, scales, codes, 64, top), 64))
    assert np.all(errors[1] <= errors[0] * (1 + 1e-5))
    assert np.all(errors[2] <= errors[1] * (1 + 1e-5))
    assert errors[2].sum() < 0.98 * errors[0].sum()
    if shift == 0 and format == "int4":  # better than the best that needs no zero point
        symmetric, _ = hqq(w, format, 64)
        values = quantize_to(w, symmetric, format, 64, False).dequantize()
        assert errors[2].sum() < lost(w, values, 64).sum()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("zero_points", [None, "fractions", "codes"])
@pytest.mark.parametrize("format", LEVELS)
def test_groups_without_a_range_divide_by_nothing(format, zero_points):
    if zero_points and format == "nf4":
        with pytest.raises(ValueError, match='hqq: "nf4" has no zero points'):
            hqq(np.ones((2, 2)), format, None, zero_points)
        return
    w = np.zeros((5, 48), np.float32)
    w[1], w[2], w[3, 0], w[4] = 0.5, -3, 2, 1e-38
    scales, zeros = hqq(w, format, 16, zero_points)
    assert scales.shape == (5, 3) and np.isfinite(scales).all() and not scales[0].any()
    if zero_points is None:
        values = quantize_to(w, scales, format, 16, False).dequantize()
    else:
        assert np.isfinite(zeros).all() and zeros.shape == scales.shape
        zeros = zeros + (128 if (zero_points, format) == ("codes", "int8") else 0)
        values = affine_values(w, scales, zeros, 16, TOPS[format])
    np.testing.assert_allclose(values[:4], w[:4], rtol=1e-6)
    for shape in ((0, 8), (8, 0), (1, 1)):
        scales, zeros = hqq(np.ones(shape), format, 16, zero_points)
        assert scales.shape == (shape[0], min(1, shape[1]))
        assert zeros is None if zero_points is None else zeros.shape == scales.shape


def test_bad_arguments_are_named():
    w = heavy_tailed(4, 64)
    for changes, message in (
        ({"norm": 0}, "hqq: norm=0 is not above 0"),
        ({"norm": 1.5}, "hqq: norm=1.5"),
        ({"beta": np.nan}, "hqq: beta=nan"),
        ({"rounds": 0}, "hqq: rounds=0"),
        ({"format": "int3"}, "int3"),
        ({"group_size": 48}, "48"),
        ({"format": "int4", "zero_points": "float"}, "zero_points='float' is not known; use \"fr"),
    ):
        with pytest.raises(ValueError, match=message):
            hqq(w, **changes)
    w[2, 5] = np.nan
    with pytest.raises(ValueError, match=r"w\[2, 5\] is nan"):
        hqq(w, "int4", 16, "codes")
