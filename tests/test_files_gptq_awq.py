"""GPTQ and AWQ tensors, packed here one code at a time as their papers' code does."""

import numpy as np
import pytest

import lowbit as lb
from lowbit.errors import FileFormatError
from lowbit.files.gptq_awq import from_awq, from_gptq


def packed_along_rows(codes: np.ndarray, bits: int) -> np.ndarray:
    """[K, N] as int32 [K bits / 32, N]: code k of eight in bits 4 k, for 4 bits."""
    per = 32 // bits
    out = np.zeros((len(codes) // per, codes.shape[1]), np.uint32)
    for k, row in enumerate(codes):
        out[k // per] |= row.astype(np.uint32) << np.uint32(bits * (k % per))
    return out.view(np.int32)


def packed_along_columns(codes: np.ndarray, bits: int, order=None) -> np.ndarray:
    """[G, N] as int32 [G, N bits / 32]; code i of an integer is that of column order[i]."""
    per = 32 // bits
    order = range(per) if order is None else order
    out = np.zeros((len(codes), -(-codes.shape[1] // per)), np.uint32)
    for n in range(codes.shape[1]):
        out[:, n // per] |= codes[:, n].astype(np.uint32) << np.uint32(bits * order.index(n % per))
    return out.view(np.int32)


AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


class Layer:
    """Random codes [K, N], zero points and scales [G, N], groups [K], and what they mean."""

    def __init__(self, bits, cols, rows, group_size, zero=None, seed=0, act_order=False):
        generator = np.random.default_rng(seed)
        size = cols if group_size == -1 else group_size
        count = -(-cols // size)
        low = 1 if bits == 8 else 0
        self.codes = generator.integers(low, 1 << bits, (cols, rows), dtype=np.uint8)
        self.zeros = generator.integers(1, 1 << bits, (count, rows), dtype=np.uint8)
        if zero is not None:
            self.zeros[:] = zero
        self.scales = generator.standard_normal((count, rows)).astype(np.float16)
        self.groups = np.arange(cols) // size
        if act_order:
            generator.shuffle(self.groups)
        steps = self.codes.astype(np.float32) - self.zeros[self.groups]
        self.values = (steps * self.scales[self.groups].astype(np.float32)).T

    def gptq(self, bits, offset=1):
        stored = (self.zeros - offset) & ((1 << bits) - 1)
        weight, zeros = packed_along_rows(self.codes, bits), packed_along_columns(stored, bits)
        return weight, zeros, self.scales

    def awq(self):
        weight = packed_along_columns(self.codes, 4, AWQ_ORDER)
        return weight, packed_along_columns(self.zeros, 4, AWQ_ORDER), self.scales


SIZES = [(64, 32), (128, -1), (48, 32), (96, 128), (64, 8)]


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize(("cols", "group_size"), SIZES)
@pytest.mark.parametrize("offset", [0, 1])
def test_gptq_with_zero_points(bits, cols, group_size, offset):
    layer = Layer(bits, cols, 40, group_size, seed=cols)
    options = {"bits": bits, "group_size": group_size, "zero_offset": offset}
    packed = bits > 2 and group_size != 8
    for groups in (None, layer.groups.astype(np.int32)):
        read = from_gptq(*layer.gptq(bits, offset), groups, **options)
        assert isinstance(read, lb.QuantizedMatrix) == packed
        values = read.dequantize() if packed else read
        assert values.dtype == np.float32 and np.array_equal(values, layer.values)
        if packed:
            zeros = layer.zeros.T.astype(int) - (128 if bits == 8 else 0)
            assert np.array_equal(read.zero_points(), zeros) and read.scale_dtype == "fp16"


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize(
    ("cols", "group_size", "width"), [(64, 32, 32), (128, -1, 128), (48, 32, 32), (40, -1, 40)]
)
@pytest.mark.parametrize("with_groups", [False, True])
def test_symmetric_gptq_is_packed(bits, cols, group_size, width, with_groups):
    layer = Layer(bits, cols, 24, group_size, zero=1 << (bits - 1))
    groups = layer.groups.astype(np.int32) if with_groups else None
    q = from_gptq(*layer.gptq(bits), groups, bits=bits, group_size=group_size)
    assert isinstance(q, lb.QuantizedMatrix) and q.symmetric
    assert (q.format, q.shape, q.group_size) == (f"int{bits}", (24, cols), width)
    assert np.array_equal(q.dequantize(), layer.values)
    assert np.array_equal(q.scales(), layer.scales.T.astype(np.float32))


def test_what_cannot_be_packed_comes_as_float32():
    by_importance = Layer(4, 64, 8, 32, zero=8, act_order=True)
    groups = by_importance.groups.astype(np.int32)
    values = from_gptq(*by_importance.gptq(4), groups, group_size=32)
    assert np.array_equal(values, by_importance.values) and isinstance(values, np.ndarray)
    small = Layer(4, 64, 8, 8, zero=8)
    assert np.array_equal(from_gptq(*small.gptq(4), group_size=8), small.values)
    eight = Layer(8, 64, 8, 32, zero=128)
    eight.codes[3, 5] = 0  # -128, which needs a zero point of 0
    q = from_gptq(*eight.gptq(8), bits=8, group_size=32)
    assert not q.symmetric and not q.zero_points().any()
    assert q.dequantize()[5, 3] == -128 * np.float32(eight.scales[0, 5])


def test_stored_zero_points_wrap_round():
    layer = Layer(4, 32, 8, 32, zero=0)
    weight, zeros, scales = layer.gptq(4)
    assert (zeros.view(np.uint32) == 0xFFFFFFFF).all()
    assert np.array_equal(
        from_gptq(weight, zeros, scales, group_size=32).dequantize(), layer.values
    )


@pytest.mark.parametrize(("cols", "count"), [(64, 1), (64, 2), (128, 1), (100, 1), (96, 3)])
@pytest.mark.parametrize("zero", [None, 8])
def test_awq(cols, count, zero):
    layer = Layer(4, cols, 24, cols // count, zero=zero, seed=cols)
    read = from_awq(*layer.awq())
    assert read.symmetric == (zero == 8)
    values = read.dequantize()
    assert np.array_equal(values, layer.values)


def test_scales_of_float32_and_integers_without_sign():
    layer = Layer(4, 64, 16, 32)
    weight, zeros, scales = layer.gptq(4)
    wide = from_gptq(weight.view("u4"), zeros.view("u4"), scales.astype("f4"), group_size=32)
    assert np.array_equal(wide.dequantize(), layer.values)


GPTQ = Layer(4, 64, 16, 32).gptq(4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bits": 3}, "bits must be 2, 4 or 8"),
        ({"zero_offset": 2}, "zero_offset 0 or 1"),
        ({"qweight": GPTQ[0].astype(np.int64)}, "qweight must be int32 with 2 dimensions"),
        ({"qweight": GPTQ[0][0]}, r"got int32 of shape \(16,\)"),
        ({"qzeros": GPTQ[1][:1]}, r"qzeros have shape \(1, 2\) beside scales of shape \(2, 16\)"),
        ({"qzeros": GPTQ[1][:, :1]}, "qzeros have shape"),
        ({"scales": GPTQ[2][:, :15]}, r"scales must be float16 or float32 \[groups, 16\]"),
        ({"scales": GPTQ[2].astype(np.float64)}, "got float64"),
        ({"scales": np.full((2, 16), np.nan, np.float16)}, "NaN or infinity"),
        ({"group_size": 16}, "groups of 16 columns in rows of 64 are not the 2"),
        ({"group_size": 0}, "groups of 0"),
        ({"group_size": -2}, "groups of -2"),
        ({"g_idx": np.zeros(63, np.int32)}, r"g_idx must be integers \[64\]"),
        ({"g_idx": np.zeros(64)}, "got float64"),
        ({"g_idx": np.full(64, 2)}, "groups outside of the 2"),
        ({"g_idx": np.full(64, -1)}, "groups outside of the 2"),
    ],
)
def test_broken_gptq(changes, message):
    good = dict(zip(("qweight", "qzeros", "scales"), GPTQ, strict=True)) | {"group_size": 32}
    with pytest.raises(FileFormatError, match=message):
        from_gptq(**(good | changes))


AWQ = Layer(4, 64, 16, 32).awq()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"qweight": AWQ[0].astype(np.float32)}, "qweight must be int32"),
        ({"qzeros": AWQ[1][:1]}, r"qweight has shape \(64, 2\), qzeros \(1, 2\), scales \(2, 16\)"),
        ({"qweight": AWQ[0][:63]}, r"qweight has shape \(63, 2\)"),
        ({"qzeros": AWQ[1][:0], "scales": AWQ[2][:0]}, r"scales \(0, 16\)"),
        ({"scales": AWQ[2][:, :8]}, r"\[groups, 16\]"),
    ],
)
def test_broken_awq(changes, message):
    good = dict(zip(("qweight", "qzeros", "scales"), AWQ, strict=True))
    with pytest.raises(FileFormatError, match=message):
        from_awq(**(good | changes))


def test_sizes_without_numbers_take_no_memory():
    huge = 1 << 40
    scales, zeros = np.zeros((1, 0), np.float16), np.zeros((1, 0), np.int32)
    assert from_gptq(np.zeros((huge, 0), np.int32), zeros, scales).shape == (0, 8 * huge)
    assert from_awq(np.zeros((huge, 0), np.int32), zeros, scales).shape == (0, huge)
