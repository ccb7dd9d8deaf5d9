"""`lowbit embed` of layers, words and tokens: its files, its picture, its refusals."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from cli_runs import refused
from lowbit.cli import embed_arguments, main
from lowbit.models import Encoder, compare_senses, contextual, encoder_vectors, layer_choice
from lowbit.models.picture import excerpt, moved_apart, principal_plane, show_words
from lowbit.models.pooling import POOLINGS
from tiny_model import write_tiny_model

REPOSITORY = Path(__file__).resolve().parent.parent
TEXTS = ["the film was good, and warm", "a cold room. a dirty film", "the film and the film"]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("embed") / "model")


@pytest.fixture
def texts(here) -> Path:
    path = here / "texts.txt"
    path.write_text("\n".join(TEXTS) + "\n")
    return path


@pytest.fixture
def senses(here) -> Path:
    path = here / "senses.tsv"
    labels = ["a", "b", "a"]
    rows = [f"{text}\t{label}" for text, label in zip(TEXTS, labels, strict=True)]
    path.write_text("\n".join(["text\tkind", *rows]) + "\n")
    return path


def embed(model: Path, *words: object) -> int:
    return main(["embed", *map(str, words), "--model", str(model)])


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_options_are_those_of_the_library():
    assert tuple(embed_arguments.POOLINGS) == POOLINGS
    assert tuple(embed_arguments.COMBINATIONS) == layer_choice.COMBINATIONS
    assert tuple(embed_arguments.PIECES) == encoder_vectors.PIECES


def test_layers_and_pooling_of_texts(model, texts):
    encoder = Encoder.from_pretrained(model)
    words = [texts, "-o", "v.npy", "--layer=1,-1", "--combine", "concat", "--pooling", "max"]
    assert embed(model, *words, "--no-normalize") == 0
    expected = encoder.embed(TEXTS, normalize=False, layer=[1, -1], combine="concat", pooling="max")
    assert np.array_equal(np.load("v.npy"), expected) and expected.shape == (3, 64)
    assert embed(model, texts, "-o", "v.npy", "--layer", 1, "--center") == 0
    expected = encoder.embed(TEXTS, normalize=False, layer=1)
    np.testing.assert_allclose(np.load("v.npy"), unit(expected - expected.mean(0)), atol=1e-6)


def test_words_are_written_with_their_places(model, texts, capsys):
    expected = Encoder.from_pretrained(model).embed_words(TEXTS, "film", layer=1, normalize=True)
    options = [texts, "--words", "film", "--layer", 1]
    for output in ("w.npz", "w.npy", "w.jsonl"):
        assert embed(model, *options, "-o", output) == 0
    arrays = np.load("w.npz")
    assert set(arrays) == {"vectors", "indptr", "spans", "cut", "names"}
    assert np.array_equal(arrays["vectors"], expected.vectors)
    assert np.array_equal(np.load("w.npy"), expected.vectors)
    assert arrays["indptr"].tolist() == [0, 1, 2, 4] and arrays["names"].tolist() == ["film"] * 4
    rows = [json.loads(line) for line in Path("w.jsonl").read_text().splitlines()]
    for row, vector in zip(rows, expected.vectors, strict=True):
        assert row["text"][row["begin"] : row["end"]] == row["name"] == "film"
        assert np.array_equal(np.array(row["vector"], np.float32), vector)
    capsys.readouterr()
    assert embed(model, *options, "--quiet") == 0
    assert capsys.readouterr().out == Path("w.jsonl").read_text()


def test_every_word_and_every_token(model, texts):
    encoder = Encoder.from_pretrained(model)
    for unit_name, found in (
        ("word", encoder.embed_words(TEXTS, normalize=True, pieces="first")),
        ("token", encoder.embed_tokens(TEXTS, normalize=True)),
    ):
        assert embed(model, texts, "--unit", unit_name, "--pieces", "first", "-o", "u.npz") == 0
        arrays = np.load("u.npz")
        assert arrays["names"].tolist() == found.names
        assert np.array_equal(arrays["vectors"], found.vectors)


def test_words_behind_the_last_token_have_no_vector_in_the_file(model, here, capsys):
    (here / "long.txt").write_text("good film " * 30 + "\n")
    assert embed(model, "long.txt", "--words", "film", "-o", "w.jsonl") == 0
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 2 and "11 of 30 words have no vector" in warnings[1]
    rows = [json.loads(line) for line in Path("w.jsonl").read_text().splitlines()]
    assert [row["vector"] is None for row in rows] == [False] * 19 + [True] * 11


def test_senses_are_compared_and_drawn(model, senses, capsys):
    pytest.importorskip("matplotlib", exc_type=ImportError)
    options = [senses, "--words", "film", "--layer", 2, "--label-column", "kind"]
    assert embed(model, *options, "--plot", "p.png", "--json", "--quiet") == 0
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert shown.err == "" and document["picture"] == "p.png" and document["vectors"] == 4
    found = Encoder.from_pretrained(model).embed_words(TEXTS, "film", layer=2)
    report = compare_senses(found.centered().vectors, ["a", "b", "a", "a"])
    assert document["senses"]["cosine_same"] == pytest.approx(report.same)
    assert document["senses"]["cosine_other"] == pytest.approx(report.other)
    assert document["senses"]["nearest_same"] == report.nearest
    picture = Path("p.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 10_000
    assert embed(model, *options, "--plot", "p.png") == 0
    assert Path("p.png").read_bytes() == picture
    assert "same sense" in capsys.readouterr().out


def test_missing_matplotlib_is_said(model, senses, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    assert embed(model, senses, "--words", "film", "--plot", "p.png", "-o", "w.npy") == 0
    assert "matplotlib is missing; pip install matplotlib" in capsys.readouterr().err
    assert Path("w.npy").is_file() and not Path("p.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layer", "3"], "layer=3 is not in a model of 2 layers"),
        (["--words", "house"], "there are none of the words ['house']"),
        (["--words", "film", "--unit", "text"], "--words asks for words, --unit text does not"),
        (["--plot", "p.png"], "--plot draws the words of --words"),
        (["--words", "film", "--plot", "p.jpg"], "--plot must end in .png"),
        (["--words", "film", "--plot", "no/p.png"], "the folder of --plot 'no/p.png'"),
        (["--label-column", "kind"], "--label-column is for the senses of --words"),
        (["--words", "warm", "--plot", "p.png"], "1 words; there must be three at least"),
        (["--unit", "token", "--pooling", "cls"], "--pooling is for vectors of texts"),
        (["-o", "v.npz"], "must end in .npy or .jsonl"),
        (["--words", "film", "-o", "v.txt"], "must end in .npy or .jsonl or .npz"),
    ],
)
def test_options_that_do_not_fit_are_refused(model, texts, capsys, options, message):
    assert message in refused(capsys, "embed", texts, "--model", model, *options)
    assert sorted(path.name for path in Path().iterdir()) == ["texts.txt"]


def test_options_that_are_no_values_are_refused(texts, capsys):
    for wrong in (["--layer", "one"], ["--words", "a,,b"]):
        with pytest.raises(SystemExit) as left:
            main(["embed", str(texts), *wrong])
        assert left.value.code == 2 and capsys.readouterr().err.count("\n") == 1


# The picture


def test_the_plane_is_that_of_the_principal_components():
    x = np.random.default_rng(0).standard_normal((9, 5)) @ np.diag([5, 3, 1, 0.5, 0.1])
    points = principal_plane(x)
    values, directions = np.linalg.eigh(np.cov(x.T))
    for column in (0, 1):
        expected = (x - x.mean(0)) @ directions[:, -1 - column]
        assert np.allclose(np.abs(points[:, column]), np.abs(expected))
    assert points[0, 0] <= 0 <= points[0, 1]
    assert values[-1] == pytest.approx(points[:, 0].var(ddof=1))


def test_points_are_moved_apart_and_no_further():
    points = np.zeros((6, 2))
    points[5] = [10, 4]
    moved = moved_apart(points, share=0.1) / np.array([10, 4])
    gaps = [np.hypot(*(moved[i] - moved[j])) for i in range(6) for j in range(i)]
    assert min(gaps) > 0.0999
    alone = np.array([[0.0, 0.0], [1.0, 3.0], [7.0, 1.0]])
    assert np.array_equal(moved_apart(alone), alone)


def test_excerpts_keep_the_word():
    text = "one two three four five six seven eight nine ten"
    begin = text.index("five")
    before, word, behind = excerpt(text, begin, begin + 4, width=20)
    assert (before, word, behind) == ("... four", " five", " six ...")
    assert excerpt("a bank.", 2, 6) == ("a", " bank", ".")
    assert excerpt("bank", 0, 4) == ("", "bank", "")


def test_pictures_of_too_few_words_or_labels_are_refused(model, here):
    encoder = Encoder.from_pretrained(model)
    with pytest.raises(ValueError, match="2 words; there must be three"):
        show_words(encoder.embed_words(TEXTS, "and"), TEXTS, "p.png")
    with pytest.raises(ValueError, match="1 labels for 3 texts"):
        show_words(encoder.embed_words(TEXTS, "film"), TEXTS, "p.png", ["a"])


def test_many_words_are_drawn_without_a_list(model, here):
    pytest.importorskip("matplotlib", exc_type=ImportError)
    texts = TEXTS * 10
    found = Encoder.from_pretrained(model).embed_words(texts, "film")
    show_words(found, texts, "few.png")
    show_words(found, texts, "many.png", ["a", "b", "c"] * 10, title="film")
    assert Path("many.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.model
def test_the_senses_of_bank_are_told_apart(minilm, here, capsys):
    """The command of docs/contextual.md, without its picture."""
    words = [REPOSITORY / "docs" / "bank.tsv", "--words", "bank", "--layer", 4, "-o", "w.npz"]
    assert embed(minilm, *words, "--label-column", "sense", "--json", "--quiet") == 0
    senses = json.loads(capsys.readouterr().out)["senses"]
    assert senses["nearest_same"] == senses["words"] == 12
    assert senses["cosine_same"] > 0.2 and senses["cosine_other"] < -0.3
    assert contextual.find_words(["bank"], "bank") == [[(0, 4)]]
