"""How arrays come in and go out: NumPy, DLPack and buffer objects, converted openly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lowbit import _core

# dtype names of 16-bit floats, and what the kernels call them. "bfloat16" is that of ml_dtypes.
_WORDS = {"float16": "fp16", "bfloat16": "bf16"}
_FLOAT32 = np.dtype(np.float32)
_LINE = 64  # bytes of a line of the cache


def empty_lines(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array without values yet that begins with a line of the cache.

    NumPy's own begin somewhere in one, large arrays 16 bytes behind its start. So a row of a table
    takes one line more: bags of 384 bytes in int8 took 1.35 times as long.

    Examples
    --------
    >>> empty_lines((3, 5), np.float16).ctypes.data % 64
    0
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + _LINE - 1, np.uint8)
    begin = -memory.ctypes.data % _LINE
    return memory[begin : begin + size].view(dtype).reshape(shape)


def as_float32(value: Any, function: str, argument: str, ndim: int | None = None) -> np.ndarray:
    """`value` as a C-contiguous float32 array; a copy is made only when it is needed.

    Raises
    ------
    TypeError
        If `value` is not numeric.
    ValueError
        If it does not have `ndim` dimensions.
    """
    array = value if _is_float32(value) else _widened(_as_array(value), function, argument)
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
    if _is_float32(value) and value.ndim == 2 and value.flags.c_contiguous:
        return value, Rows(value.shape[:1], _FLOAT32)
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
        array = rows if len(self.shape) == 1 else rows.reshape(*self.shape, rows.shape[1])
        words = _words(self.dtype)
        if words is None:
            return array
        return _core.from_float32(np.ascontiguousarray(array), words).view(self.dtype)


def _is_float32(value: Any) -> bool:
    """Whether the kernels take it as it is; asked first, since a call may be microseconds."""
    return type(value) is np.ndarray and value.dtype == _FLOAT32


def _words(dtype: np.dtype) -> str | None:
    """What the kernels call a 16-bit float; None for other types."""
    return _WORDS.get(dtype.name) if dtype.itemsize == 2 and dtype.kind in "fV" else None


def _as_array(value: Any) -> np.ndarray:
    if not isinstance(value, np.ndarray) and hasattr(value, "__dlpack__"):
        value = np.from_dlpack(value)
    return np.asarray(value)


def _widened(array: np.ndarray, function: str, argument: str) -> np.ndarray:
    """16-bit floats as float32; other numbers as they are."""
    name = _words(array.dtype)
    if name is not None:
        words = np.ascontiguousarray(array).view(np.uint16).reshape(array.shape)
        return _core.to_float32(words, name)
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
