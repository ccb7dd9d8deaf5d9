"""What word vectors are trained on: how corpora are read, cut and refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lowbit as lb
from lowbit import _core
from lowbit.embeddings import word_training as training
from word_corpora import random_lines


def read(lines: object, min_count: int = 1, max_vocab: int | None = None) -> _core.WordCorpus:
    return training.read_corpus(lines, min_count, max_vocab)


def test_corpus_is_read_alike_from_texts_files_and_words(tmp_path: Path) -> None:
    lines = ["b a  a\tc", "", "a b", "\u00e9 a \u00e9"]
    file = tmp_path / "corpus.txt"
    file.write_text("\n".join(lines), encoding="utf-8")
    whole = read(lines)
    assert training.decode_words(whole.words) == ["a", "b", "\u00e9", "c"]
    assert whole.counts.tolist() == [4, 2, 2, 1] and whole.raw_words == 9
    assert whole.tokens.tolist() == [1, 0, 0, 3, 0, 1, 2, 0, 2]
    assert whole.sentence_begin.tolist() == [0, 4, 6, 9]
    for other in (str(file), file, [file], ["\n".join(lines)], [line.split() for line in lines]):
        again = read(other)
        assert again.words == whole.words
        assert again.tokens.tolist() == whole.tokens.tolist()
        assert again.sentence_begin.tolist() == whole.sentence_begin.tolist()


def test_parts_of_a_file_end_with_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = random_lines(50, 60)
    file = tmp_path / "corpus.txt"
    file.write_text("\n".join(lines), encoding="utf-8")
    whole = read(lines)
    monkeypatch.setattr(training, "READ_AT_ONCE", 100)
    parts = read(file)
    assert parts.tokens.tolist() == whole.tokens.tolist()
    assert sum(len(line.split()) for line in lines) == parts.raw_words
    one_line = tmp_path / "one_line.txt"
    one_line.write_text(" ".join(lines), encoding="utf-8")
    assert read(one_line).tokens.tolist() == whole.tokens.tolist()


def test_rare_words_are_left_out_before_windows() -> None:
    corpus = read(["a rare b", "a b c c"], min_count=2)
    assert training.decode_words(corpus.words) == ["a", "b", "c"]
    assert corpus.tokens.tolist() == [0, 1, 0, 1, 2, 2] and corpus.raw_words == 7
    assert training.decode_words(read(["a rare b", "a b c c"], 1, max_vocab=2).words) == ["a", "b"]


def test_long_sentences_are_cut() -> None:
    corpus = read([["a", "b"] * 1250])
    assert np.diff(corpus.sentence_begin).tolist() == [1000, 1000, 500]


def test_wrong_corpora_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no word of the corpus"):
        lb.WordVectors.train([])
    with pytest.raises(TypeError, match="corpus is a int"):
        lb.WordVectors.train(3)
    with pytest.raises(TypeError, match="the corpus holds a int"):
        lb.WordVectors.train([3])
    with pytest.raises(FileNotFoundError):
        lb.WordVectors.train(tmp_path / "nothing.txt")
    (tmp_path / "latin1.txt").write_bytes(b"caf\xe9 " * 10)
    with pytest.raises(ValueError, match="not UTF-8"):
        lb.WordVectors.train(tmp_path / "latin1.txt")
