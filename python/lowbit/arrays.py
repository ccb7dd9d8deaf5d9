"""How arrays come in and go out: NumPy, DLPack and buffer objects, converted openly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lowbit import _core

# dtype names of 16-bit floats, and what the kernels call them. "bfloat16" is that of ml_dtypes.
_WORDS = {"float16": "fp16", "bfloat16": "bf16"}


def as_float32(value: Any, function: str, argument: str, ndim: int | None = None) -> np.ndarray:
    """`value` as a C-contiguous float32 array; a copy is made only when it is needed.

    Raises
    ------
    TypeError
        If `value` is not numeric.
    ValueError
        If it does not have `ndim` dimensions.
    """
    array = _widened(_as_array(value), function, argument)
    if ndim is not None and array.ndim != ndim:
        raise ValueError(
            f"{function}: {argument} has shape {array.shape}; expected {ndim} dimensions"
        )
    return np.asarray(array, dtype=np.float32, order="C")


def as_rows(value: Any, function: str, argument: str) -> tuple[np.ndarray, Rows]:
    """`value` [..., K] as float32 rows [M, K], and what makes a result look like it.

    Rows may lie apart, as those of `wide[:, 64:448]` do; then nothing is copied. Everything else is
    copied: what is not float32, and rows that are not contiguous, overlap or run backwards.

    Raises
    ------
    TypeError
        If `value` is not numeric.
    ValueError
        If it is a single number.

    Examples
    --------
    >>> wide = np.ones((5, 8), np.float32)
    >>> rows, kind = as_rows(wide[:, 2:6], "f", "x")
    >>> rows.base is wide, kind.restore(rows).shape
    (True, (5, 4))
    """
    array = _as_array(value)
    if array.ndim == 0:
        raise ValueError(f"{function}: {argument} is a single number; pass an array [..., K]")
    kind = Rows(array.shape[:-1], array.dtype)
    floats = np.asarray(_widened(array, function, argument), dtype=np.float32)
    rows = floats.reshape(math.prod(kind.shape), array.shape[-1])
    step, item = rows.strides
    apart = item == rows.itemsize and step >= rows.shape[1] * rows.itemsize
    return (rows if apart else np.ascontiguousarray(rows)), kind


class Rows:
    """Leading dimensions and dtype of an array that was given as rows."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.shape = shape
        self.dtype = dtype

    def restore(self, rows: np.ndarray) -> np.ndarray:
        """float32 [M, N] as [..., N], in float16 or bfloat16 when that came in."""
        array = rows.reshape(*self.shape, rows.shape[1])
        if self.dtype.name in _WORDS:
            words = _core.from_float32(np.ascontiguousarray(array), _WORDS[self.dtype.name])
            return words.view(self.dtype)
        return array


def _as_array(value: Any) -> np.ndarray:
    if not isinstance(value, np.ndarray) and hasattr(value, "__dlpack__"):
        value = np.from_dlpack(value)
    return np.asarray(value)


def _widened(array: np.ndarray, function: str, argument: str) -> np.ndarray:
    """16-bit floats as float32; other numbers as they are."""
    if array.dtype.name in _WORDS:
        words = np.ascontiguousarray(array).view(np.uint16).reshape(array.shape)
        return _core.to_float32(words, _WORDS[array.dtype.name])
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{function}: {argument} has dtype {array.dtype}; pass numbers, best of float32"
        )
    return array


def bf16_to_float32(words: np.ndarray) -> np.ndarray:
    """bfloat16, given as uint16, widened exactly to float32.

    Examples
    --------
    >>> bf16_to_float32(np.array([0x3F80, 0xC000], np.uint16)).tolist()
    [1.0, -2.0]
    """
    return _core.to_float32(np.ascontiguousarray(words), "bf16")


def float32_to_bf16(values: np.ndarray) -> np.ndarray:
    """float32 rounded to bfloat16 (nearest, ties to even), as uint16; NaN stays NaN.

    Examples
    --------
    >>> [hex(word) for word in float32_to_bf16(np.array([1.0, -2.0], np.float32))]
    ['0x3f80', '0xc000']
    """
    return _core.from_float32(np.ascontiguousarray(values, np.float32), "bf16")


def float32_to_fp16(values: np.ndarray) -> np.ndarray:
    """float32 rounded to float16 (nearest, ties to even); beyond 65,504 it becomes infinite.

    Examples
    --------
    >>> float32_to_fp16(np.array([1.0, 0.1, 1e6], np.float32))
    array([1. , 0.1, inf], dtype=float16)
    """
    return _core.from_float32(np.ascontiguousarray(values, np.float32), "fp16").view(np.float16)
