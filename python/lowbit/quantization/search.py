"""Scales that lose least: every group tries several and keeps the best."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from lowbit import _core
from lowbit.arrays import as_float32
from lowbit.quantization.checks import checked_zero_points, group_argument
from lowbit.quantization.matrix import QuantizedMatrix, quantize
from lowbit.quantization.packing import BLOCK_ROWS

RATIOS = np.linspace(0.7, 1.1, 21)
"""Tried scales as parts of the one that stores the group's extreme exactly."""
CHUNK = 1 << 16
"""Weights searched at a time: the search needs several times their memory."""
POWERS = np.array([0.5, 1.0, 2.0])
"""The same where scales are powers of two."""


def search_scales(
    w: Any,
    format: str = "nf4",
    group_size: int | None = 64,
    importance: Any = None,
) -> np.ndarray:
    """The scale of each group, among 21 for each sign it may have, with the least squared error.

    A smaller scale cuts the extreme of a group off and rounds the others more finely.

    Parameters
    ----------
    w
        Weights [N, K], finite.
    format, group_size
        As in `lowbit.quantize`.
    importance
        [K]: how much the error of each column counts, such as the mean square of the inputs that it
        multiplies; None: all alike.

    Returns
    -------
    numpy.ndarray
        float32 [N, groups].

    Raises
    ------
    ValueError
        As `lowbit.quantize`; if `importance` has another length, or a negative or NaN value.

    Examples
    --------
    >>> w = np.random.default_rng(0).standard_normal((64, 256)).astype(np.float32)
    >>> chosen = quantize_to(w, search_scales(w, "int4"), "int4", 64, False)
    >>> [round(float(np.sqrt(np.mean((q.dequantize() - w) ** 2))), 3)
    ...  for q in (quantize(w, "int4"), chosen)]
    [0.095, 0.09]
    """
    if group_size == "tensor":
        raise ValueError('search_scales: group_size="tensor" has one scale, which quantize chooses')
    array = as_float32(w, "search_scales", "w", ndim=2)
    weights = _checked_importance(importance, array.shape[1])
    parts = [
        _search(array[first:end], format, group_size, weights)
        for first, end in row_chunks(*array.shape)
    ]
    return np.concatenate(parts)


def row_chunks(rows: int, cols: int) -> Iterator[tuple[int, int]]:
    """(first, end) of runs of whole blocks of rows with about `CHUNK` weights; at least one.

    Examples
    --------
    >>> list(row_chunks(40, 1 << 12)), list(row_chunks(0, 8))
    ([(0, 16), (16, 32), (32, 40)], [(0, 0)])
    """
    step = max(1, CHUNK // (BLOCK_ROWS * max(1, cols))) * BLOCK_ROWS
    for first in range(0, max(1, rows), step):
        yield first, min(first + step, rows)


def _search(
    array: np.ndarray, format: str, group_size: int | None, weights: np.ndarray
) -> np.ndarray:
    plain = quantize(array, format, group_size)
    first, size = plain.scales(), plain.group_size
    signs = (1, -1) if format == "int4" else (1,)  # int4 has one code more on one side of zero
    ratios = POWERS if plain.scale_dtype == "e8m0" else RATIOS
    return least_error_scales(
        array,
        first,
        (np.float32(sign * ratio) * first for ratio in ratios for sign in signs),
        lambda w, scales: _round_to(w, scales, format, size),
        weights,
    )


def least_error_scales(
    w: np.ndarray,
    first: np.ndarray,
    tried: Iterable[np.ndarray],
    round_to: Callable[[np.ndarray, np.ndarray], QuantizedMatrix],
    importance: np.ndarray | float = 1.0,
) -> np.ndarray:
    """For each group the scale with the least squared error, `first` or one that is tried.

    Parameters
    ----------
    w
        float32 [N, K].
    first, tried
        Scales [N, groups].
    round_to
        Rounds w to given scales.
    importance
        [K], or one for all columns.
    """
    best = first.copy()
    least = _group_errors(round_to(w, first), w, importance)
    for scales in tried:
        error = _group_errors(round_to(w, scales), w, importance)
        better = error < least
        best[better], least[better] = scales[better], error[better]
    return best


def quantize_to(
    w: Any,
    scales: Any,
    format: str,
    group_size: int | None,
    double_quant: bool = False,
    scale_dtype: str | None = None,
    zero_points: Any = None,
) -> QuantizedMatrix:
    """Round w [N, K] to scales [N, groups], and zero points, that were chosen before.

    Scales are rounded to `scale_dtype`, or by `double_quant` to 8 bits, first, so that the codes
    are the nearest for the scales that are stored.

    Parameters
    ----------
    w
        Weights [N, K], finite.
    scales
        Finite floats [N, groups].
    format, group_size, double_quant, scale_dtype
        As in `lowbit.quantize`.
    zero_points
        Codes [N, groups] that stand for zero, for "int8" (-128..127) and "int4" (0..15); None for a
        symmetric matrix.

    Raises
    ------
    ValueError
        As `lowbit.quantize`; if a shape does not fit, or a scale or zero point is out of range.

    Examples
    --------
    >>> q = quantize_to([[0.0, 1.0, 2.0, 3.1]], [[0.25]], "int4", None, zero_points=[[2]])
    >>> q.codes().tolist(), q.dequantize().tolist()
    ([[2, 6, 10, 14]], [[0.0, 1.0, 2.0, 3.0]])
    """
    array = as_float32(w, "quantize_to", "w", ndim=2)
    chosen = as_float32(scales, "quantize_to", "scales", ndim=2)
    if zero_points is not None:
        zero_points = checked_zero_points(zero_points, chosen.shape, format, "quantize_to")
    size = group_argument(group_size, "quantize_to")
    return QuantizedMatrix(
        _core.PackedMatrix.quantize_to(
            array, chosen, format, size, double_quant, scale_dtype or "", zero_points
        )
    )


def _round_to(w: np.ndarray, scales: np.ndarray, format: str, size: int) -> QuantizedMatrix:
    return quantize_to(w, scales, format, None if size == w.shape[1] else size, False)


def _group_errors(q: QuantizedMatrix, w: np.ndarray, importance: np.ndarray | float) -> np.ndarray:
    """Squared errors [N, groups], weighted by column."""
    errors = (q.dequantize() - w) ** 2 * importance
    if not errors.size:
        return np.zeros(q.scales().shape, np.float32)
    return np.add.reduceat(errors, np.arange(0, w.shape[1], q.group_size), axis=1)


def _checked_importance(importance: Any, columns: int) -> np.ndarray:
    if importance is None:
        return np.ones(columns, np.float32)
    array = as_float32(importance, "search_scales", "importance", ndim=1)
    if array.shape != (columns,):
        raise ValueError(
            f"search_scales: importance has {len(array)} values, w has {columns} columns"
        )
    if not (array >= 0).all():
        raise ValueError("search_scales: importance has a negative or NaN value; use mean squares")
    return array
