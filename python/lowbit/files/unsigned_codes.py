"""Codes from 0 with zero points, as ONNX, GPTQ and AWQ store them, as "int4" and "int8"."""

from __future__ import annotations

import numpy as np

from lowbit.errors import FileFormatError
from lowbit.quantization.matrix import QuantizedMatrix

UNSIGNED = {4: "int4", 8: "int8"}
"""The format that has codes of so many bits."""


def from_unsigned(
    bits: int,
    codes: np.ndarray,
    scales: np.ndarray,
    zeros: np.ndarray,
    group_size: int | None,
    source: str,
) -> QuantizedMatrix:
    """The matrix of value = (code - zero) * scale, without rounding.

    It is symmetric where every zero is the middle, 8 or 128; but not where a code of 8 bits is 0,
    which a symmetric "int8" leaves out. Scales that fp16 holds are stored in it.

    Parameters
    ----------
    bits
        4 or 8.
    codes
        uint8 [rows, cols], 0..15 or 0..255.
    scales
        float32 [rows, groups], finite.
    zeros
        Integers [rows, groups] in the range of the codes.
    group_size
        As `QuantizedMatrix.from_codes` takes it.
    source
        Where this comes from; messages begin with it.

    Raises
    ------
    FileFormatError
        If sizes do not go together.

    Examples
    --------
    >>> codes, scales = np.array([[0, 15]], np.uint8), np.ones((1, 1), np.float32)
    >>> from_unsigned(4, codes, scales, np.array([[3]]), None, "x").dequantize().tolist()
    [[-3.0, 12.0]]
    """
    middle = 1 << (bits - 1)
    symmetric = bool((zeros == middle).all()) and (bits == 4 or not codes.size or codes.min() > 0)
    if bits == 8:  # counted from -128
        codes, zeros = (codes ^ np.uint8(128)).view(np.int8), zeros - 128
    with np.errstate(over="ignore"):
        half = np.array_equal(scales.astype(np.float16).astype(np.float32), scales)
    points = None if symmetric else zeros
    try:
        return QuantizedMatrix.from_codes(
            UNSIGNED[bits], codes, scales, group_size, points, "fp16" if half else "fp32"
        )
    except ValueError as error:
        raise FileFormatError(f"{source}: {error}") from error
