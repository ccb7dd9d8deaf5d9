"""Word vectors from a corpus: reading it, the memory of the tables, the loop over its epochs."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lowbit import _core

READ_AT_ONCE = 1 << 22  # bytes of a file
ITEMS_AT_ONCE = 1000
SECONDS_OF_A_STEP = 0.2  # between two looks at Ctrl-C
ALIGNMENT = 64  # bytes: a row begins with a line of the cache
PREDICTING = ("skipgram", "cbow", "fasttext", "fasttext_cbow")
METHODS = (*PREDICTING, "glove")
# As the programs of word2vec, fastText and GloVe.
LEARNING_RATE = {"skipgram": 0.025} | dict.fromkeys(METHODS[1:], 0.05)
SHARDS = 8  # of a deterministic training, which begins and ends at a multiple of so many chunks


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training is.

    Attributes
    ----------
    epoch, epochs
        The epoch at work, counted from 1, and how many there are.
    words, total_words
        Words of the vocabulary that were passed, in all epochs, and of how many; for GloVe pairs.
    words_per_second
        Since the training began, or went on; GloVe's pairs.
    loss
        Mean loss of a pair of words in this epoch; one example in 16 is counted, of GloVe all.
    """

    epoch: int
    epochs: int
    words: int
    total_words: int
    words_per_second: float
    loss: float


Progress = bool | Callable[[TrainingProgress], Any]


def read_corpus(
    corpus: Any, min_count: int, max_vocab: int | None, first: Sequence[str] = ()
) -> _core.WordCorpus:
    """The numbered words of a path, of texts, of paths, or of lists of words.

    The words of `first` have the first numbers, and may not occur.
    """
    if min_count < 1:
        raise ValueError(f"WordVectors.train: min_count={min_count} must be at least 1")
    if max_vocab is not None and max_vocab < 1:
        raise ValueError(f"WordVectors.train: max_vocab={max_vocab} must be at least 1")
    builder = _core.WordCorpusBuilder()
    if isinstance(corpus, str | os.PathLike):
        corpus = [Path(corpus)]
    if not isinstance(corpus, Iterable):
        raise TypeError(
            f"WordVectors.train: corpus is a {type(corpus).__name__}; pass a path, texts or "
            "lists of words"
        )
    items = iter(corpus)
    while some := list(islice(items, ITEMS_AT_ONCE)):
        _add_items(builder, some)
    built = builder.build(min_count, max_vocab or 0, list(first))
    if first and not built.counts.any():
        raise ValueError("WordVectors: the corpus has no word of the vocabulary")
    if not len(built.counts):
        raise ValueError(
            f"WordVectors.train: no word of the corpus occurs {min_count} times; lower min_count"
        )
    return built


def _add_items(builder: _core.WordCorpusBuilder, items: list[Any]) -> None:
    for item in items:
        if isinstance(item, str):
            builder.add_lines(item.encode())
        elif isinstance(item, os.PathLike):
            with open(item, "rb") as file:
                for part in _whole_lines(file):
                    builder.add_lines(part)
        elif isinstance(item, list | tuple):
            builder.add_sentences([item])
        else:
            raise TypeError(
                f"WordVectors.train: the corpus holds a {type(item).__name__}; pass strings, "
                "paths or lists of words"
            )


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """A file in parts that end with a line, or with a word where a line is longer than a part."""
    rest = b""
    while part := file.read(READ_AT_ONCE):
        part = rest + part
        end = part.rfind(b"\n") + 1 or part.rfind(b" ") + 1
        if not end:
            rest = part
            continue
        yield part[:end]
        rest = part[end:]
    if rest:
        yield rest


def decode_words(words: list[bytes]) -> list[str]:
    """Words of a corpus as text."""
    try:
        return [word.decode() for word in words]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"WordVectors.train: the corpus is not UTF-8: it has the word {error.object!r}"
        ) from None


def new_table(rows: int, dim: int) -> np.ndarray:
    """Zeros [rows, dim rounded up to 16], aligned as the kernels like it best."""
    stride = -(-dim // 16) * 16
    room = np.zeros(rows * stride + ALIGNMENT // 4, np.float32)
    skipped = -room.ctypes.data % ALIGNMENT // 4
    return room[skipped : skipped + rows * stride].reshape(rows, stride)


def run_epochs(
    trainer: Any,
    epochs: int,
    report: Callable[[TrainingProgress], Any] | None,
    after_step: Callable[[], None],
) -> None:
    """All that is left of the epochs from the trainer's place on, in steps of a fifth of a second,
    between which Ctrl-C is heard."""
    began, words = time.perf_counter(), trainer.words_before(trainer.chunks)
    begin, first = trainer.place
    before = passed = begin * words + trainer.words_before(first)
    step = SHARDS * max(1, _core.get_num_threads())
    for epoch in range(begin, epochs):
        loss, pairs = 0.0, 0
        while first < trainer.chunks:
            started = time.perf_counter()
            some, more_loss, more_pairs = trainer.run(
                epoch, first, min(first + step, trainer.chunks)
            )
            first += step
            passed, loss, pairs = passed + some, loss + more_loss, pairs + more_pairs
            now = time.perf_counter()
            if report:
                rate = (passed - before) / max(now - began, 1e-9)
                mean = loss / pairs if pairs else float("nan")
                report(TrainingProgress(epoch + 1, epochs, passed, epochs * words, rate, mean))
            if now - started < SECONDS_OF_A_STEP / 2:
                step *= 2
            after_step()
        first = 0


def print_progress(at: TrainingProgress, unit: str = "words") -> None:
    """One line on standard error, which the next call writes over; `unit` is what is counted."""
    share = at.words / max(at.total_words, 1)
    end = "\n" if at.words == at.total_words else ""
    print(
        f"\repoch {at.epoch} of {at.epochs}: {share:4.0%}, {at.words_per_second:,.0f} {unit}/s, "
        f"loss {at.loss:.4f}",
        end=end,
        file=sys.stderr,
    )
