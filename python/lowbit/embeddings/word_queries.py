"""What a table of word vectors is asked: neighbours, analogies, tests of quality."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np

from lowbit.embeddings import word_evaluation as evaluation
from lowbit.embeddings.neighbours import NearestNeighbours
from lowbit.embeddings.word_search import top_rows, unit_rows

Neighbours = list[tuple[str, float]]
METHODS = ("3cosadd", "3cosmul")


class WordQueries(ABC):
    """Words and vectors that can be asked; use `WordVectors`."""

    words: list[str]
    vectors: np.ndarray
    _unit: np.ndarray | None = None
    _nearest: NearestNeighbours | None = None

    @abstractmethod
    def __getitem__(self, word: str | list[str]) -> np.ndarray:
        """The vectors of words."""

    @abstractmethod
    def __contains__(self, word: object) -> bool:
        """Whether a word has a row."""

    @abstractmethod
    def index(self, word: str) -> int:
        """The row of a word."""

    def unit_vectors(self) -> np.ndarray:
        """Vectors of length 1, float32 [len(self), dim]; computed once and kept."""
        if self._unit is None:
            self._unit = unit_rows(self.vectors)
        return self._unit

    def _neighbours(self) -> NearestNeighbours:
        """Over the unit vectors; made once and kept."""
        if self._nearest is None:
            self._nearest = NearestNeighbours(self.unit_vectors(), "dot")
        return self._nearest

    def similarity(self, a: str, b: str) -> float:
        """Cosine of the vectors of two words, in -1..1; 0 where one of them is zero.

        Raises
        ------
        KeyError
            If a word has no vector.
        """
        x, y = self[a].astype(np.float64), self[b].astype(np.float64)
        norms = np.linalg.norm(x) * np.linalg.norm(y)
        return float(x @ y / norms) if norms else 0.0

    def most_similar(
        self,
        positive: str | np.ndarray | Sequence[str | np.ndarray],
        negative: Sequence[str | np.ndarray] = (),
        top: int = 10,
        limit: int | None = None,
        among: Iterable[str] | None = None,
    ) -> Neighbours:
        """Words whose vectors point most nearly as a word's, or as a sum of several.

        Parameters
        ----------
        positive, negative
            Words or vectors [dim]. Those of length 1 of all are added and subtracted; the words
            are no answers.
        top
            How many answers.
        limit
            Only the first so many words, the most frequent ones, are answers.
        among
            Only these words are; those that have no row are left out.

        Returns
        -------
        list of (str, float)
            Words with their cosines, the highest first, equals in the order of the vocabulary.

        Raises
        ------
        KeyError
            If a word has no vector.

        Examples
        --------
        >>> from lowbit import WordVectors
        >>> wv = WordVectors(["up", "higher", "down"], [[0, 1], [1, 2], [0, -1]])
        >>> [(word, round(cosine, 3)) for word, cosine in wv.most_similar("up", top=2)]
        [('higher', 0.894), ('down', -1.0)]
        """
        if isinstance(positive, str) or getattr(positive, "ndim", 0) == 1:
            positive = [positive]
        if not len(positive) and not len(negative):
            raise ValueError("WordVectors.most_similar: pass a word or a vector")
        _check_top(top)
        asked = [*positive, *negative]
        given = unit_rows(np.stack([self[w] if isinstance(w, str) else w for w in asked]))
        signs = np.array([1] * len(positive) + [-1] * len(negative), np.float32)
        query = unit_rows((signs @ given)[None])
        banned = {self.index(w) for w in asked if isinstance(w, str) and w in self}
        _check_limit(limit)
        if among is None:
            found, scores = top_rows(query, self._neighbours(), top, [list(banned)], limit)
            return self._named(found[0], scores[0])
        allowed = {self.index(word) for word in among if word in self} - banned
        rows = np.array(sorted(row for row in allowed if limit is None or row < limit), np.int64)
        some = NearestNeighbours(self.unit_vectors()[rows], "dot")
        found, scores = top_rows(query, some, top)
        return self._named(rows[found[0]], scores[0])

    def analogy(
        self,
        a: str | Sequence[str],
        b: str | Sequence[str],
        c: str | Sequence[str],
        top: int = 1,
        method: str = "3cosadd",
        limit: int | None = None,
    ) -> Neighbours | list[Neighbours]:
        """a is to b as c is to what?

        Parameters
        ----------
        a, b, c
            Words; or as many words each, for many questions at once.
        top, limit
            As in `most_similar`; a, b and c are no answers.
        method
            "3cosadd": nearest to b - a + c of unit vectors. "3cosmul": the products of the cosines
            with b and c over that with a (Levy and Goldberg, 2014).

        Returns
        -------
        list of (str, float), or a list of these
            Answers to the question, or to each.

        Examples
        --------
        >>> from lowbit import WordVectors
        >>> words = ["man", "woman", "king", "queen", "apple"]
        >>> wv = WordVectors(words, [[1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]])
        >>> wv.analogy("man", "king", "woman")[0][0]
        'queen'
        >>> both = wv.analogy(["man", "king"], ["king", "man"], ["woman", "queen"])
        >>> [answers[0][0] for answers in both]
        ['queen', 'woman']
        """
        one = isinstance(a, str)
        questions = [[a], [b], [c]] if one else [list(a), list(b), list(c)]
        if (
            isinstance(b, str) != one
            or isinstance(c, str) != one
            or len(set(map(len, questions))) > 1
        ):
            raise ValueError("WordVectors.analogy: a, b and c must be three words, or as many each")
        if method not in METHODS:
            known = ", ".join(f'"{name}"' for name in METHODS)
            raise ValueError(f'WordVectors.analogy: method="{method}" is not known; use {known}')
        _check_top(top)
        rows = np.array([[self.index(w) for w in words] for words in questions], np.int64).T
        _check_limit(limit)
        found, scores = evaluation.answer(
            self.unit_vectors(), self._neighbours(), rows, top, method, limit
        )
        answers = [self._named(f, s) for f, s in zip(found, scores, strict=True)]
        return answers[0] if one else answers

    def evaluate_analogies(
        self,
        path: str | os.PathLike[str],
        limit: int | None = 300_000,
        method: str = "3cosadd",
        case_sensitive: bool = False,
    ) -> evaluation.AnalogyReport:
        """Share of analogies that are answered right, as word2vec's `compute-accuracy`.

        Parameters
        ----------
        path
            Lines of four words, a b c d, in sections that begin with a line ": name", as
            questions-words.txt.
        limit
            Only the first so many words take part; questions with others are left out.
        method
            As in `analogy`.
        case_sensitive
            False: words are compared in upper case, and of words that become equal the first
            takes part.

        Raises
        ------
        FileFormatError
            If the file is no such file.
        """
        if method not in METHODS:
            raise ValueError(f'WordVectors.evaluate_analogies: method="{method}" is not known')
        return evaluation.analogies(
            self.words[:limit], self.unit_vectors()[:limit], path, method, case_sensitive
        )

    def evaluate_word_pairs(
        self,
        path: str | os.PathLike[str],
        limit: int | None = 300_000,
        case_sensitive: bool = False,
    ) -> evaluation.PairsReport:
        """How well cosines follow people's judgement of pairs of words, as WordSim-353.

        Parameters
        ----------
        path
            Lines of two words and a number, with tabs between; lines that begin with "#" are
            comments.
        limit, case_sensitive
            As in `evaluate_analogies`.

        Raises
        ------
        FileFormatError
            If the file is no such file.
        """
        return evaluation.word_pairs(
            self.words[:limit], self.unit_vectors()[:limit], path, case_sensitive
        )

    def _named(self, rows: np.ndarray, scores: np.ndarray) -> Neighbours:
        pairs = zip(rows.tolist(), scores.tolist(), strict=True)
        return [(self.words[row], score) for row, score in pairs if score > -np.inf]


def _check_limit(limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise ValueError(f"WordVectors: limit={limit} must be at least 1")


def _check_top(top: int) -> None:
    if top < 1:
        raise ValueError(f"WordVectors: top={top} must be at least 1")
