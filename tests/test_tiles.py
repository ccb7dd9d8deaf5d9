"""Products in bf16 tiles: the rounding of both operands is the only error, on every shape."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from lowbit import _core
from products import FORMATS, normal, weight_of

SHAPES = [  # tokens, outputs, inputs: around the sizes of a tile, a panel and a stretch of depth
    (1, 1, 1),
    (15, 17, 2),
    (16, 16, 32),
    (17, 15, 31),
    (31, 33, 33),
    (32, 64, 64),
    (33, 65, 100),
    (48, 80, 511),
    (70, 130, 513),
    (65, 31, 1100),
]
ROUNDING = 2.0**-8  # largest relative error of one rounding to bfloat16

needs_tiles = pytest.mark.skipif(
    "amx" not in _core.isas(),
    reason="no bf16 tiles here: needs AMX or a build with LOWBIT_EMULATE",
)


@pytest.fixture(autouse=True)
def restore_isa() -> Iterator[None]:
    before = _core.active_isa()
    yield
    _core.use_isa(before)


@pytest.fixture
def tiles() -> None:
    _core.use_isa("amx")


def rounded(x: np.ndarray) -> np.ndarray:
    """Float32 to bfloat16, nearest even, as float64."""
    word = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)
    word = (word + 0x7FFF + ((word >> 16) & 1)) & np.uint32(0xFFFF0000)
    return word.view(np.float32).astype(np.float64)


def assert_sum(
    got: np.ndarray, *products: tuple[np.ndarray, np.ndarray], plus: np.ndarray | float = 0.0
) -> None:
    """`got` is the sum of products of rounded operands, but for summing in float32."""
    expected, size, depth = np.float64(plus), np.abs(np.float64(plus)), 2
    for left, right in products:
        expected = expected + rounded(left) @ rounded(right)
        size = size + np.abs(rounded(left)) @ np.abs(rounded(right))
        depth += left.shape[1]
    assert np.all(np.abs(got - expected) <= depth * 2.0**-24 * size)


@needs_tiles
@pytest.mark.parametrize(("name", "packed"), FORMATS)
@pytest.mark.parametrize(("tokens", "outputs", "inputs"), SHAPES)
def test_forward_is_exact_but_for_rounding(
    tokens: int, outputs: int, inputs: int, name: str, packed: bool, tiles: None
) -> None:
    rng = np.random.default_rng(tokens)
    x, residual = normal(rng, tokens, inputs), normal(rng, tokens, outputs)
    weight = weight_of(name, packed, normal(rng, outputs, inputs))
    w, bias = _core.dequantize(weight), normal(rng, outputs)
    y, _ = _core.linear_forward(x, weight, bias, residual, compute="bf16")
    assert _core.last_kernel() == "linear_bf16 amx"
    assert_sum(y, (x, w.T), plus=bias + residual)
    exact = x.astype(np.float64) @ w.T.astype(np.float64) + bias + residual
    assert np.all(np.abs(y - exact) <= 2.01 * ROUNDING * (np.abs(x) @ np.abs(w.T)) + 1e-6)


@needs_tiles
@pytest.mark.parametrize(("name", "packed"), FORMATS)
@pytest.mark.parametrize(("tokens", "outputs", "inputs"), SHAPES)
def test_low_rank_forward_and_backward(
    tokens: int, outputs: int, inputs: int, name: str, packed: bool, tiles: None
) -> None:
    rng = np.random.default_rng(outputs)
    rank, scale = 1 + inputs % 40, 0.5
    x, dy = normal(rng, tokens, inputs), normal(rng, tokens, outputs)
    a, b = normal(rng, rank, inputs), normal(rng, outputs, rank)
    weight = weight_of(name, packed, normal(rng, outputs, inputs))
    w = _core.dequantize(weight)

    y, xa = _core.linear_forward(x, weight, lora_a=a, lora_b=b, scale=scale, compute="bf16")
    assert_sum(xa / scale, (x, a.T))
    assert_sum(y, (x, w.T), (xa, b.T))

    dx, da, db = _core.linear_backward(dy, x, xa, weight, a, b, scale=scale, compute="bf16")
    assert _core.last_kernel() == "linear_backward_bf16 amx"
    assert_sum(db, (dy.T, xa))
    # dy b is not returned. Rebuilt here it may round to the neighbouring bfloat16, so the products
    # that use it are known up to one more rounding of it.
    dyb = scale * (rounded(dy) @ rounded(b))
    slack = 2.1 * ROUNDING * np.abs(dyb)
    expected = dyb.T @ rounded(x)
    assert np.all(np.abs(da - expected) <= slack.T @ np.abs(rounded(x)) + 1e-5)
    expected = rounded(dy) @ rounded(w) + dyb @ rounded(a)
    summing = outputs * 2.0**-24 * (np.abs(dy) @ np.abs(w))
    assert np.all(np.abs(dx - expected) <= slack @ np.abs(rounded(a)) + 1.1 * summing + 1e-5)


@needs_tiles
def test_backward_without_adapter_is_exact_but_for_rounding(tiles: None) -> None:
    rng = np.random.default_rng(0)
    for tokens, outputs, inputs in SHAPES:
        dy, w = normal(rng, tokens, outputs), normal(rng, outputs, inputs)
        x, residual = normal(rng, tokens, inputs), normal(rng, tokens, inputs)
        dx, *_ = _core.linear_backward(dy, None, None, w, residual=residual, compute="bf16")
        assert_sum(dx, (dy, w), plus=residual)
        dx, *_ = _core.linear_backward(dy, x, None, w, compute="bf16")
        assert_sum(dx, (dy, w))


@needs_tiles
def test_dropout_takes_the_same_mask_as_fp32(tiles: None) -> None:
    rng = np.random.default_rng(1)
    x, w = normal(rng, 40, 96), normal(rng, 64, 96)
    a, b = normal(rng, 8, 96), normal(rng, 64, 8)
    options = {"dropout": 0.3, "seed": 5, "counter": 8}
    masked = _core.dropout(x, 0.3, 5, 8)
    y, xa = _core.linear_forward(x, w, lora_a=a, lora_b=b, compute="bf16", **options)
    assert_sum(xa, (masked, a.T))
    assert_sum(y, (x, w.T), (xa, b.T))
    dy = normal(rng, 40, 64)
    rough = _core.linear_backward(dy, x, xa, w, a, b, compute="bf16", **options)
    exact = _core.linear_backward(dy, x, xa, w, a, b, compute="fp32", **options)
    for one, other in zip(rough, exact, strict=True):
        assert np.linalg.norm(one - other) <= 1e-2 * np.linalg.norm(other)


@needs_tiles
def test_bits_do_not_depend_on_the_threads(tiles: None, same_bits) -> None:
    rng = np.random.default_rng(2)
    x, w, bias = normal(rng, 400, 600), normal(rng, 200, 600), normal(rng, 200)
    weight = _core.PackedMatrix.quantize(w, "nf4", 64, True)
    same_bits(lambda: _core.linear_forward(x, weight, bias, compute="bf16")[:1])


@needs_tiles
def test_infinite_and_nan_rows_stay_in_their_rows(tiles: None) -> None:
    rng = np.random.default_rng(4)
    x, w = normal(rng, 40, 50), normal(rng, 20, 50)
    clean, _ = _core.linear_forward(x, w, compute="bf16")
    x[3, 7], x[38, 0] = np.inf, np.nan
    y, _ = _core.linear_forward(x, w, compute="bf16")
    assert np.all(np.isinf(y[3])) and np.all(np.isnan(y[38]))
    rest = np.delete(np.arange(40), [3, 38])
    assert np.array_equal(y[rest], clean[rest])


@needs_tiles
def test_auto_takes_tiles_from_32_rows_on(tiles: None) -> None:
    rng = np.random.default_rng(5)
    w = normal(rng, 20, 50)
    _core.linear_forward(normal(rng, 31, 50), w, compute="auto")
    assert _core.last_kernel() == "linear amx"
    _core.linear_forward(normal(rng, 32, 50), w, compute="auto")
    assert _core.last_kernel() == "linear_bf16 amx"
    _core.linear_forward(normal(rng, 32, 50), w)
    assert _core.last_kernel() == "linear amx"


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        ("bf16", r'compute="bf16" needs bf16 tiles \(AMX\), and the instruction set in use is'),
        ("int8", r'compute="int8" needs a weight in int8, int4, nf4, fp4, mxfp4, and this one is'),
        ("fp8", r'compute="fp8" is not known; use "auto", "fp32", "int16", "int8" or "bf16"'),
    ],
)
def test_compute_that_cannot_be_had_is_refused(compute: str, message: str) -> None:
    _core.use_isa("scalar")
    x, w = np.zeros((40, 8), np.float32), np.zeros((4, 8), np.float32)
    with pytest.raises(ValueError, match="linear: " + message):
        _core.linear_forward(x, w, compute=compute)
    dy = np.zeros((40, 4), np.float32)
    with pytest.raises(ValueError, match="linear_backward: " + message):
        _core.linear_backward(dy, x, None, w, compute=compute)


@needs_tiles
def test_limits_of_tiles_are_rates(tiles: None) -> None:
    assert 1e6 < _core.measure_bf16_tiles() < 1e16
    assert 1e6 < _core.measure_byte_tiles() < 1e16


def test_limits_of_tiles_are_zero_without_tiles(restore_isa: None) -> None:
    _core.use_isa("scalar")
    assert _core.measure_bf16_tiles() == _core.measure_byte_tiles() == 0
