"""Going on with a training of word vectors: one that was broken off, or with another corpus."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np

from lowbit import _core
from lowbit.embeddings import word_training as training
from lowbit.embeddings.glove import GloveRun
from lowbit.embeddings.glove_settings import GloveOptions, GloveSettings
from lowbit.embeddings.subwords import SubwordTable
from lowbit.embeddings.word_runs import Trained, TrainedWords, TrainingRun, WordRun, checksum
from lowbit.embeddings.word_settings import TrainingSettings, TrainingState
from lowbit.embeddings.word_training import Progress


def new_run(
    corpus: _core.WordCorpus,
    words: list[str],
    settings: TrainingSettings | GloveSettings,
    dim: int,
    start: Trained | None = None,
    counts: np.ndarray | None = None,
) -> TrainingRun:
    """A training as its settings say, see `WordRun`."""
    kind = GloveRun if isinstance(settings, GloveSettings) else WordRun
    return kind(corpus, words, settings, dim, start, counts)


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
        run: TrainingRun,
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
        glove: GloveOptions | None = None,
        epochs: int | None = None,
    ) -> Self:
        """Go on with a training that was broken off, where it stopped.

        A deterministic training, one by GloVe, or one on one thread, ends with the same bits as if
        it had run in one go.

        Parameters
        ----------
        checkpoint
            The file of `WordVectors.train(..., checkpoint=...)` or `train_more`, which is written
            on.
        corpus
            The same as then, in any of the forms that `train` takes.
        progress, checkpoint_seconds
            As in `train`.
        glove
            For "glove", whose pairs are counted again: another `memory`, or the `folder`, which the
            file does not keep. Everything else must be as it was.
        epochs
            For "glove", whose learning rate does not know the end: so many in all, also if the
            training was at its end. The result has the bits of one that was begun with so many.

        Raises
        ------
        ValueError
            If the file has vectors but no training, or the corpus or `glove` is another one, or
            more `epochs` have been begun.
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

        More epochs of GloVe:

        >>> settings = {"method": "glove", "dim": 8, "seed": 1}
        >>> wv = WordVectors.train(lines, **settings, epochs=2, checkpoint=path)
        >>> more = WordVectors.resume(path, lines, epochs=4)
        >>> whole = WordVectors.train(lines, **settings, epochs=4)
        >>> more.vectors.tobytes() == whole.vectors.tobytes()
        True
        """
        wv = cls.load(checkpoint)
        state = wv._needed_state("resume")
        settings = state.settings
        if isinstance(settings, GloveSettings):
            settings = settings.for_resume(glove, epochs, state.epoch + (state.chunk > 0))
        elif glove is not None or epochs is not None:
            raise ValueError(
                f'WordVectors.resume: glove and epochs are for trainings by "glove" alone, this '
                f'one is by "{settings.method}"; leave them out, or use train_more'
            )
        if state.epoch == settings.epochs:
            return wv
        read = training.read_corpus(corpus, 1, len(wv.words), wv.words)
        if checksum(read) != state.corpus:
            other = "" if isinstance(settings, GloveSettings) else ", or use train_more"
            raise ValueError(
                f"WordVectors.resume: {os.fspath(checkpoint)} was trained on another corpus; pass "
                f"the same words in the same order{other}"
            )
        run = new_run(read, wv.words, settings, wv.vectors.shape[1], wv, wv.counts)
        run.go_to(state.epoch, state.chunk)
        del wv, state  # whose tables the run has copied
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
            `training=True` do not have; if GloVe trained them; if a tree of hierarchical softmax
            were to grow; for options out of their range.
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
        before = self._needed_state("train_more").settings
        if isinstance(before, GloveSettings):
            raise ValueError(
                "WordVectors.train_more: GloVe fits vectors to the counts of one corpus, to which "
                "those of another cannot be added; train on both corpora together, or for more "
                "epochs with the same use WordVectors.resume(..., epochs=...)"
            )
        settings = before.for_more(changed)
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
        run = new_run(read, words, settings, self.vectors.shape[1], self, counts)
        return self._finish(run, progress, checkpoint, checkpoint_seconds)

    def _needed_state(self, function: str) -> TrainingState:
        if self.training is None:
            raise ValueError(
                f"WordVectors.{function}: these vectors have no targets, which training needs; "
                'train has them, and save(..., training=True) writes them to ".safetensors"'
            )
        return self.training
