"""Zero points, scales in few bits and one scale for a whole tensor."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lowbit as lb
from lowbit import _core
from lowbit.quantization import quantize_to
from lowbit.quantization.matrix import packed_formats
from lowbit.quantization.packing import ZERO_OF_ZERO
from lowbit.reference import quantization as reference

FORMATS = packed_formats()
EVEN = list(ZERO_OF_ZERO)  # formats that take zero points
# What can be chosen beside format and group size.
CHOICES = [(format, {}) for format in FORMATS]
CHOICES += [(f, {"scale_dtype": d}) for f in FORMATS if f != "mxfp4" for d in ("fp16", "bf16")]
CHOICES += [(f, {"symmetric": False, "scale_dtype": d}) for f in EVEN for d in ("fp32", "fp16")]
CHOICES += [(f, {"symmetric": False, "double_quant": True}) for f in EVEN]


def normal(*shape: int, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + shift).astype(np.float32)


def same(a: lb.QuantizedMatrix, b: lb.QuantizedMatrix) -> bool:
    left, right = a.parts(), b.parts()
    # Of int4 a scale of nothing may be minus zero.
    equal = np.array_equal(a.scales(), b.scales()) and left.keys() == right.keys()
    return equal and all(np.array_equal(left[k], right[k]) for k in left.keys() - {"scales"})


@pytest.mark.parametrize(("format", "options"), CHOICES)
@pytest.mark.parametrize("group_size", [16, 64, None, "tensor"])
@pytest.mark.parametrize("shape", [(1, 1), (17, 70), (33, 400)])
def test_parts_are_those_of_the_reference(isa, format, options, group_size, shape):
    if group_size == "tensor" and options.get("double_quant"):
        pytest.skip("refused")
    for shift in (0, 1):
        w = normal(*shape, shift=shift)
        w[0] = 0
        q = lb.quantize(w, format, group_size, **options)
        expected = reference.quantize(w, format, group_size, **options)
        assert np.array_equal(q.scales(), expected.scales)
        assert np.array_equal(q.codes(), expected.codes)
        assert q.symmetric == (expected.zero_points is None)
        if not q.symmetric:
            assert np.array_equal(q.zero_points(), expected.zero_points)
        if not q.double_quant:
            assert q.dequantize().tobytes() == expected.dequantize().tobytes()


@pytest.mark.parametrize(("format", "options"), CHOICES)
@settings(max_examples=20, deadline=None)
@given(
    rows=st.integers(0, 40),
    cols=st.integers(0, 150),
    group_size=st.sampled_from([16, 64, None, "tensor"]),
    seed=st.integers(0, 99),
)
def test_codes_out_and_in_again_are_the_same_bytes(format, options, rows, cols, group_size, seed):
    if options.get("double_quant"):
        return
    q = lb.quantize(normal(rows, cols, seed=seed), format, group_size, **options)
    if rows == 0 and group_size == "tensor":
        return  # there is no row that has its scale
    assert q.per_tensor == (group_size == "tensor")
    parts = (format, q.codes(), q.scales(), group_size, q.zero_points(), q.scale_dtype)
    assert same(lb.QuantizedMatrix.from_codes(*parts), q)
    copy = pickle.loads(pickle.dumps(q))
    assert same(copy, q) and repr(copy) == repr(q)
    assert same(q.requantize(normal(rows, cols, seed=seed)), q)


@pytest.mark.parametrize("format", EVEN)
@pytest.mark.parametrize("scale_dtype", ["fp32", "fp16", "bf16"])
@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 20),
    cols=st.integers(1, 90),
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-4, 4),
    seed=st.integers(0, 999),
)
def test_asymmetric_errors_are_bounded_by_one_step(
    format, scale_dtype, rows, cols, scale, shift, seed
):
    w = normal(rows, cols, seed=seed, shift=shift) * np.float32(scale)
    q = lb.quantize(w, format, 32, scale_dtype=scale_dtype, symmetric=False)
    # Half a step of the code; half of the zero point's and what a rounded scale adds at the ends.
    steps = 15 if format == "int4" else 255
    slack = {"fp32": 0.0, "fp16": steps * 2.0**-11, "bf16": steps * 2.0**-8}[scale_dtype]
    limit = np.repeat(q.scales(), 32, axis=1)[:, :cols] * (1.001 + slack)
    assert (np.abs(q.dequantize() - w) <= limit + steps * 2.0**-25).all()
    assert not lb.quantize(0 * w, format, 32, symmetric=False).dequantize().any()


@pytest.mark.parametrize("format", EVEN)
def test_zero_is_exact_and_one_sided_groups_gain(format):
    w = np.abs(normal(64, 512)) + 0.5
    w[:, ::7] = 0
    asymmetric, symmetric = (lb.quantize(w, format, 64, symmetric=s) for s in (False, True))
    assert not asymmetric.dequantize()[:, ::7].any()
    assert asymmetric.error(w).rmse < 0.8 * symmetric.error(w).rmse
    assert asymmetric.nbytes == symmetric.nbytes + 64 * 8


@pytest.mark.parametrize("format", FORMATS)
def test_codes_are_the_nearest_for_the_scales_that_are_stored(format):
    w = normal(40, 256)
    for dtype in ("bf16", "fp16"):
        if format == "mxfp4":
            continue
        q = lb.quantize(w, format, 32, scale_dtype=dtype)
        again = quantize_to(w, q.scales(), format, 32, scale_dtype=dtype)
        assert same(q, again)
        assert q.nbytes < lb.quantize(w, format, 32).nbytes
        assert q.error(w).rmse < 1.02 * lb.quantize(w, format, 32).error(w).rmse


@pytest.mark.parametrize("format", FORMATS)
def test_a_scale_beyond_its_type_is_named(format):
    if format == "mxfp4":
        pytest.skip("powers of two go beyond float32")
    w = normal(20, 64)
    w[18, 40] = 1e8
    with pytest.raises(ValueError, match="the scale of row 18, group 1 is beyond fp16"):
        lb.quantize(w, format, 32, scale_dtype="fp16")
    assert lb.quantize(w, format, 32, scale_dtype="bf16").error(w).cosine > 0.99


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", [0, 63, 4999])
def test_values_that_are_no_numbers_are_named(isa, value, column):
    w = normal(18, 5000)
    w[17, column] = value
    for format, options in CHOICES:
        for group_size in (64, "tensor"):
            if group_size == "tensor" and options.get("double_quant"):
                continue
            with pytest.raises(ValueError, match=rf"w\[17, {column}\] is -?(nan|inf)"):
                lb.quantize(w, format, group_size, **options)


@pytest.mark.parametrize("format", EVEN)
def test_scales_and_zero_points_of_ones_own(isa, format):
    w = normal(37, 150, shift=1)
    plain = lb.quantize(w, format, 32, symmetric=False)
    scales = np.float32(0.9) * plain.scales()
    q = quantize_to(w, scales, format, 32, zero_points=plain.zero_points())
    assert np.array_equal(q.scales(), scales)
    assert np.array_equal(q.zero_points(), plain.zero_points())
    low, high = (-128, 127) if format == "int8" else (0, 15)
    zeros = np.repeat(q.zero_points(), 32, 1)[:, :150, None].astype(np.float64)
    values = (np.arange(low, high + 1) - zeros) * np.repeat(scales, 32, 1)[:, :150, None]
    nearest = np.abs(values - w[..., None]).min(-1)
    assert np.all(np.abs(q.dequantize() - w) <= nearest + 1e-6)
    for wrong, error in [(plain.zero_points()[:5], ValueError), (scales, TypeError)]:
        with pytest.raises(error, match="quantize_to: zero_points"):
            quantize_to(w, scales, format, 32, zero_points=wrong)
    with pytest.raises(ValueError, match=r"zero_points\[1, 2\] is 999"):
        zeros = plain.zero_points().astype(int)
        zeros[1, 2] = 999
        quantize_to(w, scales, format, 32, zero_points=zeros)
    with pytest.raises(ValueError, match=r"zero_points\[1, 2\] is 999"):
        packed = zeros.astype(np.int32)
        _core.PackedMatrix.quantize_to(w, scales, format, 32, False, "", packed)


def test_broken_zero_points_and_scales_of_parts_are_refused():
    parts = lb.quantize(normal(16, 64), "int4", 32, symmetric=False, scale_dtype="bf16").parts()
    for key in ("scales", "zero_points"):
        with pytest.raises(ValueError, match=f"{key} has"):
            lb.QuantizedMatrix.from_parts(parts | {key: parts[key][:-1]})
    with pytest.raises(ValueError, match="a zero point is no code of int4"):
        lb.QuantizedMatrix.from_parts(parts | {"zero_points": parts["zero_points"] + np.int8(20)})
    with pytest.raises(ValueError, match="has no zero points"):
        lb.QuantizedMatrix.from_parts(parts | {"format": "nf4"})


@pytest.mark.parametrize(("format", "options"), CHOICES)
@pytest.mark.parametrize("compute", ["fp32", "int16", "int8"])
def test_products_are_those_of_the_values(isa, format, options, compute):
    """Few rows, rows enough for panels, and many; groups within and beyond a stretch."""
    sizes = [(1, 17, 33, 32), (9, 70, 400, 64), (40, 33, 300, None)]
    for rows, outputs, inputs, group_size in sizes:
        w, x = normal(outputs, inputs, shift=0.5), normal(rows, inputs, seed=1, shift=0.3)
        q = lb.quantize(w, format, group_size, **options)
        values = q.dequantize().astype(np.float64)
        if compute == "int8":
            limit = 0.02 * np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(values, axis=1)
        else:
            loss = 2.0**-11 if compute == "int16" else 1e-6
            limit = loss * np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(values, axis=1)
        # Sums with the zero point are of numbers up to twice as large, which cancel.
        y = lb.linear(x, q, compute=compute)
        assert (np.abs(y - x.astype(np.float64) @ values.T) <= 2 * limit + 1e-6).all()


@pytest.mark.parametrize(("format", "options"), CHOICES)
def test_gradients_are_those_of_the_values(format, options):
    w, x, dy = normal(50, 90, shift=0.5), normal(12, 90, seed=1), normal(12, 50, seed=2)
    q = lb.quantize(w, format, 32, **options)
    layer = lb.LoraLinear(q, rank=4, alpha=8)
    plain = lb.LoraLinear(q.dequantize(), rank=4, alpha=8)
    plain.a, plain.b = layer.a, layer.b
    np.testing.assert_allclose(layer(x), plain(x), atol=1e-4)
    np.testing.assert_allclose(layer.backward(dy), plain.backward(dy), atol=1e-4)
    merged, _ = layer.merge()
    assert same(merged, q.requantize(q.dequantize()))


def test_one_scale_for_a_tensor_is_stored_once():
    w = normal(160, 320)
    row, tensor = lb.quantize(w, "int8", None), lb.quantize(w, "int8", "tensor")
    assert row.nbytes - tensor.nbytes == 4 * (160 - 16)
    assert len(np.unique(tensor.scales())) == 1 and tensor.scales().shape == (160, 1)
    assert tensor.scales()[0, 0] == np.abs(w).max() * np.float32(1 / 127)
    assert "tensor" in repr(tensor) and "fp16" in repr(lb.quantize(w, "nf4", 64, False, "fp16"))
    y = lb.linear(w[:5], tensor)
    np.testing.assert_allclose(y, w[:5] @ tensor.dequantize().T, rtol=1e-4, atol=1e-3)
    with pytest.raises(ValueError, match="scales of group_size"):
        lb.QuantizedMatrix.from_codes("int8", row.codes(), row.scales(), "tensor")
