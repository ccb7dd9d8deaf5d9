"""lowbit train-vectors and lowbit similar: what they write and say, and what they refuse."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

import lowbit as lb
from cli_runs import refused
from lowbit.cli import main
from lowbit.cli.console import Progress
from lowbit.cli.vector_arguments import vector_method
from lowbit.embeddings import word_training
from lowbit.embeddings.word_training import METHODS

SETTINGS = ["--dim", 12, "--epochs", 2, "--seed", 3, "--min-count", 2, "--deterministic"]
PAIRS = "# judged\nred\tgreen\t9\nred\tone\t1.5\ntwo\tthree\t8\nblue\tsky\t4\n"
QUESTIONS = ": colours\nred green one two\ngreen red two one\n: none\nred green sky sea\n"


@pytest.fixture
def corpus(here) -> Path:
    random.seed(2)
    groups = (["red", "green", "blue"], ["one", "two", "three"])
    lines = [" ".join(random.choices(random.choice(groups), k=6)) for _ in range(400)]
    (here / "corpus.txt").write_text("\n".join([*lines, "rare word"]))
    (here / "pairs.tsv").write_text(PAIRS)
    (here / "questions.txt").write_text(QUESTIONS)
    return here / "corpus.txt"


def document(capsys, *words: object) -> dict:
    """What a command prints with --json."""
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("method", METHODS)
def test_vectors_are_those_of_the_library(method, corpus, capsys):
    words = ["train-vectors", corpus, "-o", "v.safetensors", "--method", method, *SETTINGS]
    if method == "fasttext":
        assert main([*map(str, words)]) == 0
        assert "a name with .bin keeps them" in capsys.readouterr().err
        words[3] = "w.safetensors"
    report = document(capsys, *words)
    options = {"epochs": 2, "seed": 3, "min_count": 2, "deterministic": True}
    expected = lb.WordVectors.train(corpus, method, 12, **options)
    saved = lb.WordVectors.load(report["output"])
    assert saved.words == expected.words and "rare" not in saved
    assert saved.vectors.tobytes() == expected.vectors.tobytes()
    assert saved.counts.tolist() == expected.counts.tolist()
    assert report["method"] == method and report["settings"] == options
    assert (report["words"], report["dim"]) == (6, 12) and report["loss"] > 0
    assert report["file_bytes"] == Path(report["output"]).stat().st_size
    assert report["corpus_bytes"] == corpus.stat().st_size


@pytest.mark.parametrize(
    ("name", "method", "format"),
    [
        ("v.bin", "cbow", "binary"),
        ("v.txt", "skipgram", "text"),
        ("v.vec", "skipgram", "text"),
        ("v.bin", "fasttext", "fasttext"),
    ],
)
def test_the_ending_says_the_format(name, method, format, corpus, capsys):
    words = ["train-vectors", corpus, corpus, "-o", name, "--method", method, *SETTINGS]
    assert document(capsys, *words)["format"] == format
    options = {"epochs": 2, "seed": 3, "min_count": 2, "deterministic": True}
    expected = lb.WordVectors.train([corpus, corpus], method, 12, **options)
    saved = lb.WordVectors.load(name)
    assert saved.vectors.tobytes() == expected.vectors.tobytes()
    assert (saved.subwords is not None) == (method == "fasttext")


def test_vectors_are_evaluated(corpus, capsys):
    words = ["train-vectors", corpus, "-o", "v.safetensors", *SETTINGS]
    words += ["--evaluate", "pairs.tsv", "--evaluate", "questions.txt"]
    assert main([*map(str, words)]) == 0
    out = capsys.readouterr().out
    assert "Analogies of questions.txt" in out and "colours" in out
    pairs, questions = document(capsys, *words[:3], "w.safetensors", *words[4:])["evaluation"]
    wv = lb.WordVectors.load("v.safetensors")
    agreed, right = wv.evaluate_word_pairs("pairs.tsv"), wv.evaluate_analogies("questions.txt")
    assert pairs == {
        "file": "pairs.tsv",
        "kind": "pairs",
        "spearman": agreed.spearman,
        "pearson": agreed.pearson,
        "total": 3,
        "unknown": 1,
    }
    assert f"Spearman {agreed.spearman:.3f}" in out and "3 asked, 1 with unknown words" in out
    assert questions["sections"]["colours"] == {"correct": right.correct, "total": 2}
    assert questions["accuracy"] == right.accuracy and questions["unknown"] == 1
    assert questions["sections"]["none"] == {"correct": 0, "total": 0}
    Path("unknown.tsv").write_text("sky\tsea\t3\n")
    words = [*words[:3], "x.bin", *SETTINGS, "--evaluate", "unknown.tsv"]
    assert document(capsys, *words)["evaluation"][0]["spearman"] is None  # JSON has no NaN


def test_progress_is_shown(corpus, capsys, monkeypatch):
    monkeypatch.setattr("lowbit.cli.console.PLAIN_INTERVAL", 0)
    words = ["train-vectors", corpus, "-o", "v.bin", *SETTINGS]
    assert main([*map(str, words)]) == 0
    shown = capsys.readouterr().err
    assert "training, thousands:" in shown and "epoch 2 of 2" in shown and "loss" in shown


def interrupt_once(monkeypatch):
    """Ctrl-C when a training tells for the first time how far it is."""
    left, update = iter([KeyboardInterrupt]), Progress.update

    def show(*args):
        for error in left:
            raise error
        update(*args)

    monkeypatch.setattr(Progress, "update", show)
    monkeypatch.setattr(word_training, "SECONDS_OF_A_STEP", 0)


@pytest.mark.parametrize("method", ["skipgram", "fasttext", "glove"])
def test_a_training_that_is_interrupted_goes_on(method, corpus, here, capsys, monkeypatch):
    settings = ["--method", method, *SETTINGS]
    words = ["train-vectors", corpus, "-o", "v.bin", *settings, "--checkpoint", "run.safetensors"]
    interrupt_once(monkeypatch)
    assert main([*map(str, words)]) == 130
    told = "interrupted; a valid checkpoint is in run.safetensors"
    assert told in capsys.readouterr().err and not Path("v.bin").exists()
    state = lb.WordVectors.load("run.safetensors").training
    assert (state.epoch, state.chunk) > (0, 0) and state.epoch < 2
    again = ["train-vectors", corpus, "--resume", "run.safetensors", "-o"]
    assert "run.safetensors exists; choose" in refused(capsys, *words).replace("'", "")
    report = document(capsys, *again, "v.bin")
    options = {"epochs": 2, "seed": 3, "min_count": 2, "deterministic": True}
    expected = lb.WordVectors.train(corpus, method, 12, **options)
    assert lb.WordVectors.load("v.bin").vectors.tobytes() == expected.vectors.tobytes()
    assert (report["method"], report["resumed"], report["settings"]) == (method, True, {})
    assert report["checkpoint"] == "run.safetensors" and report["loss"] > 0
    nothing = document(capsys, *again, "w.bin")
    assert nothing["loss"] is None and Path("w.bin").read_bytes() == Path("v.bin").read_bytes()
    if method == "glove":
        assert document(capsys, *again, "m.bin", "--epochs", 3)["settings"] == {"epochs": 3}
        more = lb.WordVectors.train(corpus, method, 12, **options | {"epochs": 3})
        assert lb.WordVectors.load("m.bin").vectors.tobytes() == more.vectors.tobytes()
    else:
        assert "epochs are for" in refused(capsys, *again, "m.bin", "--epochs", 3)
    assert not Path("m.bin").exists() or method == "glove"


def test_checkpoints_are_checked_before_any_work(corpus, here, capsys):
    def line(*words: object) -> str:
        return refused(capsys, "train-vectors", corpus, "-o", "v.safetensors", *words)

    lb.WordVectors(["a"], np.eye(1)).save("plain.safetensors")
    assert "--checkpoint must end in .safetensors" in line("--checkpoint", "run.bin")
    assert "the folder of --checkpoint" in line("--checkpoint", "none/run.safetensors")
    assert "--checkpoint and --output are one file" in line("--checkpoint", "v.safetensors")
    assert "these vectors have no targets" in line("--resume", "plain.safetensors")
    assert line("--resume", "none.safetensors") == "none.safetensors: No such file or directory"
    for words in (["--dim", 9], ["--method", "glove"], ["--min-count", 2], ["--deterministic"]):
        said = line("--resume", "plain.safetensors", *words)
        assert f"--resume takes the settings of the file; leave {words[0]} out" in said
    with pytest.raises(SystemExit):
        line("--resume", "plain.safetensors", "--checkpoint", "run.safetensors")
    assert sorted(path.name for path in here.glob("*.safetensors")) == ["plain.safetensors"]


def test_faulty_trainings_leave_nothing(corpus, here, capsys):
    def line(*words: object) -> str:
        return refused(capsys, "train-vectors", *words)

    (here / "there.bin").write_text("x")
    (here / "text.md").write_text("no test at all\n")
    (here / "latin.txt").write_bytes(b"caf\xe9 " * 9)
    assert "exists; choose a new name" in line(corpus, "-o", "there.bin")
    assert "must end in .safetensors" in line(corpus, "-o", "v.npy")
    assert "folder of --output" in line(corpus, "-o", "none/v.bin")
    assert line("none.txt", "-o", "v.bin") == "none.txt: No such file or directory"
    assert "none.tsv" in line(corpus, "-o", "v.bin", "--evaluate", "none.tsv")
    assert "--evaluate takes analogies" in line(corpus, "-o", "v.bin", "--evaluate", "text.md")
    assert "lower --min-count" in line(corpus, "-o", "v.bin", "--min-count", 99999)
    assert "not UTF-8" in line("latin.txt", "-o", "v.bin")
    for words in (["--method", "lsa"], ["--dim", "0"], ["--sample", "2"]):
        with pytest.raises(SystemExit) as stop:
            main(["train-vectors", str(corpus), "-o", "v.bin", *words])
        assert stop.value.code == 2
    assert f"must be one of {', '.join(METHODS)}; got 'lsa'" in capsys.readouterr().err
    assert [vector_method(name) for name in METHODS] == list(METHODS)
    assert not (here / "v.bin").exists() and (here / "there.bin").read_text() == "x"


def test_similar_answers_as_the_library(here, capsys):
    words = ["up", "down", "l\u00e9ft", "\x1b[31mred"]
    wv = lb.WordVectors(words, np.random.default_rng(0).standard_normal((4, 5)))
    wv.save("v.safetensors")
    asked = ["similar", "v.safetensors", "up", "l\u00e9ft", "--top", 2]
    report = document(capsys, *asked, "--analogy", "up", "down", "l\u00e9ft")
    assert [question["words"] for question in report["questions"]] == [
        ["up"], ["l\u00e9ft"], ["up", "down", "l\u00e9ft"],
    ]  # fmt: skip
    answers = [[(a["word"], a["score"]) for a in of["answers"]] for of in report["questions"]]
    expected = [
        wv.most_similar("up", top=2),
        wv.most_similar("l\u00e9ft", top=2),
        wv.analogy("up", "down", "l\u00e9ft", top=2),
    ]
    for got, those in zip(answers, expected, strict=True):
        assert [word for word, _ in got] == [word for word, _ in those]
        np.testing.assert_allclose([s for _, s in got], [s for _, s in those], rtol=1e-6)
    assert main(["similar", "v.safetensors", "down", "--analogy", "up", "down", "l\u00e9ft"]) == 0
    out = capsys.readouterr().out
    assert "\ndown\n" in out and "up is to down as l\u00e9ft is to" in out
    assert "\x1b" not in out and "\\x1b[31mred" in out  # no word commands the terminal
    assert document(capsys, "similar", "v.safetensors", "up", "--limit", 2)["words"] == 2


def test_similar_reads_any_file_and_says_what_is_missing(here, capsys):
    data = Path(__file__).parent / "data" / "gensim"
    known = document(capsys, "similar", data / "fasttext", "redden")["questions"][0]["answers"]
    assert len(known) == 6
    assert "name a WORD" in refused(capsys, "similar", data / "keyed4")
    said = refused(capsys, "similar", data / "keyed4", "sea")
    assert said == "WordVectors: the word 'sea' is not in the vocabulary"
    assert "none.bin" in refused(capsys, "similar", "none.bin", "sea")
    Path("broken.bin").write_bytes(b"3 4\nup")
    assert "broken.bin" in refused(capsys, "similar", "broken.bin", "up")
