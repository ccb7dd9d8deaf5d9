"""GloVe: pairs of words are counted, then their vectors are fitted to the counts."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np

from lowbit import _core
from lowbit.embeddings.glove_settings import COLUMNS, GloveOptions, GloveSettings
from lowbit.embeddings.word_runs import Trained, TrainedWords, TrainingRun
from lowbit.embeddings.word_training import SECONDS_OF_A_STEP, Progress, new_table


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


class GloveRun(TrainingRun):
    """By GloVe. Pairs are counted when it begins, anew where it goes on: the same ones.

    Parameters
    ----------
    start
        Words with their table, instead of random ones.
    """

    unit = "pairs"

    def __init__(
        self,
        corpus: _core.WordCorpus,
        words: list[str],
        settings: GloveSettings,
        dim: int,
        start: Trained | None = None,
        counts: np.ndarray | None = None,
    ) -> None:
        super().__init__(corpus, words, settings, dim, counts)
        self.table = start_table(len(words), dim, settings.seed)
        if start is not None:
            self.table[:, :, : dim + COLUMNS] = start.training.targets
        self.begin = (0, 0)

    def go_to(self, epoch: int, chunk: int) -> None:
        """The place where a training was broken off."""
        self.begin = (epoch, chunk)

    def run(
        self,
        progress: Progress = False,
        save: Callable[[TrainedWords], None] | None = None,
        seconds: float = 600.0,
    ) -> None:
        """All that is left; see `TrainingRun`."""
        settings, shown = self.settings, bool(progress) and not callable(progress)
        with tempfile.TemporaryFile(dir=settings.options.folder) as file:
            counter = count_pairs(
                self.corpus, self.dim, settings.window, settings.options, file.fileno(), shown
            )
            table = self.table.reshape(len(self.table), -1)
            self.trainer = _core.GloveTrainer(
                counter, table, dim=self.dim, **settings.kernel_options()
            )
            self.trainer.go_to(*self.begin)
            super().run(progress, save, seconds)

    def result(self) -> TrainedWords:
        """What has been trained by now; its targets are a view of the table."""
        vectors, contexts = self.table[:, 0, : self.dim], self.table[:, 1, : self.dim]
        both = self.settings.options.vectors == "sum"
        chosen = np.ascontiguousarray(vectors + contexts if both else vectors)
        state = self.state(self.table[:, :, : self.dim + COLUMNS])
        return TrainedWords(self.words, chosen, self.counts, None, state)
