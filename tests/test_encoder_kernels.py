"""Layer norm, GELU, embedding, pooling and AdamW against the reference in double precision."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from lowbit import _core
from lowbit.arrays import bf16_to_float32, float32_to_bf16
from lowbit.quantization.matrix import packed_formats
from lowbit.reference import embeddings, layers, optimizer

ROWS = [1, 3, 70]
COLUMNS = [1, 2, 15, 16, 17, 31, 33, 384, 1000]
SEQUENCES = np.array([0, 1, 1, 18, 67, 90], np.int64)  # lengths 1, 0, 17, 49, 23


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape, dtype=np.float32)


def doubles(*arrays: np.ndarray) -> list[np.ndarray]:
    return [array.astype(np.float64) for array in arrays]


# Layer norm


@pytest.mark.parametrize("cols", COLUMNS)
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("with_residual", [False, True])
def test_layer_norm_equals_the_reference(isa, with_residual, rows, cols):
    x, dy = 3 * normal(rows, cols) + 1, normal(rows, cols, seed=1)
    residual = normal(rows, cols, seed=2) if with_residual else None
    gamma, beta = normal(cols, seed=3), normal(cols, seed=4)
    y, h, mean, rstd = _core.layer_norm(x, residual, gamma, beta, 1e-5)
    assert np.array_equal(h, x if residual is None else x + residual)
    h64, gamma64, beta64, dy64 = doubles(h, gamma, beta, dy)
    np.testing.assert_allclose(mean, h64.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(rstd, 1 / np.sqrt(h64.var(axis=1) + 1e-5), rtol=1e-5)
    expected = layers.layer_norm(h64, gamma64, beta64, 1e-5)
    steepness = 1 + rstd[:, None] * 3  # how far an error of 1 in h or its mean moves y
    assert np.all(np.abs(y - expected) <= 4e-7 * steepness * (np.abs(gamma64) * 4 + 1))
    dh = _core.layer_norm_backward(dy, h, mean, rstd, gamma)
    wanted = layers.layer_norm_backward(dy64, h64, gamma64, 1e-5)
    assert np.all(np.abs(dh - wanted) <= 4e-6 * steepness**2)


def test_layer_norm_without_residual_returns_its_input():
    x = normal(4, 8)
    _, h, _, _ = _core.layer_norm(x, None, np.ones(8, np.float32), np.zeros(8, np.float32), 1e-5)
    assert h is x


def test_layer_norm_keeps_small_differences_on_a_large_offset(isa):
    x = (np.float32(4096) + normal(5, 384).round(2)).astype(np.float32)
    one, zero = np.ones(384, np.float32), np.zeros(384, np.float32)
    y, *_ = _core.layer_norm(x, None, one, zero, 1e-12)
    x64 = x.astype(np.float64)
    np.testing.assert_allclose(
        y, layers.layer_norm(x64, one.astype(float), zero.astype(float), 1e-12), atol=1e-3
    )


def test_layer_norm_of_constant_rows_is_beta(isa):
    beta = normal(33)
    x = np.full((2, 33), 7.0, np.float32)
    y, *_ = _core.layer_norm(x, None, np.ones(33, np.float32), beta, 1e-12)
    np.testing.assert_allclose(y, np.tile(beta, (2, 1)), atol=1e-6)


def test_layer_norm_gradient_is_the_slope(isa):
    x, dy, direction = normal(4, 33), normal(4, 33, seed=1), normal(4, 33, seed=2)
    gamma, beta = normal(33, seed=3), normal(33, seed=4)
    _, h, mean, rstd = _core.layer_norm(x, None, gamma, beta, 1e-5)
    dh = _core.layer_norm_backward(dy, h, mean, rstd, gamma)
    moved = []
    for step in (1e-2, -1e-2):
        y, *_ = _core.layer_norm(x + np.float32(step) * direction, None, gamma, beta, 1e-5)
        moved.append(float((dy.astype(np.float64) * y).sum()))
    slope = (moved[0] - moved[1]) / 2e-2
    assert float((dh.astype(np.float64) * direction).sum()) == pytest.approx(slope, rel=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gamma": np.ones(7, np.float32)}, "layer_norm: gamma has 7 values, expected 8"),
        ({"beta": np.ones(9, np.float32)}, "layer_norm: beta has 9 values, expected 8"),
        ({"eps": 0.0}, "layer_norm: eps=0 must be above 0"),
        ({"eps": float("nan")}, "layer_norm: eps=-?nan must be above 0"),
        ({"residual": np.ones((2, 8), np.float32)}, "layer_norm: residual has shape"),
        ({"x": np.ones((3, 0), np.float32)}, "layer_norm: x has no columns"),
        ({"x": np.ones(8, np.float32)}, "layer_norm: x has 1 dimensions, expected 2"),
    ],
)
def test_layer_norm_refuses_bad_arguments(change, message):
    arguments = {"x": np.ones((3, 8), np.float32), "residual": None, "eps": 1e-5}
    arguments |= {"gamma": np.ones(8, np.float32), "beta": np.ones(8, np.float32), **change}
    with pytest.raises(ValueError, match=message):
        _core.layer_norm(**arguments)


# GELU


def gelu_inputs() -> np.ndarray:
    """All magnitudes from denormals to 1e30, dense where the function bends."""
    magnitudes = np.logspace(-42, 30, 4001)
    return np.concatenate(
        [[0.0, -0.0], magnitudes, -magnitudes, np.linspace(-10, 10, 20011)]
    ).astype(np.float32)


def test_gelu_and_its_derivative_over_all_magnitudes(isa):
    x = gelu_inputs()
    y = _core.activation(x)
    x64 = x.astype(np.float64)
    expected = layers.gelu(x64)
    # Phi is rounded to 6e-8, the product once more; 2e-45 is the spacing of denormals.
    bound = 1.2e-7 * np.minimum(np.abs(x64), 3) + 6e-8 * np.abs(y) + 2e-45
    assert np.all(np.abs(y - expected) <= bound)
    assert np.all(y[x > 6] == x[x > 6])
    assert np.all(np.abs(y[x < -15]) == 0)
    slope = _core.activation_backward(np.ones_like(x), x)
    assert np.all(np.abs(slope - layers.gelu_backward(np.ones_like(x64), x64)) <= 2e-7)


def test_gelu_keeps_nan():
    x = np.array([1.0, np.nan, 2.0], np.float32)
    for y in (_core.activation(x), _core.activation_backward(np.ones_like(x), x)):
        assert np.isnan(y).tolist() == [False, True, False]


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 8191, 8193, 20000])
def test_gelu_does_not_depend_on_the_place_of_a_value(isa, size):
    x, dy = normal(size), normal(size, seed=1)
    y, dx = _core.activation(x), _core.activation_backward(dy, x)
    assert np.array_equal(_core.activation(x[::-1].copy()), y[::-1])
    assert np.array_equal(_core.activation_backward(dy[::-1].copy(), x[::-1].copy()), dx[::-1])
    np.testing.assert_allclose(y, layers.gelu(x.astype(np.float64)), atol=5e-7)


def test_gelu_keeps_the_shape():
    assert _core.activation(np.ones((2, 3, 4), np.float32)).shape == (2, 3, 4)
    with pytest.raises(ValueError, match="gelu_backward: dy has 5 values, expected 6"):
        _core.activation_backward(np.ones(5, np.float32), np.ones(6, np.float32))


# Embedding


def stored_tables(table: np.ndarray) -> Iterator[tuple[Any, np.ndarray | None, np.ndarray]]:
    """(rows, scales, exact values) of a table in every format."""
    yield table, None, table
    words = float32_to_bf16(table)
    yield words, None, bf16_to_float32(words)
    halves = table.astype(np.float16)
    yield halves, None, halves.astype(np.float32)
    codes, scales = _core.quantize_rows_int8(table)
    yield codes, scales, codes.astype(np.float32) * scales[:, None]
    for format in packed_formats():
        for double_quant in (False, True):
            packed = _core.PackedMatrix.quantize(table, format, 16, double_quant)
            yield packed, None, _core.dequantize(packed)


@pytest.mark.parametrize("cols", COLUMNS)
def test_embed_sums_rows_in_this_order(isa, cols):
    rng = np.random.default_rng(cols)
    word, position, kind = normal(50, cols), normal(9, cols, seed=1), normal(2, cols, seed=2)
    ids, at, of = (rng.integers(0, n, 40, dtype=np.int32) for n in (50, 9, 2))
    for rows, scales, values in stored_tables(word):
        assert np.array_equal(_core.embed(rows, scales, ids), values[ids])
        expected = embeddings.embedding_sum(values, ids, position, at, kind, of)
        assert np.array_equal(_core.embed(rows, scales, ids, position, at, kind, of), expected)


@pytest.mark.parametrize("cols", COLUMNS)
def test_rows_round_as_the_reference_says(isa, cols):
    table = normal(20, cols)
    table[3] = 0
    table[4] *= np.float32(1e-30)
    codes, scales = _core.quantize_rows_int8(table)
    assert not codes[3].any()
    expected = embeddings.int8_rows(table).dequantize()
    np.testing.assert_allclose(codes * scales[:, None], expected, rtol=1e-6)


def test_embed_names_the_first_bad_id_and_its_place():
    table, good = np.zeros((5, 4), np.float32), np.zeros(3, np.int32)
    for value in (5, -1, 2**31 - 1, -(2**31)):
        ids = np.array([4, value, 99], np.int32)
        expected = f"{value} at position 1 is not between 0 and 4"
        with pytest.raises(IndexError, match=f"embed: word id {expected}"):
            _core.embed(table, None, ids)
        with pytest.raises(IndexError, match=f"embed: position id {expected}"):
            _core.embed(table, None, good, table, ids)
        with pytest.raises(IndexError, match=f"embed: type id {expected}"):
            _core.embed(table, None, good, None, None, table, ids)


def test_embed_refuses_other_shapes():
    table, ids = np.zeros((5, 4), np.float32), np.zeros(3, np.int32)
    with pytest.raises(ValueError, match="embed: the position table has 3 columns, the word"):
        _core.embed(table, None, ids, np.zeros((5, 3), np.float32), ids)
    with pytest.raises(ValueError, match="embed: position has 2 values, expected 3"):
        _core.embed(table, None, ids, table, ids[:2])
    with pytest.raises(ValueError, match="an int8 table of 5 rows needs as many scales"):
        _core.embed(np.zeros((5, 4), np.int8), None, ids)
    with pytest.raises(ValueError, match="an int8 table of 5 rows needs as many scales"):
        _core.embed(np.zeros((5, 4), np.int8), np.ones(4, np.float32), ids)


# Pooling


@pytest.mark.parametrize("cols", COLUMNS)
@pytest.mark.parametrize("mode", ["mean", "sum", "cls"])
def test_pool_equals_the_reference(isa, mode, cols):
    x, dy = normal(90, cols), normal(5, cols, seed=1)
    x64, dy64 = doubles(x, dy)
    pooled = _core.pool(x, SEQUENCES, mode)
    np.testing.assert_allclose(pooled, layers.pool(x64, SEQUENCES, mode), atol=5e-6)
    assert not pooled[1].any()
    dx = _core.pool_backward(dy, SEQUENCES, mode)
    np.testing.assert_allclose(dx, layers.pool_backward(dy64, SEQUENCES, mode), rtol=2e-7)
    adjoint = float((pooled.astype(np.float64) * dy64).sum())
    assert float((x64 * dx).sum()) == pytest.approx(adjoint, rel=1e-4, abs=1e-4)


def test_pool_refuses_bad_arguments():
    x = np.zeros((4, 3), np.float32)
    for function in (_core.pool, _core.pool_backward):
        with pytest.raises(ValueError, match='mode="max" is not known; use "mean", "sum" or'):
            function(x, np.array([0, 4]), "max")
        with pytest.raises(ValueError, match="indptr is empty"):
            function(x, np.zeros(0, np.int64), "mean")
    with pytest.raises(ValueError, match="pool: indptr ends at 3, but there are 4 rows"):
        _core.pool(x, np.array([0, 3]), "mean")
    with pytest.raises(ValueError, match=r"pool_backward: dout has shape \(4, 3\), expected \(1"):
        _core.pool_backward(x, np.array([0, 4]), "mean")


def test_l2_normalize_gives_length_one_and_keeps_zero_rows(isa):
    x = normal(30, 384) * np.logspace(-15, 15, 30, dtype=np.float32)[:, None]
    x[7] = 0
    y = _core.l2_normalize(x)
    np.testing.assert_allclose(y, layers.l2_normalize(x.astype(np.float64)), atol=1e-7)
    assert not y[7].any()


# AdamW


@pytest.mark.parametrize("size", [1, 15, 16, 17, 1000, 40000])
def test_adamw_equals_the_reference(isa, size):
    parameters, m, v = normal(size), np.zeros(size, np.float32), np.zeros(size, np.float32)
    exact = doubles(parameters, m, v)
    for step in range(1, 6):
        gradients = 10 * normal(size, seed=step)
        _core.adamw(parameters, gradients, m, v, 1e-3, 0.9, 0.999, 1e-8, 0.01, step, 0.5)
        scaled = 0.5 * gradients.astype(np.float64)
        exact = list(optimizer.adamw(exact[0], scaled, *exact[1:], step, 1e-3))
        np.testing.assert_allclose(parameters, exact[0], rtol=1e-6, atol=3e-7)
    np.testing.assert_allclose(m, exact[1], rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(v, exact[2], rtol=5e-5)


def test_adamw_takes_the_beta_it_was_given(isa):
    # In float, 1 - 0.999 is off by 1.3e-5; the step must not be.
    gradients = normal(500)
    parameters, m, v = (np.zeros(500, np.float32) for _ in range(3))
    _core.adamw(parameters, gradients, m, v, 1e-3, 0.9, 0.999, 1e-8, 0.01, 1)
    zeros = np.zeros(500)
    exact, *_ = optimizer.adamw(zeros, gradients.astype(np.float64), zeros, zeros, 1, 1e-3)
    np.testing.assert_allclose(parameters, exact, rtol=6e-7)


def test_adamw_leaves_what_has_no_gradient_but_for_decay():
    parameters, zeros = np.ones(20, np.float32), np.zeros(20, np.float32)
    _core.adamw(parameters, zeros.copy(), zeros.copy(), zeros.copy(), 0.1, 0.9, 0.999, 1e-8, 0.5, 1)
    np.testing.assert_allclose(parameters, 0.95, rtol=1e-7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gradients": np.zeros(4, np.float32)}, "adamw: gradients has 4 values, expected 5"),
        ({"m": np.zeros(6, np.float32)}, "adamw: m has 6 values, expected 5"),
        ({"v": np.zeros(0, np.float32)}, "adamw: v has 0 values, expected 5"),
        ({"step": 0}, "adamw: step=0 must be at least 1"),
        ({"lr": float("inf")}, "adamw: lr=inf must be finite and at least 0"),
        ({"lr": -1e-3}, "adamw: lr=-0.001 must be finite and at least 0"),
        ({"eps": float("nan")}, "adamw: eps=-?nan must be at least 0"),
        ({"weight_decay": -1.0}, "adamw: weight_decay=-1 must be finite and at least 0"),
        ({"grad_scale": float("nan")}, "adamw: grad_scale=-?nan must be finite"),
        ({"beta1": 1.0}, r"adamw: betas \(1, 0.999\) must be in \[0, 1\)"),
        ({"beta2": -0.1}, r"adamw: betas \(0.9, -0.1\) must be in \[0, 1\)"),
    ],
)
def test_adamw_refuses_bad_arguments(change, message):
    arguments = {key: np.zeros(5, np.float32) for key in ("parameters", "gradients", "m", "v")}
    arguments |= {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01}
    arguments |= {"step": 1, **change}
    with pytest.raises(ValueError, match=message):
        _core.adamw(**arguments)


def test_sum_of_squares_is_summed_in_double_precision():
    x = normal(100_003)
    assert _core.sum_of_squares(x) == pytest.approx(math.fsum(x.astype(float) ** 2), rel=1e-13)
    large = np.full(3, 1e30, np.float32)
    assert _core.sum_of_squares(large) == pytest.approx(3e60, rel=1e-6)
    assert math.isnan(_core.sum_of_squares(np.array([1, np.nan], np.float32)))
    assert _core.sum_of_squares(np.zeros(0, np.float32)) == 0


# Threads


@pytest.mark.usefixtures("restore_threads")
def test_bits_do_not_depend_on_the_threads(isa):
    x, dy, residual = (normal(90, 384, seed=seed) for seed in range(3))
    gamma, beta, table = normal(384), normal(384, seed=1), normal(50, 384)
    ids = np.random.default_rng(0).integers(0, 50, 90, dtype=np.int32)
    results = set()
    for threads in (1, 2, 3):
        _core.set_num_threads(threads)
        y, h, mean, rstd = _core.layer_norm(x, residual, gamma, beta, 1e-12)
        arrays = [y, h, mean, rstd, _core.layer_norm_backward(dy, h, mean, rstd, gamma)]
        arrays += [_core.activation(x), _core.activation_backward(dy, x), _core.l2_normalize(x)]
        arrays += [_core.embed(table, None, ids), *_core.quantize_rows_int8(table)]
        arrays += [_core.pool(x, SEQUENCES, "mean"), _core.pool_backward(dy[:5], SEQUENCES, "mean")]
        values, m, v = x.reshape(-1).copy(), np.zeros(x.size, np.float32), np.zeros_like(x.ravel())
        _core.adamw(values, dy, m, v, 1e-3, 0.9, 0.999, 1e-8, 0.01, 1, 0.5)
        arrays += [values, m, v, np.array(_core.sum_of_squares(x))]
        results.add(b"".join(array.tobytes() for array in arrays))
    assert len(results) == 1
