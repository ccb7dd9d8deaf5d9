"""Vectors of words from their character n-grams, known words and unknown ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowbit import _core

WORDS_AT_ONCE = 1000


@dataclass(frozen=True)
class SubwordTable:
    """Rows of words and of buckets of n-grams (fastText; Bojanowski et al., 2017).

    The vector of a word is the mean of its own row, if it has one, and of the rows of its n-grams,
    of which those of buckets without a row are zero, or, where n-grams were pruned, left out.

    Attributes
    ----------
    word_rows
        float32 [words, dim].
    ngram_rows
        float32 [n, dim].
    buckets
        int32 [n]: of each row, rising.
    ngrams
        Shortest and longest n-gram, in characters; a word stands between < and >.
    bucket_count
        n-grams are hashed to so many buckets.
    pruned
        Whether a mean leaves n-grams out that have no row.
    """

    word_rows: np.ndarray
    ngram_rows: np.ndarray
    buckets: np.ndarray
    ngrams: tuple[int, int]
    bucket_count: int
    pruned: bool = False

    def known_vectors(self, words: list[str]) -> np.ndarray:
        """Vectors of the words that have rows, which `words` names, float32 [words, dim]."""
        subwords = _core.WordSubwords(words, *self.ngrams, self.bucket_count)
        table = np.concatenate([self.word_rows, self._rows_of(subwords.buckets)])
        rows, begin = subwords.rows, subwords.begin
        counted = np.ones(len(table), np.int64)
        if self.pruned:
            counted[len(words) :] = np.isin(subwords.buckets, self.buckets)
        vectors = np.empty_like(self.word_rows)
        for first in range(0, len(words), WORDS_AT_ONCE):
            starts = begin[first : first + WORDS_AT_ONCE + 1]
            some, starts = rows[starts[0] : starts[-1]], starts[:-1] - starts[0]
            sums = np.add.reduceat(table[some], starts, axis=0)
            numbers = np.add.reduceat(counted[some], starts)
            vectors[first : first + WORDS_AT_ONCE] = sums / numbers[:, None]
        return vectors

    def vector(self, word: str) -> np.ndarray:
        """The vector of a word without a row of its own, float32 [dim].

        Raises
        ------
        KeyError
            If no n-gram of it has a row.
        """
        found = _core.ngram_buckets(word, *self.ngrams, self.bucket_count)
        known = np.isin(found, self.buckets)
        if not known.any():
            raise KeyError(f"WordVectors: {word!r} is unknown, and so are its n-grams")
        counted = known.sum() if self.pruned else len(found)
        return self._rows_of(found).sum(axis=0) / np.float32(counted)

    def _rows_of(self, buckets: np.ndarray) -> np.ndarray:
        """Rows of some buckets, zeros where there are none."""
        place = np.searchsorted(self.buckets, buckets)
        place[place == len(self.buckets)] = 0
        known = self.buckets[place] == buckets if len(self.buckets) else np.zeros(len(place), bool)
        rows = np.zeros((len(buckets), self.word_rows.shape[1]), np.float32)
        rows[known] = self.ngram_rows[place[known]]
        return rows
