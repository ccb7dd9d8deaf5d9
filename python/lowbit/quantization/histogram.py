"""Counts of values in equal bins around zero, in memory that does not grow with the values.

Bins reach from -limit to limit. The limit is a power of two, so a value beyond it makes each bin
the union of two, four ... of the bins before: nothing is spread or guessed, and counts are those
that the last bins would have had from the start. The limit is above the largest value, and at most
twice as large.
"""

from __future__ import annotations

import numpy as np


class Histogram:
    """Counts of the values of several rows, each with a limit of its own.

    Parameters
    ----------
    rows
        Number of rows.
    half
        Bins on each side of zero, a power of two.

    Attributes
    ----------
    counts
        int64 [rows, 2 half]; bin k holds values from (k - half) x width to below the next.

    Examples
    --------
    >>> histogram = Histogram(1, 4)
    >>> histogram.add(np.array([[0.1, 0.3, -0.3]]))
    >>> histogram.counts.tolist(), histogram.widths().tolist()
    ([[0, 1, 0, 0, 1, 0, 1, 0]], [0.125])
    >>> histogram.add(np.array([[1.5]]))
    >>> histogram.counts.tolist(), histogram.widths().tolist()
    ([[0, 0, 0, 1, 2, 0, 0, 1]], [0.5])
    """

    def __init__(self, rows: int, half: int) -> None:
        self.half = half
        self.counts = np.zeros((rows, 2 * half), np.int64)
        self._exponents = np.full(rows, -200)  # limit = 2^exponent, below every float32

    def widths(self) -> np.ndarray:
        """Width of the bins of each row, float64 [rows]."""
        return np.ldexp(1.0 / self.half, self._exponents)

    def add(self, values: np.ndarray) -> None:
        """Count finite values [rows, any number]."""
        values = values.astype(np.float64)
        _, needed = np.frexp(np.abs(values).max(axis=1, initial=0.0))
        self._widen(np.maximum(self._exponents, np.where(values.any(axis=1), needed, -200)))
        bins = np.floor(values / self.widths()[:, None]).astype(np.int64) + self.half
        self._count(self.counts, bins, 1)

    def _widen(self, exponents: np.ndarray) -> None:
        """Unite bins until the limits are 2^exponents."""
        shifts = exponents - self._exponents
        if shifts.any():
            offsets = np.arange(-self.half, self.half)
            bins = (offsets >> np.minimum(shifts, 63)[:, None]) + self.half
            before, self.counts = self.counts, np.zeros_like(self.counts)
            self._count(self.counts, bins, before)
        self._exponents = exponents

    def _count(self, counts: np.ndarray, bins: np.ndarray, amounts: np.ndarray | int) -> None:
        np.add.at(counts, (np.arange(len(counts))[:, None], bins), amounts)
