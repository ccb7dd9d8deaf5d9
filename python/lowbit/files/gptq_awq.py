"""Weights of GPTQ and AWQ checkpoints: integers of 32 bits full of codes.

Both store W [N, K] turned round, with a scale and a zero point for each group of columns:

            qweight                       qzeros               scales
    GPTQ    int32 [K * bits / 32, N]      [G, N * bits / 32]   [G, N]    low codes first
    AWQ     int32 [K, N / 8]              [G, N / 8]           [G, N]    in the order below

    W[n, k] = (code[k, n] - zero[g, n]) * scale[g, n]

g = k // group_size, or g_idx[k] where GPTQ quantized columns by importance ("act-order"). GPTQ's
first format, which nearly all files have, stores zero - 1. AWQ's integer holds eight rows n of W,
code i (from the low bits) being that of row 0 2 4 6 1 3 5 7. After AutoGPTQ and AutoAWQ.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lowbit.errors import FileFormatError
from lowbit.files.unsigned_codes import UNSIGNED, from_unsigned
from lowbit.quantization.matrix import QuantizedMatrix

AWQ_PLACES = [0, 4, 1, 5, 2, 6, 3, 7]
"""Which code of an integer row n of eight has."""


def from_gptq(
    qweight: Any,
    qzeros: Any,
    scales: Any,
    g_idx: Any = None,
    *,
    bits: int = 4,
    group_size: int = -1,
    zero_offset: int = 1,
    source: str = "GPTQ",
) -> QuantizedMatrix | np.ndarray:
    """A weight of a GPTQ checkpoint, without rounding it again.

    Parameters
    ----------
    qweight, qzeros, scales, g_idx
        The tensors of a layer; g_idx may be None.
    bits, group_size
        From the checkpoint's quantize_config.json: 2, 4 or 8, and columns of a group, -1 for one
        group a row.
    zero_offset
        1 for checkpoint_format "gptq", which stores zero - 1; 0 for "gptq_v2".
    source
        Where the tensors come from; messages begin with it.

    Returns
    -------
    QuantizedMatrix or numpy.ndarray
        W [N, K]: "int4" or "int8" with the same codes, scales and zero points, where groups follow
        the columns and have a size that `QuantizedMatrix` takes; symmetric where every zero point
        is the middle, 8 or 128. float32 otherwise.

    Raises
    ------
    FileFormatError
        If sizes or types do not agree, a group does not exist, or a scale is NaN or infinite.

    Examples
    --------
    >>> qweight = np.array([[0x7F98]], np.int32)  # 8, 9, 15, 7 and four times 0
    >>> q = from_gptq(qweight, np.array([[7]], np.int32), np.array([[2.0]], np.float16))
    >>> q.dequantize().tolist()
    [[0.0, 2.0, 14.0, -2.0, -16.0, -16.0, -16.0, -16.0]]
    """
    if bits not in (2, 4, 8) or zero_offset not in (0, 1):
        raise FileFormatError(
            f"{source}: bits must be 2, 4 or 8 and zero_offset 0 or 1; got {bits} and {zero_offset}"
        )
    packed = _integers(qweight, "qweight", source)
    codes = _unpack(np.ascontiguousarray(packed.T), bits)  # [N, K]
    rows, cols = codes.shape
    widths = _scales(scales, rows, source)
    zeros = _unpack(_integers(qzeros, "qzeros", source), bits)
    if zeros.shape[0] != widths.shape[0] or not rows <= zeros.shape[1] < rows + 32 // bits:
        raise FileFormatError(
            f"{source}: qzeros have shape {np.shape(qzeros)} beside scales of shape {widths.shape}"
        )
    zeros = zeros[:, :rows] + np.uint8(zero_offset) & np.uint8((1 << bits) - 1)
    if not codes.size:
        return np.zeros(codes.shape, np.float32)
    groups = _groups(g_idx, group_size, cols, widths.shape[0], source)
    return _weight(codes, zeros, widths, groups, bits, source)


def from_awq(
    qweight: Any, qzeros: Any, scales: Any, *, source: str = "AWQ"
) -> QuantizedMatrix | np.ndarray:
    """A weight of an AWQ checkpoint of 4 bits (version "gemm"), without rounding it again.

    Parameters
    ----------
    qweight, qzeros, scales
        The tensors of a layer; the size of groups follows from their shapes.
    source
        Where the tensors come from; messages begin with it.

    Returns
    -------
    QuantizedMatrix or numpy.ndarray
        W [N, K]: "int4" with the same codes, scales and zero points, symmetric where all are 8;
        float32 where groups have no size that `QuantizedMatrix` takes.

    Raises
    ------
    FileFormatError
        If sizes or types do not agree, or a scale is NaN or infinite.

    Examples
    --------
    >>> qweight = np.array([[0x10]], np.int32)  # row 2 of W has 1, all others 0
    >>> zeros, scales = np.zeros((1, 1), np.int32), np.ones((1, 8), np.float16)
    >>> from_awq(qweight, zeros, scales).dequantize()[:, 0].tolist()
    [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    packed = _integers(qweight, "qweight", source)
    packed_zeros = _integers(qzeros, "qzeros", source)
    cols, rows = packed.shape[0], 8 * packed.shape[1]
    widths = _scales(scales, rows, source)
    count = widths.shape[0]
    if packed_zeros.shape != (count, packed.shape[1]) or not count or cols % count:
        raise FileFormatError(
            f"{source}: qweight has shape {packed.shape}, qzeros {packed_zeros.shape}, scales "
            f"{widths.shape}"
        )
    if not packed.size:
        return np.zeros((rows, cols), np.float32)
    codes, zeros = (
        _unpack(part, 4).reshape(len(part), -1, 8)[..., AWQ_PLACES].reshape(len(part), rows)
        for part in (packed, packed_zeros)
    )
    groups = np.arange(cols) // (cols // count)
    return _weight(codes.T, zeros, widths, groups, 4, source)


def _integers(values: Any, name: str, source: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype not in (np.int32, np.uint32) or array.ndim != 2:
        raise FileFormatError(
            f"{source}: {name} must be int32 with 2 dimensions; got {array.dtype} of shape "
            f"{array.shape}"
        )
    return array.view(np.uint32)


def _unpack(packed: np.ndarray, bits: int) -> np.ndarray:
    """Codes uint8 [rows, 32 / bits * columns], those of the low bits first."""
    parts = np.ascontiguousarray(packed).astype("<u4", copy=False).view(np.uint8)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    codes = parts[..., None] >> shifts & np.uint8((1 << bits) - 1)
    return codes.reshape(len(packed), packed.shape[1] * (32 // bits))


def _scales(values: Any, rows: int, source: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype not in (np.float16, np.float32) or array.ndim != 2 or array.shape[1] != rows:
        raise FileFormatError(
            f"{source}: scales must be float16 or float32 [groups, {rows}]; got {array.dtype} of "
            f"shape {array.shape}"
        )
    if not np.isfinite(array).all():
        raise FileFormatError(f"{source}: scales have NaN or infinity")
    return array.astype(np.float32)


def _groups(g_idx: Any, group_size: int, cols: int, count: int, source: str) -> np.ndarray:
    """The group of each column."""
    if g_idx is None:
        size = cols if group_size == -1 else group_size
        if size < 1 or -(-cols // size) != count:
            raise FileFormatError(
                f"{source}: groups of {group_size} columns in rows of {cols} are not the {count} "
                "that scales have"
            )
        return np.arange(cols) // size
    groups = np.asarray(g_idx)
    if groups.dtype.kind not in "iu" or groups.shape != (cols,):
        raise FileFormatError(
            f"{source}: g_idx must be integers [{cols}]; got {groups.dtype} of shape {groups.shape}"
        )
    if groups.min() < 0 or groups.max() >= count:
        raise FileFormatError(f"{source}: g_idx has groups outside of the {count} that scales have")
    return groups


def _weight(
    codes: np.ndarray, zeros: np.ndarray, scales: np.ndarray, groups: np.ndarray, bits: int,
    source: str,
) -> QuantizedMatrix | np.ndarray:  # fmt: skip
    """Codes [N, K], zeros and scales [G, N], groups [K] as the matrix W [N, K]."""
    cols = codes.shape[1]
    size = int(np.count_nonzero(groups == 0))
    in_order = size > 0 and np.array_equal(groups, np.arange(cols) // size)
    possible = size == cols or (size >= 16 and size & (size - 1) == 0)
    if bits in UNSIGNED and in_order and possible:
        groups_of_rows = slice(0, -(-cols // size))
        widths, middles = scales.T[:, groups_of_rows], zeros.T[:, groups_of_rows]
        return from_unsigned(
            bits, codes, widths, middles.astype(np.int64), None if size == cols else size, source
        )
    steps = codes.astype(np.float32) - zeros.T.astype(np.float32)[:, groups]
    return steps * scales.T[:, groups]
