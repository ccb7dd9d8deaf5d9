"""What the inputs of a layer have in common: the sum of x x^T, and its triangular factor.

For 1536 columns such a sum is 19 MB in double precision, more than the layer. So there is one such
array and no second: sums are gathered in strips, they are centred and the factor is computed in
place.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from lowbit import _core

STRIP = 128
"""Rows or columns that are worked on at a time."""
NORM_ROWS = 32
"""The same of a weight whose norm is asked for."""


class SecondMoments:
    """Sum of x x^T over the inputs x of a layer.

    Parameters
    ----------
    columns
        Values K of an input.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    >>> moments = SecondMoments(8)
    >>> moments.add(x[:20])
    >>> moments.add(x[20:])
    >>> np.allclose(moments.matrix(), x.T @ x, rtol=1e-5)
    True
    >>> w = np.ones((3, 8), np.float32)
    >>> bool(np.isclose(moments.norm(w), np.linalg.norm(x @ w.T)))
    True
    """

    def __init__(self, columns: int) -> None:
        # Below the diagonal are the sums; the diagonal and what is above become the factor.
        # Pages of its own: freed, they go back, and malloc does not learn to keep such sizes.
        pages = mmap.mmap(-1, max(1, 8 * columns * columns))
        self._sums = np.frombuffer(pages, np.float64, columns * columns).reshape(columns, columns)
        self._diagonal: np.ndarray | None = None
        self._order: np.ndarray | None = None

    @classmethod
    def of(cls, hessian: Any, columns: int, function: str) -> Moments:
        """The argument `hessian` of a function: these sums, or a symmetric matrix [K, K], copied.

        Raises
        ------
        ValueError
            If it has another shape, or holds NaN, infinity or a negative square.
        """
        if isinstance(hessian, SecondMoments | ScaledMoments):
            if hessian.columns != columns:
                raise ValueError(
                    f"{function}: the hessian has {hessian.columns} columns, w has {columns}"
                )
            return hessian
        sums = np.asarray(hessian, np.float64)
        if sums.shape != (columns, columns):
            raise ValueError(
                f"{function}: the hessian has shape {sums.shape}; w has {columns} columns"
            )
        if not np.isfinite(sums).all() or (np.diag(sums) < 0).any():
            raise ValueError(f"{function}: the hessian holds NaN, infinity or a negative square")
        self = cls(columns)
        self._sums[...] = sums
        return self

    @property
    def columns(self) -> int:
        return len(self._sums)

    def add(self, x: np.ndarray) -> None:
        """Count some inputs, float32 [M, K]."""
        self._check_open("add")
        for rows in _strips(self.columns):
            self._sums[rows, : rows.stop] += x[:, rows].T @ x[:, : rows.stop]

    def centre(self, total: np.ndarray, mean: np.ndarray) -> None:
        """Make them sums of (x - mean) (x - mean)^T, in place; `total` is the sum of x, [K]."""
        self._check_open("centre")
        for rows in _strips(self.columns):
            self._sums[rows, : rows.stop] -= np.outer(total[rows], mean[: rows.stop])
        # Of a column that never changes, rounding may leave a negative square.
        np.fill_diagonal(self._sums, np.maximum(np.diag(self._sums), 0))

    def _check_open(self, function: str) -> None:
        if self._order is not None:
            raise ValueError(
                f"SecondMoments.{function}: the factor has been computed; nothing can follow"
            )

    def scaled(self, scales: np.ndarray) -> ScaledMoments:
        """Those of the inputs divided by `scales` [K]; a copy only when their factor is needed."""
        return ScaledMoments(self, scales)

    def diagonal(self) -> np.ndarray:
        """Sum of the squares of each column, [K]."""
        if self._diagonal is None:
            return np.diag(self._sums).copy()
        diagonal = np.empty(self.columns)
        diagonal[self._order] = self._diagonal
        return diagonal

    def matrix(self) -> np.ndarray:
        """All of it, [K, K], a copy."""
        lower = np.tril(self._sums, -1)
        whole = lower + lower.T
        if self._order is not None:
            back = np.argsort(self._order)
            whole = whole[np.ix_(back, back)]
        whole[np.diag_indices_from(whole)] = self.diagonal()
        return whole

    def norm(self, w: np.ndarray) -> float:
        """Euclidean norm of w x over all inputs, for w [N, K]: sqrt(trace of w sums w^T)."""
        order = slice(None) if self._order is None else self._order
        parts = (w[rows].astype(np.float64)[:, order] for rows in _strips(len(w), NORM_ROWS))
        return float(np.sqrt(max(sum(map(self._square, parts)), 0.0)))

    def _square(self, w: np.ndarray) -> float:
        """Trace of w sums w^T, the columns of w in the order of the sums."""
        diagonal = np.diag(self._sums) if self._diagonal is None else self._diagonal
        square = float(np.einsum("nk,nk,k", w, w, diagonal))
        for rows in _strips(self.columns):
            below = self._sums[rows, : rows.stop].copy()
            below[:, rows.start :] = np.tril(below[:, rows.start :], -1)
            square += 2 * float(np.einsum("nk,nk", w[:, rows] @ below, w[:, : rows.stop]))
        return square

    def factor(self, damping: float) -> tuple[np.ndarray, np.ndarray]:
        """Order of the columns, small squares first, and U of sums + damping = U^T U in that order.

        Damping is a part of the mean square. Computed once, in place; U is what is on and above the
        diagonal of the array returned.

        Raises
        ------
        ValueError
            If the damped sums are not positive definite.
        """
        if self._order is None:
            self._factorize(damping)
            self._damping = damping
        if damping != self._damping:
            raise ValueError(f"gptq: the moments were damped by {self._damping}, not {damping}")
        assert self._order is not None
        return self._order, self._sums

    def _factorize(self, damping: float) -> None:
        sums = self._sums
        for rows in _strips(self.columns):  # all is symmetric before it is reordered
            sums[: rows.start, rows] = sums[rows, : rows.start].T
            block = np.tril(sums[rows, rows])
            sums[rows, rows] = block + np.tril(block, -1).T
        self._order = order = np.argsort(np.diag(sums), kind="stable")
        for part in _strips(self.columns):
            sums[:, part] = sums[order, part]
        for part in _strips(self.columns):
            sums[part] = sums[part][:, order]
        self._diagonal = np.diag(sums).copy()
        work = self._diagonal.copy()
        # Inputs that are always zero: any rounding will do.
        work[work == 0] = max(1.0, float(work.max(initial=0.0)))
        np.fill_diagonal(sums, work + damping * work.mean() if len(work) else work)
        _cholesky_above(sums)
        _core.trim_memory()  # of the strips, since rounding needs its own now


class ScaledMoments:
    """What rounding asks of `SecondMoments`, of inputs divided by scales [K].

    Examples
    --------
    >>> x, scales = np.array([[3.0, 1.0], [1.0, 2.0]], np.float32), np.array([2.0, 0.5])
    >>> moments = SecondMoments(2)
    >>> moments.add(x)
    >>> np.allclose(moments.scaled(scales).matrix(), (x / scales).T @ (x / scales))
    True
    """

    def __init__(self, moments: SecondMoments, scales: np.ndarray) -> None:
        self._whole, self._scales = moments, scales.astype(np.float64)
        self._copy: SecondMoments | None = None

    @property
    def columns(self) -> int:
        return self._whole.columns

    def diagonal(self) -> np.ndarray:
        """Sum of the squares of each column, [K]."""
        return self._whole.diagonal() / self._scales**2

    def matrix(self) -> np.ndarray:
        """All of it, [K, K]."""
        return self._whole.matrix() / np.outer(self._scales, self._scales)

    def factor(self, damping: float) -> tuple[np.ndarray, np.ndarray]:
        """As of `SecondMoments`, of a copy."""
        if self._copy is None:
            self._copy = SecondMoments.of(self.matrix(), self.columns, "gptq")
        return self._copy.factor(damping)


Moments = SecondMoments | ScaledMoments


def _cholesky_above(a: np.ndarray) -> None:
    """U of a = U^T U, over the upper triangle of a; what is below the diagonal stays."""
    size = len(a)
    for rows in _strips(size):
        block = np.triu(a[rows, rows])
        try:
            u = np.linalg.cholesky(block.T + np.triu(block, 1)).T
        except np.linalg.LinAlgError as error:
            raise ValueError(
                "gptq: the hessian is not positive; use more inputs or damping"
            ) from error
        a[rows, rows] = np.tril(a[rows, rows], -1) + u
        behind = slice(rows.stop, size)
        a[rows, behind] = np.linalg.solve(u.T, a[rows, behind])
        panel = a[rows, behind]
        for part in _strips(size - rows.stop):
            change = panel[:, part].T @ panel[:, part.start :]
            width = part.stop - part.start
            change[:, :width] = np.triu(change[:, :width])
            a[rows.stop + part.start : rows.stop + part.stop, rows.stop + part.start :] -= change


def _strips(size: int, step: int = STRIP) -> list[slice]:
    return [slice(first, min(first + step, size)) for first in range(0, size, step)]
