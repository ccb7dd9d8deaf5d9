"""A few rows in 8-bit integers: block sums are exact, so only the rounding of x is seen."""

from __future__ import annotations

import numpy as np
import pytest

import lowbit as lb
from lowbit import _core
from lowbit.reference.linear import linear_int8
from lowbit.reference.quantization import quantize
from products import normal

pytestmark = pytest.mark.usefixtures("isa")

GROUPS = [("int8", None), ("int8", 64), ("int4", 16), ("int4", 32), ("nf4", 64), ("nf4", 256)]
SHAPES = [  # rows, outputs, inputs: around the sizes of a line, a block and the most rows
    (1, 1, 1),
    (2, 17, 3),
    (3, 16, 64),
    (4, 31, 65),
    (5, 40, 127),
    (16, 33, 400),
    (17, 20, 600),
    (50, 33, 300),
]


def packed(w: np.ndarray, format: str, group: int | None, double: bool = False) -> object:
    return _core.PackedMatrix.quantize(w, format, group or 0, double)


@pytest.mark.parametrize(("format", "group"), [*GROUPS, ("nf4", None), ("int4", None)])
@pytest.mark.parametrize(("rows", "outputs", "inputs"), SHAPES)
def test_equals_the_reference(rows, outputs, inputs, format, group, isa):
    rng = np.random.default_rng(inputs)
    x, w = normal(rng, rows, inputs), normal(rng, outputs, inputs)
    bias, residual = normal(rng, outputs), normal(rng, rows, outputs)
    a, b = normal(rng, 3, inputs), normal(rng, outputs, 3)
    y, xa = _core.linear_forward(
        x, packed(w, format, group), bias, residual, a, b, 0.5, compute="int8"
    )
    assert _core.last_kernel() == f"linear_int8 {isa}"
    low = 0.5 * x.astype(np.float64) @ a.T
    expected = linear_int8(x, quantize(w, format, group)) + bias + residual + low @ b.T
    np.testing.assert_allclose(xa, low, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("format", "group"), GROUPS)
def test_close_to_the_exact_product(format, group):
    """x is off by 2^-8 of a block's largest value, and nf4's levels by as much."""
    rng = np.random.default_rng(1)
    x, w = normal(rng, 8, 1024), normal(rng, 64, 1024)
    weight = packed(w, format, group, double=True)
    y, _ = _core.linear_forward(x, weight, compute="int8")
    exact = x.astype(np.float64) @ _core.dequantize(weight).T.astype(np.float64)
    assert np.linalg.norm(y - exact) <= 0.012 * np.linalg.norm(exact)


def test_bits_do_not_depend_on_threads_or_the_other_rows(same_bits):
    rng = np.random.default_rng(3)
    x, weight = normal(rng, 16, 600), packed(normal(rng, 200, 600), "nf4", 64, True)
    same_bits(lambda: _core.linear_forward(x, weight, compute="int8")[:1])
    whole, _ = _core.linear_forward(x, weight, compute="int8")
    for rows in range(1, 16):
        few, _ = _core.linear_forward(x[:rows], weight, compute="int8")
        assert np.array_equal(few, whole[:rows])


@pytest.mark.parametrize("kind", ["zero", "tiny", "huge", "one alone", "alternating"])
def test_hard_rows(kind):
    k = np.arange(200)
    row = {
        "zero": np.zeros(200),
        "tiny": np.full(200, 1e-35),
        "huge": np.full(200, 1e36),
        "one alone": np.where(k == 70, 1e6, 0.0),
        "alternating": np.where(k % 2, 1.0, -1.0),
    }[kind].astype(np.float32)
    w = np.where(k % 2, 1.0, -1.0).astype(np.float32) * np.ones((20, 1), np.float32)
    y, _ = _core.linear_forward(row[None], packed(w, "int8", None), compute="int8")
    exact = float(row.astype(np.float64) @ w[0])
    assert np.allclose(y, exact, rtol=1e-2, atol=1e-30)


def test_infinite_and_nan_values_stay_in_their_rows():
    rng = np.random.default_rng(2)
    x, weight = normal(rng, 9, 500), packed(normal(rng, 20, 500), "int4", 32)
    clean, _ = _core.linear_forward(x, weight, compute="int8")
    x[3, 7], x[8, 499] = np.inf, np.nan
    y, _ = _core.linear_forward(x, weight, compute="int8")
    assert np.isnan(y[[3, 8]]).all()
    rest = np.delete(np.arange(9), [3, 8])
    assert np.array_equal(y[rest], clean[rest])


@pytest.mark.parametrize("format", ["int8", "int4", "nf4"])
def test_many_rows_have_the_bits_of_few(format):
    """Enough rows for several tasks, the last of them not a whole block."""
    rng = np.random.default_rng(5)
    w, x, residual = normal(rng, 70, 1100), normal(rng, 501, 1100), normal(rng, 501, 70)
    a, b = normal(rng, 3, 1100), normal(rng, 70, 3)
    args = packed(w, format, 64), None

    def product(rows: slice) -> np.ndarray:
        x_part, added = x[rows], residual[rows]
        return _core.linear_forward(x_part, *args, added, a, b, compute="int8")[0]

    whole = product(slice(None))
    for begin in range(0, 501, 11):
        rows = slice(begin, begin + 11)
        assert np.array_equal(product(rows), whole[rows])


def test_gradients_take_int16():
    rng = np.random.default_rng(4)
    w, dy = normal(rng, 40, 100), normal(rng, 5, 40)
    q = lb.quantize(w, "nf4")
    back = [
        _core.linear_backward(dy, None, None, q._packed, compute=name)[0]
        for name in ("int8", "int16")
    ]
    assert np.array_equal(*back)


def test_dense_weights_are_refused():
    with pytest.raises(
        ValueError, match='linear: compute="int8" needs a weight in int8, int4, nf4'
    ):
        lb.linear(np.ones((1, 8)), np.ones((4, 8)), compute="int8")
