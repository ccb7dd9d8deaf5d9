"""Ranges to round, chosen from counts of values in bins."""

from __future__ import annotations

from itertools import product

import numpy as np

from lowbit.quantization.affine import AffineParams, fake_quantize

RATIOS = 2.0 ** (-np.arange(17) / 2), 2.0 ** (np.arange(-3, 4) / 8)
"""Tried ends as parts of the extreme, down to a 256th; then, around the best, in steps of 9 %."""

FAINT = 1e-4
"""Count of a bin that is empty in the rounded distribution alone: ONNX Runtime's smoothing."""


def least_squared_range(
    counts: np.ndarray,
    edges: np.ndarray,
    smallest: float,
    largest: float,
    bits: int,
    symmetric: bool,
) -> tuple[float, float]:
    """The range whose rounding has the least squared error, never worse than all of it.

    A value lies within half a bin of the bin's middle, and its distance from the nearest level
    changes by no more than that. So the root mean square of the errors is that of the middles' to
    half a bin, and ranges that are a whole bin apart are in order, whatever the values are.

    Parameters
    ----------
    counts, edges
        Counts of values in equal bins, [bins], and the bins' edges, [bins + 1].
    smallest, largest
        Ends of the values.
    bits, symmetric
        As in `AffineParams.from_range`.

    Returns
    -------
    tuple of float

    Examples
    --------
    >>> normal = np.random.default_rng(0).standard_normal(10_000)
    >>> counts, edges = np.histogram(np.append(normal, 20), 4096)
    >>> low, high = least_squared_range(counts, edges, normal.min(), 20.0, 4, symmetric=True)
    >>> bool(-low == high), round(float(high), 1)
    (True, 2.5)
    """
    used = np.flatnonzero(counts)
    middles = np.clip((edges[used] + edges[used + 1]) / 2, smallest, largest)
    weights = counts[used] / counts.sum()

    def error(ends: tuple[float, float]) -> float:
        rounded = fake_quantize(middles, AffineParams.from_range(*ends, bits, symmetric))
        return float(np.sqrt(np.sum(weights * (rounded - middles) ** 2)))

    low, high = min(smallest, 0.0), max(largest, 0.0)
    whole = best = (min(low, -high), max(high, -low)) if symmetric else (low, high)
    least = limit = error(whole)
    for ratios in RATIOS:
        start = best
        # Each end on its own: where a tail is on one side, no path of single steps leads there.
        pairs = zip(ratios, ratios, strict=True) if symmetric else product(ratios, ratios)
        for below, above in pairs:
            tried = (max(start[0] * below, whole[0]), min(start[1] * above, whole[1]))
            if (found := error(tried)) < least:
                best, least = tried, found
    return best if least + (edges[1] - edges[0]) <= limit else whole


def least_divergent_bins(counts: np.ndarray, levels: int) -> int:
    """How many bins from zero to keep so that the rounded distribution diverges least.

    Parameters
    ----------
    counts
        Counts of magnitudes in equal bins from zero, int64 [bins].
    levels
        Number of levels that the kept bins are rounded to.

    Returns
    -------
    int
        From `levels` to the last bin that is not empty; the latter where that is less.

    Examples
    --------
    >>> least_divergent_bins(np.array([9, 7, 9, 7, 9, 7, 9, 7, 0, 0, 0, 0, 0, 0, 0, 1]), 4)
    8
    """
    kept = int(np.flatnonzero(counts).max(initial=-1)) + 1
    candidates = np.arange(levels, kept + 1)
    if not candidates.size:
        return kept
    divergences = [_divergence(counts, kept, levels) for kept in candidates]
    # Of equal ones the widest, so that nothing is cut off for nothing.
    return int(candidates[::-1][np.argmin(divergences[::-1])])


def _divergence(counts: np.ndarray, kept: int, levels: int) -> float:
    """Of the kept bins, what is beyond piled up in the last, from the same rounded to levels."""
    inside = counts[:kept]
    exact = inside.astype(np.float64)
    exact[-1] += counts[kept:].sum()
    present = exact > 0
    starts = np.arange(levels) * kept // levels
    sums, filled = np.add.reduceat(inside, starts), np.add.reduceat(present.astype(int), starts)
    # A level's count is spread over those of its bins where there is anything.
    rounded = np.repeat(sums / np.maximum(1, filled), np.diff(starts, append=kept)) * present
    p, q = exact[present], np.maximum(rounded[present], FAINT)
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum(p * np.log(p / q)))
