"""The rows of a table that are nearest to others: exact, in float32 or faster by way of int8."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowbit import _core
from lowbit.arrays import as_float32


class NearestNeighbours:
    """Finds the rows of a table that are nearest to queries.

    The answer is exact. Products in few bits leave out the rows of which a bound of the products'
    errors proves that they are not among the k nearest; those that stay, a few hundred of a
    million, are scored in float64. So both formats give the same rows and the same scores, on any
    number of threads and every instruction set.

    Parameters
    ----------
    table
        Vectors [rows, dim]. A float32 array is kept, not copied, and must not change; it may be
        mapped from a file (`np.load(path, mmap_mode="r")`). All values must be finite.
    metric
        "cosine": q . x / (|q| |x|), 0 where one of them is zero; "dot": q . x; "euclidean":
        |q - x|, of which the least are nearest. Rounded from float64 to float32, and then compared.
    format
        What the table is read in: "fp32", or "int8", a copy in a quarter of the memory beside the
        table, which answers one query or a few three to four times as fast.

    Raises
    ------
    ValueError
        If the table is not [rows, dim] with dim from 1 to 1,048,576, or a value is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> table = np.array([[1, 0], [0, 2], [3, 3], [0, -1]])
    >>> scores, rows = NearestNeighbours(table).search([[0, 1], [1, 0.1]], k=2)
    >>> rows.tolist(), [[round(score, 2) for score in best] for best in scores.tolist()]
    ([[1, 2], [0, 2]], [[1.0, 0.71], [1.0, 0.77]])
    >>> scores, rows = NearestNeighbours(table, "euclidean", "int8").search([0, 1.5], k=1)
    >>> rows.tolist(), scores.tolist()
    ([1], [0.5])
    """

    def __init__(self, table: Any, metric: str = "cosine", format: str = "fp32") -> None:
        rows = as_float32(table, "NearestNeighbours", "table", ndim=2)
        self._table = _core.NeighbourTable(rows, metric, format)
        self.shape: tuple[int, int] = rows.shape
        self.metric = metric
        self.format = format
        self.scored_rows = 0
        """Rows that the last search scored exactly, of all queries together."""

    @property
    def nbytes(self) -> int:
        """Bytes kept beside the table."""
        return self._table.nbytes

    def search(
        self, queries: Any, k: int = 10, limit: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest rows to every query.

        Parameters
        ----------
        queries
            Vectors [n, dim], or one [dim].
        k
            How many rows, 1 to `limit`.
        limit
            Only the first so many rows are answers; None for all.

        Returns
        -------
        scores, rows
            float32 and int64 [n, k], or [k] for one query: the nearest first, and of rows with
            equal scores the first. Memory beside these does not depend on the table's rows.

        Raises
        ------
        ValueError
            If shapes do not fit, there are fewer than k rows, a query is not finite, or scores may
            exceed float32.
        """
        array = as_float32(queries, "NearestNeighbours.search", "queries")
        one = array.ndim == 1
        rows = len(self) if limit is None else limit
        scores, found, self.scored_rows = self._table.search(array[None] if one else array, k, rows)
        return (scores[0], found[0]) if one else (scores, found)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        rows, dim = self.shape
        return f"NearestNeighbours({rows}x{dim}, {self.metric}, {self.format})"
