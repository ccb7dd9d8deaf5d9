"""Tests of word vectors: analogies, and pairs of words that people have judged."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lowbit.embeddings.neighbours import NearestNeighbours
from lowbit.embeddings.word_search import top_quotients, top_rows
from lowbit.errors import FileFormatError
from lowbit.files.untrusted import read_bounded, shorten

LARGEST_FILE = 100_000_000  # bytes


@dataclass(frozen=True)
class AnalogyReport:
    """Answers to analogies.

    Attributes
    ----------
    sections
        Right answers and questions that were asked, by section.
    unknown
        Questions that were left out, since a word of them takes no part.
    """

    sections: dict[str, tuple[int, int]]
    unknown: int

    @property
    def correct(self) -> int:
        """Right answers of all sections."""
        return sum(right for right, _ in self.sections.values())

    @property
    def total(self) -> int:
        """Questions that were asked."""
        return sum(asked for _, asked in self.sections.values())

    @property
    def accuracy(self) -> float:
        """Share of the questions asked; NaN where there are none."""
        return self.correct / self.total if self.total else float("nan")


@dataclass(frozen=True)
class PairsReport:
    """Agreement with people.

    Attributes
    ----------
    pearson, spearman
        Correlations of the cosines with the judgements, of the values and of their ranks; NaN for
        fewer than two pairs, or where all are equal.
    pairs
        How many were compared.
    unknown
        Pairs that were left out, since a word of them takes no part.
    """

    pearson: float
    spearman: float
    pairs: int
    unknown: int


def answer(
    unit: np.ndarray,
    neighbours: NearestNeighbours,
    questions: np.ndarray,
    top: int,
    method: str,
    limit: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The best of the first `limit` rows of `unit`, for questions [B, 3] of rows."""
    parts, count = unit[questions], len(unit[:limit])
    banned = [[row for row in three if row < count] for three in questions.tolist()]
    if method == "3cosmul":
        return top_quotients(parts, unit[:limit], top, banned)
    queries = parts[:, 1] - parts[:, 0] + parts[:, 2]
    norms = np.linalg.norm(queries, axis=1, keepdims=True)
    queries = queries / np.where(norms > 0, norms, 1)
    return top_rows(queries, neighbours, top, banned, limit)


def analogies(
    words: list[str],
    unit: np.ndarray,
    path: str | os.PathLike[str],
    method: str,
    case_sensitive: bool,
) -> AnalogyReport:
    """See `WordVectors.evaluate_analogies`."""
    rows, unit = _folded(words, unit, case_sensitive)
    asked: list[list[int]] = []
    section_of: list[str] = []
    names: dict[str, None] = {}
    unknown = 0
    for section, question in _questions(path):
        names.setdefault(section)
        found = [rows.get(word if case_sensitive else word.upper()) for word in question]
        if None in found:
            unknown += 1
            continue
        asked.append(found)
        section_of.append(section)
    questions = np.array(asked, np.int64).reshape(-1, 4)
    best, _ = answer(unit, NearestNeighbours(unit, "dot"), questions[:, :3], 1, method)
    right = (best == questions[:, 3:]).all(axis=1) if len(unit) else np.zeros(0, bool)
    sections = dict.fromkeys(names, (0, 0))
    for name, good in zip(section_of, right.tolist(), strict=True):
        correct, total = sections[name]
        sections[name] = (correct + good, total + 1)
    return AnalogyReport(sections, unknown)


def word_pairs(
    words: list[str], unit: np.ndarray, path: str | os.PathLike[str], case_sensitive: bool
) -> PairsReport:
    """See `WordVectors.evaluate_word_pairs`."""
    rows, unit = _folded(words, unit, case_sensitive)
    judged, cosines, unknown = [], [], 0
    for a, b, judgement in _pairs(path):
        first, second = (rows.get(w if case_sensitive else w.upper()) for w in (a, b))
        if first is None or second is None:
            unknown += 1
            continue
        judged.append(judgement)
        cosines.append(float(unit[first].astype(np.float64) @ unit[second]))
    x, y = np.array(cosines), np.array(judged)
    return PairsReport(correlation(x, y), correlation(ranks(x), ranks(y)), len(x), unknown)


def _folded(
    words: list[str], unit: np.ndarray, case_sensitive: bool
) -> tuple[dict[str, int], np.ndarray]:
    """Row of each word, in upper case unless case counts; and the rows of the first of equals."""
    if case_sensitive:
        return {word: i for i, word in enumerate(words)}, unit
    first: dict[str, int] = {}
    for i, word in enumerate(words):
        first.setdefault(word.upper(), i)
    if len(first) < len(words):
        unit = unit[list(first.values())]
    return {word: i for i, word in enumerate(first)}, unit


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs.

    Examples
    --------
    >>> ranks(np.array([5.0, 1.0, 5.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, where, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[where]


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's; NaN where it has no meaning."""
    if len(x) < 2:
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    norms = np.linalg.norm(x) * np.linalg.norm(y)
    return float(x @ y / norms) if norms else float("nan")


def _lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    data = read_bounded(path, LARGEST_FILE)
    for number, line in enumerate(data.split(b"\n"), 1):
        try:
            text = line.decode().strip()
        except UnicodeDecodeError:
            raise FileFormatError(f"{path}, line {number}: not UTF-8") from None
        if text:
            yield number, text


def _questions(path: str | os.PathLike[str]) -> Iterator[tuple[str, list[str]]]:
    section = None
    for number, line in _lines(path):
        if line.startswith(":"):
            section = line[1:].strip()
            continue
        words = line.split()
        if len(words) != 4 or section is None:
            rule = "a line of four words" if section is not None else 'a section, ": name", first'
            raise FileFormatError(f"{path}, line {number}: expected {rule}; got {shorten(line)}")
        yield section, words


def _pairs(path: str | os.PathLike[str]) -> Iterator[tuple[str, str, float]]:
    for number, line in _lines(path):
        if line.startswith("#"):
            continue
        parts = line.split("\t")
        try:
            a, b, judgement = parts[0].strip(), parts[1].strip(), float(parts[2])
        except (IndexError, ValueError):
            a, b, judgement = "", "", float("nan")
        if not a or not b or not np.isfinite(judgement):
            raise FileFormatError(
                f"{path}, line {number}: expected two words and a number with tabs between; got "
                f"{shorten(line)}"
            )
        yield a, b, judgement
