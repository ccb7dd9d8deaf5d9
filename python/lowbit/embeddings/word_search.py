"""The words that answer questions to a table of word vectors, many questions at a time."""

from __future__ import annotations

import numpy as np

from lowbit import _core
from lowbit.embeddings.neighbours import NearestNeighbours

QUESTIONS_AT_ONCE = 128


def unit_rows(table: np.ndarray) -> np.ndarray:
    """Rows divided by their length, float32; zero rows stay zero.

    Examples
    --------
    >>> unit_rows(np.array([[0.0, -4.0], [0.0, 0.0]])).tolist()
    [[0.0, -1.0], [0.0, 0.0]]
    """
    table = np.asarray(table, np.float32)
    norms = np.sqrt(np.einsum("ij,ij->i", table, table, dtype=np.float64))
    return (table / np.where(norms > 0, norms, 1)[:, None]).astype(np.float32)


def top_rows(
    queries: np.ndarray,
    neighbours: NearestNeighbours,
    top: int,
    left_out: list[list[int]] | None = None,
    limit: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """For every query the `top` nearest rows that are not left out, equals in the order of rows.

    Parameters
    ----------
    queries
        Vectors [B, dim].
    neighbours
        Over rows [V, dim]; highest scores first.
    left_out
        For every query rows that are no answer.
    limit
        Only the first so many rows are answers; None for all.

    Returns
    -------
    rows, scores
        int64 and float32 [B, min(top, rows)]; rows that are no answer come last, with a score of
        -inf.

    Examples
    --------
    >>> neighbours = NearestNeighbours(np.eye(3, 2), "dot")
    >>> rows, scores = top_rows(np.eye(1, 2), neighbours, 2, [[1]])
    >>> rows.tolist(), scores.tolist()
    ([[0, 2]], [[1.0, 0.0]])
    """
    count = len(neighbours) if limit is None else min(limit, len(neighbours))
    top = min(top, count)
    if top == 0:
        return np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
    banned = _rectangle(left_out or [[]] * len(queries))
    k = min(top + banned.shape[1], count)
    scores, rows = neighbours.search(queries, k, limit=count)
    no_answer = (rows[:, :, None] == banned[:, None, :]).any(axis=2)
    order = np.argsort(no_answer, axis=1, kind="stable")[:, :top]
    scores = np.where(no_answer, np.float32(-np.inf), scores)
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)


def _rectangle(lists: list[list[int]]) -> np.ndarray:
    """Lists of rows as int64 [B, longest], filled up with -1."""
    out = np.full((len(lists), max(map(len, lists), default=0)), -1, np.int64)
    for row, values in zip(out, lists, strict=True):
        row[: len(values)] = values
    return out


def top_quotients(
    questions: np.ndarray, unit: np.ndarray, top: int, left_out: list[list[int]]
) -> tuple[np.ndarray, np.ndarray]:
    """The same as `top_rows` by 3CosMul (Levy and Goldberg, 2014).

    Parameters
    ----------
    questions
        Unit vectors [B, 3, dim] of a, b and c, whose scores are
        (b + 1) / 2 * (c + 1) / 2 / ((a + 1) / 2 + .001) of their dot products.
    unit
        Rows [V, dim].
    """
    top = min(top, len(unit))
    rows = np.empty((len(questions), top), np.int64)
    scores = np.empty((len(questions), top), np.float32)
    for begin in range(0, len(questions), QUESTIONS_AT_ONCE):
        part = slice(begin, begin + QUESTIONS_AT_ONCE)
        some = _quotients(questions[part], unit)
        for i, banned in enumerate(left_out[part]):
            some[i, banned] = -np.inf
        rows[part] = _best(some, top)
        scores[part] = np.take_along_axis(some, rows[part], axis=1)
    return rows, scores


def _quotients(questions: np.ndarray, unit: np.ndarray) -> np.ndarray:
    flat = np.ascontiguousarray(questions.reshape(-1, unit.shape[1]), np.float32)
    products = _core.linear_forward(flat, unit, compute="fp32")[0]
    a, b, c = ((products[i::3] + 1) / 2 for i in range(3))
    return b * c / (a + np.float32(0.001))


def _best(scores: np.ndarray, top: int) -> np.ndarray:
    """Columns of the highest scores of each row, sorted; the lower column first among equals."""
    if top == 1:
        return scores.argmax(axis=1)[:, None]
    if top == 0:
        return np.empty((len(scores), 0), np.int64)
    best = np.empty((len(scores), top), np.int64)
    lowest = np.partition(scores, scores.shape[1] - top, axis=1)[:, -top]
    for i, row in enumerate(scores):
        above = np.nonzero(row >= lowest[i])[0]  # more than `top` where scores are equal
        best[i] = above[np.argsort(-row[above], kind="stable")[:top]]
    return best
