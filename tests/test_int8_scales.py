"""Products in int8 whose input has one scale a row, or one that is known beforehand."""

from __future__ import annotations

import numpy as np
import pytest

import lowbit as lb
from lowbit import _core
from lowbit.quantization import AffineParams, fake_quantize
from lowbit.reference.linear import linear_int8
from lowbit.reference.quantization import quantize
from products import normal

pytestmark = pytest.mark.usefixtures("isa")

FORMATS = [("int8", None), ("int8", 64), ("int4", 16), ("nf4", 256), ("int4", None)]
SCALES = {
    "row": "row",
    "symmetric": (0.03, 0, -127, 127),
    "zero point": (0.02, -60, -127, 127),
    "unsigned": (0.03, 200, 0, 254),
    "four bits": (0.4, 5, 0, 15),
    "everything above": (0.02, -127, -127, 127),
}
SHAPES = [  # rows, outputs, inputs: around the sizes of a line, of rows together, and of a block
    (1, 1, 1),
    (2, 17, 3),
    (3, 16, 64),
    (5, 40, 127),
    (9, 31, 1023),
    (16, 20, 1024),
    (11, 18, 1025),
    (50, 33, 2100),
]


def packed(w: np.ndarray, format: str, group: int | None) -> object:
    return _core.PackedMatrix.quantize(w, format, group or 0, False)


