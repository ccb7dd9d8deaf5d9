"""The rules of ARCHITECTURE.md that a program can check: includes, imports, sizes, symbols."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pybind11
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
CSRC = REPOSITORY / "csrc"
PACKAGE = REPOSITORY / "python" / "lowbit"

# Folder of csrc -> folders, and single files, it may include from.
MAY_INCLUDE = {
    "core": {"core"},
    "simd": {"core", "simd"},
    "formats": {"core", "simd", "formats"},
    "kernels": {"core", "simd", "formats", "kernels"},
    "tokenizers": {"core", "tokenizers", "ops/dispatch.hpp"},
    "vectors": {"core", "vectors", "kernels/vector_args.hpp", "ops/dispatch.hpp"},
    "ops": {"core", "formats", "kernels", "ops"},
    "capi": {"core", "ops", "tokenizers", "vectors", "capi"},
    "bindings": {"core", "ops", "tokenizers", "vectors", "bindings"},
}
INTRINSICS = {"immintrin.h", "arm_neon.h"}
# Standard headers without inline functions worth the name: a container compiled for AVX-512 leaves
# symbols that the linker may pick for every processor.
PLAIN_HEADERS = {"cmath", "cstddef", "cstdint", "cstring", "cfloat", "climits"}


def sources(*folders: str, endings: tuple[str, ...]) -> list[Path]:
    found = []
    for folder in folders:
        found += [p for p in (REPOSITORY / folder).rglob("*") if p.suffix in endings]
    return sorted(p for p in found if "__pycache__" not in p.parts)


CPP = sources("csrc", "tests", endings=(".cpp", ".hpp", ".h", ".def"))
PYTHON = sources("python", "tests", "tools", "benchmarks", endings=(".py",))
WRITTEN = [p for p in CPP + PYTHON if "tables" not in p.parts]  # tables are generated
SIZED = [p for p in WRITTEN if p.suffix != ".py" or not p.is_relative_to(REPOSITORY / "tests")]


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def includes(path: Path) -> Iterator[str]:
    for line in path.read_text().splitlines():
        if match := re.match(r'\s*#\s*include\s+["<]([^">]+)[">]', line):
            yield match[1]


def reached(path: Path) -> set[str]:
    """Every file that `path` includes, directly or not, as written in the include."""
    seen: set[str] = set()
    waiting = [path]
    while waiting:
        for name in includes(waiting.pop()):
            if name not in seen:
                seen.add(name)
                if (CSRC / name).is_file():
                    waiting.append(CSRC / name)
    return seen


def in_csrc(*folders: str) -> list[Path]:
    return [p for p in CPP if p.is_relative_to(CSRC) and p.relative_to(CSRC).parts[0] in folders]


@pytest.mark.parametrize("path", in_csrc(*MAY_INCLUDE), ids=name_of)
def test_includes_follow_the_order_of_folders(path: Path) -> None:
    folder = path.relative_to(CSRC).parts[0]
    for name in includes(path):
        if (CSRC / name).is_file():
            assert MAY_INCLUDE[folder] & {name, name.split("/")[0]}, f"includes {name}"
        else:
            assert name not in INTRINSICS or folder == "simd"
            assert not name.startswith("pybind11") or folder == "bindings"


def test_every_folder_of_csrc_has_a_rule() -> None:
    assert {p.name for p in CSRC.iterdir() if p.is_dir()} <= set(MAY_INCLUDE)


@pytest.mark.parametrize("path", in_csrc("kernels", "formats", "simd"), ids=name_of)
def test_kernels_reach_only_plain_headers(path: Path) -> None:
    for name in reached(path):
        plain = (CSRC / name).is_file() or name in PLAIN_HEADERS | INTRINSICS
        assert plain, f"reaches <{name}>"


@pytest.mark.parametrize(
    "path", in_csrc("core", "tokenizers", "vectors", "ops", "capi", "bindings"), ids=name_of
)
def test_kernels_are_seen_through_their_table(path: Path) -> None:
    """Nothing but kernels may reach the vector types: that code is compiled for one processor."""
    assert not [name for name in reached(path) if name.startswith("simd/")]


@pytest.mark.parametrize("path", SIZED, ids=name_of)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 400


@pytest.mark.parametrize("path", [p for p in CPP if "tables" not in p.parts], ids=name_of)
def test_cpp_lines_are_ascii_and_narrow(path: Path) -> None:
    """Ruff sees to the lines of Python files."""
    text = path.read_text(encoding="utf-8")
    assert text.isascii()
    assert [line for line in text.splitlines() if len(line) > 100] == []


def test_no_path_is_named_after_nothing() -> None:
    nothing = re.compile(r"(^|_)(utils?|helpers?|common|misc|stuff|impl2)($|_)")
    assert [name_of(p) for p in WRITTEN if any(nothing.search(Path(x).stem) for x in p.parts)] == []


@pytest.mark.parametrize("path", [p for p in PYTHON if p.is_relative_to(PACKAGE)], ids=name_of)
def test_python_functions_are_short(path: Path) -> None:
    """Below 50 lines without the docstring."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            assert node.end_lineno - first.lineno < 50, node.name


