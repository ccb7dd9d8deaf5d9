"""A quick check of the kernels: right against NumPy, and the same bits on every instruction set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lowbit import _core, use_isa
from lowbit.quantization import linear

TOLERANCE = 1e-5
TILE_TOLERANCE = 2.0**-6  # both factors rounded to bfloat16

TOKENS, WIDE, NARROW, HEADS = 37, 192, 96, 6
INDPTR = np.array([0, 5, 20, TOKENS], np.int64)


@dataclass(frozen=True)
class Check:
    """One line of the result.

    Attributes
    ----------
    isa
        Instruction set.
    operation
        What was computed.
    passed
        Whether all was as it should be.
    detail
        What was compared, or what was wrong.
    """

    isa: str
    operation: str
    passed: bool
    detail: str


def run_checks() -> list[Check]:
    """Every operation on every instruction set that runs here; takes well under a second."""
    checks = []
    isas = _core.isas()
    before = _core.active_isa()
    try:
        for name, operation in _operations().items():
            results = {}
            for isa in isas:
                with use_isa(isa):
                    results[isa] = operation()
            checks += _compare(name, results, isas)
        checks += _check_tiles(isas)
    finally:
        _core.use_isa(before)
    return checks


def _compare(name: str, results: dict[str, list[np.ndarray]], isas: list[str]) -> list[Check]:
    """The first instruction set against NumPy (its result comes first), others against it."""
    checks = []
    for isa in isas:
        got = results[isa]
        first = results[isas[0]]
        if isa == isas[0]:
            expected, computed = got[0], got[1]
            error = float(np.abs(computed - expected).max() / np.abs(expected).max())
            detail = f"{error:.1e} from NumPy"
            checks.append(Check(isa, name, error <= TOLERANCE, detail))
        else:
            same = all(np.array_equal(a, b) for a, b in zip(got, first, strict=True))
            detail = f"{'same bits as' if same else 'differs from'} {isas[0]}"
            checks.append(Check(isa, name, same, detail))
    return checks


def _check_tiles(isas: list[str]) -> list[Check]:
    """Products in bf16 on the instruction sets that have matrix tiles, against exact ones."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((TOKENS, WIDE), dtype=np.float32)
    w = rng.standard_normal((NARROW, WIDE), dtype=np.float32)
    exact = x @ w.T
    checks = []
    for isa in isas:
        with use_isa(isa):
            try:
                y = linear(x, w, compute="bf16")
            except ValueError:  # no tiles here
                continue
        error = float(np.abs(y - exact).max() / np.abs(exact).max())
        detail = f"{error:.1e} from NumPy"
        checks.append(Check(isa, "bf16 products in tiles", error <= TILE_TOLERANCE, detail))
    return checks


def _operations() -> dict[str, Callable[[], list[np.ndarray]]]:
    """Name -> a function giving NumPy's result, ours, and further arrays whose bits must agree."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((TOKENS, WIDE), dtype=np.float32)
    w = rng.standard_normal((NARROW, WIDE), dtype=np.float32)
    a = rng.standard_normal((8, WIDE), dtype=np.float32)
    b = rng.standard_normal((NARROW, 8), dtype=np.float32)
    operations: dict[str, Callable[[], list[np.ndarray]]] = {}
    packed = [entry["name"] for entry in _core.formats() if entry["packed"]]
    for name in packed:
        operations[f"{name} linear with LoRA"] = _linear(name, x, w, a, b)
    operations["layer norm"] = lambda: _layer_norm(x)
    operations["attention"] = lambda: _attention(x)
    operations["mean pooling"] = lambda: _pool(x)
    return operations


def _linear(
    name: str, x: np.ndarray, w: np.ndarray, a: np.ndarray, b: np.ndarray
) -> Callable[[], list[np.ndarray]]:
    def compute() -> list[np.ndarray]:
        weight = _core.PackedMatrix.quantize(w, name, 64, True)
        dense = _core.dequantize(weight).astype(np.float64)
        y, xa = _core.linear_forward(x, weight, None, None, a, b, 2.0, compute="fp32")
        expected = x @ dense.T + 2.0 * (x @ a.T) @ b.T
        dx, da, db = _core.linear_backward(y, x, xa, weight, a, b, 2.0, True, compute="fp32")
        return [expected, y, dx, da, db, dense]

    return compute


def _layer_norm(x: np.ndarray) -> list[np.ndarray]:
    gamma, beta = np.full(WIDE, 2.0, np.float32), np.full(WIDE, 0.5, np.float32)
    y = _core.layer_norm(x, None, gamma, beta, 1e-12)[0]
    wide = x.astype(np.float64)
    normal = (wide - wide.mean(1, keepdims=True)) / wide.std(1, keepdims=True)
    return [2.0 * normal + 0.5, y]


def _attention(x: np.ndarray) -> list[np.ndarray]:
    y = _core.attention(x, x, x, HEADS, INDPTR)[0]
    expected = np.empty(x.shape)
    size = WIDE // HEADS
    for begin, end in pairwise(INDPTR.tolist()):
        for head in range(HEADS):
            part = x[begin:end, head * size : (head + 1) * size].astype(np.float64)
            scores = np.exp(part @ part.T / np.sqrt(size))
            expected[begin:end, head * size : (head + 1) * size] = (
                scores @ part / scores.sum(1, keepdims=True)
            )
    return [expected, y]


def _pool(x: np.ndarray) -> list[np.ndarray]:
    bounds = pairwise(INDPTR.tolist())
    expected = np.stack([x[begin:end].mean(0, dtype=np.float64) for begin, end in bounds])
    return [expected, _core.pool(x, INDPTR, "mean")]
