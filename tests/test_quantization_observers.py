"""Observers: against plain formulas, and what their ranges promise for any values."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbit.models.layers import Linear
from lowbit.quantization import fake_quantize, observers
from lowbit.quantization.histogram import Histogram
from lowbit.quantization.range_search import least_divergent_bins

ALL = [
    observers.MinMaxObserver,
    observers.MovingAverageObserver,
    observers.PercentileObserver,
    observers.MeanSquaredErrorObserver,
    observers.EntropyObserver,
]
PLAIN = st.floats(-(2.0**40), 2.0**40, width=32)
VALUES = PLAIN | st.floats(-1, 1, width=32) | st.integers(-8, 8).map(float)
BATCHES = st.lists(st.lists(VALUES, max_size=40), min_size=1, max_size=4)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def shown(kind: type, *batches: np.ndarray, **options) -> observers.Observer:
    observer = kind(**options)
    for batch in batches:
        observer.observe(batch)
    return observer


def squared_error(x: np.ndarray, params) -> float:
    return float(np.sum((fake_quantize(x, params).astype(np.float64) - x) ** 2))


def ends(params) -> tuple[np.ndarray, np.ndarray]:
    """What the first and the last code stand for."""
    return tuple((code - params.zero_point) * params.scale for code in (params.low, params.high))


@given(BATCHES, st.integers(2, 8), st.booleans())
@settings(deadline=None)
def test_min_max_covers_everything_seen(batches, bits, symmetric):
    x = np.array(list(itertools.chain(*batches)), np.float32)
    observer = shown(observers.MinMaxObserver, *batches)
    if not x.size:
        with pytest.raises(ValueError, match="no values were observed"):
            observer.params()
        return
    params = observer.params(bits, symmetric)
    error = np.abs(fake_quantize(x, params).astype(np.float64) - x)
    assert (error <= params.scale * (0.5 + 1e-5) + 1e-6 * np.abs(x)).all()


@given(BATCHES, st.sampled_from([2, 3, 4, 8]), st.booleans())
@settings(deadline=None, max_examples=60)
def test_least_squared_error_never_loses_to_min_max(batches, bits, symmetric):
    x = np.array([*itertools.chain(*batches), 1.0], np.float32)
    found, plain = (
        squared_error(x, shown(kind, x).params(bits, symmetric))
        for kind in (observers.MeanSquaredErrorObserver, observers.MinMaxObserver)
    )
    assert found <= plain * (1 + 1e-5)


@given(BATCHES, st.floats(50, 100))
@settings(deadline=None)
def test_percentiles_cut_off_no_more_than_they_say(batches, percentile):
    x = np.array([*itertools.chain(*batches), 1.0], np.float32)
    observer = shown(observers.PercentileObserver, *batches, [1.0], percentile=percentile)
    low, high = (end[0] for end in observer._range(8, False))
    allowed = len(x) * (100 - percentile) / 200
    assert np.sum(x < low) <= allowed + 1e-9 and np.sum(x > high) <= allowed + 1e-9
    exact = np.quantile(x, [1 - percentile / 100, percentile / 100], method="inverted_cdf")
    bin_width = np.abs(x).max() / 1024
    assert low <= max(0, exact[1]) + bin_width and high >= min(0, exact[0]) - bin_width


@pytest.mark.parametrize("percentile", [90, 99, 99.9, 100])
def test_percentiles_are_exact_to_a_bin(percentile):
    x = normal(50_000)
    observer = shown(observers.PercentileObserver, *np.split(x, 10), percentile=percentile)
    cut = int(len(x) * (100 - percentile) / 200)
    exact = np.sort(x)[[cut, -1 - cut]]
    outward = np.array([-1, 1]) * (np.ravel(observer._range(8, False)) - exact)
    assert (outward >= 0).all() and (outward <= np.abs(x).max() / 1024).all()


@given(BATCHES, st.sampled_from([1, 4, 64]))
@settings(deadline=None)
def test_histograms_do_not_depend_on_the_order(batches, half):
    histogram = Histogram(1, half)
    for batch in batches:
        histogram.add(np.array([batch], np.float32).reshape(1, -1))
    x = np.array(list(itertools.chain(*batches)), np.float32).astype(np.float64)
    width = histogram.widths()[0]
    bins = np.floor(x / width).astype(int) + half
    assert (histogram.counts[0] == np.bincount(bins, minlength=2 * half)).all()
    largest = np.abs(x).max(initial=0)
    assert largest == 0 or largest < width * half <= 2 * largest


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_slices_are_observed_like_tensors_of_their_own(kind, axis):
    batches = [normal(3, 3, 500, seed=k) * [[[1], [50], [0.01]]] for k in range(3)]
    if axis == 0:
        batches = [batch.swapaxes(0, 1) for batch in batches]
    if axis == -1:
        batches = [np.moveaxis(batch, 1, -1) for batch in batches]
    for symmetric in (False, True):
        together = shown(kind, *batches, axis=axis).params(4, symmetric)
        assert together.scale.shape == (3,)
        for k in range(3):
            one = shown(kind, *[batch.take(k, axis) for batch in batches]).params(4, symmetric)
            assert one.scale == together.scale[k] and one.zero_point == together.zero_point[k]


@pytest.mark.parametrize("bits", [2, 4])
def test_outliers_are_cut_off_where_that_loses_less(bits):
    x = np.append(normal(20_000), np.float32(60))
    found = shown(observers.MeanSquaredErrorObserver, x).params(bits)
    assert squared_error(x, found) < 0.5 * squared_error(
        x, shown(observers.MinMaxObserver, x).params(bits)
    )
    scan = [
        squared_error(x, observers.AffineParams.from_range(low, high, bits))
        for low in np.linspace(-5, 0, 40)
        for high in np.linspace(0.5, 60, 120)
    ]
    assert squared_error(x, found) < 1.1 * min(scan)


@pytest.mark.parametrize("bits", [3, 4])
def test_gaussian_values_have_the_known_best_range(bits):
    """Max (1960): the best uniform quantizers of a Gaussian have these steps."""
    step = {3: 0.586, 4: 0.3352}[bits]
    params = shown(observers.MeanSquaredErrorObserver, normal(200_000)).params(bits)
    assert params.scale == pytest.approx(step, rel=0.12)
    error = {3: 0.03744, 4: 0.01154}[bits]
    x = normal(100_000, seed=1)
    assert squared_error(x, params) / len(x) < 1.15 * error


def slow_divergence(counts: list[int], kept: int, levels: int) -> float:
    """Kullback-Leibler divergence as Migacz's slides describe it, bin by bin."""
    exact = [float(c) for c in counts[:kept]]
    exact[-1] += sum(counts[kept:])
    rounded = [0.0] * kept
    for level in range(levels):
        inside = range(level * kept // levels, (level + 1) * kept // levels)
        filled = [k for k in inside if exact[k]]
        for k in filled:
            rounded[k] = sum(counts[j] for j in inside) / len(filled)
    rounded = [max(q, 1e-4) if p else 0.0 for p, q in zip(exact, rounded, strict=True)]
    total = 0.0
    for p, q in zip(exact, rounded, strict=True):
        if p:
            p, q = p / sum(exact), q / sum(rounded)
            total += p * math.log(p / q)
    return total


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.sampled_from([2, 3, 8]))
@settings(deadline=None)
def test_the_kept_bins_have_the_least_divergence(counts, levels):
    kept = least_divergent_bins(np.array(counts), levels)
    last = max((k + 1 for k, count in enumerate(counts) if count), default=0)
    if last <= levels:
        assert kept == last
        return
    all_of_them = [slow_divergence(counts, k, levels) for k in range(levels, last + 1)]
    assert slow_divergence(counts, kept, levels) == pytest.approx(min(all_of_them), abs=1e-12)


