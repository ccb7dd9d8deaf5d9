"""Half-quadratic quantization (Badri and Shaji, "HQQ", 2023): scales and zero points from weights.

A few weights of a group are far off whatever its scale is. A squared error bends the scale towards
these; HQQ minimises a norm with p < 1, which cares for how many weights are off, not how far:

    sum of |W - V|^p,    V = level[code] * scale    or    V = (code - zero_point) * scale

That is no smooth problem, so errors get a variable of their own, E, and two steps alternate:

    E = shrink(W - V)           the few large errors, which are let go
    zero_point or scale         fits W - E best in squares, with the codes of this round

    shrink(x) = sign(x) * max(0, |x| - |x|^(p - 1) / beta)

The paper fixes scale = (max - min) / levels and seeks the zero point, the mean over the group of
code - (W - E) / scale. Where a format has no zero point the same step gives the scale, by least
squares: sum of V (W - E) / sum of V^2 times the scale of this round. beta grows by the factor kappa
from round to round, so that fewer and fewer errors count as large.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def shrink(x: np.ndarray, beta: float, norm: float) -> np.ndarray:
    """The generalised soft threshold: small values become 0, large ones lose a little.

    Examples
    --------
    >>> shrink(np.array([-2.0, 0.5, 0.0]), beta=1.0, norm=1.0).tolist()
    [-1.0, 0.0, 0.0]
    """
    size = np.abs(x)
    with np.errstate(divide="ignore"):
        loss = np.where(size > 0, size, 1.0) ** (norm - 1) / beta
    return np.sign(x) * np.maximum(0.0, size - loss)


def first_affine(w: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Scale and zero point [n, 1] of groups w [n, size], so that codes 0 and `top` are the ends.

    A group of one value has a range that reaches from it to 0; one of zeros has the scale 0.

    Examples
    --------
    >>> scale, zero_point = first_affine(np.array([[-1.0, 2.0], [3.0, 3.0]]), top=15)
    >>> scale.ravel().tolist(), zero_point.ravel().tolist()
    ([0.2, 0.2], [5.0, 0.0])
    """
    low, high = w.min(axis=1, keepdims=True), w.max(axis=1, keepdims=True)
    low, high = np.where(low == high, (np.minimum(low, 0), np.maximum(high, 0)), (low, high))
    scale = (high - low) / top
    return scale, (0 - low) / np.where(scale == 0, 1, scale)


def affine_rounds(
    w: np.ndarray,
    scale: np.ndarray,
    zero_point: np.ndarray,
    top: int,
    norm: float = 0.7,
    beta: float = 10.0,
    kappa: float = 1.01,
) -> Iterator[np.ndarray]:
    """The zero points [n, 1] of every round, the first as given; the scale stays.

    Parameters
    ----------
    w
        Groups [n, size].
    scale, zero_point
        [n, 1]; no scale is 0.
    top
        Largest code.
    norm, beta, kappa
        p, the first beta and its growth.
    """
    while True:
        yield zero_point
        codes = np.clip(np.rint(w / scale + zero_point), 0, top)
        kept = w - shrink(w - (codes - zero_point) * scale, beta, norm)
        zero_point = np.mean(codes - kept / scale, axis=1, keepdims=True)
        beta *= kappa


def scale_rounds(
    w: np.ndarray,
    scale: np.ndarray,
    levels: np.ndarray,
    norm: float = 0.7,
    beta: float = 10.0,
    kappa: float = 1.01,
) -> Iterator[np.ndarray]:
    """The scales [n, 1] of every round, the first as given, for levels without a zero point."""
    while True:
        yield scale
        values = round_to_levels(w, scale, levels)
        kept = w - shrink(w - values, beta, norm)
        square = np.sum(values**2, axis=1, keepdims=True)
        fitted = np.sum(values * kept, axis=1, keepdims=True) / np.where(square > 0, square, 1)
        scale = scale * np.where(square > 0, fitted, 1)
        beta *= kappa


def round_to_levels(w: np.ndarray, scale: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The nearest level times scale for groups w [n, size]; 0 where a scale is 0.

    Examples
    --------
    >>> round_to_levels(np.array([[0.4, 1.7]]), np.array([[1.0]]), np.arange(-1, 2)).tolist()
    [[0.0, 1.0]]
    """
    safe = np.where(scale == 0, 1, scale)
    return levels[np.abs((w / safe)[..., None] - levels).argmin(axis=-1)] * scale