def imported(nodes: list[ast.AST]) -> set[str]:
    """Modules that these statements themselves import."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", [p for p in PYTHON if p.is_relative_to(PACKAGE)], ids=name_of)
def test_other_libraries_are_imported_on_request(path: Path) -> None:
    """Only integrations/ knows other libraries; pictures may ask for matplotlib when drawn."""
    folder = path.relative_to(PACKAGE).parts[0]
    tree = ast.parse(path.read_text("utf-8"))
    everywhere, at_once = imported(list(ast.walk(tree))), imported(tree.body)
    outside = {name.split(".")[0] for name in everywhere} - set(sys.stdlib_module_names)
    if folder != "integrations":
        assert outside <= {"numpy", "lowbit"} | (
            {"matplotlib"} if path.stem == "picture" else set()
        )
        assert not {name for name in at_once if name.startswith("lowbit.integrations")}
    assert not {name for name in at_once if name.startswith("matplotlib")}


def name_of_module(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {name_of_module(path): path for path in PYTHON if path.is_relative_to(PACKAGE)}


def imports_of_package(path: Path) -> list[tuple[str, list[str]]]:
    """What a module imports of lowbit while it is imported itself: modules, and names of each."""
    found = []
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            found += [(alias.name, []) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.module or "", [alias.name for alias in node.names]))
    return [(module, names) for module, names in found if module in MODULES]


IMPORTS = {name: imports_of_package(path) for name, path in MODULES.items()}


def unfinished(first: str) -> list[str]:
    """Names that are asked of modules which are not through yet, if `first` is imported first."""
    begun: set[str] = set()
    done: set[str] = set()
    wrong = []

    def load(module: str) -> None:
        if "." in module:
            load(module.rpartition(".")[0])
        if module in begun:
            return
        begun.add(module)
        for target, names in IMPORTS[module]:
            load(target)
            for name in names:
                if f"{target}.{name}" in MODULES:
                    load(f"{target}.{name}")
                elif target not in done and name != "_core":
                    wrong.append(f"{module} imports {name} of {target}, which waits for it")
        done.add(module)

    load(first)
    return wrong


@pytest.mark.parametrize("module", MODULES)
def test_every_module_can_be_imported_first(module: str) -> None:
    """Followed on paper: to run the imports for each module would take half a minute."""
    assert unfinished(module) == []


def modules_after(code: str) -> set[str]:
    code += "\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(json.loads(result.stdout.splitlines()[-1]))


def test_import_loads_numpy_and_nothing_else() -> None:
    added = modules_after("import numpy, lowbit") - modules_after("import numpy, json")
    outside = {name.split(".")[0] for name in added} - set(sys.stdlib_module_names)
    assert outside <= {"lowbit", "numpy"}
    assert not {name for name in added if name.startswith("lowbit.integrations")}
    # These cost more than everything else in the import together.
    assert not added & {"asyncio", "multiprocessing", "unittest", "urllib.request", "http.client"}


def newest_build() -> Path:
    """The build folder with the newest kernels, whoever made it."""
    objects = REPOSITORY.glob("build/*/CMakeFiles/isa_scalar.dir/**/*.o")
    newest = max(objects, key=lambda path: path.stat().st_mtime, default=None)
    if newest is None:
        pytest.skip("no build folder here: the check reads object files")
    return next(folder for folder in newest.parents if folder.name == "CMakeFiles").parent


@pytest.mark.skipif(not shutil.which("objdump"), reason="needs objdump and nm (binutils)")
def test_no_code_outside_its_instruction_set() -> None:
    tool = REPOSITORY / "tools" / "check_symbols.py"
    command = [sys.executable, str(tool), str(newest_build())]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


COMPILER = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")


@pytest.mark.skipif(not COMPILER, reason="needs a C++ compiler on the path")
@pytest.mark.parametrize(
    "folders", [("core", "ops", "tokenizers", "vectors"), ("bindings",)], ids=str
)
def test_files_compile_in_any_grouping(folders: tuple[str, ...], tmp_path: Path) -> None:
    """The build compiles several files as one, and a new file moves others to another group."""
    together = tmp_path / "together.cpp"
    files = [p for p in in_csrc(*folders) if p.suffix == ".cpp"]
    together.write_text("".join(f'#include "{p}"\n' for p in files))
    tables = [f"-DLOWBIT_HAVE_{name}=1" for name in ("scalar", "avx2", "avx512", "amx")]
    defined = ["-DLOWBIT_EMULATE=0", '-DLOWBIT_VERSION=""', *tables]
    paths = [CSRC, pybind11.get_include(), sysconfig.get_paths()["include"]]
    made = subprocess.run(
        [COMPILER, "-std=c++20", "-fsyntax-only", *defined, *(f"-I{p}" for p in paths), together],
        capture_output=True,
        text=True,
    )
    errors = [line for line in made.stderr.splitlines() if "error" in line]
    assert made.returncode == 0, "two files use one name:\n" + "\n".join(errors)
