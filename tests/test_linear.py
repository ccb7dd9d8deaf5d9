"""Linear layers on every kind of weight: forward, backward, adapters, threads."""

import numpy as np
import pytest

import lowbit as lb
from lowbit import _core
from lowbit.arrays import bf16_to_float32, float32_to_bf16
from lowbit.quantization.linear import kernel_weight
from lowbit.quantization.matrix import packed_formats

ROWS = [1, 2, 5, 6, 7, 13, 48, 50]
SHAPES = [(1, 1), (16, 16), (17, 33), (64, 400), (40, 777)]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def weights(rows: int, cols: int):
    """(stored weight, its exact values in double precision) in every format."""
    w = normal(rows, cols)
    yield w, w.astype(np.float64)
    words = float32_to_bf16(w)
    yield words, bf16_to_float32(words).astype(np.float64)
    yield w.astype(np.float16), w.astype(np.float16).astype(np.float64)
    for format in packed_formats():
        for group, double in ((32, False), (None, False), (64, True)):
            q = lb.quantize(w, format, group, double)
            yield q, q.dequantize().astype(np.float64)


def close(actual: np.ndarray, expected: np.ndarray, terms: np.ndarray) -> None:
    """Within the rounding of a float32 sum whose absolute terms add up to `terms`."""
    limit = 1e-6 * (terms + 1e-3)
    worst = np.max(np.abs(actual - expected) / limit) if actual.size else 0.0
    assert worst <= 1, f"error is {worst:.2f} times the bound"


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_and_backward_equal_the_formula_in_double_precision(shape):
    rows, cols = shape
    a, b, bias = normal(3, cols), normal(rows, 3), normal(rows)
    for stored, w in weights(rows, cols):
        weight = kernel_weight(stored, "test")
        for m in ROWS:
            x, dy = normal(m, cols), normal(m, rows)
            residual = normal(m, rows, seed=1)
            y, xa = _core.linear_forward(x, weight, bias, residual, a, b, 0.5)
            low = 0.5 * (x.astype(np.float64) @ a.T)
            size = np.abs(x) @ np.abs(w.T) + np.abs(low) @ np.abs(b.T) + 4
            close(xa, low, 0.5 * np.abs(x) @ np.abs(a.T))
            close(y, x @ w.T + low @ b.T + bias + residual, size)

            side = normal(m, cols, seed=2)
            dx, da, db = _core.linear_backward(dy, x, xa, weight, a, b, 0.5, True, side)
            back = 0.5 * (dy.astype(np.float64) @ b)
            sizes = np.abs(dy) @ np.abs(w) + np.abs(back) @ np.abs(a) + 4
            close(dx, dy @ w + back @ a + side, sizes)
            close(da, back.T @ x, 4 * np.abs(back).T @ np.abs(x) + np.abs(dy).sum())
            close(db, dy.T.astype(np.float64) @ low, 4 * np.abs(dy).T @ np.abs(low) + 1)


def test_backward_is_the_adjoint_of_forward():
    """<dy, f(x)> = <f'(dy), x> for the linear map f, whatever the weight's format."""
    for stored, _ in weights(48, 96):
        weight = kernel_weight(stored, "test")
        x, dy = normal(20, 96), normal(20, 48)
        a, b = normal(4, 96), normal(48, 4)
        y, xa = _core.linear_forward(x, weight, None, None, a, b, 2.0)
        dx, _, _ = _core.linear_backward(dy, x, xa, weight, a, b, 2.0)
        left = np.vdot(dy.astype(np.float64), y)
        right = np.vdot(dx.astype(np.float64), x)
        assert left == pytest.approx(right, rel=1e-5)


def test_the_same_bits_for_any_number_of_threads(same_bits):
    weight = kernel_weight(lb.quantize(normal(200, 384), "nf4"), "test")
    x, dy = normal(301, 384), normal(301, 200)
    a, b = normal(8, 384), normal(200, 8)

    def run() -> list[np.ndarray]:
        y, xa = _core.linear_forward(x, weight, None, None, a, b, 2.0, 0.3, 5, 8)
        back = _core.linear_backward(dy, x, xa, weight, a, b, 2.0, True, None, 0.3, 5, 8)
        return [y, xa, *back]

    same_bits(run)


