"""What a layer's inputs are like, and the codes that suit them.

An observer is shown inputs, and later tells `AffineParams` for them:

- `MinMaxObserver`: everything seen is covered
- `MovingAverageObserver`: the ends are averages over batches
- `PercentileObserver`: a given part of the values on each side is cut off
- `MeanSquaredErrorObserver`: the range with the least squared error
- `EntropyObserver`: the range whose rounded distribution tells most about the exact one

They keep ends and counts, never values. `linear.observe = observer.observe` shows an observer every
input of a layer of `lowbit.models`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lowbit.arrays import as_float32
from lowbit.quantization.affine import AffineParams, refuse
from lowbit.quantization.histogram import Histogram
from lowbit.quantization.range_search import least_divergent_bins, least_squared_range


class Observer:
    """Common to all observers: checks, the ends of what was seen, and params from a range.

    Parameters
    ----------
    axis
        None: one range for all values. Else one for each slice along this axis, whose length must
        then be the same in every call.
    """

    def __init__(self, axis: int | None = None) -> None:
        self.axis = axis
        self._smallest: np.ndarray | None = None  # float64 [slices]; None: nothing was seen
        self._largest: np.ndarray | None = None

    def observe(self, x: Any) -> None:
        """Take values into account; none, if x is empty.

        Parameters
        ----------
        x
            Finite values of any shape that has the axis.

        Raises
        ------
        TypeError
            If x is not numeric.
        ValueError
            If a value is NaN or infinite, with its position; if the axis is missing or has another
            length than before. The observer is then as it was.
        """
        name = f"{type(self).__name__}.observe"
        array = as_float32(x, name, "x")
        rows = self._rows(array, name)
        if rows.size == 0:
            return
        refuse(~np.isfinite(array), array, name, "only finite values can be observed")
        self._take(rows)

    def params(
        self, bits: int = 8, symmetric: bool = False, narrow_range: bool = False
    ) -> AffineParams:
        """Codes for values like those that were seen.

        Parameters
        ----------
        bits, symmetric, narrow_range
            As in `AffineParams.from_range`.

        Returns
        -------
        AffineParams
            Scalars, or [C] for slices along the axis.

        Raises
        ------
        ValueError
            If nothing was seen, or `bits` is out of range.
        """
        if self._smallest is None:
            raise ValueError(f"{type(self).__name__}.params: no values were observed yet")
        ends = self._range(bits, symmetric)
        if self.axis is None:
            ends = (ends[0][0], ends[1][0])
        return AffineParams.from_range(*ends, bits, symmetric, narrow_range)

    def _rows(self, x: np.ndarray, name: str) -> np.ndarray:
        """x as [slices, values of each]."""
        if self.axis is None:
            return x.reshape(1, -1)
        if not -x.ndim <= self.axis < x.ndim:
            raise ValueError(f"{name}: x has shape {x.shape}, which has no axis {self.axis}")
        slices = x.shape[self.axis]
        if self._smallest is not None and slices != len(self._smallest):
            raise ValueError(
                f"{name}: x has {slices} slices along axis {self.axis}, and had "
                f"{len(self._smallest)} before"
            )
        return np.moveaxis(x, self.axis, 0).reshape(slices, x.size // max(1, slices))

    def _take(self, rows: np.ndarray) -> None:
        smallest, largest = rows.min(axis=1), rows.max(axis=1)
        if self._smallest is not None:
            smallest = np.minimum(self._smallest, smallest)
            largest = np.maximum(self._largest, largest)
        self._smallest, self._largest = smallest.astype(np.float64), largest.astype(np.float64)

    def _range(self, bits: int, symmetric: bool) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the range to cover, each [slices]."""
        return self._smallest, self._largest


class MinMaxObserver(Observer):
    """The range of everything seen: no value is off by more than half a step.

    As torch's MinMaxObserver and PerChannelMinMaxObserver.

    Parameters
    ----------
    axis
        As in `Observer`.

    Examples
    --------
    >>> observer = MinMaxObserver()
    >>> observer.observe([[0.5, -1.0]])
    >>> observer.observe([3.0])
    >>> params = observer.params(bits=4)
    >>> print(params.scale, params.zero_point)
    0.26666668 4
    """


class MovingAverageObserver(Observer):
    """Each end is an exponential average over calls; the first call starts it.

    As torch's MovingAverageMinMaxObserver. A call with a few large values moves the range little,
    and values outside are cut off.

    Parameters
    ----------
    axis
        As in `Observer`.
    momentum
        Part that a call has in the average, above 0 and 1 at most.

    Raises
    ------
    ValueError
        If `momentum` is out of range.

    Examples
    --------
    >>> observer = MovingAverageObserver(momentum=0.25)
    >>> for largest in (1.0, 1.0, 5.0):
    ...     observer.observe([0.0, largest])
    >>> print(f"{observer.params().scale * 255:.3f}")  # 1 + (5 - 1) / 4
    2.000
    """

    def __init__(self, axis: int | None = None, momentum: float = 0.01) -> None:
        super().__init__(axis)
        if not 0 < momentum <= 1:
            raise ValueError(f"MovingAverageObserver: momentum={momentum}; use above 0, at most 1")
        self.momentum = momentum

    def _take(self, rows: np.ndarray) -> None:
        smallest, largest = rows.min(axis=1), rows.max(axis=1)
        if self._smallest is not None:
            smallest = self._smallest + self.momentum * (smallest - self._smallest)
            largest = self._largest + self.momentum * (largest - self._largest)
        self._smallest, self._largest = smallest.astype(np.float64), largest.astype(np.float64)


