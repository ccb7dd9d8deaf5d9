"""Every operation on every instruction set gives the same bits; which one runs can be chosen.

The parameters come from the compiled lists: a new instruction set or format is tested unasked, and
a new kernel fails `test_every_kernel_has_a_case` until it has a case here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from lowbit import _core

ISAS = _core.isas()
FORMATS = [entry["name"] for entry in _core.formats()]
PACKED = [entry["name"] for entry in _core.formats() if entry["packed"]]
TILE_KERNELS = {"round_rows", "matmul_tiles"}  # rounded products: tests/test_tiles.py

Arrays = list[np.ndarray]
CASES: dict[str, Callable[[np.random.Generator], Iterator[Arrays]]] = {}


def case(*kernels: str) -> Callable:
    """Register a generator of result arrays as the case of these kernels."""

    def register(function: Callable) -> Callable:
        for kernel in kernels:
            CASES[kernel] = function
        return function

    return register


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


def weights(rng: np.random.Generator, rows: int, cols: int) -> Iterator[object]:
    """The same random matrix in every format, packed ones with and without groups."""
    w = normal(rng, rows, cols)
    w[rng.random(w.shape) < 0.02] = 0
    for name in FORMATS:
        if name in PACKED:
            yield _core.PackedMatrix.quantize(w, name, 0, False)
            yield _core.PackedMatrix.quantize(w, name, 32, True)
        elif name == "bf16":
            yield (w.view(np.uint32) >> 16).astype(np.uint16)
        else:
            yield w


@case("quantize")
def quantized(rng: np.random.Generator) -> Iterator[Arrays]:
    for rows, cols in [(1, 1), (15, 33), (16, 64), (35, 100)]:
        w = normal(rng, rows, cols) * np.float32(10.0) ** rng.integers(-30, 30, (rows, 1))
        w[0] = 0
        w.reshape(-1)[::7] = np.round(w.reshape(-1)[::7])
        for name in PACKED:
            for group_size, double_quant in [(0, False), (32, False), (64, True)]:
                packed = _core.PackedMatrix.quantize(
                    w.astype(np.float32), name, group_size, double_quant
                )
                yield [v for v in packed.parts().values() if isinstance(v, np.ndarray)]


@case("dequantize")
def dequantized(rng: np.random.Generator) -> Iterator[Arrays]:
    for rows, cols in [(1, 1), (15, 33), (17, 64), (50, 130)]:
        for weight in weights(rng, rows, cols):
            yield [_core.dequantize(weight)]


@case("matmul")
def products(rng: np.random.Generator) -> Iterator[Arrays]:
    for tokens, outputs, inputs in [(1, 1, 1), (3, 17, 33), (13, 70, 100), (50, 33, 400)]:
        x, dy = normal(rng, tokens, inputs), normal(rng, tokens, outputs)
        bias, residual = normal(rng, outputs), normal(rng, tokens, outputs)
        a, b = normal(rng, 5, inputs), normal(rng, outputs, 5)
        for weight in weights(rng, outputs, inputs):
            yield [_core.linear_forward(x, weight, bias, residual)[0]]
            y, xa = _core.linear_forward(x, weight, lora_a=a, lora_b=b, scale=0.5, dropout=0.1)
            gradients = _core.linear_backward(dy, x, xa, weight, a, b, scale=0.5, dropout=0.1)
            yield [y, xa, *gradients]
            yield list(_core.linear_backward(dy, x, xa, weight, a, b, scale=2.0))


@pytest.fixture
def restore_isa() -> Iterator[None]:
    before = _core.active_isa()
    yield
    _core.use_isa(before)


def test_every_kernel_has_a_case() -> None:
    assert set(_core.cpu_info()["kernels"]) - TILE_KERNELS == set(CASES)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kernel", _core.cpu_info()["kernels"])
def test_bits_equal_scalar(kernel: str, isa: str, restore_isa: None) -> None:
    if kernel in TILE_KERNELS:
        pytest.skip("rounds its operands: accuracy is tested in test_tiles.py")
    make = CASES[kernel]
    _core.use_isa("scalar")
    expected = list(make(np.random.default_rng(3)))
    _core.use_isa(isa)
    got = list(make(np.random.default_rng(3)))
    assert _core.active_isa() == isa
    assert _core.last_kernel().split()[-1] == isa
    assert len(got) == len(expected) > 0
    for index, (one, other) in enumerate(zip(got, expected, strict=True)):
        for array, reference in zip(one, other, strict=True):
            assert array.tobytes() == reference.tobytes(), f"case {index} differs"


def start_python(code: str, **environment: str) -> tuple[str, list[str]]:
    """The last line a fresh interpreter prints, and what lowbit wrote on standard error."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    warnings = [line for line in result.stderr.splitlines() if line.startswith("lowbit:")]
    return result.stdout.splitlines()[-1], warnings


ACTIVE = "from lowbit import _core; _core.active_isa(); print(_core.active_isa())"


@pytest.mark.parametrize("isa", ISAS)
def test_environment_caps_the_isa(isa: str) -> None:
    assert start_python(ACTIVE, LOWBIT_ISA=isa) == (isa, [])


@pytest.mark.parametrize("isa", sorted(set(_core.cpu_info()["compiled_isas"]) - set(ISAS)))
def test_environment_cap_above_this_machine_takes_the_best(isa: str) -> None:
    assert start_python(ACTIVE, LOWBIT_ISA=isa) == (ISAS[-1], [])


def test_environment_with_an_unknown_isa_warns_once() -> None:
    active, warnings = start_python(ACTIVE, LOWBIT_ISA="avx9000")
    assert active == ISAS[-1]
    assert len(warnings) == 1
    assert warnings[0].startswith("lowbit: LOWBIT_ISA=avx9000 is not known; using")


def test_use_isa_refuses_unknown_names(restore_isa: None) -> None:
    with pytest.raises(ValueError, match=r'use_isa: "avx9000" does not run here; choose from'):
        _core.use_isa("avx9000")


def test_isas_are_compiled_and_start_with_scalar() -> None:
    info = _core.cpu_info()
    assert info["isas"] == ISAS
    assert ISAS[0] == "scalar"
    assert [name for name in info["compiled_isas"] if name in ISAS] == ISAS
