"""Scale search and GPTQ: what they must not lose, and what they must gain."""

import numpy as np
import pytest

from lowbit.quantization import (
    METHODS,
    WeightFormat,
    gptq,
    linear,
    quantize,
    quantize_to,
    search_ranges,
    search_scales,
)
from lowbit.quantization.matrix import packed_formats
from lowbit.quantization.search import PLACES, RATIOS
from lowbit.reference import gptq as reference
from lowbit.reference import levels

LEVELS = {"int8": np.arange(-127, 128), "int4": np.arange(-8, 8)}
LEVELS |= {format: np.unique(table) for format, table in levels.LEVELS.items()}
CODES = {"int8": np.arange(-128, 128), "int4": np.arange(16)}
"""Of formats that may have zero points."""
SHAPES = [(1, 1), (3, 40), (37, 150), (16, 300)]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def inputs(count: int, columns: int) -> np.ndarray:
    """Inputs of a layer: correlated, and some columns much larger than others."""
    mixing = normal(columns // 4 + 1, columns, seed=1) * np.exp(normal(columns, seed=2))
    return normal(count, columns // 4 + 1) @ mixing + 0.1 * normal(count, columns, seed=3)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("format", packed_formats())
def test_searched_scales_never_lose_and_help_four_bits(format, shape):
    w = normal(*shape)
    importance = np.abs(normal(shape[1], seed=5))
    plain = quantize(w, format, 32)
    for weights in (None, importance):
        scales = search_scales(w, format, 32, weights)
        chosen = quantize_to(w, scales, format, 32, False)
        counts = np.ones(shape[1]) if weights is None else weights
        error, before = (np.sum((q.dequantize() - w) ** 2 * counts) for q in (chosen, plain))
        assert error <= before * (1 + 1e-6)
        if format != "int8" and w.size > 100:
            # Powers of two leave less to choose.
            assert error < (0.97 if format == "mxfp4" else 0.95) * before


def test_columns_that_do_not_count_are_given_up():
    w = normal(8, 64)
    w[:, 5] = 100
    importance = np.ones(64)
    importance[5] = 0
    kept = quantize_to(w, search_scales(w, "nf4", 64, importance), "nf4", 64, False)
    plain = quantize(w, "nf4", 64)
    others = np.arange(64) != 5
    assert np.sum((kept.dequantize() - w)[:, others] ** 2) < np.sum(
        (plain.dequantize() - w)[:, others] ** 2
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("group_size", [16, 64, None])
@pytest.mark.parametrize("format", packed_formats())
def test_gptq_rounds_as_the_paper_derives_it(format, group_size, shape):
    w, x = normal(*shape), inputs(2 * shape[1], shape[1]).astype(np.float64)
    h = x.T @ x
    got = gptq(w, h, format, group_size)
    scales = np.repeat(got.scales(), got.group_size, axis=1)[:, : shape[1]]
    expected = reference.gptq(w, h, LEVELS[format], scales)
    differing = np.abs(got.dequantize() - expected) > 1e-4 * np.abs(scales)
    # One value near a middle that falls to the other side changes those behind it in its row.
    assert differing.any(axis=1).mean() < 0.1


@pytest.mark.parametrize("double_quant", [False, True])
@pytest.mark.parametrize("format", packed_formats())
def test_gptq_keeps_products_better_than_nearest_values_do(format, double_quant):
    w, x = normal(48, 200), inputs(500, 200)

    def error(q):
        return np.linalg.norm(x @ (q.dequantize() - w).T)

    q = gptq(w, x.T @ x, format, 32, double_quant)
    assert q.double_quant == (double_quant and format != "mxfp4")
    assert q.format == format and q.group_size == 32
    searched = quantize_to(w, search_scales(w, format, 32), format, 32, double_quant)
    assert error(q) < 0.6 * min(error(searched), error(quantize(w, format, 32, double_quant)))


def skewed(*shape: int) -> np.ndarray:
    """Weights mostly on one side of zero, which side by row."""
    rng = np.random.default_rng(shape)
    sides = rng.choice([-1, 1], (shape[0], 1))
    return ((rng.exponential(size=shape) - 0.3) * sides).astype(np.float32)


def group_columns(groups: np.ndarray, q) -> np.ndarray:
    """A number of each group, for each of its columns."""
    return np.repeat(groups, q.group_size, axis=1)[:, : q.shape[1]]


def best_range(group: np.ndarray, counts: np.ndarray, codes: np.ndarray) -> float:
    """Least squared error of one group over the ranges that are tried, in double precision."""
    low, high = min(0.0, group.min()), max(0.0, group.max())
    first = (high - low) / (len(codes) - 1)
    least = np.inf
    for scale in first * RATIOS:
        for place in PLACES:
            begin = low + place * (high - low - (len(codes) - 1) * scale)
            zero = np.clip(np.rint(-begin / scale), 0, len(codes) - 1) + codes[0]
            values = (np.clip(np.rint(group / scale) + zero, codes[0], codes[-1]) - zero) * scale
            least = min(least, float(np.sum((values - group) ** 2 * counts)))
    return least


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("format", CODES)
def test_searched_ranges_are_the_best_of_those_that_are_tried(format, shape):
    w = skewed(*shape)
    counts = np.abs(normal(shape[1], seed=5)) ** 3
    scales, zeros = search_ranges(w, format, 32, counts)
    assert scales.dtype == np.float32 and zeros.dtype == np.int32
    chosen = quantize_to(w, scales, format, 32, zero_points=zeros)
    errors = (chosen.dequantize() - w).astype(np.float64) ** 2 * counts
    starts = np.arange(0, shape[1], 32)
    got = np.add.reduceat(errors, starts, axis=1)
    for row, place in np.ndindex(got.shape):
        own = slice(starts[place], starts[place] + 32)
        best = best_range(w[row, own].astype(np.float64), counts[own], CODES[format])
        # A weight near the middle of two codes may fall to the other one in float32.
        assert got[row, place] <= best * 1.01 + 1e-6 * np.max(w[row, own] ** 2)
    plain = quantize(w, format, 32, symmetric=False)
    before = np.sum((plain.dequantize() - w) ** 2 * counts)
    assert errors.sum() <= before * (1 + 1e-6)
    if w.size > 100:
        assert errors.sum() < 0.9 * before


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("group_size", [16, 64, None])
@pytest.mark.parametrize("format", CODES)
def test_gptq_rounds_to_zero_points_as_the_paper_derives_it(format, group_size, shape):
    w, x = skewed(*shape), inputs(2 * shape[1], shape[1]).astype(np.float64)
    h = x.T @ x
    got = gptq(w, h, format, group_size, symmetric=False)
    assert not got.symmetric and got.format == format
    scales, zeros = (group_columns(of, got) for of in (got.scales(), got.zero_points()))
    expected = reference.gptq(w, h, CODES[format], scales, zero_points=zeros.astype(np.float64))
    differing = np.abs(got.dequantize() - expected) > 1e-4 * np.abs(scales)
    assert differing.any(axis=1).mean() < 0.1
    product = linear(x, got, compute="fp32")
    np.testing.assert_allclose(product, x @ got.dequantize().T, atol=1e-3 * np.abs(product).max())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("group_size", [16, None, "tensor"])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("format", CODES)
def test_codes_are_exchanged_and_nothing_else(format, symmetric, group_size, shape):
    q = quantize(skewed(*shape), format, group_size, symmetric=symmetric)
    same = q.with_codes(q.codes()).parts()
    assert all(np.array_equal(of, same[name]) for name, of in q.parts().items())
    codes = q.codes()
    codes[0, 0] = codes[0, 0] // 2 + 1
    changed = q.with_codes(codes)
    assert np.array_equal(changed.codes(), codes)
    assert np.array_equal(changed.scales(), q.scales())


@pytest.mark.parametrize("scale_dtype", [None, "fp16", "bf16"])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("format", CODES)
def test_every_method_rounds_to_what_is_to_be_stored(format, method, symmetric, scale_dtype):
    w, x = skewed(24, 150), inputs(400, 150)
    store = WeightFormat(format, 32, False, scale_dtype, symmetric)
    q = METHODS[method].rounding(w, store, x.T.astype(np.float64) @ x)
    assert (q.format, q.group_size, q.symmetric) == (format, 32, symmetric)
    assert q.scale_dtype == (scale_dtype or "fp32")
    plain = quantize(w, *store)
    lost = [np.linalg.norm(x @ (of.dequantize() - w).T) for of in (q, plain)]
    # hqq counts how many are far off, smoothquant has scaled columns before it rounds to nearest.
    worst = {"gptq": 0.6, "search": 0.95, "awq": 0.95}
    assert lost[0] <= worst.get(method, 1.2) * lost[1]


@pytest.mark.parametrize("format", CODES)
def test_zero_points_keep_products_of_skewed_weights_better(format):
    w, x = skewed(48, 200), inputs(500, 200)
    for double_quant in (False, True):
        lost = [
            np.linalg.norm(x @ (q.dequantize() - w).T)
            for q in (
                gptq(w, x.T @ x, format, 64, double_quant, symmetric=False),
                gptq(w, x.T @ x, format, 64, double_quant),
                quantize(w, format, 64, double_quant, symmetric=False),
            )
        ]
        assert lost[0] < 0.8 * lost[1] and lost[0] < 0.5 * lost[2]


def test_inputs_that_never_occur_or_hardly_differ_do_no_harm():
    w = normal(8, 64)
    h = np.zeros((64, 64))
    np.testing.assert_allclose(gptq(w, h).dequantize(), w, atol=0.6)
    h[:4, :4] = 1  # one direction only
    assert np.isfinite(gptq(w, h).dequantize()).all()
    assert gptq(np.zeros((0, 64)), h).shape == (0, 64)
    assert gptq(np.zeros((4, 64)), h).dequantize().any() == np.False_
    for rows in (0, 4):
        zero = np.zeros((rows, 64), np.float32)
        assert not gptq(zero, h, "int4", symmetric=False).dequantize().any()
    constant = np.full((3, 64), 2.5)
    np.testing.assert_allclose(
        gptq(constant, np.eye(64), "int8", symmetric=False).dequantize(), constant, rtol=1e-5
    )
    assert search_ranges(np.zeros((3, 0)))[0].shape == (3, 0)


def test_bad_arguments_are_named():
    w, h = normal(4, 64), np.eye(64)
    with pytest.raises(ValueError, match=r"gptq: the hessian has shape \(3, 3\)"):
        gptq(w, np.eye(3))
    with pytest.raises(ValueError, match="gptq: the hessian holds NaN"):
        gptq(w, h * np.nan)
    with pytest.raises(ValueError, match="not positive"):
        gptq(w, -2 * h + np.diag(np.full(64, 2.0)) - np.ones((64, 64)) + np.eye(64))
    with pytest.raises(ValueError, match="importance has 3 values"):
        search_scales(w, importance=np.ones(3))
    with pytest.raises(ValueError, match="negative or NaN"):
        search_scales(w, importance=np.full(64, -1.0))
    with pytest.raises(ValueError, match='format="int3"'):
        gptq(w, h, "int3")
    with pytest.raises(ValueError, match='format="nf4" has no zero points; use "int8" or "int4"'):
        gptq(w, h, "nf4", symmetric=False)
    with pytest.raises(ValueError, match="search_ranges: importance has 3 values"):
        search_ranges(w, importance=np.ones(3))
    with pytest.raises(ValueError, match='search_ranges: group_size="tensor" has one scale'):
        search_ranges(w, group_size="tensor")
    with pytest.raises(ValueError, match=r'double_quant=True .* scale_dtype="fp16"'):
        gptq(w, h, "int4", 64, True, "fp16")


# rmse for a Gaussian matrix of deviation 1: absmax scales of nf4, extreme / -8 of int4.
GAUSSIAN = {
    ("nf4", 32): 0.0872,
    ("nf4", 64): 0.0919,
    ("nf4", 128): 0.0956,
    ("nf4", 256): 0.0986,
    ("int4", 32): 0.0859,
    ("int4", 64): 0.0949,
    ("int4", 128): 0.1030,
    ("int4", 256): 0.1109,
}


@pytest.mark.parametrize(("format", "group_size"), GAUSSIAN)
def test_gaussian_matrices_have_the_known_errors(format, group_size):
    w = normal(1024, 2048)
    report = quantize(w, format, group_size).error(w)
    assert report.rmse == pytest.approx(GAUSSIAN[format, group_size], abs=2e-4)
    assert report.snr == pytest.approx(-20 * np.log10(report.rmse), abs=0.05)
    doubled = quantize(w, format, group_size, True).error(w)
    if format == "nf4":
        assert doubled.rmse == pytest.approx(report.rmse, abs=5e-4)


@pytest.mark.parametrize("shape", [*SHAPES, (0, 5), (5, 0)])
@pytest.mark.parametrize("format", packed_formats())
def test_no_value_is_further_off_than_its_format_allows(format, shape):
    w = normal(*shape) * np.float32(3)
    q = quantize(w, format, 16)
    largest = np.repeat(
        [[np.abs(row[k : k + 16]).max() for k in range(0, shape[1], 16)] for row in w], 16, axis=1
    )[:, : shape[1]] if w.size else w  # fmt: skip
    # Half a step of int8; half of nf4's and fp4's widest gap; a whole step of int4 opposite to the
    # extreme; of mxfp4 what is cut off.
    part = {"int8": 0.5 / 127, "nf4": 0.15191, "int4": 1 / 8, "fp4": 1 / 6, "mxfp4": 1 / 4}[format]
    assert np.all(np.abs(q.dequantize() - w) <= part * largest * (1 + 1e-5))
    report = q.error(w)
    assert report.largest == np.abs(q.dequantize() - w).max(initial=0)


def test_errors_of_edge_cases():
    zero = np.zeros((3, 32))
    assert quantize(zero).error(zero).cosine == 1 and quantize(zero).error(zero).snr == np.inf
    assert quantize(zero).error(zero + 1).snr == 0
    assert quantize(zero + 1).error(zero).snr == -np.inf
    with pytest.raises(ValueError, match="error: w has shape"):
        quantize(zero).error(zero.T)
