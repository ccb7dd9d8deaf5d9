"""Products in 16-bit integers: the rounding of both operands is the only error, on any input."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit import _core
from lowbit.reference.linear import round_int16
from products import FORMATS, normal, weight_of

pytestmark = pytest.mark.usefixtures("isa")

DEPTH = 384  # columns that share a scale
SHAPES = [  # tokens, outputs, inputs: around the sizes of a tile, a panel and a stretch
    (1, 1, 1),
    (2, 17, 3),
    (4, 31, 31),
    (33, 33, 64),
    (47, 64, 383),
    (50, 65, 385),
    (100, 130, 770),
]


def rounded(x: np.ndarray) -> np.ndarray:
    """What the kernels multiply, as float64: each row rounded in stretches."""
    codes, scales = round_int16(x)
    return codes * np.repeat(scales.astype(np.float64), DEPTH, axis=1)[:, : x.shape[1]]


def norms(x: np.ndarray) -> np.ndarray:
    """Euclidean norms of the stretches of each row, [rows, stretches]."""
    parts = [x[:, i : i + DEPTH].astype(np.float64) for i in range(0, x.shape[1], DEPTH)]
    return np.stack([np.linalg.norm(part, axis=1) for part in parts], axis=1)


def assert_product(got: np.ndarray, x: np.ndarray, w: np.ndarray, plus: np.ndarray | float = 0.0):
    """`got` is x w^T + plus with both rounded, but for codes that could go either way.

    Errors are compared with the product of the norms: of rounding at most 2^-11 and usually 2^-17,
    of the few such codes a tenth of that.
    """
    size = norms(x) @ norms(w).T + np.abs(plus)
    exact = x.astype(np.float64) @ w.T.astype(np.float64) + plus
    from_exact = (got - exact) / (size + 1e-30)
    from_rounded = (got - (rounded(x) @ rounded(w).T + plus)) / (size + 1e-30)
    assert np.abs(from_exact).max() <= 2.0**-11
    assert np.sqrt(np.mean(from_exact**2)) <= 2.0**-15
    assert np.sqrt(np.mean(from_rounded**2)) <= 2.0**-18


@pytest.mark.parametrize(("name", "packed"), FORMATS)
@pytest.mark.parametrize(("tokens", "outputs", "inputs"), SHAPES)
def test_forward_is_exact_but_for_rounding(tokens, outputs, inputs, name, packed, isa):
    rng = np.random.default_rng(tokens)
    x, residual = normal(rng, tokens, inputs), normal(rng, tokens, outputs)
    weight = weight_of(name, packed, normal(rng, outputs, inputs))
    w, bias = _core.dequantize(weight), normal(rng, outputs)
    y, _ = _core.linear_forward(x, weight, bias, residual, compute="int16")
    assert _core.last_kernel() == f"linear_int16 {isa}"
    assert_product(y, x, w, bias + residual)


@pytest.mark.parametrize(("name", "packed"), FORMATS)
@pytest.mark.parametrize(("tokens", "outputs", "inputs"), SHAPES)
def test_backward_is_exact_but_for_rounding(tokens, outputs, inputs, name, packed, isa):
    rng = np.random.default_rng(outputs)
    dy, residual = normal(rng, tokens, outputs), normal(rng, tokens, inputs)
    weight = weight_of(name, packed, normal(rng, outputs, inputs))
    w = _core.dequantize(weight)
    dx, *_ = _core.linear_backward(dy, None, None, weight, residual=residual, compute="int16")
    assert _core.last_kernel() == f"linear_backward_int16 {isa}"
    assert_product(dx, dy, np.ascontiguousarray(w.T), residual)


def test_adapter_stays_exact():
    """What int16 adds to fp32 is the same with an adapter and without; its gradients are fp32's."""
    rng = np.random.default_rng(1)
    x, w, dy = normal(rng, 70, 400), normal(rng, 90, 400), normal(rng, 70, 90)
    a, b = normal(rng, 8, 400), normal(rng, 90, 8)
    options = {"lora_a": a, "lora_b": b, "scale": 0.5, "dropout": 0.25, "seed": 3}
    got = {}
    for compute in ("fp32", "int16"):
        y, xa = _core.linear_forward(x, w, **options, compute=compute)
        gradients = _core.linear_backward(dy, x, xa, w, **options, compute=compute)
        plain, _ = _core.linear_forward(x, w, compute=compute)
        plain_dx, *_ = _core.linear_backward(dy, None, None, w, compute=compute)
        got[compute] = (y, xa, *gradients, plain, plain_dx)
    fp32, int16 = got["fp32"], got["int16"]
    for i in (1, 3, 4):  # x a^T, da, db
        assert np.array_equal(fp32[i], int16[i])
    assert np.allclose(int16[0] - int16[5], fp32[0] - fp32[5], atol=2e-4)
    assert np.allclose(int16[2] - int16[6], fp32[2] - fp32[6], atol=2e-4)


