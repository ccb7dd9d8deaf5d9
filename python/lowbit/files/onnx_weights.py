"""Weights of ONNX Runtime's operators MatMulNBits and MatMulBnb4.

MatMulNBits (com.microsoft) has W [N, K] in blocks of `block_size` columns:

    B            uint8 [N, ceil(K / block_size), block_size * bits / 8], low bits first
    scales       float32 or float16, one for each block
    zero_points  uint8, packed like B for each row; or the type of scales; 2^(bits - 1) without

Value = (code - zero point) * scale. Columns beyond K are there, and mean nothing. MatMulBnb4 has
the flat blocks of bitsandbytes (`flat_blocks.py`). Nothing here reads a model's file: the arrays
are its initialisers, as `onnx.numpy_helper.to_array` gives them. Numbers have the bits that ONNX
Runtime multiplies with on a CPU.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lowbit.errors import FileFormatError
from lowbit.files.flat_blocks import (
    FlatBlocks,
    fitting_block,
    join_pairs,
    scales_of_blocks,
    split_pairs,
)
from lowbit.files.unsigned_codes import UNSIGNED, from_unsigned
from lowbit.quantization.matrix import QuantizedMatrix

SMALLEST_BLOCK = 16
LARGEST_BLOCK = 256
"""MatMulNBits of blocks beyond this gave zeros in some releases of ONNX Runtime."""
BNB4_TYPES = {0: "fp4", 1: "nf4"}
"""What the attribute quant_type of MatMulBnb4 means."""


def from_matmul_nbits(
    packed: Any,
    scales: Any,
    zero_points: Any = None,
    *,
    cols: int,
    block_size: int,
    bits: int = 4,
    source: str = "MatMulNBits",
) -> QuantizedMatrix | np.ndarray:
    """The weight of a MatMulNBits, without rounding it again.

    Parameters
    ----------
    packed, scales, zero_points
        The inputs B, scales and zero_points; the last may be None. Flat arrays are taken too.
    cols, block_size, bits
        The attributes K, block_size (a power of 2 from 16) and bits (2, 4 or 8).
    source
        Where the arrays come from; messages begin with it.

    Returns
    -------
    QuantizedMatrix or numpy.ndarray
        W [N, K]: "int4" or "int8" with the same codes, scales and zero points; symmetric where
        every zero point is 8 of 4 bits or 128 of 8, and no code of 8 bits is 0 (which is -128).
        float32 of 2 bits, and where zero points are floats other than the middle.

    Raises
    ------
    FileFormatError
        If sizes or types do not agree, or a scale is NaN or infinite.

    Examples
    --------
    >>> packed = np.full((1, 1, 8), 0x9F, np.uint8)
    >>> q = from_matmul_nbits(packed, np.array([2.0], np.float32), cols=3, block_size=16)
    >>> q.dequantize().tolist()
    [[14.0, 2.0, 14.0]]
    >>> zero = np.array([[15]], np.uint8)
    >>> q = from_matmul_nbits(packed, np.ones((1, 1), np.float32), zero, cols=3, block_size=16)
    >>> q.dequantize().tolist(), q.zero_points().tolist()
    ([[0.0, -6.0, 0.0]], [[15]])
    """
    packed = np.asarray(packed)
    if bits not in (2, 4, 8) or not _is_block(block_size) or not 0 <= cols < 1 << 40:
        raise FileFormatError(
            f"{source}: bits must be 2, 4 or 8, block_size a power of 2 from 16 and K a size; got "
            f"{bits}, {block_size} and {cols}"
        )
    blocks, nbytes = -(-cols // block_size), block_size * bits // 8
    rows = packed.shape[0] if packed.ndim else 0
    fits = packed.ndim in (2, 3) and packed.size == rows * blocks * nbytes
    if packed.dtype != np.uint8 or not fits:
        raise FileFormatError(
            f"{source}: B must be uint8 [N, {blocks}, {nbytes}]; got {packed.dtype} of shape "
            f"{packed.shape}"
        )
    codes = _unpack(packed.reshape(rows, blocks * nbytes), bits)[:, :cols]
    widths = _scales(scales, (rows, blocks), source)
    middle = 1 << (bits - 1)
    zeros = _zero_points(zero_points, bits, (rows, blocks), source)
    zeros = np.full((rows, blocks), middle, np.float32) if zeros is None else zeros
    whole = zero_points is None or np.asarray(zero_points).dtype == np.uint8
    if bits in UNSIGNED and (whole or (zeros == middle).all()):
        return from_unsigned(bits, codes, widths, zeros.astype(np.int64), block_size, source)
    values = codes.astype(np.float32)
    if whole:
        values -= np.repeat(zeros, block_size, axis=1)[:, :cols]
    values *= np.repeat(widths, block_size, axis=1)[:, :cols]
    if not whole:  # ONNX Runtime takes float zero points off after the product
        values -= np.repeat(widths * zeros, block_size, axis=1)[:, :cols]
    return values


def to_matmul_nbits(matrix: QuantizedMatrix) -> dict[str, Any]:
    """A matrix of "int4" or "int8" as inputs and attributes of a MatMulNBits.

    Returns
    -------
    dict
        "B" uint8 [N, blocks, bytes], "scales" float32 [N, blocks], "bits", "block_size", "N" and
        "K"; "zero_points" uint8 [N, bytes] of an asymmetric matrix, without which the operator's
        defaults, 8 and 128, are meant. Codes, scales and zero points are those of the matrix;
        blocks are 256 columns at most, and repeat scales.

    Raises
    ------
    ValueError
        For nf4 and fp4, which `to_matmul_bnb4` takes, and mxfp4.

    Examples
    --------
    >>> q = QuantizedMatrix.from_codes("int4", [[15, 9, 15]], [[2.0]], None)
    >>> node = to_matmul_nbits(q)
    >>> node["B"].tolist(), node["block_size"], node["K"]
    ([[[159, 143, 136, 136, 136, 136, 136, 136]]], 16, 3)
    """
    bits = {format: bits for bits, format in UNSIGNED.items()}.get(matrix.format)
    if bits is None:
        raise ValueError(
            f"to_matmul_nbits: {matrix.format} has other levels; use to_matmul_bnb4 for nf4 and "
            "fp4, or quantize to int4 or int8"
        )
    rows, cols = matrix.shape
    group = matrix.group_size
    power = 1 << max(cols - 1, SMALLEST_BLOCK - 1).bit_length()
    block = min(power if group == cols else group, LARGEST_BLOCK)
    blocks = -(-cols // block)
    middle = 1 << (bits - 1)
    codes = np.full((rows, blocks * block), middle, np.uint8)
    codes[:, :cols] = matrix.codes() if bits == 4 else matrix.codes().view(np.uint8) ^ 128
    packed = codes[:, ::2] | codes[:, 1::2] << 4 if bits == 4 else codes
    groups = np.arange(blocks) * block // max(1, group)
    inputs = {
        "B": packed.reshape(rows, blocks, block * bits // 8),
        "scales": matrix.scales()[:, groups],
    }
    zeros = matrix.zero_points()
    if zeros is not None:
        inputs["zero_points"] = _packed_zero_points(zeros[:, groups], bits)
    return {
        **inputs,
        "bits": bits,
        "block_size": block,
        "N": rows,
        "K": cols,
    }


def from_matmul_bnb4(
    packed: Any,
    absmax: Any,
    *,
    rows: int,
    cols: int,
    block_size: int,
    quant_type: int,
    source: str = "MatMulBnb4",
) -> QuantizedMatrix | np.ndarray:
    """The weight of a MatMulBnb4, without rounding it again.

    Parameters
    ----------
    packed, absmax
        The inputs B, uint8 [ceil(N K / 2)], and absmax, float32 or float16 [ceil(N K / block)].
    rows, cols, block_size, quant_type
        The attributes N, K, block_size (a power of 2 from 16) and quant_type (0 fp4, 1 nf4).
    source
        Where the arrays come from; messages begin with it.

    Returns
    -------
    QuantizedMatrix or numpy.ndarray
        W [N, K]: "nf4" or "fp4", or float32 where blocks span rows.

    Raises
    ------
    FileFormatError
        If sizes or types do not agree, or a scale is NaN or infinite.

    Examples
    --------
    >>> packed, absmax = np.full(8, 0x0F, np.uint8), np.array([2], np.float32)
    >>> q = from_matmul_bnb4(packed, absmax, rows=1, cols=16, block_size=16, quant_type=1)
    >>> q.dequantize()[0, :2].tolist()
    [-2.0, 2.0]
    """
    packed = np.asarray(packed)
    sizes = 0 <= rows < 1 << 40 and 0 <= cols < 1 << 40 and _is_block(block_size)
    if quant_type not in BNB4_TYPES or not sizes:
        raise FileFormatError(
            f"{source}: quant_type must be 0 or 1, N and K sizes, block_size a power of 2 from 16; "
            f"got {quant_type}, {rows}, {cols} and {block_size}"
        )
    count = rows * cols
    if packed.dtype != np.uint8 or packed.size != -(-count // 2):
        raise FileFormatError(
            f"{source}: B must be uint8 [{-(-count // 2)}]; got {packed.dtype} of shape "
            f"{packed.shape}"
        )
    scales = _scales(absmax, (-(-count // block_size),), source)
    codes = split_pairs(packed.reshape(-1), rows, cols)
    return FlatBlocks(BNB4_TYPES[quant_type], codes, scales, block_size).matrix()


def to_matmul_bnb4(matrix: QuantizedMatrix) -> dict[str, Any]:
    """A matrix of "nf4" or "fp4" as inputs and attributes of a MatMulBnb4.

    Returns
    -------
    dict
        "B" uint8 [ceil(N K / 2)], "absmax" float32, "quant_type", "block_size", "N" and "K". Double
        quantization is undone, and where groups do not divide rows, smaller blocks repeat scales.

    Raises
    ------
    ValueError
        For another format, or groups that no blocks of 16 or more lie inside.

    Examples
    --------
    >>> node = to_matmul_bnb4(QuantizedMatrix.from_codes("nf4", [[0, 15] * 8], [[2.0]], 16))
    >>> node["B"].tolist(), node["absmax"].tolist(), node["quant_type"]
    ([15, 15, 15, 15, 15, 15, 15, 15], [2.0], 1)
    """
    kinds = {format: kind for kind, format in BNB4_TYPES.items()}
    if matrix.format not in kinds:
        raise ValueError(
            f"to_matmul_bnb4: {matrix.format} has other levels than nf4 and fp4; use "
            "to_matmul_nbits for int4 and int8"
        )
    block = fitting_block(matrix, SMALLEST_BLOCK, "to_matmul_bnb4")
    return {
        "B": join_pairs(matrix.format, matrix.codes()),
        "absmax": scales_of_blocks(matrix, block),
        "quant_type": kinds[matrix.format],
        "block_size": block,
        "N": matrix.shape[0],
        "K": matrix.shape[1],
    }


def _is_block(size: int) -> bool:
    return SMALLEST_BLOCK <= size < 1 << 40 and size & (size - 1) == 0


def _unpack(packed: np.ndarray, bits: int) -> np.ndarray:
    """Codes [rows, 8 / bits * bytes], the low bits of each byte first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    codes = packed[..., None] >> shifts & np.uint8((1 << bits) - 1)
    return codes.reshape(len(packed), packed.shape[1] * len(shifts))


