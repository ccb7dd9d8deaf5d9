"""quantize and dequantize: error bounds, exact cases, sizes, storage, refusals."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lowbit as lb
from lowbit import _core
from lowbit.quantization.matrix import packed_formats
from lowbit.reference import levels
from lowbit.reference import quantization as reference

FORMATS = packed_formats()
# Largest error of one value as a share of its group's largest magnitude: half a step of int8, a
# whole step of int4 opposite its extreme, half the widest gap of nf4 and fp4, what mxfp4 cuts off.
WORST = {"int8": 0.5 / 127, "int4": 1 / 8, "nf4": 0.1520, "fp4": 1 / 6, "mxfp4": 1 / 4}
# Root mean square error on a standard normal matrix in groups of 64.
USUAL = {"int8": 0.0068, "int4": 0.0960, "nf4": 0.0935, "fp4": 0.1235, "mxfp4": 0.126}


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("group_size", [16, 64, 128, None])
@pytest.mark.parametrize("shape", [(1, 1), (16, 64), (17, 70), (33, 384), (5, 200)])
def test_error_of_every_value_is_bounded(format, group_size, shape):
    w = normal(*shape)
    values = lb.quantize(w, format, group_size).dequantize()
    width = group_size or shape[1]
    for begin in range(0, shape[1], width):
        group = w[:, begin : begin + width]
        limit = WORST[format] * np.abs(group).max(axis=1, keepdims=True) * 1.00001
        assert (np.abs(values[:, begin : begin + width] - group) <= limit).all()


@pytest.mark.parametrize("format", FORMATS)
def test_error_on_normal_values_is_the_published_one(format):
    w = normal(512, 512)
    error = lb.quantize(w, format).dequantize() - w
    assert np.sqrt(np.mean(error**2)) < USUAL[format]


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=25, deadline=None)
@given(scale=st.floats(1e-30, 1e30), rows=st.integers(1, 20), seed=st.integers(0, 999))
def test_quantizing_twice_changes_nothing(format, scale, rows, seed):
    w = normal(rows, 64, seed=seed) * np.float32(scale)
    once = lb.quantize(w, format).dequantize()
    again = lb.quantize(once, format).dequantize()
    np.testing.assert_allclose(again, once, rtol=2e-6, atol=0)


@pytest.mark.parametrize("format", FORMATS)
def test_zeros_stay_zero_and_extremes_are_exact(format):
    w = np.zeros((20, 64), np.float32)
    assert not lb.quantize(w, format).dequantize().any()
    w[3, 5] = -2.5 if format != "mxfp4" else -3.0  # 6 times a power of two
    values = lb.quantize(w, format).dequantize()
    assert values[3, 5] == w[3, 5]
    assert np.count_nonzero(values) == 1


def test_nf4_takes_the_lower_level_on_a_tie():
    found = np.unique(lb.quantize(np.linspace(-1, 1, 4096)[None], "nf4", None).dequantize())
    assert len(found) == 16
    middles = ((found[:-1] + found[1:]) * np.float32(0.5)).astype(np.float32)
    w = np.concatenate([[1.0], middles]).astype(np.float32)[None]
    np.testing.assert_array_equal(lb.quantize(w, "nf4", None).dequantize()[0, 1:], found[:-1])


@pytest.mark.parametrize("format", FORMATS)
def test_double_quantization_moves_scales_by_less_than_a_percent(format):
    w = normal(256, 512)
    single, double = lb.quantize(w, format), lb.quantize(w, format, double_quant=True)
    if format == "mxfp4":  # 8 bits already
        assert double.nbytes == single.nbytes and not double.double_quant
    else:
        assert double.nbytes < single.nbytes and double.double_quant
    a, b = single.dequantize(), double.dequantize()
    nonzero = np.abs(a) > 0
    assert np.max(np.abs(b[nonzero] / a[nonzero] - 1)) < 0.02


def test_bits_per_weight_are_those_of_the_formats():
    w = normal(256, 4096)
    assert lb.quantize(w, "nf4", 64).bits_per_weight == 4.5
    assert lb.quantize(w, "mxfp4", 32).bits_per_weight == 4.25
    assert lb.quantize(w, "int4", 32, scale_dtype="fp16").bits_per_weight == 4.5
    assert lb.quantize(w, "int8", None).bits_per_weight == pytest.approx(8.0, abs=0.01)
    assert lb.quantize(w, "nf4", 64, double_quant=True).bits_per_weight == pytest.approx(
        4.127, abs=0.001
    )


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("double_quant", [False, True])
def test_a_pickled_matrix_is_the_same(format, double_quant):
    q = lb.quantize(normal(19, 100), format, 32, double_quant)
    copy = pickle.loads(pickle.dumps(q))
    np.testing.assert_array_equal(copy.dequantize(), q.dequantize())
    assert repr(copy) == repr(q)


def test_parts_of_the_wrong_size_are_refused():
    parts = lb.quantize(normal(16, 64)).parts()
    for key in ("lines", "scales"):
        with pytest.raises(ValueError, match=f"{key} has"):
            lb.QuantizedMatrix.from_parts(parts | {key: parts[key][:-1]})
    with pytest.raises(ValueError, match="shape"):
        lb.QuantizedMatrix.from_parts(parts | {"rows": -1})
    with pytest.raises(ValueError, match="shape"):
        lb.QuantizedMatrix.from_parts(parts | {"rows": 1 << 50, "cols": 1 << 50})


def test_dynamic_map_has_its_published_ends():
    table = _core.dynamic_map()
    assert len(table) == 256
    assert (np.diff(table) > 0).all()
    assert table[0] == pytest.approx(-0.99297, abs=1e-5)
    assert table[-1] == 1
    assert table[table > 0][0] == pytest.approx(5.5e-7, rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "int3"}, 'format="int3" is not known'),
        ({"format": "fp32"}, "needs no packing"),
        ({"group_size": 48}, "group_size=48 is not a power of two"),
        ({"group_size": 8}, "group_size=8"),
        ({"group_size": 0}, "group_size=0"),
        ({"group_size": -1}, "group_size=-1 is not a size"),
        ({"group_size": "row"}, 'group_size="row"; use a number, None or "tensor"'),
        ({"group_size": "tensor", "double_quant": True}, "does not go with one scale"),
        ({"scale_dtype": "fp8"}, 'scale_dtype="fp8" is not known'),
        ({"scale_dtype": "e8m0"}, 'does not go with format="nf4"'),
        ({"scale_dtype": "fp16", "double_quant": True}, 'leave scale_dtype="fp16" out'),
        ({"format": "mxfp4", "scale_dtype": "fp16"}, 'does not go with format="mxfp4"'),
        ({"symmetric": False}, 'format="nf4" has no zero points'),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        lb.quantize(normal(4, 64), **arguments)


def test_values_that_are_no_numbers_are_refused_with_their_place():
    w = normal(40, 64)
    w[37, 5] = np.inf
    with pytest.raises(ValueError, match=r"w\[37, 5\] is inf"):
        lb.quantize(w)
    with pytest.raises(ValueError, match="2 dimensions"):
        lb.quantize(np.zeros(5))
    with pytest.raises(TypeError, match="dtype"):
        lb.quantize(np.array([["a"]]))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", [0, 15, 63, 64, 4500, 4999])
def test_every_column_is_looked_at(isa, value, column):
    w = normal(18, 5000)
    w[17, column] = value
    for format in packed_formats():
        for group_size in (64, None):
            with pytest.raises(ValueError, match=rf"w\[17, {column}\] is -?(nan|inf)"):
                lb.quantize(w, format, group_size)


def test_rows_that_are_read_twice_round_as_the_reference_says(isa):
    w = normal(18, 5000)  # more than the kernel keeps
    w[3, 4500], w[3, 100] = 9, -9  # the first of two extremes decides int4's sign
    for format in packed_formats():
        expected = reference.quantize(w, format, None).dequantize()
        np.testing.assert_allclose(lb.quantize(w, format, None).dequantize(), expected, 1e-6)


@pytest.mark.parametrize("group_size", [16, 32, 256, None])
@pytest.mark.parametrize("cols", [96, 1024, 1030])
def test_the_first_of_equal_extremes_counts(isa, cols, group_size):
    rng = np.random.default_rng(cols)
    w = rng.integers(-2, 3, (50, cols)).astype(np.float32)  # nearly every group has both signs
    w[20] = -0.0
    expected = reference.quantize(w, "int4", group_size)
    got = lb.quantize(w, "int4", group_size)
    np.testing.assert_array_equal(got.codes(), expected.codes)
    np.testing.assert_array_equal(got.scales(), expected.scales)
    assert np.signbit(got.scales()[20]).all()  # as ggml stores groups of zeros
    w[33, 70] = np.nan
    with pytest.raises(ValueError, match=r"w\[33, 70\] is nan"):
        lb.quantize(w, "int4", group_size)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("size", [1e-36, 1e-37, 1e-38, 1e-41])
def test_tiny_values_stay_tiny(isa, format, size):
    w = np.float32(size) * np.array([[1, 0, -0.5, 0.25]] * 17, np.float32)
    got = lb.quantize(w, format, None)
    assert (np.abs(got.dequantize()) <= np.float32(1.5 * size)).all()
    assert (got.dequantize()[:, 1] == 0).all()
    np.testing.assert_array_equal(got.codes(), reference.quantize(w, format, None).codes)


@pytest.mark.parametrize("cols", [2064, 2070])  # rows that begin at whole lines, or anywhere
def test_results_that_are_streamed_to_memory_are_the_same(isa, cols):
    q = lb.quantize(normal(2049, cols), "int8", 32)  # kStreamedBytes and a little more
    scales = np.repeat(q.scales(), 32, axis=1)[:, :cols]
    assert np.array_equal(q.dequantize(), q.codes() * scales)


LEVELS = {"int8": np.arange(-127, 128), "int4": np.arange(-8, 8), **levels.LEVELS}


@pytest.mark.parametrize("double_quant", [False, True])
@pytest.mark.parametrize("group_size", [16, 64, 0])
def test_scales_of_ones_own_are_kept_and_codes_are_the_nearest(isa, group_size, double_quant):
    w = normal(37, 150)
    w[:, 16:32] = 0
    for format in packed_formats():
        scales = np.float32(0.9) * lb.quantize(w, format, group_size or None).scales()
        if format == "mxfp4":
            scales *= np.float32(2 / 0.9)
        packed = _core.PackedMatrix.quantize_to(w, scales, format, group_size, double_quant)
        q = lb.QuantizedMatrix(packed)
        assert q.double_quant == (double_quant and format != "mxfp4")
        np.testing.assert_allclose(q.scales(), scales, atol=0.02 * q.double_quant)
        values = np.repeat(q.scales(), group_size or 150, 1)[:, :150, None] * LEVELS[format]
        nearest = np.abs(values - w[..., None]).min(-1)
        assert np.all(np.abs(q.dequantize() - w) <= nearest + 1e-6)
    with pytest.raises(ValueError, match=r"quantize_to: scales\[0, 0\] is nan"):
        _core.PackedMatrix.quantize_to(w, scales * np.float32(np.nan), "nf4", group_size, False)
    with pytest.raises(ValueError, match="quantize_to: scales"):
        _core.PackedMatrix.quantize_to(w, scales[:5], "nf4", group_size, False)


def test_other_dtypes_and_strides_are_taken():
    w = normal(32, 128)
    expected = lb.quantize(w).dequantize()
    np.testing.assert_array_equal(lb.quantize(w.astype(np.float64)).dequantize(), expected)
    np.testing.assert_array_equal(lb.quantize(np.asfortranarray(w)).dequantize(), expected)
    np.testing.assert_array_equal(lb.quantize(np.repeat(w, 2, 1)[:, ::2]).dequantize(), expected)


@pytest.mark.parametrize("shape", [(4, 0), (0, 64), (0, 0)])
@pytest.mark.parametrize("double_quant", [False, True])
@pytest.mark.parametrize("group_size", [64, None])
def test_a_matrix_without_values_multiplies_as_any_other(shape, double_quant, group_size):
    for format in packed_formats():
        q = lb.quantize(np.zeros(shape, np.float32), format, group_size, double_quant)
        again = lb.QuantizedMatrix.from_parts(q.parts())
        assert again.shape == shape and again.dequantize().shape == shape
        assert q.bits_per_weight == 8 * q.nbytes
        for rows in (0, 3, 40):
            x = np.ones((rows, shape[1]), np.float32)
            nothing = np.zeros((rows, shape[0]), np.float32)
            for compute in ("fp32", "int16", "int8"):
                assert np.array_equal(lb.linear(x, again, compute=compute), nothing)
            layer = lb.LoraLinear(again, rank=2, alpha=2)
            assert np.array_equal(layer.backward(layer(x)), np.zeros_like(x))
