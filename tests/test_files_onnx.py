"""Initialisers of MatMulNBits and MatMulBnb4: ONNX Runtime's numbers, and back without loss."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lowbit as lb
from golden import load
from lowbit.errors import FileFormatError
from lowbit.files.onnx_weights import (
    from_matmul_bnb4,
    from_matmul_nbits,
    to_matmul_bnb4,
    to_matmul_nbits,
)

GOLDEN = load("onnx_weights")
# Bits, block size, whether the matrix is packed.
NBITS = {
    "four": (4, 32, True),
    "four_zeros": (4, 16, True),
    "four_floats": (4, 32, False),
    "eight": (8, 64, True),
    "eight_zeros": (8, 32, True),
    "two": (2, 32, False),
}
BNB4 = {"nf4": (32, 1, True), "spanning": (64, 1, False), "fp4": (16, 0, False)}


def normal(rows: int, cols: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, cols)).astype(np.float32)


def values_of(read) -> np.ndarray:
    return read.dequantize() if isinstance(read, lb.QuantizedMatrix) else read


def read_node(node: dict) -> lb.QuantizedMatrix:
    if "absmax" in node:
        sizes = {"rows": node["N"], "cols": node["K"], "block_size": node["block_size"]}
        return from_matmul_bnb4(node["B"], node["absmax"], quant_type=node["quant_type"], **sizes)
    sizes = {"cols": node["K"], "block_size": node["block_size"], "bits": node["bits"]}
    return from_matmul_nbits(node["B"], node["scales"], node.get("zero_points"), **sizes)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("case", NBITS)
def test_numbers_of_matmul_nbits(case, flat):
    inputs = {name: GOLDEN[f"{case}/{name}"] for name in ("B", "scales", "values")}
    zeros = GOLDEN.get(f"{case}/zero_points")
    if flat:
        inputs["B"] = inputs["B"].reshape(len(inputs["B"]), -1)
        inputs["scales"] = inputs["scales"].reshape(-1)
        zeros = None if zeros is None else zeros.reshape(-1)
    bits, block, packed = NBITS[case]
    cols = inputs["values"].shape[1]
    read = from_matmul_nbits(
        inputs["B"], inputs["scales"], zeros, cols=cols, block_size=block, bits=bits
    )
    assert isinstance(read, lb.QuantizedMatrix) == packed
    assert np.array_equal(values_of(read), inputs["values"])


@pytest.mark.parametrize("case", BNB4)
def test_numbers_of_matmul_bnb4(case):
    block, kind, packed = BNB4[case]
    expected = GOLDEN[f"{case}/values"]
    rows, cols = expected.shape
    sizes = {"rows": rows, "cols": cols, "block_size": block}
    read = from_matmul_bnb4(GOLDEN[f"{case}/B"], GOLDEN[f"{case}/absmax"], quant_type=kind, **sizes)
    assert isinstance(read, lb.QuantizedMatrix) == packed
    assert np.array_equal(values_of(read), expected)


def test_a_code_of_minus_128_needs_a_zero_point():
    packed = np.zeros((1, 1, 16), np.uint8)
    read = from_matmul_nbits(packed, np.float32([[0.5]]), cols=3, block_size=16, bits=8)
    assert read.zero_points().tolist() == [[0]]
    assert read.dequantize().tolist() == [[-64, -64, -64]]


@pytest.mark.parametrize("bits", [4, 8])
def test_zero_points_in_the_middle_are_none(bits):
    node = to_matmul_nbits(lb.quantize(normal(3, 100), f"int{bits}", 32))
    zeros = np.full((3, 4 * bits // 8), 0x88 if bits == 4 else 128, np.uint8)
    sizes = {"cols": 100, "block_size": 32, "bits": bits}
    read = from_matmul_nbits(node["B"], node["scales"], zeros, **sizes)
    assert isinstance(read, lb.QuantizedMatrix)
    as_floats = np.full((3, 4), 8 if bits == 4 else 128, np.float32)
    read_too = from_matmul_nbits(node["B"], node["scales"], as_floats, **sizes)
    assert np.array_equal(read.dequantize(), read_too.dequantize())


@pytest.mark.parametrize(
    ("format", "symmetric"),
    [
        ("int4", True),
        ("int8", True),
        ("nf4", True),
        ("fp4", True),
        ("int4", False),
        ("int8", False),
    ],
)
@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(0, 20),
    cols=st.integers(0, 300),
    group_size=st.sampled_from([16, 32, 128, 512, None]),
    seed=st.integers(0, 99),
)
def test_round_trip(format, symmetric, rows, cols, group_size, seed):
    q = lb.quantize(normal(rows, cols, seed), format, group_size, symmetric=symmetric)
    blocks = format in ("nf4", "fp4")
    try:
        node = to_matmul_bnb4(q) if blocks else to_matmul_nbits(q)
    except ValueError as error:
        assert blocks and cols % 16 and "quantize with a group size" in str(error)
        return
    again = read_node(node)
    assert np.array_equal(again.codes(), q.codes()) and again.format == format
    assert again.dequantize().tobytes() == q.dequantize().tobytes()
    if group_size in (16, 32, 128) and cols >= group_size and cols % group_size == 0 and rows > 1:
        assert np.array_equal(again.scales(), q.scales())
        assert symmetric or np.array_equal(again.zero_points(), q.zero_points())


GOOD = {"packed": np.zeros((2, 3, 16), np.uint8), "scales": np.ones((2, 3), np.float32)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bits": 3}, "bits must be 2, 4 or 8"),
        ({"block_size": 48}, "block_size a power of 2"),
        ({"block_size": 8}, "block_size a power of 2"),
        ({"cols": -1}, "K a size"),
        ({"cols": 1 << 50}, "K a size"),
        ({"cols": 97}, r"B must be uint8 \[N, 4, 16\]; got uint8 of shape \(2, 3, 16\)"),
        ({"packed": np.zeros((2, 3, 16))}, "got float64"),
        ({"packed": np.zeros(96, np.uint8)}, r"of shape \(96,\)"),
        ({"packed": np.uint8(1)}, r"of shape \(\)"),
        ({"scales": np.ones((2, 4), np.float32)}, r"scales must be .* of shape \(2, 3\)"),
        ({"scales": np.ones((2, 3))}, "got float64"),
        ({"scales": np.full((2, 3), np.inf, np.float16)}, "scales have NaN or infinity"),
        ({"zero_points": np.zeros((2, 3), np.uint8)}, r"zero_points must be uint8 \[2, 2\]"),
        ({"zero_points": np.zeros((2, 3), np.int8)}, "zero_points as: scales must be"),
    ],
)
def test_broken_matmul_nbits(changes, message):
    with pytest.raises(FileFormatError, match=message):
        from_matmul_nbits(**(GOOD | {"cols": 96, "block_size": 32} | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quant_type": 2}, "quant_type must be 0 or 1"),
        ({"rows": -1}, "N and K sizes"),
        ({"block_size": 20}, "block_size a power of 2"),
        ({"packed": np.zeros(31, np.uint8)}, r"B must be uint8 \[32\]"),
        ({"absmax": np.ones(5, np.float32)}, r"of shape \(4,\)"),
        ({"absmax": np.full(4, np.nan, np.float32)}, "NaN or infinity"),
    ],
)
def test_broken_matmul_bnb4(changes, message):
    good = {"packed": np.zeros(32, np.uint8), "absmax": np.ones(4, np.float32), "rows": 2}
    with pytest.raises(FileFormatError, match=message):
        from_matmul_bnb4(**(good | {"cols": 32, "block_size": 16, "quant_type": 1} | changes))


def test_sizes_without_numbers_take_no_memory():
    huge = 1 << 39
    packed = np.zeros((0, huge // 32, 16), np.uint8)
    scales, zeros = np.zeros((0, huge // 32), np.float32), np.zeros((0, huge // 64), np.uint8)
    for points in (None, zeros, scales):
        read = from_matmul_nbits(packed, scales, points, cols=huge, block_size=32)
        assert read.shape == (0, huge)
    for kind in (0, 1):
        nothing = {"packed": np.zeros(0, np.uint8), "absmax": np.zeros(0, np.float32)}
        sizes = {"rows": huge, "cols": 0, "block_size": huge, "quant_type": kind}
        assert from_matmul_bnb4(**nothing, **sizes).shape == (huge, 0)


def test_other_levels_are_sent_to_the_other_operator():
    with pytest.raises(ValueError, match="use to_matmul_bnb4"):
        to_matmul_nbits(lb.quantize(normal(2, 64), "nf4"))
    with pytest.raises(ValueError, match="use to_matmul_nbits"):
        to_matmul_bnb4(lb.quantize(normal(2, 64), "int4"))
