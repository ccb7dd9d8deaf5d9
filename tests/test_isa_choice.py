"""Which instruction set runs: the environment's cap, names, what is compiled."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lowbit import _core

ISAS = _core.isas()


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


def test_use_isa_refuses_unknown_names() -> None:
    with pytest.raises(ValueError, match=r'use_isa: "avx9000" does not run here; choose from'):
        _core.use_isa("avx9000")


def test_isas_are_compiled_and_start_with_scalar() -> None:
    info = _core.cpu_info()
    assert info["isas"] == ISAS
    assert ISAS[0] == "scalar"
    assert [name for name in info["compiled_isas"] if name in ISAS] == ISAS