def test_bands_of_a_large_x_leave_the_bits_as_they_are(isa, same_bits):
    """Packed rows have 1.5 MB for every thread: here one thread takes x in two or three bands."""
    q = lb.quantize(normal(256, 4096), "int4")
    weight = kernel_weight(q, "test")
    x, dy = normal(250, 4096), normal(250, 256)
    a, b, bias = normal(3, 4096), normal(256, 3), normal(256)
    computes = ["fp32", "int16"] + (["bf16"] if isa == "amx" else [])

    def run(compute: str) -> list[np.ndarray]:
        y, xa = _core.linear_forward(x, weight, bias, None, a, b, 0.5, compute=compute)
        back = _core.linear_backward(dy, x, xa, weight, a, b, 0.5, True, x, compute=compute)
        return [y, xa, *back]

    for compute in computes:
        same_bits(lambda compute=compute: run(compute))
        y = run(compute)[0]
        exact = x.astype(np.float64) @ (q.dequantize() + 0.5 * b @ a).T + bias
        assert np.linalg.norm(y - exact) < 5e-3 * np.linalg.norm(exact)


FEW = 8  # rows up to which packed weights go straight into the sums, group by group


def test_a_row_has_the_same_bits_alone_as_among_others(isa):
    """Few rows times packed weights have a kernel of their own, with an order of its own."""
    bias, x, residual = normal(70), normal(50, 400), normal(50, 70, seed=1)
    for stored, values in weights(70, 400):
        if not isinstance(stored, lb.QuantizedMatrix):
            continue
        weight = kernel_weight(stored, "test")
        few, _ = _core.linear_forward(x[:FEW], weight, bias, residual[:FEW])
        many, _ = _core.linear_forward(x, weight, bias, residual)
        for rows in range(1, 13):
            y, _ = _core.linear_forward(x[:rows], weight, bias, residual[:rows])
            assert np.array_equal(y, (few if rows <= FEW else many)[:rows])
        exact = x.astype(np.float64) @ values.T.astype(np.float64) + bias + residual
        error = np.linalg.norm(few - exact[:FEW]), np.linalg.norm(many[:FEW] - exact[:FEW])
        assert error[0] < max(1.5 * error[1], 1e-5)


@pytest.mark.parametrize("columns", [1, 15, 16, 17, 64, 400])
def test_few_rows_with_everything_equal_many(isa, columns):
    a, b, bias = normal(5, columns), normal(70, 5), normal(70)
    x, residual = normal(50, columns), normal(50, 70, seed=1)
    for stored, _ in weights(70, columns):
        weight = kernel_weight(stored, "test")
        y, xa = _core.linear_forward(x, weight, bias, residual, a, b, 0.5)
        for rows in range(1, 9):
            few = _core.linear_forward(x[:rows], weight, bias, residual[:rows], a, b, 0.5)
            np.testing.assert_allclose(few[0], y[:rows], rtol=1e-5, atol=1e-4)
            np.testing.assert_allclose(few[1], xa[:rows], rtol=1e-5, atol=1e-4)


