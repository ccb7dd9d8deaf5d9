"""Scales and zero points by half-quadratic quantization: from the weights alone, in no time.

Badri and Shaji, "Half-Quadratic Quantization of Large Machine Learning Models", 2023. What it
minimises, and both of its steps, are written in `lowbit.reference.hqq`; here all groups of some
rows take them at once, and each keeps the best of its rounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lowbit.arrays import as_float32
from lowbit.quantization.matrix import QuantizedMatrix, quantize
from lowbit.quantization.packing import BITS
from lowbit.quantization.search import quantize_to

KAPPA = 1.01
"""Growth of beta from round to round."""
ROWS = 256
"""Rows in work at a time, which bounds the memory."""


def hqq(
    w: Any,
    format: str = "nf4",
    group_size: int | None = 64,
    zero_points: str | None = None,
    norm: float = 0.7,
    beta: float = 10.0,
    rounds: int = 20,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Scales, and zero points if asked for, that leave few weights far off.

    Parameters
    ----------
    w
        Weights [N, K], finite.
    format, group_size
        As in `lowbit.quantize`.
    zero_points
        None: values are those of the format, and the scale is sought. Else, for "int4" and "int8",
        they are (code - zero point) * scale. "fractions": the scale is that of the group's ends and
        the zero point is sought, any number, as in the paper; codes are 0..15 and 0..255. "codes":
        zero points are codes themselves, 0..15 and -128..127, as packed matrices have them, and
        both are sought.
    norm
        The exponent p of the errors, above 0 and at most 1.
    beta
        How large an error may be, in steps between two codes, before it is let go: larger than
        beta^(-1 / (2 - p)), here 0.17 steps.
    rounds
        How many; a group keeps its best one, so no group is worse than at the start.

    Returns
    -------
    scales : numpy.ndarray
        float32 [N, groups], for `quantize_to`.
    zero_points : numpy.ndarray or None
        [N, groups], float32 for "fractions", int32 for "codes".

    Raises
    ------
    ValueError
        As `lowbit.quantize`; if `norm`, `beta` or `rounds` are out of range, or zero points are
        asked of another format.

    Examples
    --------
    >>> w = np.random.default_rng(0).standard_t(3, (64, 256)).astype(np.float32)  # some far out
    >>> def lost(q):
    ...     return float(np.sum(np.abs(q.dequantize() - w) ** 0.7))
    >>> scales, _ = hqq(w, "int4")
    >>> lost(quantize_to(w, scales, "int4", 64, False)) < 0.98 * lost(quantize(w, "int4"))
    True
    """
    array = as_float32(w, "hqq", "w", ndim=2)
    _check(norm, beta, rounds)
    plain = quantize(array, format, group_size)  # checks the rest
    if zero_points is not None:
        return _with_zero_points(array, plain, zero_points, norm, beta, rounds)
    scales, size = plain.scales(), plain.group_size
    if array.size == 0:
        return scales, None
    options = (size, norm, beta, rounds)
    for rows in _blocks(len(array)):
        scales[rows] = _symmetric(array[rows], format, scales[rows], *options)
    return scales, None


def round_to_affine(
    w: np.ndarray, scales: np.ndarray, zero_points: np.ndarray, group_size: int, top: int
) -> np.ndarray:
    """Codes [N, K] as floats 0..top of w [N, K]: nearest, ties to even, cut off at the ends.

    Examples
    --------
    >>> round_to_affine(np.array([[-1.0, 0.0, 9.0]]), np.array([[0.2]]), np.array([[5.0]]), 3, 15)
    array([[ 0.,  5., 15.]])
    """
    scale, zero = (_columns(of, group_size, w.shape[1]) for of in (scales, zero_points))
    steps = np.divide(w, scale, out=np.zeros_like(w), where=scale != 0)
    return np.clip(np.rint(steps + zero), 0, top)


def _symmetric(
    w: np.ndarray, format: str, scale: np.ndarray, size: int, norm: float, beta: float, rounds: int
) -> np.ndarray:
    best, least = scale.copy(), np.full(scale.shape, np.inf, np.float32)
    stored = None if size == w.shape[1] else size
    step = np.abs(scale) * np.float32(_step(format))
    for _ in range(rounds):
        values = quantize_to(w, scale, format, stored, False).dequantize()
        kept, lost = _let_go(w, values, step, size, norm, beta)
        _keep_better((best,), (scale,), least, lost)
        square = _sums(values * values, size)
        product = _sums(values * kept, size)
        fitted = np.ones_like(scale)
        scale = scale * np.divide(product, square, out=fitted, where=square > 0)
        beta *= KAPPA
    return best


def _with_zero_points(
    w: np.ndarray, plain: QuantizedMatrix, kind: str, norm: float, beta: float, rounds: int
) -> tuple[np.ndarray, np.ndarray]:
    if kind not in ("fractions", "codes"):
        raise ValueError(f'hqq: zero_points={kind!r} is not known; use "fractions" or "codes"')
    if plain.format not in ("int4", "int8"):
        raise ValueError(f'hqq: "{plain.format}" has no zero points; use "int4" or "int8", or None')
    seek = _affine if kind == "fractions" else _affine_codes
    scales = plain.scales()
    zeros = np.zeros_like(scales)
    if w.size:
        top = (1 << BITS[plain.format]) - 1
        for rows in _blocks(len(w)):
            found = seek(w[rows], top, plain.group_size, norm, beta, rounds)
            scales[rows], zeros[rows] = found
    if kind == "codes":
        zeros = zeros.astype(np.int32) - (128 if plain.format == "int8" else 0)
    return scales, zeros


