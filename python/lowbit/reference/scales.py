"""How scales are stored: as floats, as powers of two, or as 8-bit codes around their mean.

    scale_dtype   scale
    fp32
    fp16, bf16    rounded to nearest, ties to even
    e8m0          2^(byte - 127), the number of the OCP Microscaling formats 1.0

Double quantization stores the scales, N * groups of them in row-major order, in 8 bits:

    scale = DYNAMIC_MAP[code] * block_scale + offset

with offset = mean of all scales and block_scale = absmax of (scale - offset) in blocks of 256.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowbit.reference.levels import nearest_index

SCALE_BLOCK = 256  # scales that share a block_scale
TINY = 1e-38  # keeps the inverse of a zero absmax finite


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


def round_scales(scales: np.ndarray, scale_dtype: str) -> np.ndarray:
    """Scales rounded to a type, in the dtype that they have.

    A power of two is the nearest by ratio, from 2^-127 to 2^127.

    Examples
    --------
    >>> round_scales(np.array([1 / 3, 2.9]), "fp16").round(5).tolist()
    [0.33325, 2.90039]
    >>> round_scales(np.array([1 / 3, 2.9, 0.0]), "e8m0").tolist() == [0.25, 4.0, 2.0**-127]
    True
    """
    if scale_dtype == "fp16":
        with np.errstate(over="ignore"):
            return scales.astype(np.float16).astype(scales.dtype)
    if scale_dtype == "bf16":
        return round_to_bf16(scales).astype(scales.dtype)
    if scale_dtype == "e8m0":
        # A mantissa of 1/2 to 1 belongs to the power below up to 1 / sqrt(2).
        mantissa, exponent = np.frexp(np.abs(scales) * scales.dtype.type(np.sqrt(2)))
        powers = np.ldexp(scales.dtype.type(1), np.maximum(exponent - 1, -127))
        return np.where(mantissa == 0, scales.dtype.type(2.0**-127), powers)
    return scales


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
    inverse = flat.dtype.type(1) / np.maximum(block_scales, flat.dtype.type(TINY))
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