def test_dropout_masks_only_the_adapter_and_comes_back_in_the_gradient():
    w, a, b = normal(24, 40), normal(4, 40), normal(24, 4)
    x, dy = normal(30, 40), normal(30, 24)
    masked = _core.dropout(x, 0.4, 9, 16)
    mask = _core.dropout(np.ones_like(x), 0.4, 9, 16)
    np.testing.assert_allclose(masked, x * mask, rtol=1e-6)
    y, xa = _core.linear_forward(x, w, None, None, a, b, 0.5, 0.4, 9, 16)
    np.testing.assert_allclose(y, x @ w.T + 0.5 * (masked @ a.T) @ b.T, rtol=1e-4, atol=1e-4)
    dx, da, db = _core.linear_backward(dy, x, xa, w, a, b, 0.5, True, None, 0.4, 9, 16)
    np.testing.assert_allclose(dx, dy @ w + 0.5 * (dy @ b @ a) * mask, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(da, 0.5 * (dy @ b).T @ masked, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(db, 0.5 * dy.T @ (masked @ a.T), rtol=1e-4, atol=1e-4)


def test_dropout_drops_its_share_and_keeps_the_mean():
    x = np.ones((500, 400), np.float32)
    dropped = _core.dropout(x, 0.25, 3, 0)
    assert np.mean(dropped == 0) == pytest.approx(0.25, abs=0.005)
    assert dropped.mean() == pytest.approx(1, abs=0.01)
    assert not np.array_equal(dropped, _core.dropout(x, 0.25, 4, 0))
    # A later counter is the same stream, seen from further on.
    rows = _core.dropout(x[250:], 0.25, 3, 250 * 400)
    np.testing.assert_array_equal(dropped[250:], rows)


def test_linear_takes_any_number_of_leading_axes():
    q = lb.quantize(normal(8, 32), "int8", 32)
    x = normal(2, 3, 32)
    y = lb.linear(x, q, bias=np.ones(8))
    assert y.shape == (2, 3, 8)
    np.testing.assert_allclose(y, x @ q.dequantize().T + 1, rtol=1e-4, atol=1e-4)
    assert lb.linear(normal(32), q).shape == (8,)
    assert lb.linear(np.zeros((0, 32)), q).shape == (0, 8)


def test_lora_layer_learns_gradients_by_finite_differences():
    layer = lb.LoraLinear(normal(6, 10), rank=2, alpha=4, bias=normal(6))
    layer.b[:] = normal(6, 2)
    x, direction = normal(5, 10), normal(5, 6)
    layer(x)
    dx = layer.backward(direction)
    step = 1e-2
    for array, gradient in ((layer.a, layer.grad_a), (layer.b, layer.grad_b), (x, dx)):
        for index in [(0, 0), (1, 1), (array.shape[0] - 1, array.shape[1] - 1)]:
            kept = array[index]
            values = []
            for sign in (1, -1):
                array[index] = kept + sign * step
                values.append(np.vdot(direction.astype(np.float64), layer(x)))
            array[index] = kept
            assert gradient[index] == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-2)


def test_merge_reports_what_a_coarse_format_loses():
    w = 0.02 * normal(64, 128)
    for format, low, high in (("fp32", 0.9999, 1.0001), ("int8", 0.5, 1.1), ("nf4", -0.5, 0.5)):
        stored = w if format == "fp32" else lb.quantize(w, format)
        layer = lb.LoraLinear(stored, rank=2, alpha=2)
        layer.b[:] = 5e-3 * normal(64, 2)
        merged, report = layer.merge()
        assert low < report.kept < high, (format, report)
        values = merged if format == "fp32" else merged.dequantize()
        base = w if format == "fp32" else stored.dequantize()
        error = values - base - layer.scale * layer.b @ layer.a
        assert report.error_norm == pytest.approx(np.linalg.norm(error), rel=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lb.linear(normal(2, 5), normal(3, 4)), "x has 5 columns, the weight has 4"),
        (lambda: lb.linear(normal(2, 4), normal(3, 4), bias=np.ones(4)), "bias has 4 values"),
        (lambda: lb.linear(normal(2, 4), normal(3, 4), lora=(normal(2, 5), normal(3, 2), 1)),
         "lora_a has shape"),
        (lambda: lb.linear(normal(2, 4), normal(3, 4), lora=(normal(2, 4), normal(3, 3), 1)),
         "lora_b has shape"),
        (lambda: lb.linear(normal(2, 4), normal(3, 4), compute="int8"), "int8"),
        (lambda: lb.linear(normal(2, 4), normal(3, 4), compute="fp7"), "fp7"),
        (lambda: lb.linear(3.0, normal(3, 4)), "single number"),
        (lambda: lb.LoraLinear(normal(3, 4), rank=0), "rank=0"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