def _affine(
    w: np.ndarray, top: int, size: int, norm: float, beta: float, rounds: int
) -> tuple[np.ndarray, np.ndarray]:
    scale, zero = _ends(w, top, size)
    best, least = zero.copy(), np.full(scale.shape, np.inf, np.float32)
    wide = _columns(scale, size, w.shape[1])
    counts = _sums(np.ones_like(w[:1]), size)
    for _ in range(rounds):
        codes = round_to_affine(w, scale, zero, size, top)
        values = (codes - _columns(zero, size, w.shape[1])) * wide
        kept, lost = _let_go(w, values, scale, size, norm, beta)
        _keep_better((best,), (zero,), least, lost)
        steps = np.divide(kept, wide, out=np.zeros_like(kept), where=wide != 0)
        zero = _sums(codes - steps, size) / counts
        beta *= KAPPA
    return scale, np.where(scale == 0, np.float32(0), best)


def _affine_codes(
    w: np.ndarray, top: int, size: int, norm: float, beta: float, rounds: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same with zero points 0..top; as these move in whole steps, scales are sought as well."""
    scale, zero = _ends(w, top, size, with_zero=True)
    zero = np.rint(zero)
    best_scale, best_zero = scale.copy(), zero.copy()
    least, step = np.full(scale.shape, np.inf, np.float32), scale
    counts = _sums(np.ones_like(w[:1]), size)
    for _ in range(rounds):
        codes = round_to_affine(w, scale, zero, size, top)
        steps = codes - _columns(zero, size, w.shape[1])
        values = steps * _columns(scale, size, w.shape[1])
        kept, lost = _let_go(w, values, step, size, norm, beta)
        _keep_better((best_scale, best_zero), (scale, zero), least, lost)
        square = _sums(steps * steps, size)
        fitted = scale.copy()
        scale = np.divide(_sums(steps * kept, size), square, out=fitted, where=square > 0)
        wide = _columns(scale, size, w.shape[1])
        shift = np.divide(kept, wide, out=np.zeros_like(kept), where=wide != 0)
        zero = np.clip(np.rint(_sums(codes - shift, size) / counts), 0, top)
        beta *= KAPPA
    return best_scale, best_zero


def _ends(
    w: np.ndarray, top: int, size: int, with_zero: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Scale and zero point whose codes 0 and `top` are the ends of each group."""
    starts = np.arange(0, w.shape[1], size)
    low, high = (of.reduceat(w, starts, axis=1) for of in (np.minimum, np.maximum))
    flat = (low == high) | with_zero  # a group of one value: the range reaches to 0
    low, high = np.where(flat, np.minimum(low, 0), low), np.where(flat, np.maximum(high, 0), high)
    scale = (high - low) / np.float32(top)
    return scale, np.divide(-low, scale, out=np.zeros_like(scale), where=scale != 0)


def _let_go(
    w: np.ndarray, values: np.ndarray, step: np.ndarray, size: int, norm: float, beta: float
) -> tuple[np.ndarray, np.ndarray]:
    """w without the errors that are let go [N, K], and the sum of |error|^norm of each group.

    Errors are counted in steps of the group, so that all groups mean the same by `beta`.
    """
    wide = _columns(step, size, w.shape[1])
    errors = w - values
    sizes = np.divide(np.abs(errors), wide, out=np.zeros_like(wide), where=wide != 0)
    powers = np.power(sizes, np.float32(norm))
    loss = np.divide(powers, sizes * np.float32(beta), out=np.zeros_like(sizes), where=sizes > 0)
    let_go = np.copysign(np.maximum(sizes - loss, 0) * wide, errors)
    return w - let_go, _sums(powers, size)


def _keep_better(
    best: tuple[np.ndarray, ...], new: tuple[np.ndarray, ...], least: np.ndarray, lost: np.ndarray
) -> None:
    """Take over, in place, the groups that lose less than ever before."""
    better = lost < least
    for kept, tried in zip((*best, least), (*new, lost), strict=True):
        kept[better] = tried[better]


def _step(format: str) -> float:
    """Mean distance of two neighbouring values of a format, before their scale."""
    if BITS[format] == 8:
        return 1.0
    levels = QuantizedMatrix.from_codes(format, np.arange(16)[None], [[1.0]], None).dequantize()
    return float(np.ptp(levels)) / 15


def _sums(values: np.ndarray, size: int) -> np.ndarray:
    """Sums of each group [N, groups]."""
    return np.add.reduceat(values, np.arange(0, values.shape[1], size), axis=1)


def _columns(groups: np.ndarray, size: int, columns: int) -> np.ndarray:
    """A number of each group [N, groups], repeated for each of its columns [N, K]."""
    return np.repeat(groups, size, axis=1)[:, :columns]


def _blocks(rows: int) -> list[slice]:
    return [slice(first, first + ROWS) for first in range(0, rows, ROWS)]


def _check(norm: float, beta: float, rounds: int) -> None:
    if not 0 < norm <= 1:
        raise ValueError(f"hqq: norm={norm} is not above 0 and at most 1; the paper has 0.7")
    if not 0 < beta < np.inf:
        raise ValueError(f"hqq: beta={beta} is not above 0; the paper has 10")
    if rounds < 1:
        raise ValueError(f"hqq: rounds={rounds} is below 1; use 20")
