"""Scales of a layer's input columns as the papers define them, and biases that mend a mean.

A layer computes x W^T. For any s > 0 this is (x / s) (s W)^T, with s for each column; only what is
rounded is another matrix. AWQ (Lin et al., 2023) seeks the s that lose least,

    s = magnitude^alpha,    magnitude: mean |x| of a column,    alpha in 0, 1/20 ... 19/20

divided by sqrt(max s * min s); what a column with large inputs loses is scaled down with it.
SmoothQuant (Xiao et al., 2022) rounds x too, and shares the outliers out between both sides:

    s = max|x|^alpha / max|w|^(1 - alpha)

Bias correction (Nagel et al., "Data-free quantization", 2019): rounded weights V change the mean
of the outputs by (V - W) mean(x); the bias gives it back.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def awq(
    weights: list[np.ndarray],
    x: np.ndarray,
    round: Callable[[np.ndarray], np.ndarray],
    steps: int = 20,
    floor: float = 1e-4,
) -> tuple[np.ndarray, float]:
    """The scales [K] of least squared error of all outputs, and that error.

    Parameters
    ----------
    weights
        Matrices [N, K] that share the input.
    x
        Inputs [M, K].
    round
        The values that stand for a matrix.
    steps
        How many alphas.
    floor
        Columns count as having at least this part of the largest magnitude.

    Examples
    --------
    >>> x = np.array([[9.0, 1.0], [9.0, -1.0]])
    >>> scales, error = awq([np.array([[0.4, 1.2]])], x, np.rint)
    >>> bool(scales[0] > scales[1]), bool(error < 0.4**2 * 162)
    (True, True)
    """
    magnitude = np.mean(np.abs(x), axis=0)
    magnitude = np.maximum(magnitude, floor * magnitude.max()) if magnitude.any() else magnitude + 1
    best, least = np.ones(x.shape[1]), np.inf
    for alpha in np.arange(steps) / steps:
        s = magnitude**alpha
        s /= np.sqrt(s.max() * s.min())
        error = sum(np.sum(((x / s) @ round(w * s).T - x @ w.T) ** 2) for w in weights)
        if error < least:
            best, least = s, error
    return best, float(least)


def smoothquant(weights: list[np.ndarray], x: np.ndarray, alpha: float = 0.5) -> np.ndarray:
    """The scales [K]; 1 for a column whose inputs or weights are all zero.

    Examples
    --------
    >>> x, w = np.array([[8.0, -1.0]]), np.array([[2.0, 1.0]])
    >>> smoothquant([w], x).tolist()                  # both columns: x and w become 4 and 1
    [2.0, 1.0]
    """
    inputs = np.abs(x).max(axis=0)
    largest = np.abs(np.concatenate(weights)).max(axis=0)
    used = (inputs > 0) & (largest > 0)
    inputs, largest = np.where(used, inputs, 1), np.where(used, largest, 1)
    return inputs**alpha / largest ** (1 - alpha)


def corrected_bias(bias: np.ndarray, exact: np.ndarray, rounded: np.ndarray, x: np.ndarray):
    """The bias [N] with which rounded weights give outputs of the same mean.

    Examples
    --------
    >>> x = np.array([[1.0, 2.0], [3.0, 2.0]])
    >>> bias = corrected_bias(np.zeros(1), np.array([[0.4, 1.3]]), np.array([[0.0, 1.0]]), x)
    >>> bias.round(9).tolist()
    [1.4]
    """
    return bias - (rounded - exact) @ x.mean(axis=0)
