"""GPTQ: weights rounded column by column, each column's error made good by those that follow.

What a layer computes is W x, so what counts is not the error of W but that of W x over the inputs
that occur. With H = sum of x x^T over calibration inputs, the error of a rounded column is spread
over the columns not yet rounded in the way that changes W x least (Frantar et al., "GPTQ", 2023,
after Hassibi's optimal brain surgeon). Columns with large inputs come first, since fewer columns
are left to mend the later ones. Scales are chosen beforehand, so groups stay where they are.

With H = U^T U the error of W x is that of W U^T, whose columns follow from one another: the last
from the last column of W alone, each one from its own and those behind. So a column is rounded near
the value that undoes what the columns behind it have done; these are GPTQ's codes (Chen et al.,
"The geometry of LLM quantization", 2025), without an inverse of H.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lowbit.arrays import as_float32
from lowbit.quantization.checks import code_range
from lowbit.quantization.matrix import QuantizedMatrix
from lowbit.quantization.moments import SecondMoments
from lowbit.quantization.search import quantize_searched

BLOCK = 128
"""Columns rounded before their errors reach the columns behind the block, as one product."""


def gptq(
    w: Any,
    hessian: Any,
    format: str = "nf4",
    group_size: int | None = 64,
    double_quant: bool = False,
    scale_dtype: str | None = None,
    symmetric: bool = True,
    damping: float = 0.01,
) -> QuantizedMatrix:
    """Round a weight matrix so that its products with given inputs change least.

    Parameters
    ----------
    w
        Weights [N, K], finite.
    hessian
        [K, K]: sum or mean of x x^T over inputs of the layer; only ratios count. Or
        `SecondMoments`, whose factor is then computed once for all weights with these inputs.
    format, group_size, double_quant, scale_dtype, symmetric
        As in `lowbit.quantize`; scales, and zero points, are those of least squared error.
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
    moments = SecondMoments.of(hessian, array.shape[1], "gptq")
    start = quantize_searched(
        array, format, group_size, double_quant, scale_dtype, symmetric, moments.diagonal()
    )
    if array.size == 0:
        return start
    order, factor = moments.factor(damping)
    return start.with_codes(_round_columns(array, start, order, factor))


def _round_columns(
    w: np.ndarray, start: QuantizedMatrix, order: np.ndarray, factor: np.ndarray
) -> np.ndarray:
    """Codes [N, K], one byte each; columns are rounded from the last of the order to the first."""
    rows, size = w.shape
    scales, zeros, group = start.scales(), start.zero_points(), start.group_size
    errors = np.empty((rows, size), order="F")
    codes = np.empty((rows, size), np.uint8, order="F")
    nearest = Nearest(start.format)
    for end in range(size, 0, -BLOCK):
        begin = max(0, end - BLOCK)
        # What the columns behind the block have done to its columns, as one product.
        done = errors[:, end:] @ factor[begin:end, end:].T
        for k in range(end - 1, begin - 1, -1):
            column = order[k]
            exact = w[:, column].astype(np.float64)
            behind = done[:, k - begin] + errors[:, k + 1 : end] @ factor[k, k + 1 : end]
            at = exact + behind / factor[k, k]
            own = column // group
            zero = None if zeros is None else zeros[:, own]
            codes[:, column], values = nearest(at, scales[:, own], zero)
            errors[:, k] = exact - values
    return codes


class Nearest:
    """Rounding of values to the levels of a format, which its own decoder tells."""

    def __init__(self, format: str) -> None:
        self._ends = code_range(format, symmetric=False)
        first, last = code_range(format, symmetric=True)
        codes = np.arange(first, last + 1)
        q = QuantizedMatrix.from_codes(format, codes[None], np.ones((1, 1)), None)
        # Ascending, and only the first code of zero where there are two.
        self._levels, places = np.unique(q.dequantize()[0].astype(np.float64), return_index=True)
        self._middles = (self._levels[1:] + self._levels[:-1]) / 2
        self._codes = codes[places].astype(np.int8).view(np.uint8)

    def __call__(
        self, values: np.ndarray, scales: np.ndarray, zeros: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Codes as bytes, and what they stand for, of values [N] with scales [N], zero points too.

        Examples
        --------
        >>> Nearest("int4")(np.array([0.9]), np.array([0.5]), np.array([3], np.uint8))
        (array([5], dtype=uint8), array([1.]))
        """
        inverse = np.divide(1.0, scales, out=np.zeros(len(scales)), where=scales != 0)
        if zeros is not None:
            codes = np.clip(np.rint(values * inverse + zeros), *self._ends)
            return codes.astype(np.int8).view(np.uint8), (codes - zeros) * scales
        at = np.searchsorted(self._middles, values * inverse)
        return self._codes[at], self._levels[at] * scales
