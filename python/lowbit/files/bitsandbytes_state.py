"""The quantized weights of bitsandbytes, as its state dicts have them in safetensors files.

A linear layer in 4 bits, "nf4" or "fp4" (Dettmers et al., "QLoRA", 2023):

    X.weight                          two codes a byte, the first in the upper half; any dtype
    X.weight.absmax                   float32, one for each block; or uint8, rounded once more
    X.weight.quant_map                float32 [16], the levels
    X.weight.quant_state.bitsandbytes__nf4    JSON as uint8: blocksize, shape, dtype ...
    X.weight.nested_absmax            float32, one for each 256 of absmax
    X.weight.nested_quant_map         float32 [256], levels of absmax

Blocks are cut from the flat matrix, so they may span rows. Value = level[code] * absmax, and
absmax = nested level * nested_absmax + nested_offset. In 8 bits (LLM.int8):

    X.weight                          int8 [rows, cols]
    X.SCB                             float32 [rows], largest magnitudes; value = code * SCB / 127
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lowbit import _core
from lowbit.errors import FileFormatError
from lowbit.files.flat_blocks import (
    LEVELS,
    FlatBlocks,
    fitting_block,
    join_pairs,
    scales_of_blocks,
    split_pairs,
)
from lowbit.files.untrusted import parse_json, shorten
from lowbit.quantization.matrix import SCALE_BLOCK, QuantizedMatrix
from lowbit.quantization.packing import unpack_scales

STATE_KEY = "quant_state.bitsandbytes__"
SMALLEST_BLOCK = 32
"""bitsandbytes has kernels for blocks from this to 4096."""
PER_127 = np.float32(1 / 127)


def from_bitsandbytes(
    tensors: Mapping[str, np.ndarray], name: str, source: str = "bitsandbytes"
) -> QuantizedMatrix | np.ndarray:
    """One weight of a bitsandbytes state dict, without rounding it again.

    Parameters
    ----------
    tensors
        Arrays by name, as `read_safetensors(path)` gives them: no dtype converted.
    name
        Such as "model.layers.0.mlp.up_proj.weight".
    source
        Where the tensors come from; messages begin with it.

    Returns
    -------
    QuantizedMatrix or numpy.ndarray
        nf4, fp4: a matrix with the codes and scales of the file, doubly quantized if it is so
        there. Where blocks span rows and share no part of 16 columns or more with each row, float32
        [rows, cols] with the exact products. int8: a matrix with one scale a row, whose
        values are within two roundings of bitsandbytes', which multiplies in another order;
        float32 if there is a code -128.

    Raises
    ------
    KeyError
        If there is no tensor `name`.
    FileFormatError
        If parts are missing, sizes do not agree, or numbers are NaN or infinite.

    Examples
    --------
    >>> q = QuantizedMatrix.from_codes("nf4", [[0, 7, 15] + [7] * 29], [[2.0]], 32)
    >>> from_bitsandbytes(to_bitsandbytes(q, "a.weight"), "a.weight").dequantize()[0, :3]
    array([-2.,  0.,  2.], dtype=float32)
    """
    weight = tensors[name]
    where = f"{source}: {shorten(name)}"
    scales_name = f"{name.removesuffix('weight')}SCB"
    if scales_name in tensors:
        return _read_int8(weight, tensors, name, where)
    types = [type for type in LEVELS if f"{name}.{STATE_KEY}{type}" in tensors]
    if len(types) != 1:
        raise FileFormatError(
            f"{where}: needs SCB beside it or one of {STATE_KEY}nf4 and fp4 behind its name; "
            f"found {len(types)}"
        )
    blocks = _read_blocks(weight, tensors, name, types[0], where)
    try:
        return blocks.matrix()
    except ValueError as error:
        raise FileFormatError(f"{where}: {error}") from error


def to_bitsandbytes(
    matrix: QuantizedMatrix, name: str, dtype: str = "float16"
) -> dict[str, np.ndarray]:
    """A matrix as what bitsandbytes loads: `Linear4bit` of nf4 and fp4, `Linear8bitLt` of int8.

    Parameters
    ----------
    matrix
        "nf4", "fp4", or symmetric "int8" with one scale a row.
    name
        Of the weight: "X.weight".
    dtype
        What bitsandbytes shall compute in: "float16", "bfloat16" or "float32".

    Returns
    -------
    dict of str to numpy.ndarray
        For `write_safetensors`. nf4 and fp4 have the codes and scales of the matrix; where groups
        do not divide rows or have no size bitsandbytes knows, smaller blocks repeat them. SCB of
        int8 is 127 times the scale, rounded to float32 (for one scale in a hundred, one last bit is
        lost).

    Raises
    ------
    ValueError
        If bitsandbytes has no way to hold it exactly.

    Examples
    --------
    >>> q = QuantizedMatrix.from_codes("nf4", [[0, 7, 15] + [7] * 29], [[2.0]], 32)
    >>> state = to_bitsandbytes(q, "a.weight")
    >>> state["a.weight"][:2].tolist(), state["a.weight.absmax"].tolist()
    ([[7], [247]], [2.0])
    """
    if dtype not in ("float16", "bfloat16", "float32"):
        raise ValueError(f"to_bitsandbytes: dtype={dtype!r}; use float16, bfloat16 or float32")
    kind = matrix.format
    if kind == "int8" and matrix.symmetric:
        return _write_int8(matrix, name)
    if kind not in LEVELS:
        zeros = "" if matrix.symmetric else " with zero points"
        raise ValueError(
            f"to_bitsandbytes: bitsandbytes has no {kind}{zeros}; quantize to nf4 or fp4, or to "
            "int8 with group_size=None"
        )
    block = fitting_block(matrix, SMALLEST_BLOCK, "to_bitsandbytes")
    described: dict[str, Any] = {"quant_type": kind, "blocksize": block, "dtype": dtype}
    described["shape"] = list(matrix.shape)
    state = {name: join_pairs(kind, matrix.codes()).reshape(-1, 1)}
    state[f"{name}.quant_map"] = LEVELS[kind].copy()
    if matrix.double_quant and block == matrix.group_size:
        parts = matrix.parts()
        state[f"{name}.absmax"] = unpack_scales(
            parts["scale_codes"], matrix.shape[0], -(-matrix.shape[1] // block)
        ).reshape(-1)
        state[f"{name}.nested_absmax"] = parts["scale_scales"]
        state[f"{name}.nested_quant_map"] = _core.dynamic_map()
        described |= {"nested_blocksize": SCALE_BLOCK, "nested_dtype": "float32"}
        described["nested_offset"] = float(parts["scale_offset"])
    else:
        state[f"{name}.absmax"] = scales_of_blocks(matrix, block)
    text = json.dumps(described).encode()
    return state | {f"{name}.{STATE_KEY}{kind}": np.frombuffer(text, np.uint8).copy()}


def _read_int8(
    weight: np.ndarray, tensors: Mapping[str, np.ndarray], name: str, where: str
) -> QuantizedMatrix | np.ndarray:
    prefix = name.removesuffix("weight")
    order = tensors.get(f"{prefix}weight_format")
    if order is not None and (order.size != 1 or int(order.reshape(-1)[0]) != 0):
        raise FileFormatError(f"{where}: weight_format must be 0, rows; got {shorten(order)}")
    if weight.dtype != np.int8 or weight.ndim != 2:
        raise FileFormatError(
            f"{where}: beside SCB it must be int8 with 2 dimensions; got {weight.dtype} of shape "
            f"{weight.shape}"
        )
    largest = _floats(tensors, f"{prefix}SCB", (weight.shape[0],), where)
    scales = (largest * PER_127)[:, None]
    if weight.size and weight.min() == -128:
        return weight.astype(np.float32) * scales
    groups = scales if weight.shape[1] else scales[:, :0]
    return QuantizedMatrix.from_codes("int8", weight, groups, None)


def _read_blocks(
    weight: np.ndarray, tensors: Mapping[str, np.ndarray], name: str, type: str, where: str
) -> FlatBlocks:
    text = _part(tensors, f"{name}.{STATE_KEY}{type}", where)
    if text.dtype != np.uint8 or text.ndim != 1:
        raise FileFormatError(f"{where}: {STATE_KEY}{type} must be JSON as a list of uint8")
    described = parse_json(text.tobytes(), where)
    if not isinstance(described, dict):
        raise FileFormatError(f"{where}: {STATE_KEY}{type} must be a JSON object")
    shape, block = described.get("shape"), described.get("blocksize")
    if not isinstance(shape, list) or len(shape) != 2 or not all(map(_is_size, shape)):
        raise FileFormatError(f"{where}: shape must be two sizes; got {shorten(shape)}")
    if not _is_size(block) or block < 1:
        raise FileFormatError(f"{where}: blocksize must be a size from 1; got {shorten(block)}")
    count = math.prod(shape)
    if weight.nbytes != -(-count // 2):
        raise FileFormatError(
            f"{where}: {shape} codes of 4 bits take {-(-count // 2)} bytes; got {weight.nbytes}"
        )
    levels = _floats(tensors, f"{name}.quant_map", (16,), where)
    if not np.allclose(levels, LEVELS[type], rtol=0, atol=1e-6):
        raise FileFormatError(f"{where}: quant_map has not the levels of {type}")
    data = np.ascontiguousarray(weight).reshape(-1).view(np.uint8)
    scales, nested = _absmax(tensors, name, described, -(-count // block), where)
    return FlatBlocks(type, split_pairs(data, *shape), scales, block, nested)


def _absmax(
    tensors: Mapping[str, np.ndarray], name: str, described: dict, count: int, where: str
) -> tuple[np.ndarray, dict[str, Any] | None]:
    """The scales of all blocks, and how they are stored where that is lowbit's own way."""
    if f"{name}.nested_absmax" not in tensors:
        return _floats(tensors, f"{name}.absmax", (count,), where), None
    codes = _part(tensors, f"{name}.absmax", where)
    block, offset = described.get("nested_blocksize"), described.get("nested_offset")
    if codes.dtype != np.uint8 or codes.shape != (count,):
        raise FileFormatError(
            f"{where}: absmax must be uint8 of shape ({count},) beside nested_absmax; got "
            f"{codes.dtype} of shape {codes.shape}"
        )
    if not _is_size(block) or block < 1:
        raise FileFormatError(f"{where}: nested_blocksize must be a size; got {shorten(block)}")
    if isinstance(offset, bool) or not isinstance(offset, int | float) or abs(offset) > 3e38:
        raise FileFormatError(f"{where}: nested_offset must be a number; got {shorten(offset)}")
    scales = _floats(tensors, f"{name}.nested_absmax", (-(-count // block),), where)
    levels = _floats(tensors, f"{name}.nested_quant_map", (256,), where)
    blocks = np.arange(count) // block
    with np.errstate(over="ignore"):
        absmax = levels[codes] * scales[blocks] + np.float32(offset)
    if not np.isfinite(absmax).all():
        raise FileFormatError(f"{where}: a scale is beyond float32")
    if block != SCALE_BLOCK or not np.array_equal(levels, _core.dynamic_map()):
        return absmax, None
    stored = {"scale_codes": codes, "scale_scales": scales, "scale_offset": float(offset)}
    return absmax, stored


def _write_int8(matrix: QuantizedMatrix, name: str) -> dict[str, np.ndarray]:
    if matrix.group_size != matrix.shape[1]:
        raise ValueError(
            f"to_bitsandbytes: int8 has one scale a row there; got groups of "
            f"{matrix.group_size}; quantize with group_size=None"
        )
    scales = matrix.scales().reshape(-1) if matrix.shape[1] else np.zeros(matrix.shape[0], "f4")
    largest = scales * np.float32(127)
    for near in (np.nextafter(largest, np.float32(0)), np.nextafter(largest, 2 * largest)):
        exact = (largest * PER_127 != scales) & (near * PER_127 == scales)
        largest = np.where(exact, near, largest)
    prefix = name.removesuffix("weight")
    state = {name: matrix.codes(), f"{prefix}SCB": largest}
    return state | {f"{prefix}weight_format": np.array(0, np.uint8)}


def _part(tensors: Mapping[str, np.ndarray], name: str, where: str) -> np.ndarray:
    if name not in tensors:
        raise FileFormatError(f"{where}: there is no {shorten(name)}")
    return tensors[name]


def _floats(
    tensors: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...], where: str
) -> np.ndarray:
    """A float32 part of one shape, all finite."""
    array = _part(tensors, name, where)
    if array.dtype != np.float32 or array.shape != shape:
        raise FileFormatError(
            f"{where}: {shorten(name)} must be float32 of shape {shape}; got {array.dtype} of "
            f"shape {array.shape}"
        )
    if not np.isfinite(array).all():
        raise FileFormatError(f"{where}: {shorten(name)} has NaN or infinity")
    return array


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 40
