"""What codes, scales and zero points must be before they are packed."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowbit.arrays import as_float32
from lowbit.quantization.packing import ZERO_OF_ZERO, scales_as_floats, scales_as_stored

SCALE_DTYPES = ("fp32", "fp16", "bf16", "e8m0")


def group_argument(group_size: int | str | None, function: str) -> int:
    """A group size as the kernels take it: 0 for one scale a row, -1 for one alone."""
    if group_size is None:
        return 0
    if isinstance(group_size, str):
        if group_size != "tensor":
            raise ValueError(
                f'{function}: group_size="{group_size}"; use a number, None or "tensor"'
            )
        return -1
    size = int(group_size)
    if size < 1:
        raise ValueError(f"{function}: group_size={size} is not a size; use None for one a row")
    return size


def checked_scale_dtype(format: str, scale_dtype: str | None, function: str) -> str:
    """The type that scales are stored in; None is the format's own."""
    own = "e8m0" if format == "mxfp4" else "fp32"
    if scale_dtype is None:
        return own
    if scale_dtype not in SCALE_DTYPES or (scale_dtype == "e8m0") != (own == "e8m0"):
        raise ValueError(
            f'{function}: scale_dtype="{scale_dtype}" does not go with format="{format}"; mxfp4 '
            'has "e8m0", the others "fp32", "fp16" or "bf16"'
        )
    return scale_dtype


def checked_codes(format: str, codes: np.ndarray, symmetric: bool) -> np.ndarray:
    """Codes as the one byte each that they are stored in."""
    if codes.dtype.kind not in "iu":
        raise TypeError(f"from_codes: codes have dtype {codes.dtype}; pass integers")
    if codes.ndim != 2:
        raise ValueError(f"from_codes: codes have shape {codes.shape}; expected 2 dimensions")
    low, high = code_range(format, symmetric)
    if codes.size and (codes.min() < low or codes.max() > high):
        row, col = np.argwhere((codes < low) | (codes > high))[0].tolist()
        raise ValueError(
            f'from_codes: codes[{row}, {col}] is {codes[row, col]}; "{format}" has {low}..{high}'
        )
    return codes.astype(np.int8 if format == "int8" else np.uint8, copy=False)


def code_range(format: str, symmetric: bool) -> tuple[int, int]:
    """The least and the largest code; "int8" has -128 with zero points alone.

    Examples
    --------
    >>> code_range("int8", True), code_range("int8", False), code_range("nf4", True)
    ((-127, 127), (-128, 127), (0, 15))
    """
    if format == "int8":
        return (-127 if symmetric else -128), 127
    return 0, 15


def checked_scales(scales: Any, shape: tuple[int, int], scale_dtype: str) -> np.ndarray:
    """Scales of a shape in the type that is stored, which must hold them exactly."""
    with np.errstate(over="ignore"):
        array = as_float32(scales, "from_codes", "scales", ndim=2)
    if array.shape != shape:
        raise ValueError(
            f"from_codes: scales have shape {array.shape}; expected [rows, groups] = {shape}"
        )
    if not np.isfinite(array).all():
        row, group = np.argwhere(~np.isfinite(array))[0].tolist()
        raise ValueError(f"from_codes: scales[{row}, {group}] is {array[row, group]}; not finite")
    if scale_dtype == "fp32":
        return array
    with np.errstate(over="ignore"):
        stored = scales_as_stored(array, scale_dtype)
    wrong = scales_as_floats(stored, scale_dtype) != array
    if wrong.any():
        row, group = np.argwhere(wrong)[0].tolist()
        raise ValueError(
            f"from_codes: scales[{row}, {group}] is {array[row, group]}, which {scale_dtype} does "
            "not hold; round it first"
        )
    return stored


def checked_zero_points(
    zero_points: Any, shape: tuple[int, int], format: str, function: str
) -> np.ndarray:
    """Zero points of a shape, which are codes, as int32.

    Raises
    ------
    TypeError
        If they are no integers.
    ValueError
        If the format has none, the shape is another one, or one is out of range.
    """
    if format not in ZERO_OF_ZERO:
        raise ValueError(
            f'{function}: format="{format}" has no zero points; use "int8" or "int4", or none'
        )
    array = np.asarray(zero_points)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{function}: zero_points have dtype {array.dtype}; pass integers")
    if array.shape != shape:
        raise ValueError(
            f"{function}: zero_points have shape {array.shape}; expected [rows, groups] = {shape}"
        )
    low, high = code_range(format, symmetric=False)
    if array.size and (array.min() < low or array.max() > high):
        row, group = np.argwhere((array < low) | (array > high))[0].tolist()
        raise ValueError(
            f"{function}: zero_points[{row}, {group}] is {array[row, group]}; "
            f'"{format}" has {low}..{high}'
        )
    return np.ascontiguousarray(array, np.int32)


def one_for_all(values: np.ndarray, shape: tuple[int, int], name: str) -> np.ndarray:
    """The one value of a tensor [1, 1], of values [1, 1] or [rows, groups] that are all alike."""
    array = np.asarray(values)
    alike = array.ndim == 2 and array.size and (array == array[:1, :1]).all()
    if not alike or array.shape not in ((1, 1), shape):
        raise ValueError(
            f'from_codes: {name} of group_size="tensor" must be one number, [1, 1], or the same '
            f"for every row, {shape}"
        )
    return array[:1, :1]
