"""Exact nearest rows with NumPy and with faiss's flat indexes."""

from __future__ import annotations

import copy

import numpy as np

AT_ONCE = 64
"""Queries whose scores NumPy holds at once: 256 MB for a million rows."""


class NumpyNeighbours:
    """A product, argpartition, and the order of the k that remain; cosines of unit rows."""

    def __init__(self, table: np.ndarray, metric: str) -> None:
        if metric == "euclidean":
            raise ImportError("NumPy has no product of distances")
        self.table = table

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores and rows [n, k]."""
        parts = [self._some(queries[i : i + AT_ONCE], k) for i in range(0, len(queries), AT_ONCE)]
        scores, rows = zip(*parts, strict=True)
        return np.concatenate(scores), np.concatenate(rows)

    def _some(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        products = (self.table @ queries[0])[None] if len(queries) == 1 else queries @ self.table.T
        rows = np.argpartition(products, -k, axis=1)[:, -k:]
        scores = np.take_along_axis(products, rows, axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")
        return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)


class FaissNeighbours:
    """IndexFlatIP or IndexFlatL2, which has a copy of the table; distances are not squared.

    With `blas` every batch is a matrix product; else faiss decides, which takes that for 1000
    queries of 384 columns, not for 256.
    """

    def __init__(self, table: np.ndarray, metric: str, threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        self.faiss, self.blas = faiss, False
        self.squared = metric == "euclidean"
        self.index = (faiss.IndexFlatL2 if self.squared else faiss.IndexFlatIP)(table.shape[1])
        self.index.add(table)

    def with_blas(self) -> FaissNeighbours:
        """The same index."""
        other = copy.copy(self)
        other.blas = True
        return other

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores and rows [n, k]."""
        before = self.faiss.cvar.distance_compute_blas_threshold
        if self.blas:
            self.faiss.cvar.distance_compute_blas_threshold = 1
        scores, rows = self.index.search(queries, k)
        self.faiss.cvar.distance_compute_blas_threshold = before
        return (np.sqrt(scores) if self.squared else scores), rows