class HistogramObserver(Observer):
    """Common to the observers that keep counts: 2 x `HALF` bins for each slice."""

    HALF = 2048

    def __init__(self, axis: int | None = None) -> None:
        super().__init__(axis)
        self._histogram: Histogram | None = None

    def _take(self, rows: np.ndarray) -> None:
        super()._take(rows)
        if self._histogram is None:
            self._histogram = Histogram(len(rows), self.HALF)
        self._histogram.add(rows)

    def _edges(self) -> np.ndarray:
        """Left edges of the bins, and the right edge of the last, [slices, 2 HALF + 1]."""
        return np.arange(-self.HALF, self.HALF + 1) * self._histogram.widths()[:, None]


class PercentileObserver(HistogramObserver):
    """The range that leaves out the same part of the values on each side.

    Parameters
    ----------
    axis
        As in `Observer`.
    percentile
        Percent of the values that the range covers at least: (100 - percentile) / 2 of them at most
        lie below it, and as many above. Above 0 and 100 at most; 100 is min-max.

    Raises
    ------
    ValueError
        If `percentile` is out of range.

    Notes
    -----
    Ends are edges of bins, so they may lie outward of the exact quantiles by a bin: a 1024th
    part of the largest value.

    Examples
    --------
    >>> observer = PercentileObserver(percentile=99)
    >>> observer.observe(np.append(np.linspace(-1, 1, 1001), 50))
    >>> params = observer.params()
    >>> round(float(params.scale) * 255, 2)  # 50 would have made it 51
    2.0
    """

    def __init__(self, axis: int | None = None, percentile: float = 99.99) -> None:
        super().__init__(axis)
        if not 0 < percentile <= 100:
            raise ValueError(
                f"PercentileObserver: percentile={percentile}; use above 0, at most 100"
            )
        self.percentile = percentile

    def _range(self, bits: int, symmetric: bool) -> tuple[np.ndarray, np.ndarray]:
        counts, edges = self._histogram.counts, self._edges()
        below = np.cumsum(counts, axis=1)
        total = below[:, -1:]
        cut = np.floor(total * (100 - self.percentile) / 200).astype(np.int64)
        first = np.argmax(below > cut, axis=1)  # the first bin that must be covered
        last = np.argmax(below >= total - cut, axis=1)
        at = np.arange(len(counts))
        smallest = np.maximum(edges[at, first], self._smallest)
        return smallest, np.minimum(edges[at, last + 1], self._largest)


class MeanSquaredErrorObserver(HistogramObserver):
    """The range with the least squared error, each end in steps of 9 %.

    A smaller range cuts large values off and rounds the others more finely. The error is known from
    the counts up to half a bin for each value, and a smaller range is only chosen when it is better
    whatever the values in the bins are: what was seen is never rounded worse than by
    `MinMaxObserver`. At 8 bits a gain below a tenth may be missed for that, and with more bits the
    range is mostly min-max.

    Parameters
    ----------
    axis
        As in `Observer`. A slice takes 256 KB, and a few hundredths of a second in `params`.

    Examples
    --------
    >>> observer = MeanSquaredErrorObserver()
    >>> observer.observe(np.append(np.linspace(-1, 1, 9999), 20))
    >>> print(f"{observer.params(4).scale * 15:.1f}")  # of 21
    4.5
    """

    HALF = 2**14

    def _range(self, bits: int, symmetric: bool) -> tuple[np.ndarray, np.ndarray]:
        found = [
            least_squared_range(*row, bits, symmetric)
            for row in zip(
                self._histogram.counts, self._edges(), self._smallest, self._largest, strict=True
            )
        ]
        return np.array([ends[0] for ends in found]), np.array([ends[1] for ends in found])


class EntropyObserver(HistogramObserver):
    """The range that keeps most of what the distribution tells, by Kullback and Leibler.

    Values beyond a threshold on either side are cut off; the distribution of magnitudes with these
    piled up at the threshold is compared with its rounded one, and the threshold with the least
    divergence is chosen (Migacz, "8-bit inference with TensorRT", 2017). ONNX Runtime's entropy
    calibration does the same on the signed values.

    Parameters
    ----------
    axis
        As in `Observer`. A slice takes 32 KB, and up to half a second in `params`.

    Examples
    --------
    >>> observer = EntropyObserver()
    >>> normal = np.random.default_rng(0).standard_normal(100_000)
    >>> observer.observe(np.append(normal, 40))
    >>> bool(observer.params(symmetric=True).scale * 127 < 6)
    True
    """

    def _range(self, bits: int, symmetric: bool) -> tuple[np.ndarray, np.ndarray]:
        smallest, largest = self._smallest.copy(), self._largest.copy()
        widths = self._histogram.widths()
        for k, counts in enumerate(self._histogram.counts):
            one_sided = smallest[k] >= 0 or largest[k] <= 0
            levels = 2**bits if one_sided and not symmetric else 2 ** (bits - 1)
            magnitudes = counts[self.HALF :] + counts[: self.HALF][::-1]
            threshold = least_divergent_bins(magnitudes, levels) * widths[k]
            smallest[k] = max(smallest[k], -threshold)
            largest[k] = min(largest[k], threshold)
        return smallest, largest


OBSERVERS: dict[str, type[Observer]] = {
    "minmax": MinMaxObserver,
    "average": MovingAverageObserver,
    "percentile": PercentileObserver,
    "mse": MeanSquaredErrorObserver,
    "entropy": EntropyObserver,
}
"""By the names that `Encoder.from_pretrained` and `lowbit quantize` take."""
