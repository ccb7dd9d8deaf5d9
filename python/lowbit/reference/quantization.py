"""What the stored numbers of the low-bit formats mean, and how a matrix is rounded to them.

A matrix W [N, K] is cut along each row into groups of `group_size` columns (the last may be
shorter; None means one group a row). A group stores one scale, and a small code for every weight:

    format  codes        value                scale
    int8    -127..127    code * scale         absmax / 127
    int4    0..15        (code - 8) * scale   extreme / -8, signed
    nf4     0..15        NF4[code] * scale    absmax

`absmax` is the largest magnitude of the group and `extreme` the value that has it, the first one
where several have. int8 leaves out -128, so that products of two codes never saturate 16 bits.
int4's signed scale stores the extreme itself exactly, as code 0 (the rule of GGUF's Q4_0), and uses
all 16 codes; on a Gaussian matrix in groups of 64 its error is 0.0949 of the deviation, while
codes -7..7 with scale absmax / 7 give 0.1072. nf4 (Dettmers et al., "QLoRA", 2023) has the
quantiles of a normal distribution as its levels.

Codes of int8 and int4 are rounded to nearest, ties to even; a weight of nf4 takes the nearest
level, on a tie the lower one. All groups of zeros have scale 0, and codes 0, 8 and 7.

bitsandbytes cuts its blocks from the flat matrix, so there a block may span two rows. Where
`group_size` divides K both ways of counting give the same blocks, and nf4 the same codes.

Double quantization stores the scales, N * groups of them in row-major order, in 8 bits:

    scale = DYNAMIC_MAP[code] * block_scale + offset

with offset = mean of all scales and block_scale = absmax of (scale - offset) in blocks of 256.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NF4 = np.array(
    [
        -1.0,
        -0.6961928009986877,
        -0.5250730514526367,
        -0.39491748809814453,
        -0.28444138169288635,
        -0.18477343022833334,
        -0.09105003625154495,
        0.0,
        0.07958029955625534,
        0.16093020141124725,
        0.24611230194568634,
        0.33791524171829224,
        0.44070982933044434,
        0.5626170039176941,
        0.7229568362236023,
        1.0,
    ]
)
SCALE_BLOCK = 256  # scales that share a block_scale
_TINY = 1e-38  # keeps the inverse of a zero absmax finite


@dataclass(frozen=True)
class DoubleQuantized:
    """Scales in 8 bits.

    Attributes
    ----------
    codes
        uint8 [N * groups], indices of `dynamic_map()`.
    block_scales
        Floats [ceil(N * groups / 256)].
    offset
        The mean of the scales.
    """

    codes: np.ndarray
    block_scales: np.ndarray
    offset: np.floating

    def dequantize(self) -> np.ndarray:
        """The scales [N * groups]."""
        levels = dynamic_map().astype(self.block_scales.dtype)[self.codes]
        blocks = np.arange(len(self.codes)) // SCALE_BLOCK
        return levels * self.block_scales[blocks] + self.offset


@dataclass(frozen=True)
class Quantized:
    """A matrix as codes and scales.

    Attributes
    ----------
    format
        "int8", "int4" or "nf4".
    codes
        [N, K], int8 for int8, else uint8. (The library packs them; the reference does not.)
    scales
        Floats [N, groups], already read back from 8 bits when `double` is there.
    group_size
        Columns of a group.
    double
        The scales as double quantization stores them, or None.
    """

    format: str
    codes: np.ndarray
    scales: np.ndarray
    group_size: int
    double: DoubleQuantized | None = None

    def dequantize(self) -> np.ndarray:
        """The matrix [N, K] that the codes stand for, in the dtype of the scales."""
        dtype = self.scales.dtype
        if self.format == "nf4":
            values = NF4.astype(dtype)[self.codes]
        else:
            values = self.codes.astype(dtype) - dtype.type(8 if self.format == "int4" else 0)
        return values * _per_column(self.scales, self.group_size, self.codes.shape[1])


def quantize(
    w: np.ndarray, format: str = "nf4", group_size: int | None = 64, double_quant: bool = False
) -> Quantized:
    """Round a matrix to a low-bit format.

    Parameters
    ----------
    w
        Finite floats [N, K].
    format
        "int8", "int4" or "nf4".
    group_size
        Columns that share a scale, at least 1; None for one scale a row.
    double_quant
        Round the scales to 8 bits as well. The codes are those of the unrounded scales.

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
    """
    size = min(group_size or w.shape[1], w.shape[1])
    one = w.dtype.type(1)
    extreme = group_extremes(w, size)
    absmax = np.abs(extreme)
    if format == "int8":
        scales, inverse = absmax * (one / 127), _divide(127, absmax)
        codes = np.rint(np.clip(w * _per_column(inverse, size, w.shape[1]), -127, 127))
        codes = codes.astype(np.int8)
    elif format == "int4":
        scales, inverse = extreme / -8, _divide(-8, extreme)
        codes = np.rint(np.clip(w * _per_column(inverse, size, w.shape[1]), -8, 7)) + 8
        codes = codes.astype(np.uint8)
    elif format == "nf4":
        scales, inverse = absmax, one / np.maximum(absmax, w.dtype.type(_TINY))
        values = np.clip(w * _per_column(inverse, size, w.shape[1]), -1, 1)
        codes = nearest_index(NF4.astype(w.dtype), values).astype(np.uint8)
    else:
        raise ValueError(f'quantize: format="{format}" is not known; use "int8", "int4" or "nf4"')
    if not double_quant:
        return Quantized(format, codes, scales, size)
    double = quantize_scales(scales)
    return Quantized(format, codes, double.dequantize().reshape(scales.shape), size, double)


def quantize_scales(scales: np.ndarray) -> DoubleQuantized:
    """Round scales to 8 bits around their mean.

    Parameters
    ----------
    scales
        Floats of any shape, taken in row-major order.

    Examples
    --------
    >>> double = quantize_scales(np.array([1.0, 1.1, 1.3]))
    >>> double.dequantize().round(3).tolist()
    [1.001, 1.099, 1.3]
    """
    flat = scales.reshape(-1)
    offset = flat.mean(dtype=np.float64).astype(flat.dtype)
    centred = flat - offset
    starts = np.arange(0, len(flat), SCALE_BLOCK)
    block_scales = np.maximum.reduceat(np.abs(centred), starts)
    inverse = flat.dtype.type(1) / np.maximum(block_scales, flat.dtype.type(_TINY))
    normal = centred * inverse[np.arange(len(flat)) // SCALE_BLOCK]
    codes = nearest_index(dynamic_map().astype(flat.dtype), normal).astype(np.uint8)
    return DoubleQuantized(codes, block_scales, offset)


def dynamic_map() -> np.ndarray:
    """The 256 levels of bitsandbytes' signed 8-bit "dynamic" data type, ascending, in [-0.993, 1].

    After Dettmers, "8-bit approximations for parallelism in deep learning" (2015): a code has a
    sign, an exponent e counted in unary and a linear fraction in the bits that are left. For each
    e in 0..6 the interval [0.1, 1] is cut into 2^e equal parts; their middles, times 10^(e - 6),
    are levels with either sign. 0 and 1 complete them. Rounded as bitsandbytes does: the edges come
    from the nearer end of the interval, and all else is float32.

    Returns
    -------
    numpy.ndarray
        float32 [256].

    Examples
    --------
    >>> levels = dynamic_map()
    >>> len(levels), float(levels[0]), float(levels[-1]), float(levels[levels > 0][0])
    (256, -0.992968738079071, 1.0, 5.500000384017767e-07)
    """
    levels = [0.0, 1.0]
    low, high = np.float32(0.1), np.float32(1)
    for exponent in range(7):
        parts = 2**exponent
        step = (high - low) / np.float32(parts)
        i = np.arange(parts + 1)
        from_low, from_high = low + np.float64(step) * i, high - np.float64(step) * (parts - i)
        edges = np.where(i < (parts + 1) // 2, from_low, from_high).astype(np.float32)
        middles = (edges[:-1] + edges[1:]) / 2 * np.float32(10.0 ** (exponent - 6))
        levels += [*middles, *-middles]
    return np.sort(np.array(levels, np.float32))


def nearest_index(levels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Index of the level nearest to each value; half-way between two, the lower.

    Parameters
    ----------
    levels
        Floats [L], ascending.
    values
        Floats [...].

    Examples
    --------
    >>> nearest_index(np.array([0.0, 1.0, 2.0]), np.array([0.4, 0.5, 0.6, 9.0])).tolist()
    [0, 0, 1, 2]
    """
    middles = (levels[:-1] + levels[1:]) * levels.dtype.type(0.5)
    return np.searchsorted(middles, values, side="left")


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


def round_to_bf16(x: np.ndarray) -> np.ndarray:
    """x rounded to bfloat16: 8 significant bits, nearest, ties to even; NaN stays NaN.

    Returns
    -------
    numpy.ndarray
        float32, values that bfloat16 can hold; its bits are their upper 16.

    Examples
    --------
    >>> round_to_bf16(np.array([1 + 2**-8, 1 + 3 * 2**-8, 3.14159])).tolist()
    [1.0, 1.015625, 3.140625]
    """
    x = np.asarray(x, np.float32)
    words = x.view(np.uint32).astype(np.uint64)
    rounded = (words + 0x7FFF + ((words >> 16) & 1)) & 0xFFFF0000
    return np.where(np.isnan(x), x, rounded.astype(np.uint32).view(np.float32))


def _divide(numerator: float, values: np.ndarray) -> np.ndarray:
    """numerator / values, and 0 where a value is 0."""
    out = np.zeros_like(values)
    np.divide(values.dtype.type(numerator), values, out=out, where=values != 0)
    return out


def _per_column(groups: np.ndarray, group_size: int, columns: int) -> np.ndarray:
    """A number of each group [N, groups], repeated for each of its columns [N, K]."""
    return np.repeat(groups, group_size, axis=1)[:, :columns]
