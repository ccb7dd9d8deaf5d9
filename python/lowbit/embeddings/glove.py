"""GloVe: pairs of words are counted, then their vectors are fitted to the counts."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial

import numpy as np

from lowbit import _core
from lowbit.embeddings.word_training import (
    LEARNING_RATE,
    SECONDS_OF_A_STEP,
    Progress,
    new_table,
    print_progress,
    run_epochs,
)
from lowbit.quantization.allocation import parse_size

WINDOW, EPOCHS = 15, 25


@dataclass(frozen=True)
class GloveOptions:
    """What GloVe alone has; names in brackets are those of its own program.

    Attributes
    ----------
    x_max, alpha
        A pair of words that was counted x times weighs min(1, (x / x_max) ** alpha). For corpora of
        some million words an x_max of 10 is usual.
    symmetric
        Words on both sides of a word are near it (-symmetric 1), or only those to its left.
    weighted
        Two words at distance d count 1 / d (-distance-weighting 1), or 1.
    grad_clip
        Elements of gradients are cut to this magnitude.
    plain_biases
        Steps of biases are not multiplied by the learning rate, nor cut, as in GloVe's program.
    vectors
        "sum" of both vectors of a word (-model 2), or the "word" vector alone (-model 1).
    memory
        Bytes, or a text such as "4GB", that counting may take beside the corpus, about. Beyond
        that, pairs go to a temporary file; what is counted and trained is the same, bit by bit.
    folder
        Where the temporary file lies, which has no name and ends with the training; None: the
        system's folder for such files.

    Examples
    --------
    >>> import lowbit as lb
    >>> lines = ["red green blue", "one two three"] * 50
    >>> options = GloveOptions(x_max=10, memory="100MB")
    >>> wv = lb.WordVectors.train(lines, "glove", dim=8, seed=1, glove=options)
    >>> wv.similarity("red", "green") > wv.similarity("red", "two")
    True
    """

    x_max: float = 100.0
    alpha: float = 0.75
    symmetric: bool = True
    weighted: bool = True
    grad_clip: float = 100.0
    plain_biases: bool = False
    vectors: str = "sum"
    memory: int | float | str = "4GB"
    folder: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if self.vectors not in ("sum", "word"):
            raise ValueError(
                f'GloveOptions: vectors="{self.vectors}" is not known; use "sum" or "word"'
            )
        self.memory_bytes()

    def memory_bytes(self) -> int:
        """`memory` as a number."""
        try:
            return parse_size(self.memory)
        except ValueError:
            raise ValueError(
                f"GloveOptions: memory={self.memory!r} is no size; use bytes, or a number with "
                "kB, MB, GB, KiB, MiB or GiB"
            ) from None


def start_table(words: int, dim: int, seed: int) -> np.ndarray:
    """Float32 [words, 4, stride]: w, c and their sums of squares, as the kernel has them.

    Vectors and biases are uniform in +-0.5 / (dim + 1). Behind the `dim` values w has a bias and a
    one, c a one and a bias: their product has both biases.
    """
    stride = -(-(dim + 2) // 16) * 16
    start = new_table(2 * words, dim + 1)
    _core.start_vectors(start, dim + 1, seed)
    start *= 0.5
    table = new_table(words, 4 * stride).reshape(words, 4, stride)
    table[:, 0, : dim + 1] = start[:words, : dim + 1]
    table[:, 0, dim + 1] = 1
    table[:, 1, :dim] = start[words:, :dim]
    table[:, 1, dim] = 1
    table[:, 1, dim + 1] = start[words:, dim]
    table[:, 2:] = 1
    return table


def count_pairs(
    corpus: _core.WordCorpus, dim: int, window: int, options: GloveOptions, file: int, show: bool
) -> _core.CooccurrenceCounter:
    """All pairs of a corpus, counted in steps of a fifth of a second, between which Ctrl-C is
    heard; `file` is the descriptor of a temporary file."""
    counter = _core.CooccurrenceCounter(
        corpus,
        bytes_of_word=16 * (-(-(dim + 2) // 16) * 16),
        window=window,
        symmetric=options.symmetric,
        weighted=options.weighted,
        memory=options.memory_bytes(),
        descriptor=file,
    )
    first, step = 0, max(1, _core.get_num_threads())
    while first < counter.chunks:
        started = time.perf_counter()
        counter.run(first, min(first + step, counter.chunks))
        first += step
        if show:
            print(f"\rcounting: {min(1, first / counter.chunks):4.0%}", end="", file=sys.stderr)
        if time.perf_counter() - started < SECONDS_OF_A_STEP / 2:
            step *= 2
    counter.finish()
    return counter


def train_glove(
    corpus: _core.WordCorpus,
    dim: int,
    window: int | None,
    epochs: int | None,
    lr: float | None,
    seed: int,
    progress: Progress,
    options: GloveOptions | None,
) -> np.ndarray:
    """Vectors of the words of a corpus, float32 [words, dim]; None: as GloVe's program."""
    window = WINDOW if window is None else window
    epochs = EPOCHS if epochs is None else epochs
    lr = LEARNING_RATE["glove"] if lr is None else lr
    options = options or GloveOptions()
    if not 1 <= dim <= 1 << 16:
        raise ValueError(f"WordVectors.train: dim={dim} must be between 1 and 65536")
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"WordVectors.train: seed={seed} must be between 0 and 2^64 - 1")
    if not 1 <= epochs <= 1_000_000:
        raise ValueError(f"WordVectors.train: epochs={epochs} must be between 1 and 1000000")
    words = len(corpus.counts)
    with tempfile.TemporaryFile(dir=options.folder) as file:
        show = progress is True
        counter = count_pairs(corpus, dim, window, options, file.fileno(), show)
        table = start_table(words, dim, seed)
        trainer = _core.GloveTrainer(
            counter,
            table.reshape(words, -1),
            dim=dim,
            lr=lr,
            x_max=options.x_max,
            alpha=options.alpha,
            grad_clip=options.grad_clip,
            plain_biases=options.plain_biases,
            seed=seed,
        )
        report = partial(print_progress, unit="pairs") if show else progress
        run_epochs(trainer, epochs, trainer.steps, report)
    vectors, contexts = table[:, 0, :dim], table[:, 1, :dim]
    return np.ascontiguousarray(vectors + contexts if options.vectors == "sum" else vectors)
