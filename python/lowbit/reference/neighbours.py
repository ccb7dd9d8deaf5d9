"""Nearest rows by their definition, and the bound by which int8 leaves rows out.

A score is summed in float64, rounded to float32, and then compared. Of equal scores the lower row
comes first. Sums have a fixed order, so every way to compute them gives the same bits: column k
belongs to lane k % 16, a lane adds in the order of the columns, and lanes are added in halves.
"""

from __future__ import annotations

import numpy as np

LANES = 16


def ordered_sum(terms: np.ndarray) -> np.ndarray:
    """Sums along the last axis [..., K] in the order of the kernels.

    Examples
    --------
    >>> float(ordered_sum(np.arange(40.0)))
    780.0
    """
    columns = terms.shape[-1]
    lanes = np.zeros((*terms.shape[:-1], LANES))
    for begin in range(0, columns, LANES):
        count = min(LANES, columns - begin)
        lanes[..., :count] += terms[..., begin : begin + count]
    half = LANES // 2
    while half:
        lanes = lanes[..., :half] + lanes[..., half : 2 * half]
        half //= 2
    return lanes[..., 0]


def scores(table: np.ndarray, query: np.ndarray, metric: str) -> np.ndarray:
    """The score of every row [N, K] for one query [K], float32.

    Examples
    --------
    >>> table, query = np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([0.0, 2.0])
    >>> [scores(table, query, metric).tolist() for metric in ("dot", "cosine", "euclidean")]
    [[8.0, 0.0], [0.800000011920929, 0.0], [3.605551242828369, 2.0]]
    """
    x, q = table.astype(np.float64), query.astype(np.float64)
    if metric == "euclidean":
        apart = q - x
        return np.sqrt(ordered_sum(apart * apart)).astype(np.float32)
    products = ordered_sum(x * q)
    if metric == "cosine":
        norms = np.sqrt(ordered_sum(q * q)) * np.sqrt(ordered_sum(x * x))
        products = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    return products.astype(np.float32)


def nearest(
    table: np.ndarray, queries: np.ndarray, k: int, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and rows [n, k] of the k nearest rows to every query.

    Examples
    --------
    >>> nearest(np.array([[1.0], [2.0], [2.0]]), np.array([[1.0]]), 2, "dot")[1].tolist()
    [[1, 2]]
    """
    found, rows = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    for i, query in enumerate(queries):
        all_scores = scores(table, query, metric)
        badness = all_scores if metric == "euclidean" else -all_scores
        rows[i] = np.argsort(badness, kind="stable")[:k]
        found[i] = all_scores[rows[i]]
    return found, rows


def round_int8(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows [N, K] as integers of -127..127 times a scale [N] each; the largest value is 127.

    Examples
    --------
    >>> codes, scales = round_int8(np.array([[1.0, -0.5, 0.25]]))
    >>> codes.tolist(), (127 * scales).tolist()
    ([[127, -64, 32]], [1.0])
    """
    scales = np.abs(x).max(axis=1) / 127
    codes = np.rint(x / np.where(scales > 0, scales, 1)[:, None])
    return codes.astype(np.int8), scales


def int8_bound(table: np.ndarray, query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Products [N] of rounded rows and a rounded query, and how far they may be from the true ones.

    With x' and q' what x and q are rounded to,

        |x . q - x' . q'| = |(x - x') . q + x' . (q - q')| <= |x - x'| |q| + |x'| |q - q'|

    by Cauchy and Schwarz. A row whose product, raised by its bound, is below the k-th best score
    is not among the k best.

    Examples
    --------
    >>> table, query = np.array([[1.0, -0.3], [0.2, 0.7]]), np.array([0.5, 0.9])
    >>> products, bound = int8_bound(table, query)
    >>> bool((np.abs(table @ query - products) <= bound).all())
    True
    """
    x, q = table.astype(np.float64), query.astype(np.float64)
    codes, scales = round_int8(x)
    q_codes, q_scale = round_int8(q[None])
    rounded, q_rounded = codes * scales[:, None], q_codes[0] * q_scale[0]
    norm = np.linalg.norm
    bound = norm(x - rounded, axis=1) * norm(q) + norm(rounded, axis=1) * norm(q - q_rounded)
    return rounded @ q_rounded, bound