HARD = {
    "all equal": lambda k: np.full(k, 7.0),
    "alternating": lambda k: np.where(np.arange(k) % 2, 1.0, -1.0),
    "one alone": lambda k: np.eye(1, k)[0] * 1e6,
    "one among small ones": lambda k: np.where(np.arange(k) == k // 2, 1e4, 1.0),
    "huge": lambda k: np.full(k, 1e17),
    "small": lambda k: np.full(k, 1e-18),
    "zero": lambda k: np.zeros(k),
    "many magnitudes": lambda k: 10.0 ** -(np.arange(k) % 30),
}


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("inputs", [1, 384, 1000])
def test_sums_of_hard_rows_never_overflow(kind, inputs):
    """Equal rows on both sides: the largest sum that Cauchy and Schwarz allow."""
    row = HARD[kind](inputs).astype(np.float32)
    x, w = np.tile(row, (5, 1)), np.stack([row, -row])
    with np.errstate(over="ignore"):
        y, _ = _core.linear_forward(x, w, compute="int16")
    exact = float((row.astype(np.float64) ** 2).sum())
    assert np.allclose(y, [[exact, -exact]] * 5, rtol=2.0**-11, atol=1e-30)


def test_infinite_and_nan_values_stay_in_their_rows_and_columns():
    rng = np.random.default_rng(2)
    x, w = normal(rng, 40, 500), normal(rng, 20, 500)
    clean, _ = _core.linear_forward(x, w, compute="int16")
    x[3, 7], x[38, 499], w[5, 450] = np.inf, np.nan, -np.inf
    y, _ = _core.linear_forward(x, w, compute="int16")
    assert np.isnan(y[[3, 38]]).all() and np.isnan(y[:, 5]).all()
    rows, columns = np.delete(np.arange(40), [3, 38]), np.delete(np.arange(20), 5)
    assert np.array_equal(y[np.ix_(rows, columns)], clean[np.ix_(rows, columns)])


def test_bits_do_not_depend_on_threads_or_the_other_rows(same_bits):
    rng = np.random.default_rng(3)
    x, w, bias = normal(rng, 700, 600), normal(rng, 200, 600), normal(rng, 200)
    weight = _core.PackedMatrix.quantize(w, "nf4", 64, True)
    same_bits(lambda: _core.linear_forward(x, weight, bias, compute="int16")[:1])
    whole, _ = _core.linear_forward(x, weight, bias, compute="int16")
    alone, _ = _core.linear_forward(x[333:334], weight, bias, compute="int16")
    assert np.array_equal(alone[0], whole[333])


def test_auto_takes_int16_from_32_rows_on_where_it_is_fast(isa):
    if isa == "amx":
        pytest.skip("auto takes bf16 tiles here: tests/test_tiles.py")
    rng = np.random.default_rng(4)
    w = normal(rng, 20, 50)
    int16 = "_int16" if isa in ("avx2", "avx512") else ""
    for rows, weight, expected in [
        (31, _core.PackedMatrix.quantize(w, "nf4", 32, False), ""),
        (32, _core.PackedMatrix.quantize(w, "nf4", 32, False), int16),
        (32, (w.view(np.uint32) >> 16).astype(np.uint16), int16),
        (32, w, ""),
    ]:
        _core.linear_forward(normal(rng, rows, 50), weight, compute="auto")
        assert _core.last_kernel() == f"linear{expected} {isa}"
