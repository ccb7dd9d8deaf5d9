"""The rows of a table that are nearest to others by cosine, many questions at a time."""

from __future__ import annotations

import numpy as np

from lowbit import _core

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
    unit: np.ndarray,
    top: int,
    left_out: list[list[int]] | None = None,
    method: str = "3cosadd",
) -> tuple[np.ndarray, np.ndarray]:
    """For every question the `top` rows of the highest score, equals in the order of rows.

    Parameters
    ----------
    queries
        "3cosadd": vectors [B, dim], whose scores are dot products. "3cosmul": unit vectors
        [B, 3, dim] of a, b and c, whose scores are (b + 1) / 2 * (c + 1) / 2 / ((a + 1) / 2 + .001)
        of their dot products (Levy and Goldberg, 2014).
    unit
        Rows [V, dim].
    left_out
        For every question rows that are no answer.

    Returns
    -------
    rows, scores
        int64 and float32 [B, min(top, V)]; rows that are no answer come last, with a score of -inf.

    Examples
    --------
    >>> rows, scores = top_rows(np.eye(1, 2, dtype=np.float32), np.eye(3, 2, dtype=np.float32), 2)
    >>> rows.tolist(), scores.tolist()
    ([[0, 1]], [[1.0, 0.0]])
    """
    top = min(top, len(unit))
    rows = np.empty((len(queries), top), np.int64)
    scores = np.empty((len(queries), top), np.float32)
    for begin in range(0, len(queries), QUESTIONS_AT_ONCE):
        part = slice(begin, begin + QUESTIONS_AT_ONCE)
        some = _scores(queries[part], unit, method)
        for i, banned in enumerate(left_out[part] if left_out else ()):
            some[i, banned] = -np.inf
        rows[part] = _best(some, top)
        scores[part] = np.take_along_axis(some, rows[part], axis=1)
    return rows, scores


def _scores(queries: np.ndarray, unit: np.ndarray, method: str) -> np.ndarray:
    flat = np.ascontiguousarray(queries.reshape(-1, unit.shape[1]), np.float32)
    products = _core.linear_forward(flat, unit, compute="fp32")[0]
    if method == "3cosadd":
        return products
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
