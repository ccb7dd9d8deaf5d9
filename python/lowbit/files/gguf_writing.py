"""Writing GGUF: metadata and tensors, rounded as ggml does or not rounded at all."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from lowbit.arrays import as_float32, float32_to_fp16
from lowbit.files.atomic import replace_file
from lowbit.files.gguf import (
    ARRAY,
    DEFAULT_ALIGNMENT,
    MAGIC,
    MAX_DIMENSIONS,
    MAX_NAME_BYTES,
    NUMBERS,
    PACKED,
    STRING,
    TENSOR_TYPES,
    TensorType,
)
from lowbit.files.gguf_rounding import NUMBERS_AT_ONCE, QUANTIZED, paired, quantize_blocks
from lowbit.files.untrusted import shorten
from lowbit.quantization.matrix import QuantizedMatrix
from lowbit.quantization.packing import scales_as_stored

VERSION = 3
MAX_TENSOR_NAME_BYTES = 63
"""ggml keeps names of tensors in 64 bytes with a zero at the end."""
_CODES = {described.name: code for code, described in TENSOR_TYPES.items()}
_NUMBER_CODES = {dtype: code for code, dtype in NUMBERS.items()}
_STORED_AS = {format: name for name, format in PACKED.items()}


class _Entry(NamedTuple):
    name: str
    type: TensorType
    shape: tuple[int, ...]
    value: np.ndarray | QuantizedMatrix

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) // self.type.elements * self.type.nbytes


def write_gguf(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Any],
    metadata: Mapping[str, Any] | None = None,
    types: Mapping[str, str] | None = None,
) -> None:
    """Write a GGUF file of version 3, atomically.

    Parameters
    ----------
    path
        The file to create or replace.
    tensors
        By name (63 bytes at most): arrays of 1 to 4 dimensions, or `QuantizedMatrix`. A matrix of
        "int4" is written as Q4_0, one of "int8" as Q8_0 and one of "mxfp4" as MXFP4, code by code.
    metadata
        By key: str, bool, int (uint32 where it fits, else int32, uint64 or int64), float (float32),
        NumPy numbers (their own type), lists of str, arrays of numbers. Readers of models want at
        least "general.architecture".
    types
        By name of an array: "F32" (which is the default), "F16", "BF16", "Q4_0", "Q8_0", "Q4_K" or
        "MXFP4".

    Raises
    ------
    TypeError
        For metadata that GGUF has no type for, or tensors that are no numbers.
    ValueError
        If rows are no whole blocks, a name or shape is not possible, values do not fit the type; or
        if a `QuantizedMatrix` cannot be written without loss: it is nf4 or fp4, it has zero points,
        its groups are not multiples of 32 columns, or its scales are not exact in fp16.
    OSError
        The file could not be written; an old one is untouched.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from lowbit.files.gguf import GgufFile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.gguf"
    >>> write_gguf(path, {"w": np.full((2, 64), -127), "b": [1, 2]}, {"a": 1}, {"w": "Q8_0"})
    >>> file = GgufFile(path)
    >>> file.metadata, file.tensors["w"].type.name, float(file.read("w").max())
    ({'a': 1}, 'Q8_0', -127.0)
    """
    types = dict(types or {})
    unknown = sorted(set(types) - set(tensors))
    if unknown:
        raise ValueError(f"write_gguf: types names {shorten(unknown[0])}, which is no tensor")
    entries = [_entry(name, value, types.get(name)) for name, value in tensors.items()]
    metadata = dict(metadata or {})
    alignment = _alignment(metadata)
    header = MAGIC + struct.pack("<IQQ", VERSION, len(entries), len(metadata))
    header += b"".join(_text(key, MAX_NAME_BYTES) + _value(key, v) for key, v in metadata.items())
    offset = 0
    for entry in entries:
        shape = struct.pack(f"<I{len(entry.shape)}Q", len(entry.shape), *entry.shape[::-1])
        place = struct.pack("<IQ", _CODES[entry.type.name], offset)
        header += _text(entry.name, MAX_TENSOR_NAME_BYTES) + shape + place
        offset += _padded(entry.nbytes, alignment)
    with replace_file(path) as stream:
        stream.write(header + bytes(_padded(len(header), alignment) - len(header)))
        for entry in entries:
            _write_blocks(stream, entry)
            stream.write(bytes(_padded(entry.nbytes, alignment) - entry.nbytes))


def _padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _alignment(metadata: Mapping[str, Any]) -> int:
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    whole = isinstance(alignment, int) and 8 <= alignment < 1 << 31
    if not whole or alignment & (alignment - 1):
        raise ValueError(
            f"write_gguf: general.alignment must be a power of 2 from 8; got {shorten(alignment)}"
        )
    return alignment


def _text(text: str, longest: int | None = None) -> bytes:
    data = text.encode("utf-8")
    if longest is not None and not 0 < len(data) <= longest:
        raise ValueError(
            f"write_gguf: the name {shorten(text)} has {len(data)} bytes; 1 to {longest} fit"
        )
    return struct.pack("<Q", len(data)) + data


def _value(key: str, value: Any) -> bytes:
    """Type and bytes of one value of the metadata."""
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _text(value)
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(map(_text, value))
    array = np.asarray(value, _number_type(value))
    code = _NUMBER_CODES.get(array.dtype.newbyteorder("<"))
    if code is None or isinstance(value, list | tuple) or array.ndim > 1:
        raise TypeError(
            f"write_gguf: metadata {shorten(key)}: GGUF has no type for this "
            f"{type(value).__name__}; pass str, bool, int, float, a list of str or a NumPy array"
        )
    data = array.astype(array.dtype.newbyteorder("<")).tobytes()
    if array.ndim == 1:
        return struct.pack("<IIQ", ARRAY, code, array.size) + data
    return struct.pack("<I", code) + data


def _number_type(value: Any) -> str | None:
    """The type of a Python number: what llama.cpp expects, wider only where it must be."""
    if isinstance(value, float) and not isinstance(value, np.floating):
        return "<f4"
    if isinstance(value, int) and not isinstance(value, bool):
        for name in ("<u4", "<i4", "<u8", "<i8"):
            if np.iinfo(name).min <= value <= np.iinfo(name).max:
                return name
    return None


def _entry(name: str, value: Any, type_name: str | None) -> _Entry:
    """One tensor, checked as far as its header says."""
    shown = f"write_gguf: tensor {shorten(name)}"
    if isinstance(value, QuantizedMatrix):
        type_name = _lossless_type(shown, value, type_name)
    else:
        # Types are checked now; numbers are widened some blocks at a time, when they are written.
        value = value if isinstance(value, np.ndarray) else as_float32(value, "write_gguf", name)
        as_float32(np.empty(0, value.dtype), "write_gguf", shorten(name))
    type_name = type_name or "F32"
    if type_name not in QUANTIZED:
        raise ValueError(f"{shown}: type {type_name!r} is not written; {' '.join(QUANTIZED)} are")
    described = TENSOR_TYPES[_CODES[type_name]]
    shape = tuple(value.shape)
    if not 1 <= len(shape) <= MAX_DIMENSIONS:
        raise ValueError(f"{shown} has shape {shape}; 1 to {MAX_DIMENSIONS} dimensions fit")
    if shape[-1] % described.elements:
        raise ValueError(
            f"{shown}: rows of {shape[-1]} are no whole blocks of {described.elements} of "
            f"{type_name}; use F16 or F32"
        )
    return _Entry(name, described, shape, value)


def _lossless_type(shown: str, matrix: QuantizedMatrix, type_name: str | None) -> str:
    """The type with the numbers of `matrix`; all reasons why there may be none."""
    stored = _STORED_AS.get(matrix.format) if matrix.symmetric else None
    if stored is None or type_name not in (None, stored):
        kind = matrix.format if matrix.symmetric else f"asymmetric {matrix.format}"
        raise ValueError(
            f"{shown}: {kind} cannot be written as {type_name or 'any type of GGUF'} "
            "without rounding; pass dequantize() with a type in `types` to round it again"
        )
    if matrix.shape[1] % 32 or matrix.group_size % 32:
        raise ValueError(
            f"{shown}: {stored} has blocks of 32 columns; rows have {matrix.shape[1]}, groups "
            f"{matrix.group_size}; pass dequantize() with a type in `types` to round it again"
        )
    scales = matrix.scales()
    if stored == "MXFP4":
        return stored
    if not np.array_equal(float32_to_fp16(scales).astype(np.float32), scales):
        raise ValueError(
            f"{shown}: its scales are not exact in {stored}'s fp16; quantize with "
            "scale_dtype='fp16', or pass dequantize() with a type in `types`"
        )
    return stored


def _write_blocks(stream: BinaryIO, entry: _Entry) -> None:
    for blocks in _blocks(entry):
        stream.write(blocks.data)


def _blocks(entry: _Entry) -> Iterator[np.ndarray]:
    """The bytes of a tensor, some blocks at a time."""
    if isinstance(entry.value, QuantizedMatrix):
        yield _packed_blocks(entry.value)
        return
    elements = entry.type.elements
    values, step = entry.value.reshape(-1, elements), 16 * NUMBERS_AT_ONCE // elements
    for begin in range(0, len(values), step):
        part = as_float32(values[begin : begin + step], "write_gguf", entry.name)
        try:
            yield np.ascontiguousarray(quantize_blocks(entry.type.name, part))
        except ValueError as error:
            raise ValueError(
                f"write_gguf: tensor {shorten(entry.name)}, counting from block {begin}: {error}"
            ) from error


def _packed_blocks(matrix: QuantizedMatrix) -> np.ndarray:
    """Codes and scales of a matrix, which `_lossless_type` has checked, as blocks."""
    cols = matrix.shape[1]
    scales = np.repeat(matrix.scales(), matrix.group_size // 32, axis=1)
    scales = scales[:, : cols // 32].reshape(-1, 1)
    codes = matrix.codes().reshape(-1, 32)
    if matrix.format == "mxfp4":
        return np.concatenate([scales_as_stored(scales, "e8m0"), paired(codes)], axis=1)
    stored = paired(codes) if matrix.format == "int4" else codes.view(np.uint8)
    return np.concatenate([float32_to_fp16(scales).astype("<f2").view(np.uint8), stored], axis=1)