@pytest.mark.parametrize("symmetric", [False, True])
def test_entropy_cuts_tails_and_keeps_what_is_flat(symmetric):
    rng = np.random.default_rng(0)
    flat = shown(observers.EntropyObserver, rng.uniform(-3, 3, 400_000)).params(8, symmetric)
    assert ends(flat)[1] == pytest.approx(3, rel=0.05)
    tailed = np.append(rng.standard_normal(400_000), [100.0, -90.0])
    low, high = ends(shown(observers.EntropyObserver, tailed).params(8, symmetric))
    assert 3 < high < 13 and -13 < low < -3
    positive = shown(observers.EntropyObserver, np.abs(tailed)).params(8)
    assert positive.zero_point == 0 and 3 < ends(positive)[1] < 26


def test_moving_averages_follow_the_formula():
    batches = [normal(40, seed=k) for k in range(6)]
    low, high = batches[0].min(), batches[0].max()
    for batch in batches[1:]:
        low, high = 0.7 * low + 0.3 * batch.min(), 0.7 * high + 0.3 * batch.max()
    params = shown(observers.MovingAverageObserver, *batches, momentum=0.3).params()
    assert params.scale == pytest.approx((high - low) / 255, rel=1e-6)


@pytest.mark.parametrize("kind", ALL)
def test_edge_cases(kind):
    for x in ([0.0], [-0.0, 0.0], [5.0], [-5.0], [1e-45], [1e38, -1e38]):
        observer = shown(kind, [], x, np.zeros((0, 4)))
        for symmetric in (False, True):
            rounded = fake_quantize(x, observer.params(8, symmetric))
            np.testing.assert_allclose(rounded, np.float32(x), rtol=0.01, atol=1e-37)
    for bits in (2, 8):  # levels beyond float32 are not taken for an error
        huge = shown(kind, [3.4e38, -3.4e38]).params(bits, symmetric=bits == 2)
        assert np.isfinite(huge.scale) and fake_quantize(0.0, huge) == 0
    observer = shown(kind, normal(2, 3, 4), axis=1)
    before = observer.params()
    wrong = normal(2, 3, 4)
    wrong[1, 2, 0] = np.inf
    name = kind.__name__
    with pytest.raises(ValueError, match=rf"{name}.observe: x\[1, 2, 0\] is inf; only finite"):
        observer.observe(wrong)
    with pytest.raises(ValueError, match="x has 2 slices along axis 1, and had 3 before"):
        observer.observe(wrong[:, :2])
    with pytest.raises(ValueError, match="no axis 1"):
        observer.observe([1.0])
    with pytest.raises(TypeError, match="x has dtype"):
        observer.observe(["a"])
    assert (observer.params().scale == before.scale).all()
    with pytest.raises(ValueError, match=f"{name}.params: no values were observed"):
        kind().params()
    with pytest.raises(ValueError, match="bits=17"):
        observer.params(17)


