"""Weights rounded while they are trained: what is multiplied with, and the gradients through it."""

import numpy as np
import pytest

from lowbit.quantization import QatConfig, quantize
from lowbit.quantization.matrix import packed_formats
from lowbit.quantization.qat import WeightRounding
from lowbit.reference import qat as reference
from lowbit.reference.quantization import NF4

SHAPES = [(1, 1), (3, 40), (37, 150), (16, 320)]
KINDS = [("int8", None), ("int4", None), ("nf4", None), ("int4", 3), ("int4", 2)]


def levels_of(config: QatConfig) -> np.ndarray:
    return config.levels.astype(np.float64)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def drawn(kind, shape, group_size, learned):
    """A rounding and what belongs to it: w, log_step, the rounded matrix, its scales by weight."""
    format, bits = kind
    w = normal(*shape)
    config = QatConfig(format, group_size, learned_step=learned, bits=bits)
    rounding = WeightRounding(config, w)
    log_step = None
    if learned:
        log_step = 0.3 * normal(*rounding.first_scales.shape, seed=1)
        w = w + 0.2 * normal(*shape, seed=2)  # some are beyond the ends of the levels now
    rounded = rounding.forward(w, log_step)
    wide = np.repeat(rounded.scales(), rounded.group_size, axis=1)[:, : shape[1]]
    return rounding, w, log_step, rounded, wide.astype(np.float64)


def test_levels_are_what_codes_stand_for():
    assert np.array_equal(QatConfig("nf4").levels, NF4.astype(np.float32))
    assert QatConfig("int8").levels.tolist() == list(range(-127, 128))
    assert QatConfig("int4").levels.tolist() == list(range(-8, 8))
    assert QatConfig("int4", bits=2).levels.tolist() == [-2, -1, 0, 1]
    assert len(QatConfig("fp32").levels) == 0


@pytest.mark.parametrize("double_quant", [False, True])
def test_the_extreme_of_a_group_of_nf4_is_trained(double_quant):
    """Scales in 8 bits may be too small for it by half a percent: that cuts nothing off."""
    w = normal(64, 256)
    rounding = WeightRounding(QatConfig("nf4", 64, double_quant), w)
    dw, _ = rounding.backward(np.ones_like(w), w, rounding.forward(w))
    assert (dw == 1).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("double_quant", [False, True])
