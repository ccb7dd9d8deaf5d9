"""What the stored numbers of the low-bit formats mean, and how a matrix is rounded to them.

A matrix W [N, K] is cut along each row into groups of `group_size` columns (the last may be
shorter; None means one group a row, "tensor" one for all rows). A group stores one scale, and a
small code for every weight:

    format  codes        value                scale
    int8    -127..127    code * scale         absmax / 127
    int4    0..15        (code - 8) * scale   extreme / -8, signed
    nf4     0..15        NF4[code] * scale    absmax
    fp4     0..15        FP4[code] * scale    absmax
    mxfp4   0..15        MXFP4[code] * scale  2^(floor(log2(absmax)) - 2)

`absmax` is the largest magnitude of the group and `extreme` the value that has it, the first one
where several have. int8 leaves out -128, so that products of two codes never saturate 16 bits.
int4's signed scale stores the extreme itself exactly, as code 0 (the rule of GGUF's Q4_0), and uses
all 16 codes; on a Gaussian matrix in groups of 64 its error is 0.0949 of the deviation, while
codes -7..7 with scale absmax / 7 give 0.1072. The levels of the other three are in `levels`.
mxfp4's scale is a power of two with which absmax lies in 4 to 8; what is beyond 6 becomes 6.

Codes of int8 and int4 are rounded to nearest, ties to even; a weight of the others takes the
nearest level. All groups of zeros have scale 0 (mxfp4: 2^-127), and codes 0, 8, 7, 0 and 0.

Asymmetric matrices of int8 and int4 also store a zero point for each group, the code of zero:

    format  codes, zero points   value                          scale
    int8    -128..127            (code - zero point) * scale    (high - low) / 255
    int4    0..15                (code - zero point) * scale    (high - low) / 15

with low = min(0, least value) and high = max(0, largest value) of the group.

Scales may be stored in fewer bits (`scales`). They are rounded first, and then the codes are
chosen that are nearest with the rounded scales; but with double quantization the codes are those
of the scales before, as in the QLoRA paper's code.

bitsandbytes cuts its blocks from the flat matrix, so there a block may span two rows. Where
`group_size` divides K both ways of counting give the same blocks, and nf4 and fp4 the same codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowbit.reference.levels import LEVELS, NF4, nearest_codes, nearest_index
from lowbit.reference.scales import (
    SCALE_BLOCK,
    TINY,
    DoubleQuantized,
    dynamic_map,
    quantize_scales,
    round_scales,
    round_to_bf16,
)

__all__ = [
    "NF4",
    "SCALE_BLOCK",
    "DoubleQuantized",
    "Quantized",
    "dynamic_map",
    "group_extremes",
    "nearest_index",
    "quantize",
    "quantize_scales",
    "round_to_bf16",
]


@dataclass(frozen=True)
class Quantized:
    """A matrix as codes and scales.

    Attributes
    ----------
    format
        "int8", "int4", "nf4", "fp4" or "mxfp4".
    codes
        [N, K], int8 for int8, else uint8. (The library packs them; the reference does not.)
    scales
        Floats [N, groups], already read back from 8 bits when `double` is there.
    group_size
        Columns of a group.
    double
        The scales as double quantization stores them, or None.
    zero_points
        Integers [N, groups], or None where the matrix is symmetric.
    """

    format: str
    codes: np.ndarray
    scales: np.ndarray
    group_size: int
    double: DoubleQuantized | None = None
    zero_points: np.ndarray | None = None

    def dequantize(self) -> np.ndarray:
        """The matrix [N, K] that the codes stand for, in the dtype of the scales."""
        dtype = self.scales.dtype
        columns = self.codes.shape[1]
        if self.format in LEVELS:
            values = LEVELS[self.format].astype(dtype)[self.codes]
        elif self.zero_points is None:
            values = self.codes.astype(dtype) - dtype.type(8 if self.format == "int4" else 0)
        else:
            zeros = _per_column(self.zero_points, self.group_size, columns)
            values = self.codes.astype(dtype) - zeros.astype(dtype)
        return values * _per_column(self.scales, self.group_size, columns)


def quantize(
    w: np.ndarray,
    format: str = "nf4",
    group_size: int | str | None = 64,
    double_quant: bool = False,
    scale_dtype: str | None = None,
    symmetric: bool = True,
) -> Quantized:
    """Round a matrix to a low-bit format.

    Parameters
    ----------
    w
        Finite floats [N, K].
    format
        "int8", "int4", "nf4", "fp4" or "mxfp4".
    group_size
        Columns that share a scale, at least 1; None for one scale a row; "tensor" for one alone,
        as if all rows were one.
    double_quant
        Round the scales to 8 bits as well. The codes are those of the unrounded scales.
    scale_dtype
        "fp32", "fp16", "bf16" or "e8m0"; None for "e8m0" with mxfp4, else no rounding.
    symmetric
        Whether there are no zero points.

    Returns
    -------
    Quantized

    Raises
    ------
    ValueError
        For another format.

    Examples
    --------
    >>> w = np.array([[0.5, -1.0, 0.25, 0.0]])
    >>> [quantize(w, format, None).codes.tolist() for format in ("int8", "int4", "nf4")]
    [[[64, -127, 32, 0]], [[12, 0, 10, 8]], [[12, 0, 10, 7]]]
    >>> quantize(w, "int4", None).dequantize().tolist()
    [[0.5, -1.0, 0.25, 0.0]]
    >>> q = quantize(w, "int4", None, symmetric=False)
    >>> q.codes.tolist(), q.zero_points.tolist(), q.scales.tolist()
    ([[15, 0, 12, 10]], [[10]], [[0.1]])
    """
    if format not in ("int8", "int4", *LEVELS):
        raise ValueError(f'quantize: format="{format}" is not known')
    dtype = scale_dtype or ("e8m0" if format == "mxfp4" else "fp32")
    size = w.shape[1] if group_size in (None, "tensor") else min(int(group_size), w.shape[1])
    basis = w
    if group_size == "tensor":
        basis, size = w.reshape(1, -1), w.size
    choose = _symmetric_scales if symmetric else _asymmetric_scales
    scales, inverse, zeros = choose(basis, format, size, dtype, group_size == "tensor")
    if group_size == "tensor":
        scales, inverse, zeros = (
            np.repeat(part, len(w), axis=0) for part in (scales, inverse, zeros)
        )
        size = w.shape[1]
    values = w * _per_column(inverse, size, w.shape[1])
    if format in LEVELS:
        codes = nearest_codes(format, values)
    else:
        least, most = _code_range(format, symmetric)
        middle = _per_column(zeros, size, w.shape[1])
        codes = np.rint(np.clip(values, least - middle, most - middle)) + middle
        codes = codes.astype(np.int8 if format == "int8" else np.uint8)
    points = None if symmetric else zeros.astype(np.int64)
    if not double_quant or dtype == "e8m0":
        return Quantized(format, codes, scales, size, None, points)
    double = quantize_scales(scales)
    return Quantized(format, codes, double.dequantize().reshape(scales.shape), size, double, points)


def _code_range(format: str, symmetric: bool) -> tuple[int, int]:
    if format == "int4":
        return 0, 15
    return (-127 if symmetric else -128), 127


def _symmetric_scales(
    w: np.ndarray, format: str, size: int, scale_dtype: str, inverse_of_stored: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scales [N, groups], what values are multiplied with to become codes, and the code of zero.

    A scale that is stored as it was computed is not inverted: the inverse has its own division.
    """
    one = w.dtype.type(1)
    extreme = group_extremes(w, size)
    absmax = np.abs(extreme)
    zeros = np.full(extreme.shape, 8 if format == "int4" else 0)
    if format == "int8":
        scales, inverse = absmax * (one / 127), _divide(127, absmax)
    elif format == "int4":
        scales, inverse = extreme / -8, _divide(-8, extreme)
    elif format == "mxfp4":
        _, exponent = np.frexp(absmax)  # mantissas of 1/2 to 1
        scales = np.ldexp(one, np.where(absmax > 0, np.maximum(exponent - 3, -127), -127))
        inverse = one / scales
    else:
        scales, inverse = absmax, one / np.maximum(absmax, w.dtype.type(TINY))
    if scale_dtype in ("fp16", "bf16") or inverse_of_stored:
        scales = round_scales(scales, scale_dtype)
        least = w.dtype.type(TINY)
        if format in ("nf4", "fp4"):
            inverse = one / np.maximum(scales, least)
        else:
            inverse = _divide(1, scales)
    return scales, inverse, zeros