def test_options_out_of_range_are_named():
    for momentum in (0, 1.5):
        with pytest.raises(ValueError, match=f"momentum={momentum}"):
            observers.MovingAverageObserver(momentum=momentum)
    for percentile in (0, 101, math.nan):
        with pytest.raises(ValueError, match=f"percentile={percentile}"):
            observers.PercentileObserver(percentile=percentile)


@pytest.mark.parametrize("kind", ALL)
def test_inputs_of_a_layer_are_observed(kind):
    linear = Linear("layer", normal(8, 16), np.zeros(8, np.float32))
    observer = kind()
    linear.observe = observer.observe
    batches = [normal(20, 16, seed=k) for k in range(3)]
    for batch in batches:
        linear(batch)
    alone = shown(kind, *batches).params()
    assert observer.params().scale == alone.scale and alone.zero_point > 0


EXAMPLE = {  # docs/quantization.md: rmse of the last call with 4 and with 8 bits
    observers.MinMaxObserver: (0.864, 0.056),
    observers.MovingAverageObserver: (0.305, 0.223),
    observers.PercentileObserver: (0.277, 0.246),
    observers.MeanSquaredErrorObserver: (0.275, 0.056),
    observers.EntropyObserver: (0.276, 0.239),
}


@pytest.mark.parametrize("kind", ALL)
def test_gaussian_values_with_outliers_have_the_errors_of_the_page(kind):
    rng = np.random.default_rng(0)
    observer = kind(percentile=99.9) if kind is observers.PercentileObserver else kind()
    for call in range(8):
        x = rng.standard_normal((64, 256)).astype(np.float32)
        if call > 0:
            x[0, :2] = 30, -20
        observer.observe(x)
    for bits, expected in zip((4, 8), EXAMPLE[kind], strict=True):
        rmse = math.sqrt(squared_error(x, observer.params(bits)) / x.size)
        assert rmse == pytest.approx(expected, abs=6e-4)