@pytest.mark.parametrize("format", packed_formats())
def test_a_forward_pass_multiplies_with_what_quantize_gives(format, double_quant, shape):
    w = normal(*shape)
    rounded = WeightRounding(QatConfig(format, 32, double_quant), w).forward(w)
    expected = quantize(w, format, 32, double_quant)
    assert rounded.format == format and rounded.double_quant == expected.double_quant
    assert np.array_equal(rounded.codes(), expected.codes())
    assert np.array_equal(rounded.scales(), expected.scales())


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("group_size", [16, 32, None])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_forward_and_backward_are_those_of_the_reference(kind, shape, group_size, learned):
    rounding, w, log_step, rounded, scales = drawn(kind, shape, group_size, learned)
    levels = levels_of(rounding.config)
    exact = reference.round_to_levels(w.astype(np.float64), levels, scales)
    # Values within rounding of float32 from the middle of two levels may take either.
    near = np.abs(np.abs(w - exact) - np.abs(w - rounded.dequantize())) < 1e-6 * np.abs(scales)
    apart = np.abs(rounded.dequantize() - exact) > 1e-6 * np.abs(exact)
    assert not (apart & ~near).any() and apart.mean() < 1e-3
    dy = normal(*shape, seed=3)
    dw, dstep = rounding.backward(dy, w, rounded, log_step)
    want_dw, want_dscale = reference.backward(dy.astype(np.float64), w, levels, scales)
    assert dw.dtype == np.float32
    assert np.array_equal(dw, want_dw.astype(np.float32)) or (dw != want_dw).mean() < 1e-3
    if learned:
        starts = np.arange(0, shape[1], rounded.group_size)
        want = np.add.reduceat(want_dscale * scales, starts, axis=1)
        assert dstep.dtype == np.float32
        np.testing.assert_allclose(dstep, want, rtol=1e-4, atol=1e-4 * np.abs(scales).max())
        assert (dw == 0).any() or w.size < 200  # the ends were reached, so both cases were seen
    else:
        assert dstep is None


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_gradients_by_finite_differences_of_the_smooth_function(kind):
    rounding, w, log_step, rounded, scales = drawn(kind, (6, 64), 16, True)
    levels, point = levels_of(rounding.config), (w.astype(np.float64), scales)
    dy = normal(6, 64, seed=3)
    dw, dstep = rounding.backward(dy, w, rounded, log_step)

    def value(w, log_change):
        wide = scales * np.repeat(np.exp(log_change), 16, axis=1)
        return float(np.sum(dy * reference.smooth(w, wide, levels, point)))

    none = np.zeros(dstep.shape)
    met = reference.smooth(*point, levels, point)
    np.testing.assert_allclose(met, rounded.dequantize(), rtol=1e-6, atol=1e-9)
    for seed in range(5):
        change = np.random.default_rng(seed).standard_normal(w.shape)
        slope = (
            value(point[0] + 1e-6 * change, none) - value(point[0] - 1e-6 * change, none)
        ) / 2e-6
        assert slope == pytest.approx(float(np.sum(dw * change)), rel=1e-5, abs=1e-5)
        change = np.random.default_rng(seed).standard_normal(dstep.shape)
        slope = (value(point[0], 1e-6 * change) - value(point[0], -1e-6 * change)) / 2e-6
        assert slope == pytest.approx(float(np.sum(dstep * change)), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_learned_steps_begin_with_the_least_error(kind):
    format, bits = kind
    w = normal(64, 128)
    errors = []
    for learned in (False, True):
        rounding = WeightRounding(QatConfig(format, 32, learned_step=learned, bits=bits), w)
        log_step = np.zeros_like(rounding.first_scales) if learned else None
        errors.append(float(np.sum((rounding.forward(w, log_step).dequantize() - w) ** 2)))
    assert errors[1] <= errors[0] * (1 + 1e-6)
    if format != "int8":
        assert errors[1] < 0.97 * errors[0]


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("bits", [2, 3])
def test_fewer_bits_use_the_middle_codes_and_store_the_extreme(bits, learned):
    w = normal(20, 96)
    rounding = WeightRounding(QatConfig("int4", 32, learned_step=learned, bits=bits), w)
    log_step = np.full_like(rounding.first_scales, -0.5) if learned else None
    rounded = rounding.forward(w, log_step)
    half = 2 ** (bits - 1)
    assert np.unique(rounded.codes()).tolist() == list(range(8 - half, 8 + half))
    if not learned:
        groups = w.reshape(20, 3, 32)
        at = np.abs(groups).argmax(axis=2, keepdims=True)
        stored = rounded.dequantize().reshape(20, 3, 32)
        assert np.array_equal(
            np.take_along_axis(stored, at, axis=2), np.take_along_axis(groups, at, axis=2)
        )


def test_groups_of_zeros_stay_zero_and_have_gradients():
    w = np.zeros((2, 32), np.float32)
    for format in packed_formats():
        rounding = WeightRounding(QatConfig(format, 16), w)
        rounded = rounding.forward(w)
        assert not rounded.dequantize().any()
        dw, _ = rounding.backward(np.ones((2, 32), np.float32), w, rounded)
        assert (dw == 1).all()


def test_without_rounding_everything_passes():
    w = normal(4, 20)
    rounding = WeightRounding(QatConfig("fp32"), w)
    assert rounding.forward(w) is w
    assert rounding.backward(w, w, w) == (w, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "int5"}, 'format="int5" is not known'),
        ({"format": "nf4", "bits": 3}, 'bits=3 with format="nf4"'),
        ({"format": "int4", "bits": 5}, "bits is 2 or 3"),
        ({"format": "fp32", "learned_step": True}, "which has no steps"),
    ],
)
def test_settings_that_do_not_go_together_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        QatConfig(**options)
