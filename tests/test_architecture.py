"""The rules of ARCHITECTURE.md that a program can check."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
CSRC = REPOSITORY / "csrc"
CPP = sorted(path for end in ("cpp", "hpp") for path in CSRC.rglob(f"*.{end}"))
PYTHON = sorted(REPOSITORY.glob("python/**/*.py"))

MAY_INCLUDE = {
    "core": {"core"},
    "simd": {"core", "simd"},
    "formats": {"core", "simd", "formats"},
    "kernels": {"core", "simd", "formats", "kernels"},
    "tokenizers": {"core", "tokenizers"},
    "ops": {"core", "formats", "kernels", "ops"},
    "bindings": {"core", "ops", "tokenizers", "bindings"},
}
# The C library, which has no templates that could leave weak symbols.
KERNEL_HEADERS = {"cmath", "cstddef", "cstdint", "cstring"}
INTRINSICS = {"immintrin.h", "arm_neon.h"}
OPTIONAL = {"matplotlib"}
MAX_LINES = 410


def folder(path: Path) -> str:
    return path.relative_to(CSRC).parts[0]


def includes(path: Path, quotes: str) -> list[str]:
    begin, end = quotes
    return re.findall(rf"^#include {begin}([^{end}]+){end}", path.read_text(), re.MULTILINE)


def test_every_folder_has_its_rule():
    assert {folder(path) for path in CPP} == set(MAY_INCLUDE)


@pytest.mark.parametrize("name", MAY_INCLUDE)
def test_folder_includes_only_what_it_may(name):
    wrong = [
        f"{path.relative_to(CSRC)} includes {target}"
        for path in CPP
        if folder(path) == name
        for target in includes(path, '""')
        if target.split("/")[0] not in MAY_INCLUDE[name]
    ]
    assert wrong == []


def test_ops_reach_kernels_through_their_table_alone():
    targets = {t for path in CPP if folder(path) == "ops" for t in includes(path, '""')}
    allowed = {"args.hpp", "encoder_args.hpp", "table.hpp", "kernels.def"}
    assert {t.split("/")[1] for t in targets if t.startswith("kernels/")} <= allowed


def test_only_simd_has_intrinsics_and_only_bindings_have_pybind11():
    for path in CPP:
        headers = set(includes(path, "<>"))
        assert folder(path) == "simd" or not headers & INTRINSICS, path
        assert folder(path) == "bindings" or not any("pybind11" in h for h in headers), path


def test_files_compiled_for_an_instruction_set_have_no_containers():
    for path in CPP:
        if folder(path) in ("simd", "formats", "kernels"):
            assert set(includes(path, "<>")) <= KERNEL_HEADERS | INTRINSICS, path


def test_package_imports_numpy_and_itself_alone():
    allowed = {"lowbit", "numpy", *sys.stdlib_module_names}
    for path in REPOSITORY.glob("python/lowbit/**/*.py"):
        if "integrations" in path.parts:
            continue
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            roots = {name.split(".")[0] for name in names}
            optional = OPTIONAL if path.name == "picture.py" else set()
            assert roots <= allowed | optional, f"{path}: {roots - allowed}"


@pytest.mark.parametrize("paths", [CPP, PYTHON], ids=["cpp", "python"])
def test_files_are_short_enough_to_read(paths):
    long = {p.name: n for p in paths if (n := len(p.read_text("utf-8").splitlines())) > MAX_LINES}
    assert long == {}


def test_sources_are_ascii_and_lines_are_short():
    for path in CPP:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            assert line.isascii() and len(line) <= 100, f"{path}:{number}"
