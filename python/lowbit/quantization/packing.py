"""Codes and scales of a matrix to and from the lines of csrc/formats/weight.hpp.

The drawing is there: a line of 64 bytes holds 16 rows times 8 columns of 4 bits or 4 columns of 8,
lines follow the columns inside a block of 16 rows, and the scales are [block][group][row]. All of
it is one permutation of bytes, so each function here is a few reshapes of whole arrays.
"""

from __future__ import annotations

import functools

import numpy as np

from lowbit import _core
from lowbit.arrays import empty_lines

BLOCK_ROWS = 16
BITS: dict[str, int] = {
    entry["name"]: entry["bits"] for entry in _core.formats() if entry["packed"]
}
ZERO_OF_ZERO: dict[str, int] = {
    entry["name"]: entry["zero_code"] for entry in _core.formats() if entry["zero_points"]
}
"""Of formats that may have zero points: which one stands for none, and so is stored as 0."""
LEAST_CODE = {"int8": -128, "int4": 0}
"""The least of them, which groups without any range have."""


@functools.cache
def zero_code(format: str) -> int:
    """The code that fills rows beyond the last and columns beyond the last: it stands for zero.

    Examples
    --------
    >>> [zero_code(format) for format in ("int8", "int4", "nf4", "fp4", "mxfp4")]
    [0, 8, 7, 0, 0]
    """
    zero = _core.PackedMatrix.quantize(np.zeros((1, 1), np.float32), format, 0, False)
    return int(zero.parts()["lines"][0]) & ((1 << BITS[format]) - 1)


def pack_codes(format: str, codes: np.ndarray, zeros: np.ndarray | None = None) -> np.ndarray:
    """Codes [rows, cols], one a byte, as the bytes of lines.

    What is beyond the last column or row has the code of zero, or those in `zeros`, one for every
    row of the last block, too.

    Examples
    --------
    >>> pack_codes("int4", np.array([[1, 2, 3, 4, 5, 6, 7, 9]], np.uint8))[:4].tolist()
    [81, 98, 115, 148]
    """
    rows, cols = codes.shape
    per_line = 32 // BITS[format]
    count, lines = -(-rows // BLOCK_ROWS), -(-cols // per_line)
    padded = np.full((count * BLOCK_ROWS, lines * per_line), zero_code(format), np.uint8)
    if zeros is not None:
        padded[:] = zeros.astype(np.uint8)[:, None]
    padded[:rows, :cols] = codes.view(np.uint8)
    blocks = padded.reshape(count, BLOCK_ROWS, lines, per_line).swapaxes(1, 2)
    if BITS[format] == 8:
        return blocks.reshape(-1)
    return (blocks[..., :4] | blocks[..., 4:] << 4).reshape(-1)


def padding_codes(format: str, zeros: np.ndarray, rows: int, per_tensor: bool) -> np.ndarray:
    """For `pack_codes`, the codes of zero of zero points [rows, groups], or of one for a tensor.

    Examples
    --------
    >>> padding_codes("int4", np.array([[3, 4]]), 1, per_tensor=False)[:3].tolist()
    [4, 0, 0]
    """
    padding = np.full(-(-rows // BLOCK_ROWS) * BLOCK_ROWS, LEAST_CODE[format])
    if zeros.size:
        padding[: None if per_tensor else rows] = zeros[0, -1] if per_tensor else zeros[:, -1]
    return padding


def unpack_codes(format: str, lines: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """The codes [rows, cols] that lines hold: int8 for int8, else uint8.

    Examples
    --------
    >>> codes = np.arange(-3, 3, dtype=np.int8).reshape(2, 3)
    >>> unpack_codes("int8", pack_codes("int8", codes), 2, 3).tolist()
    [[-3, -2, -1], [0, 1, 2]]
    """
    per_line = 32 // BITS[format]
    count, per_block = -(-rows // BLOCK_ROWS), -(-cols // per_line)
    blocks = lines.reshape(count, per_block, BLOCK_ROWS, 4).swapaxes(1, 2)
    if BITS[format] == 4:
        blocks = np.concatenate([blocks & 15, blocks >> 4], axis=3)
    whole = blocks.reshape(count * BLOCK_ROWS, per_block * per_line)
    codes = empty_lines((rows, cols), np.int8 if format == "int8" else np.uint8)
    codes.view(np.uint8)[:] = whole[:rows, :cols]
    return codes


def pack_scales(scales: np.ndarray, beyond: int = 0) -> np.ndarray:
    """Scales or their codes [rows, groups] as [block][group][16]; `beyond` follows the last row.

    Examples
    --------
    >>> pack_scales(np.array([[1.0, 2.0], [3.0, 4.0]])).reshape(2, 16)[:, :3].tolist()
    [[1.0, 3.0, 0.0], [2.0, 4.0, 0.0]]
    """
    rows, groups = scales.shape
    padded = np.full((-(-rows // BLOCK_ROWS) * BLOCK_ROWS, groups), beyond, scales.dtype)
    padded[:rows] = scales
    return padded.reshape(padded.shape[0] // BLOCK_ROWS, BLOCK_ROWS, groups).swapaxes(1, 2).ravel()


def unpack_scales(packed: np.ndarray, rows: int, groups: int) -> np.ndarray:
    """The inverse of `pack_scales`: [rows, groups].

    Examples
    --------
    >>> unpack_scales(pack_scales(np.array([[1, 2], [3, 4]])), 2, 2).tolist()
    [[1, 2], [3, 4]]
    """
    blocks = -(-rows // BLOCK_ROWS)
    rows_of_blocks = packed.reshape(blocks, groups, BLOCK_ROWS).swapaxes(1, 2)
    return rows_of_blocks.reshape(blocks * BLOCK_ROWS, groups)[:rows].copy()


def scales_as_stored(scales: np.ndarray, scale_dtype: str) -> np.ndarray:
    """Scales rounded to a type, as `QuantizedMatrix.parts` has them: bf16 as its upper 16 bits.

    Powers of two have their exponent plus 127 as a byte, from 2**-127 to 2**127.

    Examples
    --------
    >>> scales = np.array([0.25, 2.0], np.float32)
    >>> [scales_as_stored(scales, dtype).tolist() for dtype in ("fp16", "bf16", "e8m0")]
    [[0.25, 2.0], [16000, 16384], [125, 128]]
    """
    if scale_dtype == "bf16":
        return _core.from_float32(scales, "bf16")
    if scale_dtype == "e8m0":
        _, exponents = np.frexp(np.maximum(scales, np.float32(2.0**-127)))
        return (exponents + 126).astype(np.uint8)
    return scales.astype({"fp32": np.float32, "fp16": np.float16}[scale_dtype])


def scales_as_floats(stored: np.ndarray, scale_dtype: str) -> np.ndarray:
    """The inverse of `scales_as_stored`: float32.

    Examples
    --------
    >>> scales_as_floats(np.array([125, 0], np.uint8), "e8m0").tolist() == [0.25, 2.0**-127]
    True
    """
    if scale_dtype == "bf16":
        return _core.to_float32(stored, "bf16")
    if scale_dtype == "e8m0":
        with np.errstate(over="ignore"):  # 255 stands for NaN, and comes as infinity
            return np.ldexp(np.float32(1), stored.astype(np.int32) - 127)
    return stored.astype(np.float32)
