"""Codes and scales of a matrix to and from the lines of csrc/formats/weight.hpp.

The drawing is there: a line of 64 bytes holds 16 rows times 8 columns of 4 bits or 4 columns of 8,
lines follow the columns inside a block of 16 rows, and the scales are [block][group][row]. All of
it is one permutation of bytes, so each function here is a few reshapes of whole arrays.
"""

from __future__ import annotations

import functools

import numpy as np

from lowbit import _core

BLOCK_ROWS = 16
BITS: dict[str, int] = {
    entry["name"]: entry["bits"] for entry in _core.formats() if entry["packed"]
}


@functools.cache
def zero_code(format: str) -> int:
    """The code that fills rows beyond the last and columns beyond the last: it stands for zero.

    Examples
    --------
    >>> [zero_code(format) for format in ("int8", "int4", "nf4")]
    [0, 8, 7]
    """
    zero = _core.PackedMatrix.quantize(np.zeros((1, 1), np.float32), format, 0, False)
    return int(zero.parts()["lines"][0]) & ((1 << BITS[format]) - 1)


def pack_codes(format: str, codes: np.ndarray) -> np.ndarray:
    """Codes [rows, cols], one a byte, as the bytes of lines.

    Examples
    --------
    >>> pack_codes("int4", np.array([[1, 2, 3, 4, 5, 6, 7, 9]], np.uint8))[:4].tolist()
    [81, 98, 115, 148]
    """
    rows, cols = codes.shape
    per_line = 32 // BITS[format]
    count, lines = -(-rows // BLOCK_ROWS), -(-cols // per_line)
    padded = np.full((count * BLOCK_ROWS, lines * per_line), zero_code(format), np.uint8)
    padded[:rows, :cols] = codes.view(np.uint8)
    blocks = padded.reshape(count, BLOCK_ROWS, lines, per_line).swapaxes(1, 2)
    if BITS[format] == 8:
        return blocks.reshape(-1)
    return (blocks[..., :4] | blocks[..., 4:] << 4).reshape(-1)


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
    return whole[:rows, :cols].copy().view(np.int8 if format == "int8" else np.uint8)


def pack_scales(scales: np.ndarray) -> np.ndarray:
    """Scales or their codes [rows, groups] as [block][group][16], zero beyond the last row.

    Examples
    --------
    >>> pack_scales(np.array([[1.0, 2.0], [3.0, 4.0]])).reshape(2, 16)[:, :3].tolist()
    [[1.0, 3.0, 0.0], [2.0, 4.0, 0.0]]
    """
    rows, groups = scales.shape
    padded = np.zeros((-(-rows // BLOCK_ROWS) * BLOCK_ROWS, groups), scales.dtype)
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
