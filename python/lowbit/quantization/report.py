"""How far a rounded matrix is from the exact one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ErrorReport:
    """What rounding changed.

    Attributes
    ----------
    rmse
        Root of the mean squared difference.
    largest
        Largest difference of one value.
    cosine
        Between the two matrices as vectors; 1 where both are zero.
    snr
        Signal to noise in decibels: 20 log10 of the exact matrix's norm over the difference's;
        infinite where nothing changed.
    """

    rmse: float
    largest: float
    cosine: float
    snr: float


def compare(rounded: np.ndarray, exact: np.ndarray) -> ErrorReport:
    """The report for two arrays of one shape; sums are in double precision.

    Examples
    --------
    >>> report = compare(np.array([[1.0, 2.0]]), np.array([[1.0, 2.5]]))
    >>> round(report.rmse, 3), report.largest, round(report.cosine, 4), round(report.snr, 1)
    (0.354, 0.5, 0.9965, 14.6)
    """
    difference = np.asarray(rounded, np.float64) - exact
    noise = float(np.sum(difference**2))
    signal = float(np.sum(np.asarray(exact, np.float64) ** 2))
    other = float(np.sum(np.asarray(rounded, np.float64) ** 2))
    product = float(np.sum(np.asarray(rounded, np.float64) * exact))
    ratio = math.inf if noise == 0 else signal / noise
    norms = math.sqrt(signal * other)
    return ErrorReport(
        rmse=math.sqrt(noise / max(1, difference.size)),
        largest=float(np.abs(difference).max(initial=0.0)),
        cosine=product / norms if norms else float(signal == other),
        snr=10 * math.log10(ratio) if ratio else -math.inf,
    )
