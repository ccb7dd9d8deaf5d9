"""lowbit train-tokenizer: what it writes and says, and what it refuses."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from cli_runs import refused
from lowbit import Tokenizer
from lowbit.cli import main, text_input


@pytest.fixture
def corpus(here) -> Path:
    random.seed(4)
    words = ["low", "lower", "lowest", "Bit", "caf\u00e9", "train-ing"]
    lines = [" ".join(random.choices(words, k=8)) for _ in range(60)]
    (here / "corpus.txt").write_bytes(("\n".join(lines) + "\r\nthe end").encode())
    return here / "corpus.txt"


@pytest.mark.parametrize("model", ["bpe", "wordpiece", "unigram", "word", "character"])
def test_a_trained_tokenizer_is_that_of_the_library(model, corpus, capsys, monkeypatch):
    monkeypatch.setattr(text_input, "AT_ONCE", 64)
    size = {"bpe": 280, "character": 30, "word": 8}.get(model, 60)
    words = ["train-tokenizer", "corpus.txt", "--model", model, "--vocab-size", str(size)]
    assert main([*words, "-o", "mine.json", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    expected = Tokenizer.train(corpus, model=model, vocab_size=size)
    made = Tokenizer.from_file("mine.json")
    text = corpus.read_bytes().decode()
    assert made.spec.tokens_by_id() == expected.spec.tokens_by_id()
    assert made.encode(text).ids.tolist() == expected.encode(text).ids.tolist()
    assert report["vocab_size"] == made.vocab_size <= size
    lines = text.split("\n")
    counted = expected.encode_batch(
        [f"{x}\n" for x in lines[:-1]] + lines[-1:], add_special_tokens=False
    )
    assert report["summary"]["tokens"] == len(counted.ids)
    assert report["summary"]["bytes"] == len(text.encode())
    ids, counts = np.unique(counted.ids, return_counts=True)
    first = report["most_frequent"][0]
    assert first["count"] == counts.max() == counts[ids == first["id"]][0]
    assert first["token"] == made.id_to_token(first["id"])
    assert len(report["longest"]) <= 12 and report["tokens_in_use"] == len(ids)


def test_what_training_shows(corpus, capsys):
    words = [
        "train-tokenizer",
        "corpus.txt",
        "corpus.txt",
        "--vocab-size",
        "275",
        "-o",
        "mine.json",
    ]
    assert main([*words, "--special-tokens", "<pad>,<eos>"]) == 0
    out = capsys.readouterr().out
    for part in (
        "tokenizer    bpe, 275 tokens, mine.json",
        "corpus       2 files, ",
        "bytes per token",
        "most frequent  times",
        "\u00b7low",
    ):
        assert part in out
    made = Tokenizer.from_file("mine.json")
    assert made.encode("<pad>low<eos>").tokens == ["<pad>", "low", "<eos>"]
    assert [made.token_to_id("<pad>"), made.token_to_id("<eos>")] == [0, 1]


def test_faulty_trainings(corpus, here, capsys):
    def line(*words: str) -> str:
        return refused(capsys, "train-tokenizer", *words, "-o", "mine.json")

    (here / "empty.txt").write_bytes(b"")
    (here / "broken.txt").write_bytes(b"low\xff")
    assert line("empty.txt") == "empty.txt: empty"
    assert line("corpus.txt", "broken.txt") == "broken.txt: not UTF-8 at byte 3"
    assert line("none.txt") == "none.txt: No such file or directory"
    assert "must be files; got -" in line("-")
    assert "has an empty name; got 'a,,b'" in line("corpus.txt", "--special-tokens", "a,,b")
    assert "--special-tokens must name each token once" in line(
        "corpus.txt", "--special-tokens", "a,a"
    )
    assert "--vocab-size" in line("corpus.txt", "--vocab-size", "40")
    assert "bpe keeps the case" in line("corpus.txt", "--lowercase")
    assert "must end in .json" in refused(
        capsys, "train-tokenizer", "corpus.txt", "-o", "mine.model"
    )
    assert not (here / "mine.json").exists()
