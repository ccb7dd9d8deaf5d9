"""GPTQ: weights rounded column by column, each column's error made good by those that follow.

What a layer computes is W x, so what counts is not the error of W but that of W x over the inputs
that occur. With H = sum of x x^T over calibration inputs, the error of a rounded column is spread
over the columns not yet rounded in the way that changes W x least (Frantar et al., "GPTQ", 2023,
after Hassibi's optimal brain surgeon). Columns with large inputs come first, since fewer columns
are left to mend the later ones. Scales are chosen beforehand, so groups stay where they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lowbit.arrays import as_float32
from lowbit.quantization.matrix import QuantizedMatrix
from lowbit.quantization.packing import pack_codes
from lowbit.quantization.search import quantize_to, search_scales

BLOCK = 128
"""Columns rounded before their errors reach the columns behind the block, as one product."""


def gptq(
    w: Any,
    hessian: Any,
    format: str = "nf4",
    group_size: int | None = 64,
    double_quant: bool = False,
    damping: float = 0.01,
) -> QuantizedMatrix:
    """Round a weight matrix so that its products with given inputs change least.

    Parameters
    ----------
    w
        Weights [N, K], finite.
    hessian
        [K, K]: sum or mean of x x^T over inputs of the layer; only ratios count.
    format, group_size, double_quant
        As in `lowbit.quantize`.
    damping
        Part of the mean diagonal that is added to the diagonal, so that inputs which hardly occur
        cannot make columns take on errors without bound.

    Returns
    -------
    QuantizedMatrix

    Raises
    ------
    ValueError
        As `lowbit.quantize`; if the hessian has another shape, holds NaN, or stays singular.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((200, 8)) @ rng.standard_normal((8, 64))  # inputs of few directions
    >>> w = rng.standard_normal((16, 64))
    >>> from lowbit import quantize
    >>> def error(q):
    ...     return float(np.linalg.norm(x @ (q.dequantize() - w).T))
    >>> error(gptq(w, x.T @ x, "int4")) < 0.5 * error(quantize(w, "int4"))
    True
    """
    array = as_float32(w, "gptq", "w", ndim=2)
    h = _checked_hessian(hessian, array.shape[1])
    scales = search_scales(array, format, group_size, np.diag(h))
    start = quantize_to(array, scales, format, group_size, double_quant)
    if array.size == 0:
        return start
    order = np.argsort(-np.diag(h), kind="stable")
    codes = np.empty(array.shape, np.uint8)
    per_column = np.repeat(start.scales(), start.group_size, axis=1)[:, : array.shape[1]]
    factor = _inverse_factor(h[np.ix_(order, order)], damping)
    codes[:, order] = _round_columns(array[:, order], per_column[:, order], factor, format)
    stored = codes.view(np.int8) if format == "int8" else codes
    return QuantizedMatrix.from_parts(start.parts() | {"lines": pack_codes(format, stored)})


def _inverse_factor(h: np.ndarray, damping: float) -> np.ndarray:
    """Upper triangular U with U^T U = (h + damping)^-1; h is damped in place."""
    h[np.diag_indices_from(h)] += damping * np.mean(np.diag(h))
    try:
        return np.linalg.cholesky(np.linalg.inv(h)).T
    except np.linalg.LinAlgError as error:
        raise ValueError("gptq: the hessian is not positive; use more inputs or damping") from error


def _round_columns(
    w: np.ndarray, scales: np.ndarray, factor: np.ndarray, format: str
) -> np.ndarray:
    """Codes [N, K] of the columns in the order in which they come, one byte each."""
    left = w.astype(np.float64)
    codes = np.empty(w.shape, np.uint8, order="F")
    nearest = Nearest(format)
    for begin in range(0, w.shape[1], BLOCK):
        end = min(begin + BLOCK, w.shape[1])
        errors = np.empty((len(w), end - begin))
        for k in range(begin, end):
            codes[:, k], values = nearest(left[:, k], scales[:, k])
            error = (left[:, k] - values) / factor[k, k]
            left[:, k + 1 : end] -= np.outer(error, factor[k, k + 1 : end])
            errors[:, k - begin] = error
        left[:, end:] -= errors @ factor[begin:end, end:]
    return codes


class Nearest:
    """Rounding of values to the levels of a format, which its own decoder tells."""

    def __init__(self, format: str) -> None:
        first, last = (-127, 127) if format == "int8" else (0, 15)
        codes = np.arange(first, last + 1)[None]
        q = QuantizedMatrix.from_codes(format, codes, np.ones((1, 1)), None)
        self._levels = q.dequantize()[0].astype(np.float64)
        self._middles = (self._levels[1:] + self._levels[:-1]) / 2
        self._codes = codes[0].astype(np.int8).view(np.uint8)

    def __call__(self, values: np.ndarray, scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes as bytes, and what they stand for, of values [N] with scales [N]."""
        inverse = np.divide(1.0, scales, out=np.zeros(len(scales)), where=scales != 0)
        at = np.searchsorted(self._middles, values * inverse)
        return self._codes[at], self._levels[at] * scales


def _checked_hessian(hessian: Any, columns: int) -> np.ndarray:
    h = np.array(hessian, np.float64)
    if h.shape != (columns, columns):
        raise ValueError(f"gptq: the hessian has shape {h.shape}; w has {columns} columns")
    if not np.isfinite(h).all() or (np.diag(h) < 0).any():
        raise ValueError("gptq: the hessian holds NaN, infinity or a negative square")
    unused = np.diag(h) == 0  # inputs that are always zero: any rounding will do
    h[unused, unused] = max(1.0, float(np.diag(h).max(initial=0.0)))
    return h
