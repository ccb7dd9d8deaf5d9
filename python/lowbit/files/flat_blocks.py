"""4-bit codes in blocks that are cut from the flat matrix: the layout of bitsandbytes and of ONNX
Runtime's MatMulBnb4.

Two codes share a byte, the first in the upper half; an odd last code has a neighbour of no meaning.
Block i has the numbers i * block .. (i + 1) * block of the matrix in row-major order, so it may
span rows, and one scale. Value = level[code] * scale.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from lowbit.quantization.matrix import QuantizedMatrix
from lowbit.quantization.packing import pack_codes, pack_scales, zero_code
from lowbit.reference.levels import FP4, NF4

LEVELS = {"nf4": NF4.astype(np.float32), "fp4": FP4.astype(np.float32)}
"""By the type, which is the name of the format, too."""
LARGEST_BLOCK = 4096


class FlatBlocks(NamedTuple):
    """A matrix as flat blocks.

    Attributes
    ----------
    type
        "nf4" or "fp4".
    codes
        uint8 [rows, cols].
    scales
        float32, finite, one for each block.
    block
        Numbers of a block.
    nested
        How scales are stored where that is lowbit's own double quantization: their codes, in the
        order of the blocks, and `scale_scales` and `scale_offset` of `QuantizedMatrix.parts`.
    """

    type: str
    codes: np.ndarray
    scales: np.ndarray
    block: int
    nested: dict[str, Any] | None = None

    def matrix(self) -> QuantizedMatrix | np.ndarray:
        """The same numbers as a packed matrix, or as float32 [rows, cols] where none has them.

        Raises
        ------
        ValueError
            If a size is beyond what a `QuantizedMatrix` can have.

        Examples
        --------
        >>> codes = np.full((2, 48), 15, np.uint8)
        >>> scales = np.array([1, 2, 3], np.float32)
        >>> FlatBlocks("nf4", codes, scales, 32).matrix()  # the second block has 16 of either row
        QuantizedMatrix(2x48, nf4, group_size=16, 0.00 MB, 48.00 bits/weight)
        """
        rows, cols = self.codes.shape
        if not self.codes.size:
            scales = np.zeros((rows, min(cols, 1)))
            return QuantizedMatrix.from_codes(self.type, self.codes, scales, None)
        whole = rows <= 1 or cols % self.block == 0
        # Blocks that span rows still leave groups, if rows and blocks share a divisor.
        width = min(self.block, cols) if whole else math.gcd(cols, self.block)
        power = width >= 16 and width & (width - 1) == 0
        if not (power or width == cols):
            # A block may claim to be larger than the matrix, and than memory.
            scales = np.repeat(self.scales, min(self.block, self.codes.size))[: self.codes.size]
            return LEVELS[self.type][self.codes] * scales.reshape(rows, cols)
        groups = -(-cols // width)
        if whole and self.nested is not None:
            return self._doubly_quantized(groups, width if power else 0)
        starts = np.arange(rows)[:, None] * cols + np.arange(groups) * width
        scales = self.scales[starts // self.block]
        return QuantizedMatrix.from_codes(self.type, self.codes, scales, width if power else None)

    def _doubly_quantized(self, groups: int, group_size: int) -> QuantizedMatrix:
        rows, cols = self.codes.shape
        nested = dict(self.nested or {})
        nested["scale_codes"] = pack_scales(nested["scale_codes"].reshape(rows, groups))
        parts = {"format": self.type, "rows": rows, "cols": cols, "group_size": group_size}
        lines = pack_codes(self.type, self.codes)
        return QuantizedMatrix.from_parts(parts | nested | {"double_quant": True, "lines": lines})


def split_pairs(packed: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """Codes [rows, cols] out of bytes, the first of two in the upper half.

    Examples
    --------
    >>> split_pairs(np.array([0x12, 0x30], np.uint8), 1, 3).tolist()
    [[1, 2, 3]]
    """
    codes = np.stack([packed >> 4, packed & 15], axis=1).reshape(-1)
    return codes[: rows * cols].reshape(rows, cols)


def join_pairs(type: str, codes: np.ndarray) -> np.ndarray:
    """The inverse of `split_pairs`; an odd last code stands beside that of zero.

    Examples
    --------
    >>> [hex(byte) for byte in join_pairs("nf4", np.array([[1, 2, 3]], np.uint8))]
    ['0x12', '0x37']
    """
    flat = codes.reshape(-1)
    padded = np.append(flat, np.uint8(zero_code(type))) if flat.size % 2 else flat
    return padded[::2] << 4 | padded[1::2]


def fitting_block(matrix: QuantizedMatrix, smallest: int, function: str) -> int:
    """The largest power of two up to 4096 whose flat blocks lie inside the groups of each row.

    Raises
    ------
    ValueError
        If that is below `smallest`.

    Examples
    --------
    >>> q = QuantizedMatrix.from_codes("nf4", np.full((2, 96), 7), np.ones((2, 2)), 64)
    >>> fitting_block(q, 32, "f")
    32
    """
    rows, cols = matrix.shape
    group = matrix.group_size
    if rows > 1 or group == cols:
        group = math.gcd(group, cols) if group else LARGEST_BLOCK
    block = min(group & -group, LARGEST_BLOCK)
    if block < smallest:
        raise ValueError(
            f"{function}: groups of {matrix.group_size} in rows of {cols} are cut into blocks of "
            f"{block}; {smallest} to {LARGEST_BLOCK} are known there; quantize with a group size "
            "in that range that divides the columns"
        )
    return block


def scales_of_blocks(matrix: QuantizedMatrix, block: int) -> np.ndarray:
    """The scale of each flat block that `fitting_block` gave: float32 [blocks].

    Examples
    --------
    >>> q = QuantizedMatrix.from_codes("nf4", np.full((2, 64), 7), [[1.0], [2.0]], None)
    >>> scales_of_blocks(q, 32).tolist()
    [1.0, 1.0, 2.0, 2.0]
    """
    rows, cols = matrix.shape
    starts = np.arange(0, rows * cols, block)
    return matrix.scales()[starts // max(1, cols), starts % max(1, cols) // matrix.group_size]
