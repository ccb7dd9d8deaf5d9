"""16-bit floats and rows that lie apart: what goes into a linear layer and comes out of it."""

from __future__ import annotations

import numpy as np
import pytest

import lowbit as lb
from lowbit import _core
from lowbit.arrays import as_rows, bf16_to_float32, float32_to_bf16
from products import normal

ml_dtypes = pytest.importorskip("ml_dtypes", reason="bfloat16 arrays need ml_dtypes")
BF16 = np.dtype(ml_dtypes.bfloat16)
ALL_WORDS = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16)
HARD = np.array(
    [0.0, -0.0, np.inf, -np.inf, np.nan, 65504, 65519.9, 65520, 1e30, -1e30, 6.1e-5, 6e-8, 2.9e-8]
    + [1e-40, 3.0517578e-05, 1.00048828125, 1.00146484375, 2.0**-25, 2.0**-25 * 1.0001, 3.4e38],
    np.float32,
)


@pytest.mark.parametrize(("name", "dtype"), [("fp16", np.dtype(np.float16)), ("bf16", BF16)])
def test_every_word_widens_and_comes_back(isa, name, dtype):
    values = _core.to_float32(ALL_WORDS, name)
    expected = ALL_WORDS.view(dtype).astype(np.float32)
    assert np.array_equal(values, expected, equal_nan=True)
    assert np.array_equal(np.signbit(values), np.signbit(expected))
    back = _core.from_float32(values, name)
    numbers = ~np.isnan(values)
    assert np.array_equal(back[numbers], ALL_WORDS[numbers])
    assert np.isnan(back[~numbers].view(dtype).astype(np.float32)).all()


@pytest.mark.parametrize(("name", "dtype"), [("fp16", np.dtype(np.float16)), ("bf16", BF16)])
def test_rounds_as_numpy_does(isa, name, dtype):
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 1 << 32, 100_000, dtype=np.uint64).astype(np.uint32)
    values = np.concatenate([HARD, bits.view(np.float32), normal(rng, 1001) * 0.1])
    with np.errstate(over="ignore", invalid="ignore"):
        expected = values.astype(dtype)
    got = _core.from_float32(values, name).view(dtype)
    assert np.array_equal(got.astype(np.float32), expected.astype(np.float32), equal_nan=True)


def test_conversions_name_what_is_wrong():
    with pytest.raises(ValueError, match='to_float32: format="int8" is not one of 16-bit floats'):
        _core.to_float32(ALL_WORDS, "int8")


@pytest.mark.parametrize("dtype", [np.dtype(np.float16), BF16], ids=str)
@pytest.mark.parametrize("format", ["fp32", "nf4", "int8"])
def test_results_have_the_type_of_the_input(dtype, format):
    rng = np.random.default_rng(2)
    w, x = normal(rng, 33, 48), normal(rng, 2, 5, 48).astype(dtype)
    weight = w if format == "fp32" else lb.quantize(w, format, group_size=16)
    y = lb.linear(x, weight, bias=normal(rng, 33).astype(dtype), compute="fp32")
    assert y.dtype == dtype
    rng = np.random.default_rng(2)
    normal(rng, 33, 48), normal(rng, 2, 5, 48)
    bias = normal(rng, 33).astype(dtype).astype(np.float32)
    exact = lb.linear(x.astype(np.float32), weight, bias=bias, compute="fp32")
    assert np.array_equal(y.astype(np.float32), exact.astype(dtype).astype(np.float32))


@pytest.mark.parametrize("dtype", [np.dtype(np.float16), BF16], ids=str)
def test_layers_take_and_give_16_bits(dtype):
    rng = np.random.default_rng(3)
    layer = lb.LoraLinear(normal(rng, 20, 24).astype(dtype), rank=2)
    layer.b[:] = normal(rng, 20, 2)
    x, dy = normal(rng, 2, 3, 24).astype(dtype), normal(rng, 2, 3, 20).astype(dtype)
    assert layer(x).dtype == dtype and layer(x).shape == (2, 3, 20)
    dx = layer.backward(dy)
    assert dx.dtype == dtype and dx.shape == (2, 3, 24)
    assert layer.grad_a.dtype == layer.grad_b.dtype == np.float32
    merged, report = layer.merge()
    assert merged.dtype == dtype and 0.9 < report.kept < 1.1
    batch = lb.LoraBatch([(layer.a, layer.b, 1.0)], rows=[0, -1, 0, 0, -1, 0])
    assert lb.linear(x, layer.weight, lora=batch).dtype == dtype
    assert batch.backward(dy).dtype == dtype


