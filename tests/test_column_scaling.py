"""AWQ, SmoothQuant and bias correction on single layers; rounding by name."""

import numpy as np
import pytest

from lowbit.cli.arguments import METHODS as NAMES
from lowbit.cli.arguments import SCALE_DTYPES
from lowbit.quantization import (
    METHODS,
    InputStatistics,
    Method,
    WeightFormat,
    awq_scales,
    bias_shift,
    checks,
    quantize,
    smooth_scales,
    smoothing,
)
from lowbit.quantization.methods import find_method, round_together
from lowbit.reference import column_scaling as reference

STORES = [WeightFormat(name, 32, name == "nf4") for name in ("int8", "int4", "nf4")]


def layer(seed: int, columns: int = 96, dead: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Two matrices and inputs [300, K]: of few directions, far from zero, some columns large."""
    rng = np.random.default_rng([seed, columns])
    x = rng.standard_normal((300, 20)) @ rng.standard_normal((20, columns)) + 1
    x = x * np.exp(1.5 * rng.standard_normal(columns))
    x[:, :dead] = 0
    weights = [rng.standard_normal((rows, columns)).astype(np.float32) for rows in (24, 40)]
    return weights, x.astype(np.float32)


def statistics(x: np.ndarray, centred: bool = False) -> InputStatistics:
    seen = InputStatistics(x.shape[1])
    for first in range(0, len(x), 70):
        seen.observe(x[first : first + 70])
    if centred:
        seen.centre()
        seen.centre()  # once is enough
    return seen


def output_error(x, weights, values, shifts=(0, 0)) -> float:
    pairs = zip(weights, values, shifts, strict=True)
    return sum(float(np.sum((x @ (v - w).T - shift) ** 2)) for w, v, shift in pairs)


@pytest.mark.parametrize("centred", [False, True])
def test_statistics_are_those_of_all_rows(centred):
    _, x = layer(0)
    x[:, 3] = 7
    seen = statistics(x, centred)
    assert seen.count == 300
    for got, expected in (
        (seen.mean, x.mean(axis=0)),
        (seen.magnitude, np.abs(x).mean(axis=0)),
        (seen.largest, np.abs(x).max(axis=0)),
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    y = x.astype(np.float64) - (x.mean(axis=0, dtype=np.float64) if centred else 0)
    h = seen.moments.matrix()
    np.testing.assert_allclose(h, y.T @ y, rtol=1e-4, atol=1e-5 * np.abs(h).max())
    assert (np.diag(h) >= 0).all()


def test_inputs_that_are_not_finite_are_named_and_leave_no_trace():
    seen = InputStatistics(3)
    x = np.ones((2, 3), np.float32)
    for value in (np.nan, np.inf):
        x[1, 2] = value
        with pytest.raises(ValueError, match=rf"observe: x\[1, 2\] is {value}"):
            seen.observe(x)
    assert seen.count == 0 and not seen.largest.any() and not seen.moments.matrix().any()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("store", STORES)
def test_awq_finds_the_scales_of_the_reference(store, seed):
    weights, x = layer(seed, dead=3 * (seed % 2))
    seen = statistics(x)
    got = awq_scales(weights, seen.moments, seen.magnitude, store.format, store.group_size)

    def values(w):
        return quantize(w, store.format, store.group_size).dequantize().astype(np.float64)

    expected, least = reference.awq(weights, x.astype(np.float64), values)
    error = output_error(x, weights, [values(w * got) / got for w in weights])
    assert error <= least * 1.001  # two alphas may be alike within float32
    if np.allclose(got, expected, rtol=1e-3):
        assert error == pytest.approx(least, rel=1e-3)
    nearest = output_error(x, weights, [values(w) for w in weights])
    assert error <= nearest * (1 + 1e-6)
    if store.format != "int8":
        assert error < 0.8 * nearest
    assert got.dtype == np.float32 and (got > 0).all()


def test_columns_that_are_all_alike_are_not_scaled():
    weights = [layer(0)[0][0]]
    np.testing.assert_array_equal(awq_scales(weights, np.eye(96), np.ones(96), "int4"), np.ones(96))
    dead = awq_scales(weights, np.zeros((96, 96)), np.zeros(96), "int4")
    np.testing.assert_array_equal(dead, np.ones(96))
    one = awq_scales([np.ones((4, 1))], [[4.0]], [2.0], "int8", None)
    np.testing.assert_array_equal(one, [1])
    assert awq_scales([np.zeros((4, 0))], np.zeros((0, 0)), [], "int8").shape == (0,)
    assert np.isfinite(awq_scales([np.zeros((4, 96))], np.eye(96), np.arange(96.0))).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_smoothing_shares_the_range_out(alpha):
    weights, x = layer(1, dead=2)
    for w in weights:
        w[:, 5] = 0
    s = smooth_scales(weights, statistics(x).largest, alpha)
    np.testing.assert_allclose(s, reference.smoothquant(weights, x, alpha), rtol=1e-5)
    assert s[0] == s[1] == s[5] == 1
    used = np.setdiff1d(np.arange(96), [0, 1, 5])
    of_inputs = np.abs(x / s).max(axis=0)[used]
    of_weights = np.abs(np.concatenate(weights) * s).max(axis=0)[used]
    if alpha == 0.5:
        np.testing.assert_allclose(of_inputs, of_weights, rtol=1e-4)
    elif alpha == 1:
        np.testing.assert_allclose(of_inputs, 1, rtol=1e-4)
    elif alpha == 0:
        np.testing.assert_allclose(of_weights, 1, rtol=1e-4)


def test_smoothed_inputs_lose_less_in_eight_bits():
    weights, x = layer(2)

    def in_eight_bits(values):
        step = np.abs(values).max(axis=1, keepdims=True) / 127
        return np.rint(values / step) * step

    def error(s):
        return sum(
            float(np.sum((in_eight_bits(x / s) @ in_eight_bits(w * s).T - x @ w.T) ** 2))
            for w in weights
        )

    smooth = smooth_scales(weights, statistics(x).largest)
    assert error(smooth) < 0.2 * error(np.ones(96, np.float32))


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("name", METHODS)
def test_corrected_biases_take_the_mean_error_away_and_lose_less(name, store):
    weights, x = layer(3)
    errors = []
    for correct in (False, True):
        seen = statistics(x, correct)
        rounded = round_together(weights, METHODS[name], store, seen)
        values = [rounded.values(i) for i in range(2)]
        shifts = [bias_shift(v - w, seen.mean) for w, v in zip(weights, values, strict=True)]
        for w, v, shift in zip(weights, values, shifts, strict=True):
            exact = reference.corrected_bias(np.zeros(len(w)), w, v, x)
            np.testing.assert_allclose(-shift, exact, rtol=1e-3, atol=1e-3)
            mean = (x @ v.T - shift).mean(axis=0, dtype=np.float64)
            np.testing.assert_allclose(mean, (x @ w.T).mean(axis=0, dtype=np.float64), atol=0.01)
        errors.append(output_error(x, weights, values, shifts if correct else (0, 0)))
    assert errors[1] < errors[0]


@pytest.mark.parametrize("correct", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("store", [store for store in STORES if store.format != "int8"])
def test_every_method_for_inputs_beats_nearest_values(store, seed, correct):
    weights, x = layer(seed)
    seen = statistics(x, correct)
    y = x - seen.mean.astype(np.float32) if correct else x

    def error(name):
        rounded = round_together(weights, METHODS[name], store, seen)
        assert [q.shape for q in rounded.matrices] == [w.shape for w in weights]
        assert all(q.double_quant == store.double_quant for q in rounded.matrices)
        return output_error(y, weights, [rounded.values(i) for i in range(2)])

    nearest = error("nearest")
    assert error("search") < 0.95 * nearest
    assert error("awq") < 0.8 * nearest
    assert error("gptq") < 0.5 * nearest


def test_methods_have_names_and_can_be_put_together():
    assert list(METHODS) == NAMES
    assert [*SCALE_DTYPES, "e8m0"] == list(checks.SCALE_DTYPES)
    assert [name for name, method in METHODS.items() if method.needs_inputs] == [
        "gptq", "awq", "smoothquant",
    ]  # fmt: skip
    both = Method(METHODS["gptq"].rounding, METHODS["awq"].scaling)
    assert find_method(both, "f") is both and find_method("hqq", "f") is METHODS["hqq"]
    with pytest.raises(ValueError, match="f: method='best' is not known; use \"nearest\""):
        find_method("best", "f")
    weights, x = layer(4)
    seen = statistics(x)
    more = WeightFormat("int4", 32), seen
    rounded, plain = (round_together(weights, m, *more) for m in (both, METHODS["gptq"]))
    for one, other in zip(rounded.matrices, plain.matrices, strict=True):
        assert not np.array_equal(one.codes(), other.codes())
    sharp = round_together(weights, smoothing(0.8), *more)
    np.testing.assert_array_equal(sharp.scales, smooth_scales(weights, seen.largest, 0.8))


def test_bad_arguments_are_named():
    w, h, m = np.ones((4, 3)), np.eye(3), np.ones(3)
    for arguments, message in (
        (([], h, m), "awq_scales: weights must have the same number of columns; got no matrix"),
        (([w, w[:, :2]], h, m), r"got \(4, 3\), \(4, 2\)"),
        (([m], h, m), r"awq_scales: weights\[0\] has shape \(3,\)"),
        (([w * np.nan], h, m), r"awq_scales: weights\[0\]\[0, 0\] is nan; not finite"),
        (([w], h[:2], m), r"awq_scales: the hessian has shape \(2, 3\); w has 3 columns"),
        (([w], h + np.inf, m), "awq_scales: the hessian holds NaN, infinity"),
        (([w], h, -m), r"awq_scales: magnitude\[0\] is -1.0; a magnitude is 0 or more"),
        (([w], h, m[:2]), r"awq_scales: magnitude has shape \(2,\)"),
        (([w], h, m, "int3"), "int3"),
    ):
        with pytest.raises(ValueError, match=message):
            awq_scales(*arguments)
    with pytest.raises(ValueError, match="smooth_scales: alpha=2 is not from 0 to 1"):
        smooth_scales([w], m, 2)
    with pytest.raises(ValueError, match=r"smooth_scales: largest\[1\] is nan"):
        smooth_scales([w], [1, np.nan, 1])
