"""The page on files: its examples run."""

import re
from pathlib import Path

import pytest

from lowbit import files
from lowbit.files import find_bundled_model, safetensors, table_rows, tables
from lowbit.files.bundled_model import SHA256

PAGE = Path(__file__).resolve().parent.parent / "docs" / "files.md"


def test_examples_of_the_page_run(capsys):
    """All blocks in order, in one namespace; those that need the bundled model only with it."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 5
    try:
        find_bundled_model(verify=False)
    except FileNotFoundError:
        blocks = [block for block in blocks if "find_bundled_model" not in block]
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["labels"].tolist() == [1, 0] and names["label_names"] == ("0", "1")
    assert names["config"].scale == 2.0
    assert "half F16 (4,)" in capsys.readouterr().out


def test_digests_of_the_page_are_those_of_the_code():
    written = dict(re.findall(r"\| ([a-z.]+) \| ([0-9a-f]{64}) \|", PAGE.read_text()))
    assert written == SHA256


@pytest.mark.parametrize("module", ["table_rows", "tables", "safetensors"])
def test_page_names_every_ending_and_limit(module):
    words = {
        "table_rows": list(table_rows.FORMATS),
        "tables": [*tables.TEXT_COLUMNS, *tables.LABEL_COLUMNS],
        "safetensors": [f"{safetensors.MAX_HEADER_BYTES // 1_000_000} MB"],
    }[module]
    text = PAGE.read_text()
    assert [word for word in words if word not in text] == []


def test_functions_of_other_tools_are_loaded_when_used():
    for name in files._LATER:
        assert callable(getattr(files, name)) and name in dir(files)
    with pytest.raises(AttributeError, match="has no attribute 'from_nobody'"):
        _ = files.from_nobody