@pytest.mark.parametrize("format", ["fp16", "bf16"])
@pytest.mark.parametrize("compute", ["fp32", "int16"])
def test_weights_of_16_bits_are_exact(isa, format, compute):
    rng = np.random.default_rng(4)
    w, x = normal(rng, 37, 50), normal(rng, 40, 50)
    stored = w.astype(np.float16) if format == "fp16" else float32_to_bf16(w)
    values = stored.astype(np.float32) if format == "fp16" else bf16_to_float32(stored)
    y = lb.linear(x, stored, compute=compute)
    assert np.array_equal(y, lb.linear(x, values, compute=compute))
    exact = x.astype(np.float64) @ values.T
    assert np.abs(y - exact).max() <= 1e-3 * np.abs(exact).max()


VIEWS = {
    "columns of a wider matrix": lambda m: m[:, 8:40],
    "every second row": lambda m: m[::2, :32],
    "transposed": lambda m: m.T[:, :32],
    "backwards": lambda m: m[::-1, :32],
    "one row again and again": lambda m: np.broadcast_to(m[0, :32], (9, 32)),
    "every second column": lambda m: m[:, :64:2],
    "three dimensions": lambda m: m[:48].reshape(6, 8, 64)[:, :, 10:42],
    "no rows": lambda m: m[:0, :32],
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("compute", ["fp32", "int16", "int8"])
def test_views_give_what_copies_give(name, compute):
    rng = np.random.default_rng(5)
    x = VIEWS[name](normal(rng, 64, 64))
    weight = lb.quantize(normal(rng, 17, 32), "nf4", group_size=16)
    lora = (normal(rng, 3, 32), normal(rng, 17, 3), 0.5)
    y = lb.linear(x, weight, lora=lora, compute=compute)
    assert y.shape == (*x.shape[:-1], 17)
    assert np.array_equal(y, lb.linear(x.copy(), weight, lora=lora, compute=compute))


@pytest.mark.parametrize("name", ["columns of a wider matrix", "every second row", "transposed"])
def test_gradients_of_views_are_those_of_copies(name):
    rng = np.random.default_rng(6)
    x, dy = VIEWS[name](normal(rng, 64, 64)), VIEWS[name](normal(rng, 64, 64))[:, :20]
    layer = lb.LoraLinear(lb.quantize(normal(rng, 20, 32), "int4", group_size=16), rank=3)
    layer.b[:] = normal(rng, 20, 3)
    layer(x)
    got = [layer.backward(dy), layer.grad_a, layer.grad_b]
    layer(x.copy())
    expected = [layer.backward(dy.copy()), layer.grad_a, layer.grad_b]
    assert all(np.array_equal(*pair) for pair in zip(got, expected, strict=True))


def test_rows_that_lie_apart_are_not_copied():
    wide = np.ones((6, 10), np.float32)
    assert as_rows(wide[::2, 3:7], "f", "x")[0].base is wide
    assert as_rows(wide.T, "f", "x")[0].base is not wide
    with pytest.raises(ValueError, match="linear: x's rows are not contiguous"):
        _core.linear_forward(wide.T, np.ones((2, 6), np.float32))
    with pytest.raises(ValueError, match="linear: x's rows overlap or run backwards"):
        _core.linear_forward(wide[::-1], np.ones((2, 10), np.float32))


@pytest.mark.parametrize("rows", [0, 1, 3])
@pytest.mark.parametrize("outputs", [0, 1, 17])
@pytest.mark.parametrize("inputs", [1, 33])
def test_empty_and_odd_sizes(rows, outputs, inputs):
    x, w = np.ones((rows, inputs), np.float32), np.ones((outputs, inputs), np.float32)
    for weight in (w, w.astype(np.float16), float32_to_bf16(w)):
        y = lb.linear(x, weight)
        assert y.shape == (rows, outputs) and np.all(y == inputs)
