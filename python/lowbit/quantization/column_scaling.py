"""Scales of a layer's input columns, with which rounding its weights or its inputs loses less.

x W^T = (x / s) (s W)^T for any s > 0 of each column; what is rounded is s W. The formulas are those
of `lowbit.reference.column_scaling`; here the inputs are known by their statistics alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lowbit.arrays import as_float32
from lowbit.quantization.matrix import quantize
from lowbit.quantization.moments import Moments, SecondMoments

ALPHAS = np.arange(20) / 20
FLOOR = 1e-4
"""Columns count as having at least this part of the largest magnitude."""
ROWS = 256
"""Rows in work at a time, which bounds the memory."""


def awq_scales(
    weights: Sequence[Any],
    hessian: Any,
    magnitude: Any,
    format: str = "nf4",
    group_size: int | None = 64,
    symmetric: bool = True,
) -> np.ndarray:
    """Activation-aware scales (Lin et al., "AWQ", 2023): columns with large inputs lose less.

    s = magnitude^alpha for 20 alphas from 0; the one is kept whose rounded weights change the
    outputs least. The first alpha scales nothing, so it is never worse than `quantize` alone.

    Parameters
    ----------
    weights
        Matrices [N, K] that have the same input, such as those of query, key and value.
    hessian
        [K, K]: sum of x x^T over inputs x of the layer, or the moments of `InputStatistics`.
    magnitude
        [K]: mean |x| of each column.
    format, group_size, symmetric
        As in `lowbit.quantize`, for the weights to come.

    Returns
    -------
    numpy.ndarray
        float32 [K], all above 0: round weights * s, and divide the inputs by s.

    Raises
    ------
    ValueError
        As `lowbit.quantize`; if a shape does not fit, or a value is NaN, infinite or a negative
        magnitude.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((200, 64)) * np.exp(rng.standard_normal(64))
    >>> w = rng.standard_normal((32, 64))
    >>> s = awq_scales([w], x.T @ x, np.abs(x).mean(axis=0), "int4")
    >>> exact, plain = x @ w.T, x @ quantize(w, "int4").dequantize().T
    >>> scaled = (x / s) @ quantize(w * s, "int4").dequantize().T
    >>> bool(np.linalg.norm(scaled - exact) < 0.9 * np.linalg.norm(plain - exact))
    True
    """
    matrices = _matrices(weights, "awq_scales")
    columns = matrices[0].shape[1]
    moments = SecondMoments.of(hessian, columns, "awq_scales")
    size = _checked(magnitude, "awq_scales", "magnitude", (columns,))
    top = float(size.max(initial=0))
    best, least = np.ones(columns, np.float32), np.inf
    if top == 0:  # no input ever counts
        return best
    size = np.maximum(size, FLOOR * top)
    for alpha in ALPHAS:
        tried = size**alpha
        scales = (tried / np.sqrt(tried.max() * tried.min())).astype(np.float32)
        error = sum(
            _output_error(w, scales, moments, format, group_size, symmetric) for w in matrices
        )
        if error < least:
            best, least = scales, error
    return best


def smooth_scales(weights: Sequence[Any], largest: Any, alpha: float = 0.5) -> np.ndarray:
    """SmoothQuant's scales (Xiao et al., 2022): outliers of the inputs move into the weights.

    s = max|x|^alpha / max|w|^(1 - alpha) of each column. It is for inputs that are rounded too
    (`compute="int8"`), whose scale one column with outliers would set; weights become harder to
    round.

    Parameters
    ----------
    weights
        Matrices [N, K] that have the same input, such as those of query, key and value.
    largest
        [K]: largest |x| of each column; see `InputStatistics`.
    alpha
        From 0 to 1: how much of the range goes to the weights.

    Returns
    -------
    numpy.ndarray
        float32 [K]; 1 where the inputs or the weights are all zero.

    Raises
    ------
    ValueError
        If a shape does not fit, `alpha` is out of range, or a value is NaN, infinite or a negative
        magnitude.

    Examples
    --------
    >>> smooth_scales([[[2.0, 1.0, 3.0]]], [8.0, 1.0, 0.0]).tolist()
    [2.0, 1.0, 1.0]
    """
    matrices = _matrices(weights, "smooth_scales")
    if not 0 <= alpha <= 1:
        raise ValueError(f"smooth_scales: alpha={alpha} is not from 0 to 1; the paper has 0.5")
    inputs = _checked(largest, "smooth_scales", "largest", (matrices[0].shape[1],))
    heights = np.zeros(len(inputs))
    for w in matrices:
        np.maximum(heights, np.abs(w).max(axis=0, initial=0), out=heights)
    used = (inputs > 0) & (heights > 0)
    inputs, heights = np.where(used, inputs, 1), np.where(used, heights, 1)
    return (inputs**alpha / heights ** (1 - alpha)).astype(np.float32)


def bias_shift(change: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """What rounding adds to the mean of a layer's outputs: its bias can give it back.

    Nagel et al., "Data-free quantization through weight equalization and bias correction", 2019.

    Parameters
    ----------
    change
        Rounded weights less exact ones, [N, K].
    mean
        [K]: mean input.

    Returns
    -------
    numpy.ndarray
        float32 [N], to subtract from the bias.

    Examples
    --------
    >>> bias_shift(np.array([[0.0, 1.0]]) - np.array([[0.5, 1.25]]), np.array([2.0, 2.0])).tolist()
    [-1.5]
    """
    return (change @ mean).astype(np.float32)


def _output_error(
    w: np.ndarray,
    scales: np.ndarray,
    moments: Moments,
    format: str,
    group_size: int | None,
    symmetric: bool,
) -> float:
    """Sum over the inputs of the squared change of the outputs, by their second moments."""
    total = 0.0
    for first in range(0, len(w), ROWS):
        rows = w[first : first + ROWS]
        rounded = quantize(rows * scales, format, group_size, symmetric=symmetric)
        change = rounded.dequantize()
        change /= scales
        change -= rows
        total += moments.norm(change) ** 2
    return total


def _matrices(weights: Sequence[Any], function: str) -> list[np.ndarray]:
    found = [as_float32(w, function, f"weights[{i}]", ndim=2) for i, w in enumerate(weights)]
    if len({w.shape[1] for w in found}) != 1:
        shapes = ", ".join(str(w.shape) for w in found) or "no matrix"
        raise ValueError(f"{function}: weights must have the same number of columns; got {shapes}")
    for i, w in enumerate(found):
        _check_finite(w, function, f"weights[{i}]")
    return found


def _checked(value: Any, function: str, argument: str, shape: tuple[int, ...]) -> np.ndarray:
    array = as_float32(value, function, argument, ndim=len(shape))
    if array.shape != shape:
        raise ValueError(
            f"{function}: {argument} has shape {array.shape}; the weights ask for {shape}"
        )
    _check_finite(array, function, argument)
    if (array < 0).any():
        at = int(np.argmax(array < 0))
        raise ValueError(f"{function}: {argument}[{at}] is {array[at]}; a magnitude is 0 or more")
    return array.astype(np.float64)


def _check_finite(array: np.ndarray, function: str, argument: str) -> None:
    if not np.isfinite(array).all():
        at = np.argwhere(~np.isfinite(array))[0].tolist()
        where = ", ".join(map(str, at))
        raise ValueError(f"{function}: {argument}[{where}] is {array[tuple(at)]}; not finite")
