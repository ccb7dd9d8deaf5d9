"""Going on with a training of word vectors: one that was broken off, or with another corpus."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np

from lowbit.embeddings import word_training as training
from lowbit.embeddings.subwords import SubwordTable
from lowbit.embeddings.word_runs import TrainedWords, WordRun, checksum
from lowbit.embeddings.word_settings import TrainingState
from lowbit.embeddings.word_training import Progress


class ContinuedTraining(ABC):
    """Vectors that may have what their training needs to go on; use `WordVectors`."""

    words: list[str]
    vectors: np.ndarray
    counts: np.ndarray | None
    subwords: SubwordTable | None
    training: TrainingState | None

    @classmethod
    @abstractmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file."""

    @classmethod
    def _finish(
        cls,
        run: WordRun,
        progress: Progress,
        checkpoint: str | os.PathLike[str] | None,
        checkpoint_seconds: float,
    ) -> Self:
        """What is left of a run; its vectors."""
        if not checkpoint_seconds >= 0:
            raise ValueError(
                f"WordVectors.train: checkpoint_seconds={checkpoint_seconds} must not be negative"
            )
        if checkpoint is not None and not Path(checkpoint).parent.is_dir():
            raise FileNotFoundError(
                f"WordVectors.train: the folder of checkpoint={os.fspath(checkpoint)} is not there"
            )

        def save(result: TrainedWords) -> None:
            cls(*result).save(checkpoint, "safetensors", training=True)

        run.run(progress, None if checkpoint is None else save, checkpoint_seconds)
        return cls(*run.result())

    @classmethod
    def resume(
        cls,
        checkpoint: str | os.PathLike[str],
        corpus: str | os.PathLike[str] | Iterable[Any],
        *,
        progress: Progress = False,
        checkpoint_seconds: float = 600.0,
    ) -> Self:
        """Go on with a training that was broken off, where it stopped.

        A deterministic training, or one on one thread, ends with the same bits as if it had run in
        one go.

        Parameters
        ----------
        checkpoint
            The file of `WordVectors.train(..., checkpoint=...)` or `train_more`, which is written
            on.
        corpus
            The same as then, in any of the forms that `train` takes.
        progress, checkpoint_seconds
            As in `train`.

        Raises
        ------
        ValueError
            If the file has vectors but no training, or the corpus is another one.
        FileFormatError
            If the file is broken.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> from lowbit import WordVectors
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "run.safetensors"
        >>> lines, settings = ["red green blue"] * 2000, {"dim": 8, "sample": 0, "seed": 1}
        >>> def stop(at):
        ...     raise KeyboardInterrupt
        >>> try:
        ...     WordVectors.train(lines, **settings, checkpoint=path, progress=stop)
        ... except KeyboardInterrupt:
        ...     wv = WordVectors.resume(path, lines)
        >>> wv.words
        ['blue', 'green', 'red']
        """
        wv = cls.load(checkpoint)
        state = wv._needed_state("resume")
        if state.epoch == state.settings.epochs:
            return wv
        read = training.read_corpus(corpus, 1, len(wv.words), wv.words)
        if checksum(read) != state.corpus:
            raise ValueError(
                f"WordVectors.resume: {os.fspath(checkpoint)} was trained on another corpus; pass "
                "the same words in the same order, or use train_more"
            )
        run = WordRun(read, wv.words, state.settings, wv.vectors.shape[1], wv, wv.counts)
        run.go_to(state.epoch, state.chunk)
        return cls._finish(run, progress, checkpoint, checkpoint_seconds)

    def train_more(
        self,
        corpus: str | os.PathLike[str] | Iterable[Any],
        *,
        grow: bool = False,
        progress: Progress = False,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_seconds: float = 600.0,
        **changed: Any,
    ) -> Self:
        """Train these vectors on another corpus; the result is a new table.

        Words keep their rows and begin with their vectors and targets. Which words are dropped or
        drawn as negatives is what this corpus's counts say; a word that it does not have stays as
        it is (in fastText its n-grams may move). The learning rate begins anew: a lower `lr` keeps
        more of what has been learned.

        Parameters
        ----------
        corpus
            As for `train`.
        grow
            Whether words that are new, and occur `min_count` times, get rows behind the others,
            which begin as those of `train` do.
        progress, checkpoint, checkpoint_seconds
            As in `train`.
        **changed
            Parameters of `train` that are to be others than those of the training before: window,
            negative, min_count, max_vocab (of old and new words; by default there is no limit),
            sample, ns_exponent, epochs, lr, min_lr, cbow_gradient, deterministic, seed (by default
            the next).

        Returns
        -------
        WordVectors
            With the sum of the counts.

        Raises
        ------
        ValueError
            If there are no targets, which files of other formats and files that were saved without
            `training=True` do not have; if a tree of hierarchical softmax were to grow; for options
            out of their range.
        TypeError
            If another parameter is to change.

        Examples
        --------
        >>> from lowbit import WordVectors
        >>> wv = WordVectors.train(["red green blue"] * 50, dim=8, sample=0)
        >>> more = wv.train_more(["red violet blue"] * 50, grow=True, epochs=2)
        >>> more.words, more.counts.tolist()
        (['blue', 'green', 'red', 'violet'], [100, 50, 100, 50])
        """
        state = self._needed_state("train_more")
        settings = state.settings.for_more(changed)
        if grow and settings.has_tree:
            raise ValueError(
                "WordVectors.train_more: a tree of hierarchical softmax has no room for new words; "
                "pass grow=False, or train with negative sampling"
            )
        most = settings.max_vocab if grow else len(self.words)
        if most is not None and most < len(self.words):
            raise ValueError(
                f"WordVectors.train_more: max_vocab={most} is below the {len(self.words)} words "
                "that are there"
            )
        read = training.read_corpus(corpus, settings.min_count, most, self.words)
        words = training.decode_words(read.words)
        counts = read.counts
        if self.counts is not None:
            counts[: len(self.words)] += self.counts
        run = WordRun(read, words, settings, self.vectors.shape[1], self, counts)
        return self._finish(run, progress, checkpoint, checkpoint_seconds)

    def _needed_state(self, function: str) -> TrainingState:
        if self.training is None:
            raise ValueError(
                f"WordVectors.{function}: these vectors have no targets, which training needs; "
                'train has them, and save(..., training=True) writes them to ".safetensors"'
            )
        return self.training
