"""What calibration has to know of a layer's inputs, gathered batch by batch."""

from __future__ import annotations

import numpy as np

from lowbit.quantization.moments import SecondMoments


class InputStatistics:
    """Sums over the inputs of a layer, K columns; the inputs themselves are not kept.

    Attributes
    ----------
    count : int
        Rows seen.
    largest : numpy.ndarray
        float64 [K]: largest magnitude of each column.
    moments : SecondMoments
        Sums of x x^T over the rows, [K, K].

    Examples
    --------
    >>> seen = InputStatistics(2)
    >>> seen.observe(np.array([[1, -2], [3, 0]], np.float32))
    >>> seen.mean.tolist(), seen.magnitude.tolist(), seen.largest.tolist()
    ([2.0, -1.0], [2.0, 1.0], [3.0, 2.0])
    >>> seen.moments.matrix().tolist()
    [[10.0, -2.0], [-2.0, 4.0]]
    >>> seen.centre()
    >>> seen.moments.matrix().tolist()
    [[2.0, 2.0], [2.0, 2.0]]
    """

    def __init__(self, columns: int) -> None:
        self.count = 0
        self.largest = np.zeros(columns)
        self._sum = np.zeros(columns)
        self._magnitudes = np.zeros(columns)
        self.moments = SecondMoments(columns)
        self._centred = False

    def observe(self, x: np.ndarray) -> None:
        """Add inputs [M, K], float32.

        Raises
        ------
        ValueError
            If a value is NaN or infinite, and nothing is added then; after `centre`.
        """
        if self._centred:
            raise ValueError("observe: the moments have been centred; nothing can follow")
        magnitudes = np.abs(x)
        added = magnitudes.sum(axis=0, dtype=np.float64)
        if not np.isfinite(added).all():
            row, column = np.argwhere(~np.isfinite(x))[0].tolist()
            raise ValueError(f"observe: x[{row}, {column}] is {x[row, column]}; not finite")
        self.count += len(x)
        self._magnitudes += added
        self._sum += x.sum(axis=0, dtype=np.float64)
        np.maximum(self.largest, magnitudes.max(axis=0, initial=0), out=self.largest)
        self.moments.add(x)

    @property
    def mean(self) -> np.ndarray:
        """Mean of each column, float64 [K]; zeros before the first row."""
        return self._sum / max(1, self.count)

    @property
    def magnitude(self) -> np.ndarray:
        """Mean magnitude of each column, float64 [K]."""
        return self._magnitudes / max(1, self.count)

    def centre(self) -> None:
        """Make `moments` those of x - mean, in place, once all rows were seen.

        They are what counts where a bias takes the mean error of the outputs away.
        """
        if not self._centred:
            self.moments.centre(self._sum, self.mean)
            self._centred = True