def _scales(values: Any, shape: tuple[int, ...], source: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype not in (np.float32, np.float16) or array.size != math.prod(shape):
        raise FileFormatError(
            f"{source}: scales must be float32 or float16 of shape {shape}; got {array.dtype} of "
            f"shape {array.shape}"
        )
    if not np.isfinite(array).all():
        raise FileFormatError(f"{source}: scales have NaN or infinity")
    return array.astype(np.float32).reshape(shape)


def _zero_points(values: Any, bits: int, shape: tuple[int, int], source: str) -> np.ndarray | None:
    """Zero points as float32 [rows, blocks]."""
    if values is None:
        return None
    array = np.asarray(values)
    if array.dtype != np.uint8:
        return _scales(array, shape, f"{source}: zero_points as")
    rows, blocks = shape
    nbytes = -(-blocks * bits // 8)
    if array.size != rows * nbytes:
        raise FileFormatError(
            f"{source}: zero_points must be uint8 [{rows}, {nbytes}]; got shape {array.shape}"
        )
    return _unpack(array.reshape(rows, nbytes), bits)[:, :blocks].astype(np.float32)


def _packed_zero_points(zeros: np.ndarray, bits: int) -> np.ndarray:
    """Zero points [rows, blocks] of a matrix as the operator has them."""
    if bits == 8:
        return zeros.view(np.uint8) ^ 128
    padded = np.full((len(zeros), zeros.shape[1] + zeros.shape[1] % 2), 8, np.uint8)
    padded[:, : zeros.shape[1]] = zeros
    return padded[:, ::2] | padded[:, 1::2] << 4
