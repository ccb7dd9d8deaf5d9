"""Codes and scales out of a packed matrix and back, bit by bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lowbit as lb
from lowbit.quantization.matrix import packed_formats
from lowbit.reference import quantization as reference

FORMATS = packed_formats()


def normal(rows: int, cols: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, cols)).astype(np.float32)


def same_parts(a: lb.QuantizedMatrix, b: lb.QuantizedMatrix) -> bool:
    left, right = a.parts(), b.parts()
    return left.keys() == right.keys() and all(np.array_equal(left[k], right[k]) for k in left)


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(0, 40),
    cols=st.integers(0, 150),
    group_size=st.sampled_from([16, 32, 64, 128, 1024, None]),
    seed=st.integers(0, 99),
)
def test_round_trip_gives_the_same_bytes(format, rows, cols, group_size, seed):
    q = lb.quantize(normal(rows, cols, seed), format, group_size)
    codes, scales = q.codes(), q.scales()
    assert codes.shape == (rows, cols) and len(scales) == rows
    assert codes.dtype == (np.int8 if format == "int8" else np.uint8) and scales.dtype == np.float32
    assert same_parts(lb.QuantizedMatrix.from_codes(format, codes, scales, group_size), q)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("double_quant", [False, True])
@pytest.mark.parametrize(("shape", "group_size"), [((1, 1), 16), ((37, 203), 64), ((16, 64), None)])
def test_codes_and_scales_are_those_of_the_reference(format, double_quant, shape, group_size):
    w = normal(*shape)
    q = lb.quantize(w, format, group_size, double_quant)
    expected = reference.quantize(w, format, group_size, double_quant)
    assert np.array_equal(q.codes(), expected.codes)
    assert np.array_equal(q.scales(), expected.scales)
    assert q.dequantize().tobytes() == expected.dequantize().tobytes()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("shape", [(1, 1), (5, 700), (33, 384)])
def test_double_quantized_scales_are_the_factors_of_dequantize(format, shape):
    q = lb.quantize(normal(*shape), format, 32, double_quant=True)
    assert q.double_quant == (format != "mxfp4")
    plain = lb.QuantizedMatrix.from_codes(format, q.codes(), q.scales(), 32)
    assert not plain.double_quant
    assert plain.dequantize().tobytes() == q.dequantize().tobytes()


@pytest.mark.parametrize("format", FORMATS)
def test_every_code_and_any_scale_is_kept(format):
    codes = np.arange(-127, 128) if format == "int8" else np.arange(16)
    scales = np.array([[0.0], [-0.0], [1e-45], [-3e38], [1.5]], np.float32)
    if format == "mxfp4":
        scales = np.float32(2) ** np.array([[-127], [-126], [0], [-3], [127]], np.float32)
    q = lb.QuantizedMatrix.from_codes(format, np.tile(codes, (5, 1)), scales, None)
    assert np.array_equal(q.codes(), np.tile(codes, (5, 1)))
    assert q.scales().tobytes() == scales.tobytes()


def test_the_example_of_the_layout():
    """csrc/formats/weight.hpp: dword = row; low nibbles columns k..k+3, high k+4..k+7."""
    codes = np.zeros((18, 9), np.uint8)
    codes[17, 5] = 3
    lines = lb.QuantizedMatrix.from_codes("int4", codes, np.ones((18, 1)), None).parts()["lines"]
    line = lines.reshape(2, 2, 16, 4)[1, 0]
    assert line[1].tolist() == [0, 0x30, 0, 0]
    assert (line[2:] == 0x88).all() and lines.reshape(2, 2, 16, 4)[0, 1, 0, 1] == 0x88


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "int3"}, 'format="int3" is not known'),
        ({"format": "fp16"}, 'format="fp16" is not known'),
        ({"codes": np.full((2, 32), 16)}, r'codes\[0, 0\] is 16; "int4" has 0..15'),
        ({"codes": np.full((2, 32), -128), "format": "int8"}, r"is -128; .* has -127..127"),
        ({"codes": np.zeros(32, int)}, "expected 2 dimensions"),
        ({"scales": np.ones((2, 1))}, r"expected \[rows, groups\] = \(2, 2\)"),
        ({"scales": np.full((2, 2), np.nan)}, r"scales\[0, 0\] is nan"),
        ({"scales": np.full((2, 2), 1e300)}, r"scales\[0, 0\] is inf"),
        ({"group_size": 24}, "group_size=24 is not a power of two"),
        ({"group_size": 0}, "group_size=0"),
        ({"group_size": -16}, "group_size=-16"),
        ({"group_size": "tensor"}, "scales of group_size=.tensor. must be one number"),
        ({"scale_dtype": "fp16", "scales": np.full((2, 2), 0.1)}, "which fp16 does not hold"),
        ({"scale_dtype": "bf16", "scales": np.full((2, 2), 1.01)}, "which bf16 does not hold"),
        ({"format": "mxfp4", "scales": np.full((2, 2), 3.0)}, "which e8m0 does not hold"),
        ({"format": "mxfp4", "scales": np.zeros((2, 2))}, "which e8m0 does not hold"),
        ({"format": "mxfp4", "scales": np.full((2, 2), -1.0)}, "which e8m0 does not hold"),
        ({"scale_dtype": "e8m0"}, 'scale_dtype="e8m0" does not go with format="int4"'),
        ({"zero_points": np.full((2, 2), 16)}, r'zero_points\[0, 0\] is 16; "int4" has 0..15'),
        ({"zero_points": np.zeros((2, 1), int)}, "zero_points have shape"),
        ({"zero_points": np.zeros((2, 2), int), "format": "nf4"}, "has no zero points"),
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    good = {"format": "int4", "codes": np.zeros((2, 32), int), "scales": np.ones((2, 2))}
    with pytest.raises(ValueError, match=message):
        lb.QuantizedMatrix.from_codes(**(good | {"group_size": 16} | changes))


def test_codes_that_are_no_integers_are_refused():
    with pytest.raises(TypeError, match="codes have dtype float64"):
        lb.QuantizedMatrix.from_codes("int4", np.zeros((2, 32)), np.ones((2, 1)), None)
