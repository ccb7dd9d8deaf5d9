"""A training of word vectors at work: its tables, its place in the corpus, its checkpoints."""

from __future__ import annotations

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from lowbit import _core
from lowbit.embeddings.glove_settings import GloveSettings
from lowbit.embeddings.subwords import SubwordTable
from lowbit.embeddings.word_settings import TrainingSettings, TrainingState
from lowbit.embeddings.word_training import Progress, new_table, print_progress, run_epochs


class TrainedWords(NamedTuple):
    """The arguments of `WordVectors`."""

    words: list[str]
    vectors: np.ndarray
    counts: np.ndarray | None
    subwords: SubwordTable | None
    training: TrainingState | None


class Trained(Protocol):
    """Vectors that a run begins with: `WordVectors`."""

    words: list[str]
    vectors: np.ndarray
    counts: np.ndarray | None
    subwords: SubwordTable | None
    training: TrainingState | None


class TrainingRun(ABC):
    """A training that can stop between two chunks of its corpus and go on there.

    Parameters
    ----------
    corpus
        As it was read.
    words
        Of the corpus.
    settings
        Checked by the kernels' trainer.
    dim
        Length of a vector.
    counts
        What becomes of `WordVectors.counts`; None: those of the corpus.
    """

    unit = "words"  # which progress counts
    trainer: Any  # of the kernels

    def __init__(
        self,
        corpus: _core.WordCorpus,
        words: list[str],
        settings: TrainingSettings | GloveSettings,
        dim: int,
        counts: np.ndarray | None,
    ) -> None:
        if not 1 <= dim <= 1 << 16:
            raise ValueError(f"WordVectors.train: dim={dim} must be between 1 and 65536")
        self.corpus, self.words, self.settings, self.dim = corpus, words, settings, dim
        self.counts = corpus.counts if counts is None else counts

    @abstractmethod
    def result(self) -> TrainedWords:
        """What has been trained by now."""

    def run(
        self,
        progress: Progress = False,
        save: Callable[[TrainedWords], None] | None = None,
        seconds: float = 600.0,
    ) -> None:
        """All that is left.

        `save` gets the vectors about every so many seconds, at the end, and when something is
        raised.
        """
        saved = time.perf_counter()

        def after_step() -> None:
            nonlocal saved
            if save is not None and time.perf_counter() - saved > seconds:
                save(self.result())
                saved = time.perf_counter()

        report = progress if callable(progress) else None
        if report is None and progress:
            report = partial(print_progress, unit=self.unit)
        try:
            run_epochs(self.trainer, self.settings.epochs, report, after_step)
        except BaseException:
            # What an error of the kernels broke off has no place.
            if save is not None and self.trainer.place is not None:
                save(self.result())
            raise
        if save is not None:
            save(self.result())

    def go_to(self, epoch: int, chunk: int) -> None:
        """The place where a training was broken off."""
        if epoch < self.settings.epochs:
            self.trainer.go_to(epoch, chunk)

    def state(self, targets: np.ndarray, tree_counts: np.ndarray | None = None) -> TrainingState:
        """What going on at this place needs."""
        epoch, chunk = self.trainer.place
        ended = epoch == self.settings.epochs and not self.settings.may_go_on
        corpus = "" if ended else checksum(self.corpus)
        return TrainingState(self.settings, targets, tree_counts, epoch, chunk, corpus)


class WordRun(TrainingRun):
    """By word2vec or fastText.

    Parameters
    ----------
    start
        Vectors of the first words, with their targets, instead of random ones.
    """

    def __init__(
        self,
        corpus: _core.WordCorpus,
        words: list[str],
        settings: TrainingSettings,
        dim: int,
        start: Trained | None = None,
        counts: np.ndarray | None = None,
    ) -> None:
        super().__init__(corpus, words, settings, dim, counts)
        state = None if start is None else start.training
        self.subwords = None
        if settings.has_subwords:
            self.subwords = _core.WordSubwords(words, *settings.ngrams, settings.buckets)
        self.tree_counts = tree = None
        if settings.has_tree:
            self.tree_counts = corpus.counts if state is None else state.tree_counts
            tree = _core.WordTree(self.tree_counts)
        buckets = 0 if self.subwords is None else len(self.subwords.buckets)
        self.inputs = new_table(len(words) + buckets, dim)
        self.targets = new_table(len(words) - settings.has_tree, dim)
        _core.start_vectors(self.inputs, dim, settings.seed)
        if start is not None:
            self._take(start)
        self.trainer = _core.WordTrainer(
            corpus, self.subwords, self.inputs, self.targets, **settings.kernel_options(), tree=tree
        )

    def _take(self, start: Trained) -> None:
        """Rows that have been trained."""
        count, parts = len(start.words), start.subwords
        if parts is None:
            self.inputs[:count, : self.dim] = start.vectors
        else:
            self.inputs[:count, : self.dim] = parts.word_rows
            ours, theirs = np.isin(self.subwords.buckets, parts.buckets), parts.buckets
            rows = len(self.words) + np.flatnonzero(ours)
            kept = np.searchsorted(theirs, self.subwords.buckets[ours])
            self.inputs[rows, : self.dim] = parts.ngram_rows[kept]
        targets = start.training.targets
        self.targets[: len(targets), : self.dim] = targets

    def result(self) -> TrainedWords:
        count = len(self.words)
        vectors = np.ascontiguousarray(self.inputs[:count, : self.dim])
        targets = np.ascontiguousarray(self.targets[:, : self.dim])
        state = self.state(targets, self.tree_counts)
        if self.subwords is None:
            return TrainedWords(self.words, vectors, self.counts, None, state)
        rows = np.ascontiguousarray(self.inputs[count:, : self.dim])
        settings = self.settings
        parts = SubwordTable(
            vectors, rows, self.subwords.buckets, tuple(settings.ngrams), settings.buckets
        )
        return TrainedWords(self.words, parts.known_vectors(self.words), self.counts, parts, state)


def checksum(corpus: _core.WordCorpus) -> str:
    """Of its numbered words and where sentences begin."""
    found = hashlib.blake2b(digest_size=16)
    found.update(corpus.tokens)
    found.update(corpus.sentence_begin)
    return found.hexdigest()
