"""Reading and writing safetensors, the file format of model weights and adapters.

    8 bytes   length n of the header, little endian
    n bytes   JSON: {"__metadata__": {...},
                     "<name>": {"dtype": ..., "shape": [...], "data_offsets": [begin, end]}, ...}
    the rest  the bytes of the tensors, row major, little endian, without gaps

The reader checks the whole header before it touches a tensor, then reads one tensor at a time into
its final place, so peak memory is the tensors the caller keeps. Types that numpy lacks (bfloat16,
float8) come as their codes in unsigned integers; bfloat16 also comes as float32 on request.
Format: https://github.com/huggingface/safetensors (the rules are those of its `tensor.rs`).
"""

import json
import math
import os
import threading
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from lowbit.errors import FileFormatError
from lowbit.files.atomic import replace_file
from lowbit.files.untrusted import open_regular, parse_json, shorten

MAX_HEADER_BYTES = 100_000_000
MAX_NAME_LENGTH = 4096
MAX_DIMENSIONS = 32  # numpy 1 has no more

# The numpy type that holds the stored bytes; for BF16 and float8 these are the bare codes.
STORED_AS = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "F8_E4M3": np.dtype("u1"),
    "F8_E5M2": np.dtype("u1"),
    "F8_E8M0": np.dtype("u1"),
    "C64": np.dtype("<c8"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
WRITTEN_AS = {
    dtype: name for name, dtype in STORED_AS.items() if name != "BF16" and not name.startswith("F8")
}
AS_FLOAT32 = ("F64", "F32", "F16", "BF16")

# Conversions go through a buffer of this many elements, small enough for the L2 cache.
CHUNK = 1 << 16


class TensorEntry(NamedTuple):
    """One line of the header: where a tensor lies and what it is.

    `begin` and `nbytes` count bytes; `begin` counts from the start of the file.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    nbytes: int

    def of_rows(self, first: int, end: int) -> "TensorEntry":
        """The entry of a run of rows, which lie together in the file."""
        count = self.shape[0] if self.shape else 0
        if not 0 <= first <= end <= count:
            raise IndexError(f"read: {self.name} has {count} rows; rows {first} to {end} asked for")
        size, shape = self.nbytes // max(1, count), (end - first, *self.shape[1:])
        begin, nbytes = self.begin + first * size, (end - first) * size
        return self._replace(shape=shape, begin=begin, nbytes=nbytes)


class SafetensorsFile:
    """An opened and fully checked safetensors file.

    Parameters
    ----------
    path : str or PathLike

    Attributes
    ----------
    tensors : dict of str to TensorEntry
        In the order of their bytes in the file.
    metadata : dict of str to str

    Raises
    ------
    OSError
        The file cannot be opened.
    FileFormatError
        A rule of the format is broken; the message has path, tensor, rule and what was got.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.safetensors"
    >>> write_safetensors(path, {"w": np.ones((2, 3), np.float32)})
    >>> with SafetensorsFile(path) as file:
    ...     print(file.tensors["w"].shape, file.read("w").sum())
    (2, 3) 6.0
    """

    def __init__(self, path: str | os.PathLike):
        self.path = os.fspath(path)
        self._file = open_regular(path)
        self._lock = threading.Lock()
        try:
            self.tensors, self.metadata = _read_index(self._file, self.path)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "SafetensorsFile":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; tensors that were read stay valid."""
        self._file.close()

    def read(
        self, name: str, *, float32: bool = False, rows: tuple[int, int] | None = None
    ) -> np.ndarray:
        """Read one tensor into an array of its own.

        Parameters
        ----------
        name : str
        float32 : bool
            Convert F64, F16 and BF16 to float32 (exact but for F64, which is rounded). Without it
            BF16 comes as uint16 codes, float8 as uint8 codes, all else in its own type.
        rows : (first, end), optional
            Read these of the first dimension alone.

        Returns
        -------
        ndarray
            C-contiguous, writable, of the tensor's shape.

        Raises
        ------
        KeyError, IndexError
            No tensor has this name, or no such rows.
        FileFormatError
            The file was cut after it was opened, a BOOL byte is neither 0 nor 1, or `float32` is
            asked of a type that is no float.
        """
        entry = self.tensors[name]
        stored = STORED_AS[entry.dtype]
        if float32 and entry.dtype not in AS_FLOAT32:
            raise _broken(self.path, name, f"a float tensor is needed here; got {entry.dtype}")
        if rows is not None:
            entry = entry.of_rows(*rows)
        with self._lock:
            self._file.seek(entry.begin)
            if float32 and entry.dtype != "F32":
                return self._read_converted(entry, stored)
            array = np.empty(entry.shape, stored)
            self._fill(array.reshape(-1).view(np.uint8), name)
        if entry.dtype == "BOOL" and array.size and array.view(np.uint8).max() > 1:
            raise _broken(self.path, name, "BOOL bytes must be 0 or 1")
        return array.astype(stored.newbyteorder("="), copy=False)

    def _read_converted(self, entry: TensorEntry, stored: np.dtype) -> np.ndarray:
        """Read through a small buffer, so that peak memory is the float32 result alone."""
        result = np.empty(math.prod(entry.shape), np.float32)
        buffer = np.empty(min(CHUNK, result.size), stored)
        for start in range(0, result.size, CHUNK):
            part = result[start : start + CHUNK]
            codes = buffer[: part.size]
            self._fill(codes.view(np.uint8), entry.name)
            if entry.dtype == "BF16":
                part.view(np.uint32)[:] = codes
                part.view(np.uint32)[:] <<= 16
            else:
                with np.errstate(over="ignore"):
                    part[:] = codes
        return result.reshape(entry.shape)

    def _fill(self, target: np.ndarray, name: str) -> None:
        """Read until `target` (uint8) is full; one read() may return less than was asked for."""
        view = memoryview(target)
        while view:
            count = self._file.readinto(view)
            if not count:
                raise _broken(self.path, name, f"the file ends {len(view)} bytes too early")
            view = view[count:]


def read_safetensors(path: str | os.PathLike, *, float32: bool = False) -> dict[str, np.ndarray]:
    """Read all tensors of a file.

    Parameters
    ----------
    path : str or PathLike
    float32 : bool
        As in `SafetensorsFile.read`, for those tensors that are floats.

    Raises
    ------
    OSError, FileFormatError
        As `SafetensorsFile`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.safetensors"
    >>> write_safetensors(path, {"b": np.array([1, 2], np.int64)})
    >>> read_safetensors(path)
    {'b': array([1, 2])}
    """
    with SafetensorsFile(path) as file:
        return {
            name: file.read(name, float32=float32 and entry.dtype in AS_FLOAT32)
            for name, entry in file.tensors.items()
        }


def write_safetensors(
    path: str | os.PathLike,
    tensors: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
    bfloat16: Collection[str] = (),
) -> None:
    """Write tensors to a new file, atomically (see `replace_file`). Same input, same bytes.

    Parameters
    ----------
    path : str or PathLike
    tensors : mapping of str to ndarray
        Written one after another, wide types first so that every tensor is aligned to its type.
    metadata : mapping of str to str, optional
        Default {"format": "pt"}, which other libraries look for.
    bfloat16 : collection of str
        Names of uint16 arrays that hold bfloat16 codes. Arrays of `ml_dtypes.bfloat16` are
        recognised without.

    Raises
    ------
    TypeError
        A value is no array, or of a type the format does not have.
    ValueError
        A name is empty, too long or `__metadata__`, or the header is over 100 MB.
    OSError
        The file could not be written; an old one is untouched.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.safetensors"
    >>> write_safetensors(path, {"one": np.array([0x3F80], np.uint16)}, bfloat16=["one"])
    >>> read_safetensors(path, float32=True)
    {'one': array([1.], dtype=float32)}
    """
    unknown = sorted(set(bfloat16) - set(tensors))
    if unknown:
        raise ValueError(f"write_safetensors: bfloat16 names {unknown[0]!r}, which is no tensor")
    typed = {name: _typed(name, array, name in bfloat16) for name, array in tensors.items()}
    metadata = {"format": "pt"} if metadata is None else dict(metadata)
    if not all(isinstance(text, str) for pair in metadata.items() for text in pair):
        raise TypeError("write_safetensors: metadata must map strings to strings")
    order = sorted(typed, key=lambda name: (-typed[name][1].itemsize, name))
    # "__metadata__" comes first, as the format's own writer has it.
    header: dict[str, object] = {"__metadata__": metadata}
    position = 0
    for name in order:
        dtype, array = typed[name]
        end = position + array.nbytes
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER_BYTES:
        raise ValueError(f"write_safetensors: a header of {len(text)} bytes is over 100 MB")
    with replace_file(path) as stream:
        stream.write(len(text).to_bytes(8, "little"))
        stream.write(text)
        for name in order:
            dtype, array = typed[name]
            packed = np.ascontiguousarray(array, STORED_AS[dtype])
            stream.write(memoryview(packed.reshape(-1).view(np.uint8)))


def _typed(name: str, array: np.ndarray, bfloat16: bool) -> tuple[str, np.ndarray]:
    """Check one tensor to be written and find its type's name in the format."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_LENGTH or name == "__metadata__":
        raise ValueError(f"write_safetensors: {shorten(name)} cannot be the name of a tensor")
    if not isinstance(array, np.ndarray):
        raise TypeError(
            f"write_safetensors: tensor {name!r} must be a numpy array; got {type(array).__name__}"
        )
    if array.dtype.name == "bfloat16":
        return "BF16", array.view(np.uint16)
    if bfloat16:
        if array.dtype != np.uint16:
            raise TypeError(
                f"write_safetensors: bfloat16 codes of {name!r} must be uint16; got {array.dtype}"
            )
        return "BF16", array
    dtype = WRITTEN_AS.get(array.dtype.newbyteorder("<"))
    if dtype is None:
        raise TypeError(f"write_safetensors: tensor {name!r} has type {array.dtype}; convert it")
    return dtype, array


def _read_index(file, path: str) -> tuple[dict[str, TensorEntry], dict[str, str]]:
    """Check the header against the length of the file and make the table of tensors."""
    size = os.fstat(file.fileno()).st_size
    prefix = file.read(8)
    if len(prefix) < 8:
        raise FileFormatError(f"{path}: a safetensors file has at least 8 bytes; got {len(prefix)}")
    length = int.from_bytes(prefix, "little")
    if length > MAX_HEADER_BYTES:
        raise FileFormatError(f"{path}: header length {length} is over {MAX_HEADER_BYTES} bytes")
    if 8 + length > size:
        raise FileFormatError(
            f"{path}: header of {length} bytes goes past the end of the file ({size} bytes)"
        )
    text = b""
    while len(text) < length:
        more = file.read(length - len(text))
        if not more:
            raise FileFormatError(f"{path}: the file ends inside its header")
        text += more
    if not text.startswith(b"{"):
        raise FileFormatError(f"{path}: the header must start with '{{'; got {shorten(text[:8])}")
    header = parse_json(text, f"{path}: header")
    metadata = _checked_metadata(header.pop("__metadata__", {}), path)
    entries = [_checked_entry(name, value, path) for name, value in header.items()]
    entries.sort(key=lambda entry: (entry.begin, entry.nbytes))
    position = 0
    for entry in entries:
        if entry.begin != position:
            what = "overlaps the tensor before it" if entry.begin < position else "leaves a gap"
            rule = f"{what}: data_offsets begin at {entry.begin}, expected {position}"
            raise _broken(path, entry.name, rule)
        position += entry.nbytes
    if 8 + length + position != size:
        raise FileFormatError(
            f"{path}: header and tensors take {8 + length + position} bytes; the file has {size}"
        )
    base = 8 + length
    return {e.name: e._replace(begin=base + e.begin) for e in entries}, metadata


def _checked_metadata(value: object, path: str) -> dict[str, str]:
    """The optional free part: strings to strings."""
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise FileFormatError(f"{path}: __metadata__ must map strings to strings")
    return value


def _checked_entry(name: str, value: object, path: str) -> TensorEntry:
    """Check one tensor's line in itself; Python's integers cannot overflow in the products."""
    if not 0 < len(name) <= MAX_NAME_LENGTH:
        raise FileFormatError(f"{path}: tensor name of {len(name)} characters (1 to 4096 allowed)")
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise _broken(path, name, "needs exactly dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in STORED_AS:
        known = " ".join(STORED_AS)
        raise _broken(path, name, f"unknown dtype {shorten(dtype)}; known are {known}")
    if not _are_sizes(shape) or len(shape) > MAX_DIMENSIONS:
        raise _broken(path, name, f"shape must be a list of sizes; got {shorten(shape)}")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _broken(path, name, f"data_offsets must be [begin, end]; got {shorten(offsets)}")
    itemsize = STORED_AS[dtype].itemsize
    # A zero in the shape must not hide sizes that no array can have.
    if math.prod(max(size, 1) for size in shape) * itemsize >= 1 << 62:
        raise _broken(path, name, f"shape {shorten(shape)} is larger than any memory")
    nbytes = math.prod(shape) * itemsize
    if nbytes != offsets[1] - offsets[0]:
        raise _broken(
            path,
            name,
            f"shape {shorten(shape)} of {dtype} takes {shorten(nbytes)} bytes; "
            f"data_offsets hold {offsets[1] - offsets[0]}",
        )
    return TensorEntry(name, dtype, tuple(shape), offsets[0], nbytes)


def _are_sizes(values: object) -> bool:
    """A list of integers in [0, 2^63); True is no integer here."""
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 1 << 63 for v in values)


def _broken(path: str, name: str, rule: str) -> FileFormatError:
    return FileFormatError(f"{path}: tensor {shorten(name)}: {rule}")
