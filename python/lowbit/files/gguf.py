"""Reading GGUF, the file format of llama.cpp: typed metadata, then tensors.

    4 bytes   "GGUF", then the version (uint32), numbers of tensors and of keys (uint64)
    keys      name, type (uint32), value; an array has the type of its items and their number
    tensors   name, dimensions (the fastest first), type, place of the data behind the header
    padding   to `general.alignment`, 32 where it is not said; then the tensors' bytes

Everything is little endian; texts are a length (uint64) and UTF-8. Sizes are checked against the
file before memory is taken. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import os
import struct
from typing import Any, NamedTuple

import numpy as np

from lowbit.errors import FileFormatError
from lowbit.files.gguf_blocks import DEQUANTIZED, codes_and_scales, dequantize_blocks
from lowbit.files.untrusted import open_regular, shorten
from lowbit.quantization.matrix import QuantizedMatrix

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
MAX_KEYS = 100_000
MAX_TENSORS = 1_000_000
MAX_NAME_BYTES = 65535
MAX_TEXTS = 8_000_000
"""Texts in one array: far above the largest vocabularies; each takes some 60 bytes of memory."""
MAX_ARRAY_BYTES = 1 << 28
MAX_DIMENSIONS = 4
CHUNK_BYTES = 1 << 20
"""Tensors are read in pieces of this size, so that peak memory is what the caller keeps."""
PACKED = {"Q4_0": "int4", "Q8_0": "int8", "MXFP4": "mxfp4"}
"""Types that a packed format of lowbit has the numbers of."""

STRING, ARRAY = 8, 9
NUMBERS: dict[int, np.dtype] = {
    code: np.dtype(name)
    for code, name in {
        0: "u1", 1: "i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "?",
        10: "<u8", 11: "<i8", 12: "<f8",
    }.items()
}  # fmt: skip


class TensorType(NamedTuple):
    """How numbers are stored: blocks of some elements, which take some bytes."""

    name: str
    elements: int
    nbytes: int


TENSOR_TYPES: dict[int, TensorType] = {
    code: TensorType(*described)
    for code, described in {
        0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
        6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34),
        10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
        13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
        16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98),
        19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110),
        22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2),
        26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56),
        30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
        40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
    }.items()
}  # fmt: skip


class GgufTensor(NamedTuple):
    """Where a tensor lies and what it is.

    `shape` has the slowest dimension first, as in NumPy; `begin` counts bytes from the start of
    the file.
    """

    name: str
    type: TensorType
    shape: tuple[int, ...]
    begin: int
    nbytes: int


class GgufFile:
    """An opened and fully checked GGUF file.

    Parameters
    ----------
    path : str or PathLike

    Attributes
    ----------
    metadata : dict of str to str, int, float, bool, list of str, or numpy.ndarray
    tensors : dict of str to GgufTensor

    Raises
    ------
    OSError
        The file cannot be opened.
    FileFormatError
        A rule of the format is broken; the message has path, rule and what was got.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        with open_regular(path) as raw, os.fdopen(os.dup(raw.fileno()), "rb", 1 << 20) as stream:
            reader = _Reader(stream, os.fstat(raw.fileno()).st_size, self.path)
            self.metadata, self.tensors = _read_header(reader)

    def read_bytes(self, name: str) -> np.ndarray:
        """The bytes of a tensor as they are stored, uint8.

        Raises
        ------
        KeyError
            If there is no such tensor.
        """
        return self._blocks(self.tensors[name]).reshape(-1)

    def read(self, name: str) -> np.ndarray:
        """A tensor as float32, with the bits that ggml and gguf-py compute.

        Types: those in `lowbit.files.gguf_blocks.DEQUANTIZED`.

        Returns
        -------
        numpy.ndarray
            float32 of the tensor's shape.

        Raises
        ------
        KeyError
            If there is no such tensor.
        FileFormatError
            If the type is another one, or the file became shorter.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> from lowbit.files.gguf_writing import write_gguf
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.gguf"
        >>> write_gguf(path, {"w": np.full((2, 32), -4.0)}, types={"w": "Q4_0"})
        >>> GgufFile(path).read("w")[1, :3].tolist()
        [-4.0, -4.0, -4.0]
        """
        tensor = self.tensors[name]
        kind = tensor.type
        if kind.name not in DEQUANTIZED:
            known = " ".join(DEQUANTIZED)
            raise self._error(name, f"{kind.name} is not read as float32; {known} are")
        values = np.empty((tensor.nbytes // kind.nbytes, kind.elements), np.float32)
        step = CHUNK_BYTES // kind.nbytes
        for begin in range(0, len(values), step):
            part = values[begin : begin + step]
            part[:] = dequantize_blocks(kind.name, self._blocks(tensor, begin, len(part)))
        return values.reshape(tensor.shape)

    def read_quantized(self, name: str) -> QuantizedMatrix:
        """A matrix of Q4_0, Q8_0 or MXFP4 as the "int4", "int8" or "mxfp4" of the same numbers.

        Nothing is rounded: codes stay, and so do scales of fp16 and powers of two.

        Returns
        -------
        QuantizedMatrix
            With `group_size` 32.

        Raises
        ------
        KeyError
            If there is no such tensor.
        FileFormatError
            If the type or the number of dimensions is another one, a scale is NaN or infinite (a
            power of 2^128 for MXFP4), or Q8_0 has the code -128, which ggml never writes and "int8"
            leaves out; `read` takes it.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> from lowbit.files.gguf_writing import write_gguf
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.gguf"
        >>> write_gguf(path, {"w": np.full((2, 32), -4.0)}, types={"w": "Q4_0"})
        >>> GgufFile(path).read_quantized("w")
        QuantizedMatrix(2x32, int4, group_size=32, fp16 scales, 0.00 MB, 36.00 bits/weight)
        """
        tensor = self.tensors[name]
        if tensor.type.name not in PACKED or len(tensor.shape) != 2:
            raise self._error(
                name,
                f"only matrices of {' and '.join(PACKED)} are read without rounding; got "
                f"{tensor.type.name} of shape {tensor.shape}; read() gives it as float32",
            )
        rows, cols = tensor.shape
        codes, scales = codes_and_scales(tensor.type.name, self._blocks(tensor))
        try:
            return QuantizedMatrix.from_codes(
                PACKED[tensor.type.name],
                codes.reshape(rows, cols),
                scales.reshape(rows, cols // 32),
                32,
                scale_dtype="e8m0" if tensor.type.name == "MXFP4" else "fp16",
            )
        except ValueError as error:
            raise self._error(name, f"{error}; read() gives it as float32") from error

    def _error(self, name: str, rule: str) -> FileFormatError:
        return FileFormatError(f"{self.path}: tensor {shorten(name)}: {rule}")

    def _blocks(self, tensor: GgufTensor, begin: int = 0, count: int | None = None) -> np.ndarray:
        """Blocks of a tensor as uint8 [count, bytes of a block]; all of them without a count."""
        size = tensor.type.nbytes
        blocks = np.empty((tensor.nbytes // size if count is None else count, size), np.uint8)
        with open_regular(self.path) as raw:
            raw.seek(tensor.begin + begin * size)
            view = memoryview(blocks.reshape(-1))
            while view:
                got = raw.readinto(view)
                if not got:
                    raise self._error(tensor.name, "the file ends too early")
                view = view[got:]
        return blocks


class _Reader:
    """Values from a stream whose size is known; anything that would go beyond it raises."""

    def __init__(self, stream: Any, size: int, path: str) -> None:
        self._stream, self._left, self._path = stream, size, path
        self.size = size

    @property
    def place(self) -> int:
        return self.size - self._left

    def error(self, rule: str) -> FileFormatError:
        return FileFormatError(f"{self._path}: byte {self.place}: {rule}")

    def bytes(self, count: int, what: str) -> bytes:
        if count > self._left:
            raise self.error(f"{what} has {count} bytes, the file {self._left} more")
        data = self._stream.read(count)
        if len(data) != count:
            raise self.error("the file became shorter")
        self._left -= count
        return data

    def uint32(self, what: str) -> int:
        return struct.unpack("<I", self.bytes(4, what))[0]

    def uint64(self, what: str) -> int:
        return struct.unpack("<Q", self.bytes(8, what))[0]

    def text(self, what: str, longest: int = MAX_ARRAY_BYTES) -> str:
        count = self.uint64(what)
        if count > longest:
            raise self.error(f"{what} has {count} bytes; at most {longest} are read")
        data = self.bytes(count, what)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.error(f"{what} is not UTF-8: {shorten(data)}") from error

    def value(self, type: int, key: str) -> Any:
        if type == STRING:
            return self.text(key)
        if type == ARRAY:
            return self.array(key)
        if type not in NUMBERS:
            raise self.error(f"{key} has type {type}, which is not known")
        dtype = NUMBERS[type]
        return np.frombuffer(self.bytes(dtype.itemsize, key), dtype)[0].item()

    def _texts(self, key: str, count: int) -> list[str]:
        """`text` many times, without its calls: a vocabulary has hundreds of thousands."""
        read, unpack, left = self._stream.read, struct.Struct("<Q").unpack, self._left
        texts = []
        try:
            for _ in range(count):
                (length,) = unpack(read(8))
                left -= 8 + length
                if left < 0:
                    raise self.error(f"text {len(texts)} of {key} reaches beyond the end")
                texts.append(read(length).decode("utf-8"))
        except struct.error as error:
            raise self.error(f"{key} ends after {len(texts)} of {count} texts") from error
        except UnicodeDecodeError as error:
            raise self.error(f"text {len(texts)} of {key} is not UTF-8") from error
        self._left = left
        return texts

    def array(self, key: str) -> list[str] | np.ndarray:
        type, count = self.uint32(key), self.uint64(key)
        if type == STRING:
            if count > min(MAX_TEXTS, self._left // 8):
                raise self.error(f"{key} has {count} texts, more than fit")
            return self._texts(key, count)
        if type not in NUMBERS:
            kind = "an array" if type == ARRAY else f"of type {type}"
            raise self.error(f"{key} is an array whose items are {kind}, which is not supported")
        nbytes = count * NUMBERS[type].itemsize
        if nbytes > MAX_ARRAY_BYTES:
            raise self.error(f"{key} has {nbytes} bytes; at most {MAX_ARRAY_BYTES} are read")
        return np.frombuffer(self.bytes(nbytes, key), NUMBERS[type])


def _read_header(reader: _Reader) -> tuple[dict[str, Any], dict[str, GgufTensor]]:
    magic = reader.bytes(4, "the magic")
    if magic != MAGIC:
        raise reader.error(f"a GGUF file begins with {MAGIC!r}; got {magic!r}")
    version = reader.uint32("the version")
    if version not in VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        hint = ", which is big endian" if swapped in VERSIONS else ""
        raise reader.error(f"version {version}{hint} is not supported; {VERSIONS} are")
    tensors, keys = reader.uint64("the number of tensors"), reader.uint64("the number of keys")
    if tensors > MAX_TENSORS or keys > MAX_KEYS:
        raise reader.error(f"{tensors} tensors and {keys} keys are more than any model has")
    metadata = _read_metadata(reader, keys)
    return metadata, _read_tensors(reader, tensors, _alignment(reader, metadata))


def _read_metadata(reader: _Reader, count: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for _ in range(count):
        key = reader.text("a key", MAX_NAME_BYTES)
        if key in metadata:
            raise reader.error(f"the key {shorten(key)} occurs twice")
        shown = shorten(key)
        metadata[key] = reader.value(reader.uint32(shown), shown)
    return metadata


def _alignment(reader: _Reader, metadata: dict[str, Any]) -> int:
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise reader.error(f"general.alignment must be a power of 2; got {shorten(alignment)}")
    return alignment


def _read_tensors(reader: _Reader, count: int, alignment: int) -> dict[str, GgufTensor]:
    """The list of tensors; offsets are told from the end of the header."""
    listed: list[tuple[str, TensorType, tuple[int, ...], int, int]] = []
    for _ in range(count):
        name = reader.text("the name of a tensor", MAX_NAME_BYTES)
        shown = shorten(name)
        dimensions = reader.uint32(shown)
        if dimensions > MAX_DIMENSIONS:
            raise reader.error(f"tensor {shown} has {dimensions} dimensions")
        shape = tuple(reader.uint64(shown) for _ in range(dimensions))[::-1]
        code = reader.uint32(shown)
        if code not in TENSOR_TYPES:
            raise reader.error(f"tensor {shown} has type {code}, which is not known")
        type, offset = TENSOR_TYPES[code], reader.uint64(shown)
        row = shape[-1] if shape else 1
        if row % type.elements or offset % alignment:
            raise reader.error(
                f"tensor {shown}: rows of {row} elements at offset {offset} are no "
                f"multiples of {type.elements} of {type.name} and of {alignment} bytes"
            )
        # A zero in the shape must not hide sizes that no array can have.
        if math.prod(max(size, 1) for size in shape) >= 1 << 61:
            raise reader.error(f"tensor {shown} has a shape larger than any memory: {shape}")
        listed.append((name, type, shape, offset, math.prod(shape) // type.elements * type.nbytes))
    start = -(-reader.place // alignment) * alignment
    tensors: dict[str, GgufTensor] = {}
    for name, type, shape, offset, nbytes in listed:
        if name in tensors:
            raise reader.error(f"the tensor {shorten(name)} occurs twice")
        if start + offset + nbytes > reader.size:
            raise reader.error(f"tensor {shorten(name)} reaches beyond the end of the file")
        tensors[name] = GgufTensor(name, type, shape, start + offset, nbytes)
    return tensors
