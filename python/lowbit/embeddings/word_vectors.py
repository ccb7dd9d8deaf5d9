"""Vectors of words: trained, looked up, compared, saved."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from lowbit.arrays import as_float32
from lowbit.embeddings.continued_training import ContinuedTraining, new_run
from lowbit.embeddings.glove_settings import GloveOptions, GloveSettings
from lowbit.embeddings.subwords import SubwordTable
from lowbit.embeddings.word_queries import WordQueries
from lowbit.embeddings.word_settings import TrainingSettings, TrainingState
from lowbit.embeddings.word_training import METHODS, Progress, decode_words, read_corpus


class WordVectors(ContinuedTraining, WordQueries):
    """A table with a row for each word.

    Parameters
    ----------
    words
        Each once.
    vectors
        Floats [len(words), dim]; float32 is not copied.
    counts
        How often each word occurs, if that is known.
    subwords
        Where vectors of unknown words come from, if there is anything.
    training
        What going on with their training needs, if that is there.

    Attributes
    ----------
    words : list of str
    vectors : float32 [len(words), dim]
    counts : int64 [len(words)] or None
    subwords : SubwordTable or None
    training : TrainingState or None
        Holds the other table of the training, as large as the vectors, of GloVe four times as
        large and a little more; set it to None to free it.

    Raises
    ------
    ValueError
        If there are not as many rows as words, or a word comes twice.

    Examples
    --------
    >>> wv = WordVectors(["up", "down"], np.array([[1.0, 2.0], [-1.0, -2.0]]))
    >>> wv["down"].tolist(), "left" in wv, len(wv), wv.dim
    ([-1.0, -2.0], False, 2, 2)
    """

    def __init__(
        self,
        words: Iterable[str],
        vectors: Any,
        counts: Any = None,
        subwords: SubwordTable | None = None,
        training: TrainingState | None = None,
    ) -> None:
        self.words = list(words)
        self.vectors = as_float32(vectors, "WordVectors", "vectors", ndim=2)
        if len(self.words) != len(self.vectors):
            raise ValueError(
                f"WordVectors: {len(self.words)} words have {len(self.vectors)} vectors"
            )
        self.subwords, self.training = subwords, training
        self._index = {word: i for i, word in enumerate(self.words)}
        if len(self._index) != len(self.words):
            twice = next(word for i, word in enumerate(self.words) if self._index[word] != i)
            raise ValueError(f"WordVectors: the word {twice!r} comes twice")
        self.counts = None if counts is None else np.ascontiguousarray(counts, np.int64)
        if self.counts is not None and self.counts.shape != (len(self.words),):
            raise ValueError(
                f"WordVectors: counts have shape {self.counts.shape}, expected ({len(self.words)},)"
            )

    @classmethod
    def train(
        cls,
        corpus: str | os.PathLike[str] | Iterable[Any],
        method: str = "skipgram",
        dim: int = 100,
        *,
        loss: str = "negative_sampling",
        window: int | None = None,
        negative: int = 5,
        min_count: int = 5,
        max_vocab: int | None = None,
        sample: float = 1e-3,
        ns_exponent: float = 0.75,
        epochs: int | None = None,
        lr: float | None = None,
        min_lr: float = 1e-4,
        cbow_gradient: str = "word2vec",
        ngrams: tuple[int, int] = (3, 6),
        buckets: int = 2_000_000,
        glove: GloveOptions | None = None,
        seed: int = 0,
        deterministic: bool = False,
        progress: Progress = False,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_seconds: float = 600.0,
    ) -> WordVectors:
        """Learn vectors: word2vec (Mikolov et al., 2013), fastText, or GloVe.

        The corpus is read once and kept as 4 bytes a word. Windows do not reach over the end of a
        sentence; one of more than 1,000 words is cut.

        Parameters
        ----------
        corpus
            One path, or any number of texts (str), files (pathlib.Path) and sentences that are
            lists of words. A line of a text or file is a sentence, and ASCII white space separates
            its words, which are taken as they are: lower their case and cut off punctuation first,
            or pass what a tokenizer makes.
        method
            "skipgram": every word of a window predicts the word in its middle. "cbow": their mean
            does; faster, and worse for rare words. "fasttext": skip-gram with the mean of a word
            and its character n-grams (Bojanowski et al., 2017), which give unknown words vectors.
            "fasttext_cbow": CBOW with the mean of all words of a window and their n-grams. "glove":
            pairs of words are counted first, and vectors fitted to the logarithms of the counts
            (Pennington et al., 2014).
        dim
            Length of a vector.
        loss
            "negative_sampling": the right word against random ones. "hierarchical_softmax": against
            all others, by the choices on its path in a Huffman tree of the vocabulary (Morin and
            Bengio, 2005).
        window
            Words on either side at most; every centre draws a reach from 1 to `window`, but GloVe
            counts all. None: 5, for GloVe 15.
        negative
            Random words for every centre. All words of a window share them. Hierarchical softmax
            has none.
        min_count, max_vocab
            Rarer words are left out before windows are made; and all but so many of the others.
        sample
            Words of a larger share of the corpus than about this are dropped at random, the more
            frequent the more; 0 drops none.
        ns_exponent
            Negatives are drawn in proportion to count ** ns_exponent.
        epochs
            Passes over the corpus, or over GloVe's pairs. None: 5, for GloVe 25.
        lr, min_lr
            The learning rate falls from one to the other. lr=None: 0.025 for skip-gram, 0.05 for
            the others. GloVe's, which is AdaGrad's, stays as it is.
        cbow_gradient
            "word2vec": each word of a window gets the gradient of the mean, as in word2vec and
            gensim. "mean": it gets its share of that, the derivative of the loss, and learns more
            slowly; a higher `lr` makes up for a part.
        ngrams, buckets
            For fastText: shortest and longest n-gram, in characters; n-grams are hashed to so
            many buckets, of which those that a word of the corpus has get a row.
        glove
            For "glove": everything else, among it a bound for the memory.
        seed
            Of every random choice.
        deterministic
            The same bits on any number of threads and instruction set, as GloVe always has. Without
            it threads write to the same rows as they come, which is faster, and one thread alone
            repeats itself.
        progress
            Print how far it is to standard error; or a function that gets a `TrainingProgress`
            about five times a second. What it raises ends the training.
        checkpoint, checkpoint_seconds
            A .safetensors file that is written about every so many seconds, when something ends the
            training, as Ctrl-C does, and at the end. `WordVectors.resume` goes on with it.

        Raises
        ------
        ValueError
            For an option out of its range, or a corpus without a word that is frequent enough.

        Examples
        --------
        >>> lines = ["red green blue", "one two three"] * 50
        >>> wv = WordVectors.train(lines, dim=8, epochs=20, sample=0, seed=1, deterministic=True)
        >>> wv.similarity("red", "green") > wv.similarity("red", "two")
        True
        """
        if method not in METHODS:
            known = ", ".join(f'"{name}"' for name in METHODS)
            raise ValueError(f'WordVectors.train: method="{method}" is not known; use {known}')
        given = {"window": window, "epochs": epochs, "lr": lr, "seed": seed}
        given = {name: value for name, value in given.items() if value is not None}
        if method == "glove":
            settings = GloveSettings(**given, options=glove or GloveOptions())
        else:
            settings = TrainingSettings(
                method=method,
                loss=loss,
                negative=negative,
                min_count=min_count,
                max_vocab=max_vocab,
                sample=sample,
                ns_exponent=ns_exponent,
                min_lr=min_lr,
                cbow_gradient=cbow_gradient,
                ngrams=tuple(ngrams),
                buckets=buckets,
                deterministic=deterministic,
                **given,
            )
        read = read_corpus(corpus, min_count, max_vocab)
        run = new_run(read, decode_words(read.words), settings, dim)
        return cls._finish(run, progress, checkpoint, checkpoint_seconds)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        format: str | None = None,
        *,
        errors: str = "strict",
        limit: int | None = None,
        mmap: bool = False,
    ) -> WordVectors:
        """Read word2vec's, GloVe's, fastText's or gensim's files, or safetensors.

        Parameters
        ----------
        path, format
            A file; None: what its first bytes say, or "text", "binary", "safetensors", "fasttext";
            "gensim" for what its KeyedVectors and models save.
        errors
            For bytes of words that are not UTF-8: "strict", "replace" or "ignore".
        limit
            Read only the first so many words.
        mmap
            For safetensors: leave the vectors in the file; processes share them. For fastText's
            .bin: leave those of n-grams there. For gensim's files: arrays beside the pickle.

        Raises
        ------
        FileFormatError
            If the file is broken.
        """
        from lowbit.files.word_vector_files import read_word_vectors

        return cls(*read_word_vectors(path, format, errors, limit, mmap))

    def save(
        self,
        path: str | os.PathLike[str],
        format: str | None = None,
        *,
        training: bool = False,
    ) -> None:
        """Write a file, atomically; format=None goes by the suffix.

        ".safetensors" keeps any word, and the counts; ".bin" is word2vec's binary format, ".txt"
        and ".vec" its text; format="glove" is text without the first line. format="fasttext" is
        fastText's .bin, which keeps what unknown words need.

        With `training`, which .safetensors alone can hold, the targets and settings of the training
        are written, too, for `train_more` and `resume`, and the n-grams of fastText: a file of
        twice the size, of GloVe five times.

        Raises
        ------
        ValueError
            If the suffix says nothing, a word with white space is to go into another format than
            safetensors, or `training` is to go into one or is not there.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "vectors.bin"
        >>> WordVectors(["a", "b"], np.eye(2)).save(path)
        >>> WordVectors.load(path)["b"].tolist()
        [0.0, 1.0]
        """
        from lowbit.files.word_vector_files import WordTable, write_word_vectors

        state = self._needed_state("save") if training else None
        table = WordTable(self.words, self.vectors, self.counts, self.subwords, state)
        write_word_vectors(path, table, format)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.vectors.shape[1]

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._index

    def __iter__(self) -> Iterator[str]:
        return iter(self.words)

    def __getitem__(self, word: str | list[str]) -> np.ndarray:
        """The vector of a word [dim], or of each of a list of words [len(word), dim]; a copy.

        Raises
        ------
        KeyError
            If it is not in the vocabulary, and has no n-grams with vectors.
        """
        if not isinstance(word, str):
            return np.stack([self[one] for one in word])
        if self.subwords is not None and word not in self._index:
            return self.subwords.vector(word)
        return self.vectors[self.index(word)].copy()

    def index(self, word: str) -> int:
        """The row of a word; KeyError if it has none."""
        try:
            return self._index[word]
        except KeyError:
            raise KeyError(f"WordVectors: the word {word!r} is not in the vocabulary") from None

    def get(self, word: str, default: Any = None) -> Any:
        """The vector of a word [dim], or `default` if it has none."""
        try:
            return self[word]
        except KeyError:
            return default

    def restrict(self, words: Iterable[str] | int) -> WordVectors:
        """Only these words, in their order, or the first so many; without subwords.

        Raises
        ------
        KeyError
            If a word is not in the vocabulary.

        Examples
        --------
        >>> WordVectors(["a", "b", "c"], np.eye(3)).restrict(["c", "a"]).words
        ['c', 'a']
        """
        if isinstance(words, int):
            words = self.words[:words]
        rows = [self.index(word) for word in words]
        counts = None if self.counts is None else self.counts[rows]
        return WordVectors([self.words[row] for row in rows], self.vectors[rows], counts)

    def normalized(self) -> WordVectors:
        """The same words with vectors of length 1; zero vectors stay zero."""
        return WordVectors(self.words, self.unit_vectors(), self.counts)

    def pca(self, dim: int) -> WordVectors:
        """The same words with the `dim` principal components of their vectors, the largest first.

        The mean vector is subtracted first. Directions are those of the covariance's eigenvectors,
        signed so that the value of the largest magnitude in each is positive.

        Examples
        --------
        >>> wv = WordVectors(["a", "b", "c"], [[0.0, 3.0], [0.0, 1.0], [0.0, -4.0]])
        >>> wv.pca(1).vectors.round(4).tolist()
        [[3.0], [1.0], [-4.0]]
        """
        if not 1 <= dim <= self.dim:
            raise ValueError(f"WordVectors.pca: dim={dim} must be between 1 and {self.dim}")
        x = self.vectors.astype(np.float64)
        x -= x.mean(axis=0)
        _, directions = np.linalg.eigh(x.T @ x)
        chosen = directions[:, ::-1][:, :dim]
        signs = np.sign(np.take_along_axis(chosen, abs(chosen).argmax(axis=0)[None], axis=0))
        return WordVectors(self.words, x @ (chosen * signs), self.counts)

    def __repr__(self) -> str:
        return f"WordVectors({len(self)} words, {self.dim} values each)"
