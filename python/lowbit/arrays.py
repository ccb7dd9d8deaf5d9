"""How arrays come in: NumPy, DLPack and buffer objects, converted openly to what kernels take."""

from __future__ import annotations

from typing import Any

import numpy as np


def as_float32(value: Any, function: str, argument: str, ndim: int | None = None) -> np.ndarray:
    """`value` as a C-contiguous float32 array; a copy is made only when it is needed.

    Raises
    ------
    TypeError
        If `value` is not numeric.
    ValueError
        If it does not have `ndim` dimensions.
    """
    if not isinstance(value, np.ndarray) and hasattr(value, "__dlpack__"):
        value = np.from_dlpack(value)
    array = np.asarray(value)
    if array.dtype.name == "bfloat16":  # ml_dtypes: two bytes that NumPy itself cannot convert
        array = bf16_to_float32(array.view(np.uint16))
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{function}: {argument} has dtype {array.dtype}; pass numbers, best of float32"
        )
    if ndim is not None and array.ndim != ndim:
        raise ValueError(
            f"{function}: {argument} has shape {array.shape}; expected {ndim} dimensions"
        )
    return np.asarray(array, dtype=np.float32, order="C")


def bf16_to_float32(words: np.ndarray) -> np.ndarray:
    """bfloat16, given as uint16, widened exactly to float32.

    Examples
    --------
    >>> bf16_to_float32(np.array([0x3F80, 0xC000], np.uint16)).tolist()
    [1.0, -2.0]
    """
    return (words.astype(np.uint32) << 16).view(np.float32)


def float32_to_bf16(values: np.ndarray) -> np.ndarray:
    """float32 rounded to bfloat16 (nearest, ties to even), as uint16; NaN stays NaN.

    Examples
    --------
    >>> [hex(word) for word in float32_to_bf16(np.array([1.0, -2.0], np.float32))]
    ['0x3f80', '0xc000']
    """
    words = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = ((words + (0x7FFF + ((words >> 16) & 1))) >> 16).astype(np.uint16)
    quiet = ((words >> 16) | 0x40).astype(np.uint16)
    return np.where((words & 0x7FFFFFFF) > 0x7F800000, quiet, rounded)
