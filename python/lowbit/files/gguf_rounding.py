"""Rounding to GGUF's blocks: F32, F16, BF16, Q4_0, Q8_0, Q4_K and MXFP4, with ggml's own bytes.

Q4_0 and Q8_0 are single divisions. A block of Q4_K has 8 runs of 32 numbers, each with a scale and
a minimum that a search finds: it tries 21 steps between levels, rounds to each, fits scale and
minimum to the codes by weighted least squares, and keeps the fit of the smallest weighted error.
The scales and minima of the block are then rounded to 6 bits, and the numbers once more to those.

ggml adds float32 numbers one after another; so does this, for all runs at once, because another
order of a sum may choose another step. After ggml's `ggml-quants.c`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lowbit.arrays import float32_to_bf16, float32_to_fp16
from lowbit.quantization.matrix import quantize
from lowbit.quantization.packing import scales_as_stored

LARGEST_HALF = 65504.0
STEPS = 21
NARROWEST = np.float32(5e-38)
"""A run of less width is constant: fp16 has no such scales, and inverses would be infinite."""
NUMBERS_AT_ONCE = 1 << 16
"""Rounded together: what a step of the search reads and writes stays in the L2 cache."""


def quantize_blocks(type: str, values: np.ndarray) -> np.ndarray:
    """Round numbers to blocks.

    Parameters
    ----------
    type
        A name in `QUANTIZED`.
    values
        float32 [count, elements of a block].

    Returns
    -------
    numpy.ndarray
        uint8 [count, bytes of a block].

    Raises
    ------
    KeyError
        If the type is not in `QUANTIZED`.
    ValueError
        If a value is NaN or infinite where a block has a scale; if a scale, or a number of F16, is
        beyond what fp16 holds.

    Examples
    --------
    >>> quantize_blocks("Q8_0", np.full((1, 32), -1.0, np.float32))[0, 2:5].tolist()
    [129, 129, 129]
    """
    if values.shape[1] > 1 and not np.isfinite(values).all():
        block, place = np.argwhere(~np.isfinite(values))[0].tolist()
        raise ValueError(f"number {place} of block {block} is {values[block, place]}; not finite")
    count = NUMBERS_AT_ONCE // values.shape[1]
    rounded = [
        QUANTIZED[type](np.ascontiguousarray(values[begin : begin + count], np.float32))
        for begin in range(0, max(1, len(values)), count)
    ]
    return np.concatenate(rounded)


def _checked_half(scales: np.ndarray) -> np.ndarray:
    """Scales [count, 1] as two bytes each; a scale that became infinite would lose the block."""
    stored = float32_to_fp16(scales)
    if np.isinf(stored).any():
        largest = scales.reshape(-1)[np.argmax(np.isinf(stored))]
        raise ValueError(f"a scale of {largest:g} is beyond the {LARGEST_HALF:.0f} of fp16")
    return stored.reshape(-1, 1).view(np.uint8)


def _inverse(scales: np.ndarray) -> np.ndarray:
    """1 / scale; 0 for 0, and where the inverse is beyond float32: fp16 stores such scales as 0."""
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.float32(1) / scales
    return np.where(np.isfinite(inverse), inverse, np.float32(0))


def _f32(values: np.ndarray) -> np.ndarray:
    return values.astype("<f4", copy=False).view(np.uint8)


def _f16(values: np.ndarray) -> np.ndarray:
    stored = float32_to_fp16(values)
    lost = np.isinf(stored) & np.isfinite(values)
    if lost.any():
        raise ValueError(f"{values[lost][0]:g} is beyond the {LARGEST_HALF:.0f} of fp16")
    return stored.astype("<f2", copy=False).view(np.uint8)


def _bf16(values: np.ndarray) -> np.ndarray:
    return float32_to_bf16(values).astype("<u2", copy=False).view(np.uint8)


def paired(codes: np.ndarray) -> np.ndarray:
    """Codes [..., 2 n] as n bytes: the first half in the low nibbles."""
    n = codes.shape[-1] // 2
    return codes[..., :n] | codes[..., n:] << 4


def _q4_0(values: np.ndarray) -> np.ndarray:
    place = np.abs(values).argmax(axis=1)[:, None]
    scales = np.take_along_axis(values, place, axis=1) / np.float32(-8)
    stored = _checked_half(scales)
    codes = np.minimum(values * _inverse(scales) + np.float32(8.5), np.float32(15))
    return np.concatenate([stored, paired(codes.astype(np.uint8))], axis=1)


def _mxfp4(values: np.ndarray) -> np.ndarray:
    q = quantize(values, "mxfp4", None)
    return np.concatenate([scales_as_stored(q.scales(), "e8m0"), paired(q.codes())], axis=1)


def _q8_0(values: np.ndarray) -> np.ndarray:
    scales = np.abs(values).max(axis=1, keepdims=True) / np.float32(127)
    stored = _checked_half(scales)
    steps = values * _inverse(scales)
    whole = np.trunc(steps)  # halves are rounded away from zero; the difference is exact
    codes = whole + np.trunc(2 * (steps - whole))
    return np.concatenate([stored, codes.astype(np.int8).view(np.uint8)], axis=1)


def _q4_k(values: np.ndarray) -> np.ndarray:
    # The search squares numbers: far beyond what scales reach it would lose them to infinity.
    reach = LARGEST_HALF * 63 * 15
    if values.size and np.abs(values).max() > reach:
        raise ValueError(f"{np.abs(values).max():g} is beyond the {reach:g} of Q4_K")
    # Runs are columns here: sums over 32 numbers are 31 additions of whole rows.
    runs = np.ascontiguousarray(values.reshape(-1, 32).T)
    # Infinite quotients belong to runs whose scale is stored as zero.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        scales, mins, codes = _search(runs)
    scales, mins = scales.reshape(-1, 8), mins.reshape(-1, 8)
    stored, largest = [], []
    for numbers in (scales, mins):
        top = np.maximum(numbers.max(axis=1, keepdims=True), np.float32(0))
        six = np.rint(_over(np.float32(63), top) * numbers).clip(0, 63)
        stored.append(six.astype(np.uint8))
        largest.append(_checked_half(top / np.float32(63)))
    steps, offsets = (
        half.view(np.float16).astype(np.float32) * six.astype(np.float32)
        for half, six in zip(largest, stored, strict=True)
    )
    steps, offsets = steps.reshape(-1), offsets.reshape(-1)
    with np.errstate(over="ignore"):
        np.divide(runs + offsets, steps, out=codes, where=steps != 0)
    rounded = np.rint(codes).clip(0, 15).astype(np.uint8)
    pairs = paired(rounded.T.reshape(-1, 4, 64))
    return np.concatenate([*largest, _six_bits(*stored), pairs.reshape(-1, 128)], axis=1)


def _six_bits(scales: np.ndarray, mins: np.ndarray) -> np.ndarray:
    """Two times 8 numbers of 6 bits as 12 bytes; `scales_and_mins` reads them."""
    upper_scales, upper_mins = scales[:, 4:] >> 4 << 6, mins[:, 4:] >> 4 << 6
    lower = scales[:, 4:] & 15 | (mins[:, 4:] & 15) << 4
    return np.concatenate([scales[:, :4] | upper_scales, mins[:, :4] | upper_mins, lower], axis=1)


def _over(numerator: np.ndarray | np.floating, values: np.ndarray) -> np.ndarray:
    """numerator / values, and 0 where a value is 0."""
    out = np.zeros_like(values)
    with np.errstate(over="ignore"):
        np.divide(numerator, values, out=out, where=values != 0)
    return out


def _sum(terms: np.ndarray) -> np.ndarray:
    """Sums of columns, one number after another: the bits depend on the order."""
    total = terms[0].copy()
    for row in terms[1:]:
        total += row
    return total


def _search(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For x [32, runs] scales and minima [runs] and codes: x is about scale * code - minimum."""
    weights = np.sqrt(_sum(x * x) / np.float32(32)) + np.abs(x)
    sums = _sum(weights), _sum(weights * x)
    low, high = np.minimum(x.min(axis=0), np.float32(0)), x.max(axis=0)
    best = np.where(high - low < NARROWEST, np.float32(-1), np.float32(np.inf))
    scale, minimum, kept = np.zeros_like(low), low, np.zeros_like(x)
    for step in range(-1, STEPS):
        # ggml's steps divide the range from the best minimum so far, not from the lowest number.
        extra = np.float32(-1) + np.float32(0.1) * np.float32(step) if step >= 0 else np.float32(0)
        inverse = (extra + np.float32(15)) / (high - minimum)
        codes = np.rint(inverse * (x - minimum)).clip(0, 15)
        if step < 0:
            fitted, offset, valid = np.float32(1) / inverse, low, True
        else:
            fitted, offset, valid = _fit(codes, x, weights, sums)
        difference = fitted * codes + offset - x
        error = _sum(weights * (difference * difference))
        better = valid & (error < best)
        best, kept = np.where(better, error, best), np.where(better, codes, kept)
        scale, minimum = np.where(better, fitted, scale), np.where(better, offset, minimum)
    return scale, -minimum, kept


def _fit(
    codes: np.ndarray, x: np.ndarray, weights: np.ndarray, sums: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The scale and offset <= 0 of least weighted error for these codes, and where there is one."""
    weight, total = sums
    by_code = weights * codes
    code, square, product = _sum(by_code), _sum(by_code * codes), _sum(by_code * x)
    determinant = weight * square - code * code
    valid = determinant > 0
    safe = np.where(valid, determinant, np.float32(1))
    scale = (weight * product - total * code) / safe
    offset = (square * total - code * product) / safe
    scale = np.where(offset > 0, _over(product, square), scale)
    return scale, np.minimum(offset, np.float32(0)), valid


QUANTIZED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "F32": _f32,
    "F16": _f16,
    "BF16": _bf16,
    "Q4_0": _q4_0,
    "Q8_0": _q8_0,
    "Q4_K": _q4_k,
    "MXFP4": _mxfp4,
}
"""What rounds numbers to the blocks of a type."""
