"""`lowbit distill`, and `lowbit embed` with what it makes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import golden
from cli_runs import refused
from lowbit.cli import embed_arguments, main
from lowbit.models import Encoder, StaticEncoder
from lowbit.models.static import FORMATS
from tiny_model import reviews, write_tiny_model

TEXTS, _ = reviews(40)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("distill") / "model")


@pytest.fixture
def texts(here) -> Path:
    path = here / "texts.txt"
    path.write_text("\n".join(TEXTS) + "\n")
    return path


def test_tables_are_those_of_the_library():
    assert tuple(embed_arguments.TABLES) == FORMATS


def test_the_folder_is_that_of_the_library(model, texts, capsys):
    (texts.parent / "words.txt").write_text("good film\nfilm\n")
    words = ["distill", str(model), "-o", "m", "--dim", "8", "--words", "words.txt"]
    assert main([*words, "--check", str(texts), "--texts", "20"]) == 0
    shown = capsys.readouterr()
    assert shown.err == "" and "34, 1 of them words of --words" in shown.out
    assert "correlation with the model's: Pearson" in shown.out
    encoder = Encoder.from_pretrained(model)
    expected = StaticEncoder.distill(encoder, dim=8, words=["good film"])
    found = StaticEncoder.from_pretrained("m")
    assert np.array_equal(found.table.table(), expected.table.table())
    assert found.format == "fp16"


def test_the_document_has_the_comparison(model, texts, capsys):
    words = ["distill", str(model), "-o", "m", "--dim", "0", "--sif", "0", "--format", "int8"]
    assert main([*words, "--check", str(texts), "--json", "--quiet"]) == 0
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert shown.err == "" and document["table"] == {
        "format": "int8",
        "bytes": 33 * 36,
        "dimension": 32,
    }
    a = Encoder.from_pretrained(model).embed(TEXTS)
    b = StaticEncoder.from_pretrained("m").embed(TEXTS)
    pairs = np.triu_indices(40, 1)
    pearson = np.corrcoef((a @ a.T)[pairs], (b @ b.T)[pairs])[0, 1]
    assert document["check"]["texts"] == 40
    assert document["check"]["pearson"] == pytest.approx(pearson, abs=1e-5)
    config = json.loads(Path("m/config.json").read_text())
    assert config["apply_pca"] is None and config["sif_coefficient"] is None


def test_embed_takes_a_table(model, texts, capsys):
    assert main(["distill", str(model), "-o", "m", "--dim", "8"]) == 0
    capsys.readouterr()
    expected = StaticEncoder.from_pretrained("m").embed(TEXTS)
    assert main(["embed", str(texts), "--model", "m", "-o", "v.npy", "--json", "--quiet"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["layer"] is None and document["dimension"] == 8
    assert np.array_equal(np.load("v.npy"), expected)
    theirs = golden.DATA / "model2vec" / "int8"
    assert main(["embed", str(texts), "--model", str(theirs), "-o", "v.npy"]) == 0
    assert np.load("v.npy").shape == (40, 8)


@pytest.mark.parametrize(
    "options", [["--layer", "1"], ["--words", "film"], ["--format", "int8"], ["--pooling", "max"]]
)
def test_a_table_has_no_layers_to_ask_for(texts, capsys, options):
    theirs = golden.DATA / "model2vec" / "float32"
    message = refused(capsys, "embed", texts, "--model", theirs, *options)
    assert "is a table of static vectors, without layers" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "texts.txt"], "--output 'texts.txt' exists; choose a new folder"),
        (["-o", "m"], "--dim 256 is more than the 32 values"),
        (["-o", "m", "--dim", "32", "--words", "none.txt"], "none.txt"),
        (["-o", "m", "--dim", "8", "--check", "one.txt"], "'one.txt' has 1 texts; 3 are needed"),
    ],
)
def test_bad_options_are_one_line(model, texts, capsys, options, message):
    Path("one.txt").write_text("good\n")
    assert message in refused(capsys, "distill", model, *options)
    assert not Path("m").exists()


def test_a_failed_save_leaves_nothing(model, here, capsys, monkeypatch):
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert "No space left" in refused(capsys, "distill", model, "-o", "m", "--dim", "8", "--quiet")
    assert list(here.iterdir()) == []