def _asymmetric_scales(
    w: np.ndarray, format: str, size: int, scale_dtype: str, inverse_of_stored: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same with zero points; the inverse is that of the stored scale in any case."""
    starts = np.arange(0, w.shape[1], size)
    low = np.minimum(np.minimum.reduceat(w, starts, axis=1), 0)
    high = np.maximum(np.maximum.reduceat(w, starts, axis=1), 0)
    least, most = _code_range(format, symmetric=False)
    step = w.dtype.type(1) / w.dtype.type(most - least)
    scales = round_scales(high * step - low * step, scale_dtype)
    inverse = np.where(scales > TINY, _divide(1, scales), w.dtype.type(0))
    # Counted from the middle, as it is stored: where ties fall depends on it.
    middle = 8 if format == "int4" else 0
    zeros = np.rint(np.minimum((least - middle) - low * inverse, most - middle))
    return scales, inverse, zeros + middle


def group_extremes(w: np.ndarray, group_size: int) -> np.ndarray:
    """Of each group the value of largest magnitude, with its sign: [N, groups].

    Examples
    --------
    >>> group_extremes(np.array([[1.0, -3.0, 2.0, -2.0, 0.5]]), 2).tolist()
    [[-3.0, 2.0, 0.5]]
    """
    columns = []
    for begin in range(0, w.shape[1], group_size):
        group = w[:, begin : begin + group_size]
        place = np.abs(group).argmax(axis=1)
        columns.append(group[np.arange(len(w)), place])
    return np.stack(columns, axis=1)


def _divide(numerator: float, values: np.ndarray) -> np.ndarray:
    """numerator / values, and 0 where a value is 0, or so small that the quotient is infinite."""
    with np.errstate(divide="ignore", over="ignore"):
        quotients = values.dtype.type(numerator) / values
    return np.where(np.isfinite(quotients), quotients, values.dtype.type(0))


def _per_column(groups: np.ndarray, group_size: int, columns: int) -> np.ndarray:
    """A number of each group [N, groups], repeated for each of its columns [N, K]."""
    return np.repeat(groups, group_size, axis=1)[:, :columns]
