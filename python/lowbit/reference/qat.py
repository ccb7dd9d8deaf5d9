"""Gradients through rounding, where rounding has none.

With v = w / scale and Q(v) the nearest level, y = scale Q(v) is constant almost everywhere, so its
own gradient trains nothing. The straight-through estimator takes Q for v plus a constant where v is
inside the levels, and for the last level elsewhere. `smooth` is that function: it meets y at the
point where the constants were taken, and `backward` is its gradient there, in w (Bengio et al.
2013) and in the scale (Esser et al. 2020).
"""

from __future__ import annotations

import numpy as np

from lowbit.reference.quantization import nearest_index


def round_to_levels(w: np.ndarray, levels: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """scale Q(w / scale).

    Parameters
    ----------
    w
        Weights [N, K].
    levels
        What codes stand for before their scale, ascending.
    scales
        [N, K]: the scale of each weight, of either sign.

    Examples
    --------
    >>> round_to_levels(np.array([[0.4, -9.0]]), np.arange(-8, 8), np.full((1, 2), 0.5)).tolist()
    [[0.5, -4.0]]
    """
    return scales * levels[nearest_index(levels.astype(w.dtype), w / scales)]


def is_inside(w: np.ndarray, levels: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Where nothing is cut off: v rounds to a level, if these went on with the same gaps.

    So v may lie beyond the last level by half of the last gap. Ties of whole levels are rounded to
    even, as torch does.
    """
    v = w / scales
    if (levels == np.rint(levels)).all():
        return (np.rint(v) >= levels[0]) & (np.rint(v) <= levels[-1])
    gaps = np.diff(levels)
    return (v >= levels[0] - gaps[0] / 2) & (v <= levels[-1] + gaps[-1] / 2)


def backward(
    dy: np.ndarray, w: np.ndarray, levels: np.ndarray, scales: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of w and, weight by weight, of the scales; a shared scale has the sum of its own.

    Examples
    --------
    >>> one = np.ones((1, 2))
    >>> dw, dscale = backward(one, np.array([[0.4, -9.0]]), np.arange(-8, 8), 0.5 * one)
    >>> dw.tolist(), dscale.round(3).tolist()
    ([[1.0, 0.0]], [[0.2, -8.0]])
    """
    inside = is_inside(w, levels, scales)
    level = round_to_levels(w, levels, scales) / scales
    return dy * inside, dy * np.where(inside, level - w / scales, level)


def smooth(
    w: np.ndarray,
    scales: np.ndarray,
    levels: np.ndarray,
    point: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """What `backward` differentiates, with the constants that rounding adds at `point` (w, scales).

    Examples
    --------
    >>> at = np.array([[0.4]]), np.array([[0.5]])    # v = 0.8, and Q(v) = v + 0.2
    >>> smooth(np.array([[0.4]]), np.array([[0.6]]), np.arange(-8, 8), at).round(3).tolist()
    [[0.52]]
    """
    inside = is_inside(point[0], levels, point[1])
    level = round_to_levels(point[0], levels, point[1]) / point[1]
    return np.where(inside, w + (level - point[0] / point[1]) * scales, level * scales)