def integers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """int8 from -127 to 127, the ends more often than others."""
    codes = rng.integers(-127, 128, shape)
    ends = rng.random(shape)
    return np.where(ends < 0.1, -127, np.where(ends > 0.9, 127, codes)).astype(np.int8)


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize(("format", "group"), FORMATS)
@pytest.mark.parametrize(("rows", "outputs", "inputs"), SHAPES)
def test_equals_the_reference(rows, outputs, inputs, format, group, name, isa):
    rng = np.random.default_rng(inputs)
    x, w = normal(rng, rows, inputs), normal(rng, outputs, inputs)
    bias, residual = normal(rng, outputs), normal(rng, rows, outputs)
    a, b = normal(rng, 3, inputs), normal(rng, outputs, 3)
    weight = packed(w, format, group)
    y, xa = _core.linear_forward(
        x, weight, bias, residual, a, b, 0.5, compute="int8", x_scale=SCALES[name]
    )
    assert _core.last_kernel() == f"linear_int8 {isa}"
    low = 0.5 * x.astype(np.float64) @ a.T
    expected = linear_int8(x, quantize(w, format, group), SCALES[name])
    expected += bias + residual + low @ b.T
    np.testing.assert_allclose(xa, low, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize(("format", "group"), [("int8", None), ("int8", 16), ("int4", 32)])
@pytest.mark.parametrize(("rows", "outputs", "inputs"), SHAPES)
def test_weights_with_zero_points(rows, outputs, inputs, format, group, name):
    """Both sides have zero points: sums of x are those of what its bytes stand for."""
    rng = np.random.default_rng(inputs)
    x, w = normal(rng, rows, inputs), normal(rng, outputs, inputs) + 1
    packed = lb.quantize(w, format, group, symmetric=False)._packed
    y = _core.linear_forward(x, packed, compute="int8", x_scale=SCALES[name])[0]
    expected = linear_int8(x, quantize(w, format, group, symmetric=False), SCALES[name])
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("zero_point", [0, 1, -1, 127, -127, 50])
@pytest.mark.parametrize(("rows", "outputs", "inputs"), SHAPES)
def test_integers_are_exact(rows, outputs, inputs, zero_point):
    """With scales of 1 nothing is rounded but sums beyond 2^24, once for each 1,024 columns."""
    rng = np.random.default_rng([rows, zero_point + 127])
    codes, w = integers(rng, rows, inputs), integers(rng, outputs, inputs)
    q = lb.QuantizedMatrix.from_codes("int8", w, np.ones((outputs, 1), np.float32), None)
    params = AffineParams(1.0, zero_point, -127, 127)
    x = codes.astype(np.float32) - zero_point
    expected = np.zeros((rows, outputs), np.float32)
    for k in range(0, inputs, 1024):
        part = slice(k, k + 1024)
        sums = (codes[:, part].astype(np.int64) - zero_point) @ w[:, part].T.astype(np.int64)
        expected += sums.astype(np.float32)
    assert np.array_equal(lb.linear(x, q, compute="int8", x_scale=params), expected)


def test_extreme_codes_do_not_overflow():
    for sign in (1, -1):
        x = np.full((9, 4096), 254, np.float32)
        codes = np.full((17, 4096), sign * 127, np.int8)
        q = lb.QuantizedMatrix.from_codes("int8", codes, np.ones((17, 1), np.float32), None)
        params = AffineParams(1.0, -127, -127, 127)
        y = lb.linear(x, q, compute="int8", x_scale=params)
        assert np.allclose(y, sign * 254 * 127 * 4096, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("format", "group"), [("int8", None), ("int8", 64), ("int4", 32)])
@pytest.mark.parametrize("narrow", [{"symmetric": True}, {"narrow_range": True}])
def test_is_the_product_of_fake_quantized_inputs(format, group, narrow):
    rng = np.random.default_rng(4)
    x, w = np.maximum(normal(rng, 30, 700), -0.2), normal(rng, 40, 700)
    params = AffineParams.from_range(-0.2, 3.0, **narrow)  # some values are cut off
    q = lb.quantize(w, format, group)
    y = lb.linear(x, q, compute="int8", x_scale=params)
    exact = fake_quantize(x, params).astype(np.float64) @ q.dequantize().T.astype(np.float64)
    np.testing.assert_allclose(y, exact, rtol=1e-5, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize("x_scale", ["row", SCALES["symmetric"], SCALES["zero point"]])
@pytest.mark.parametrize(("format", "group"), FORMATS)
def test_bits_do_not_depend_on_threads_or_the_other_rows(format, group, x_scale, same_bits):
    rng = np.random.default_rng(3)
    x, weight = normal(rng, 300, 1100), packed(normal(rng, 70, 1100), format, group)

    def product(rows: np.ndarray) -> np.ndarray:
        return _core.linear_forward(rows, weight, compute="int8", x_scale=x_scale)[0]

    same_bits(lambda: [product(x)])
    whole = product(x)
    for begin in range(0, 300, 11):
        assert np.array_equal(product(x[begin : begin + 11]), whole[begin : begin + 11])
    for rows in range(1, 16):
        assert np.array_equal(product(x[:rows]), whole[:rows])


@pytest.mark.parametrize("zero_point", [0, 9])
def test_infinity_is_cut_off_by_params_and_nan_is_seen(zero_point):
    rng = np.random.default_rng(2)
    x, weight = normal(rng, 19, 1500), packed(normal(rng, 20, 1500), "int8", None)
    options = {"compute": "int8", "x_scale": (0.01, zero_point, -127, 127)}
    x[3, 7], x[3, 1499], x[17, 1100] = 1e30, -1e30, 1e30
    clean = _core.linear_forward(x, weight, **options)[0]
    assert np.isfinite(clean).all()
    x[3, 7], x[3, 1499], x[17, 1100] = np.inf, -np.inf, np.inf
    assert np.array_equal(_core.linear_forward(x, weight, **options)[0], clean)
    x[3, 8], x[18, 1499], x[0, 0] = np.nan, -np.nan, np.nan
    y = _core.linear_forward(x, weight, **options)[0]
    assert np.isnan(y[[0, 3, 18]]).all()
    rest = np.delete(np.arange(19), [0, 3, 18])
    assert np.array_equal(y[rest], clean[rest])


def test_infinite_and_nan_values_make_their_row_nan_with_a_scale_a_row():
    rng = np.random.default_rng(2)
    x, weight = normal(rng, 9, 1500), packed(normal(rng, 20, 1500), "int4", 32)
    options = {"compute": "int8", "x_scale": "row"}
    clean = _core.linear_forward(x, weight, **options)[0]
    x[3, 7], x[8, 1499] = np.inf, np.nan
    y = _core.linear_forward(x, weight, **options)[0]
    assert np.isnan(y[[3, 8]]).all()
    rest = np.delete(np.arange(9), [3, 8])
    assert np.array_equal(y[rest], clean[rest])


def test_no_rows_and_no_columns():
    q = lb.quantize(np.ones((4, 8), np.float32), "int8")
    params = AffineParams(0.1, 5, -127, 127)
    assert lb.linear(np.ones((0, 8)), q, compute="int8", x_scale=params).shape == (0, 4)
    assert lb.linear(np.ones((0, 8)), q, compute="int8", x_scale="row").shape == (0, 4)


def test_rows_with_adapters_of_their_own():
    rng = np.random.default_rng(6)
    x, q = normal(rng, 9, 200), lb.quantize(normal(rng, 20, 200), "int8")
    batch = lb.LoraBatch([(normal(rng, 2, 200), np.zeros((20, 2), np.float32), 1.0)], [0] * 9)
    options = {"compute": "int8", "x_scale": AffineParams(0.03, 7, -127, 127)}
    alone = lb.linear(x, q, np.ones(20), **options)
    assert np.array_equal(lb.linear(x, q, np.ones(20), lora=batch, **options), alone)
    assert not np.array_equal(lb.linear(x, q, np.ones(20), lora=batch, compute="int8"), alone)


@pytest.mark.parametrize(
    ("x_scale", "compute", "error", "words"),
    [
        (AffineParams(0.1, 3, 0, 255), "int8", ValueError, r"256 codes, 0 to 255.*narrow_range"),
        (AffineParams(0.1, 3, -128, 127), "int8", ValueError, "256 codes, -128 to 127"),
        (AffineParams([0.1, 0.2], [0, 0], 0, 15), "int8", ValueError, "2 scales along an axis"),
        (AffineParams(0.1, 3, 0, 127), "auto", ValueError, 'x_scale is for compute="int8"'),
        ("row", "fp32", ValueError, 'x_scale is for compute="int8"'),
        ("column", "int8", ValueError, 'x_scale="column" is not known'),
        (0.1, "int8", TypeError, "x_scale is 0.1; use"),
    ],
)
def test_what_does_not_fit_is_refused(x_scale, compute, error, words):
    q = lb.quantize(np.ones((4, 8), np.float32), "int8")
    with pytest.raises(error, match=f"linear: .*{words}"):
        lb.linear(np.ones((1, 8)), q, compute=compute, x_scale=x_scale)
    batch = lb.LoraBatch([], [-1])
    with pytest.raises(error, match=f"linear: .*{words}"):
        lb.linear(np.ones((1, 8)), q, lora=batch, compute=compute, x_scale=x_scale)


@pytest.mark.parametrize(
    "codes", [(np.nan, 0, -1, 1), (np.inf, 0, -1, 1), (0.0, 0, -1, 1), (-1.0, 0, -1, 1)]
)
def test_scales_that_are_none(codes):
    weight = packed(np.ones((4, 8), np.float32), "int8", None)
    with pytest.raises(ValueError, match="must be finite"):
        _core.linear_forward(np.ones((1, 8), np.float32), weight, compute="int8", x_scale=codes)
    with pytest.raises(ValueError, match="zero point 2 outside its codes -1 to 1"):
        _core.linear_forward(
            np.ones((1, 8), np.float32), weight, compute="int8", x_scale=(1.0, 2, -1, 1)
        )
