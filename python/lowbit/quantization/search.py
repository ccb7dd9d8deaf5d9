"""Scales that lose least: every group tries several and keeps the best."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from lowbit import _core
from lowbit.arrays import as_float32
from lowbit.quantization.checks import checked_zero_points, group_argument
from lowbit.quantization.matrix import QuantizedMatrix, quantize
from lowbit.quantization.packing import BITS, BLOCK_ROWS, LEAST_CODE

RATIOS = np.linspace(0.7, 1.1, 21)
"""Tried scales as parts of the one that stores the group's extreme exactly."""
CHUNK = 1 << 16
"""Weights searched at a time: the search needs several times their memory."""
POWERS = np.array([0.5, 1.0, 2.0])
"""The same where scales are powers of two."""
PLACES = (0.5, 0.0, 1.0)
"""Of a range that does not hold a whole group: in its middle, at its low or at its high end."""


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
    array, weights = _checked(w, group_size, importance, "search_scales")
    parts = [
        _search(array[first:end], format, group_size, weights)
        for first, end in row_chunks(*array.shape)
    ]
    return np.concatenate(parts)


def search_ranges(
    w: Any,
    format: str = "int4",
    group_size: int | None = 64,
    importance: Any = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Scale and zero point of each group, of 64 pairs the one with the least squared error.

    A range that is smaller than a group cuts off both ends alike, or one of them.

    Parameters
    ----------
    w
        Weights [N, K], finite.
    format
        "int4" or "int8".
    group_size, importance
        As in `search_scales`.

    Returns
    -------
    scales, zero_points : numpy.ndarray
        float32 and int32 [N, groups], for `quantize_to`.

    Raises
    ------
    ValueError
        As `search_scales`; if the format has no zero points.

    Examples
    --------
    >>> w = np.random.default_rng(0).exponential(size=(64, 256)).astype(np.float32)
    >>> scales, zeros = search_ranges(w, "int4")
    >>> chosen = quantize_to(w, scales, "int4", 64, zero_points=zeros)
    >>> [round(q.error(w).rmse, 3) for q in (quantize(w, "int4", symmetric=False), chosen)]
    [0.093, 0.09]
    """
    array, weights = _checked(w, group_size, importance, "search_ranges")
    parts = [
        _search_ranges(array[first:end], format, group_size, weights)
        for first, end in row_chunks(*array.shape)
    ]
    scales, zeros = (np.concatenate(part) for part in zip(*parts, strict=True))
    return scales, zeros


def quantize_searched(
    w: Any,
    format: str = "nf4",
    group_size: int | None = 64,
    double_quant: bool = False,
    scale_dtype: str | None = None,
    symmetric: bool = True,
    importance: Any = None,
) -> QuantizedMatrix:
    """Round to what `search_scales` chooses or, if not symmetric, `search_ranges`.

    Examples
    --------
    >>> w = np.random.default_rng(0).exponential(size=(64, 256)).astype(np.float32)
    >>> round(quantize_searched(w, "int4", symmetric=False).error(w).rmse, 3)
    0.09
    """
    zeros = None
    if symmetric:
        scales = search_scales(w, format, group_size, importance)
    else:
        scales, zeros = search_ranges(w, format, group_size, importance)
    return quantize_to(w, scales, format, group_size, double_quant, scale_dtype, zeros)


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


def _search_ranges(
    array: np.ndarray, format: str, group_size: int | None, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    plain = quantize(array, format, group_size, symmetric=False)
    scales, zeros = plain.scales(), plain.zero_points()
    assert zeros is not None
    return _least_error(
        array,
        (scales, zeros.astype(np.int32)),
        _ranges(array, scales, format, plain.group_size),
        lambda w, *chosen: _round_to(w, chosen[0], format, plain.group_size, chosen[1]),
        weights,
    )


def _ranges(
    w: np.ndarray, first: np.ndarray, format: str, size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Scales and zero points to try, as parts of the scales `first`, which hold whole groups."""
    if not w.size:
        return
    starts = np.arange(0, w.shape[1], size)
    # Zero is a code, so it is inside every range.
    low = np.minimum(np.minimum.reduceat(w, starts, axis=1), 0)
    high = np.maximum(np.maximum.reduceat(w, starts, axis=1), 0)
    top = np.float32((1 << BITS[format]) - 1)
    for ratio in RATIOS:
        scales = np.float32(ratio) * first
        for place in PLACES:
            begin = low + np.float32(place) * (high - top * scales - low)
            steps = np.divide(-begin, scales, out=np.zeros_like(scales), where=scales != 0)
            codes = np.clip(np.rint(steps), 0, top).astype(np.int32)
            yield scales, codes + LEAST_CODE[format]


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
    (best,) = _least_error(w, (first,), ((scales,) for scales in tried), round_to, importance)
    return best


def _least_error(
    w: np.ndarray,
    first: tuple[np.ndarray, ...],
    tried: Iterable[tuple[np.ndarray, ...]],
    round_to: Callable[..., QuantizedMatrix],
    importance: np.ndarray | float,
) -> tuple[np.ndarray, ...]:
    """The same for scales alone or with zero points: what `round_to` takes after w."""
    best = tuple(of.copy() for of in first)
    least = _group_errors(round_to(w, *first), w, importance)
    for choice in tried:
        error = _group_errors(round_to(w, *choice), w, importance)
        better = error < least
        for kept, new in zip((*best, least), (*choice, error), strict=True):
            kept[better] = new[better]
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


def _round_to(
    w: np.ndarray, scales: np.ndarray, format: str, size: int, zeros: np.ndarray | None = None
) -> QuantizedMatrix:
    group_size = None if size == w.shape[1] else size
    return quantize_to(w, scales, format, group_size, zero_points=zeros)


def _group_errors(q: QuantizedMatrix, w: np.ndarray, importance: np.ndarray | float) -> np.ndarray:
    """Squared errors [N, groups], weighted by column."""
    errors = (q.dequantize() - w) ** 2 * importance
    if not errors.size:
        return np.zeros(q.scales().shape, np.float32)
    return np.add.reduceat(errors, np.arange(0, w.shape[1], q.group_size), axis=1)


def _checked(
    w: Any, group_size: int | str | None, importance: Any, function: str
) -> tuple[np.ndarray, np.ndarray]:
    """w as float32 [N, K], and how much the error of each column counts, [K]."""
    if group_size == "tensor":
        raise ValueError(f'{function}: group_size="tensor" has one scale, which quantize chooses')
    array = as_float32(w, function, "w", ndim=2)
    columns = array.shape[1]
    if importance is None:
        return array, np.ones(columns, np.float32)
    weights = as_float32(importance, function, "importance", ndim=1)
    if weights.shape != (columns,):
        raise ValueError(
            f"{function}: importance has {len(weights)} values, w has {columns} columns"
        )
    if not (weights >= 0).all():
        raise ValueError(f"{function}: importance has a negative or NaN value; use mean squares")
    return array, weights
