"""GGUF files for tests."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

CODES = {
    "u1": 0, "i1": 1, "u2": 2, "i2": 3, "u4": 4, "i4": 5, "f4": 6, "b1": 7, "u8": 10, "i8": 11,
    "f8": 12,
}  # fmt: skip


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def value(item: Any) -> bytes:
    """Type and bytes of a value: str, bool, int (uint32), float (float32), list of str, array."""
    if isinstance(item, str):
        return struct.pack("<I", 8) + text(item)
    if isinstance(item, list):
        return struct.pack("<IIQ", 9, 8, len(item)) + b"".join(map(text, item))
    if isinstance(item, np.ndarray):
        return struct.pack("<IIQ", 9, CODES[item.dtype.str[1:]], item.size) + item.tobytes()
    if isinstance(item, bool):
        return struct.pack("<I?", 7, item)
    return struct.pack("<If", 6, item) if isinstance(item, float) else struct.pack("<II", 4, item)


def gguf_bytes(
    metadata: dict[str, Any], tensors: dict[str, np.ndarray] | None = None, version: int = 3
) -> bytes:
    """A file with float32 tensors."""
    tensors = tensors or {}
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    out += b"".join(text(key) + value(item) for key, item in metadata.items())
    data = b""
    for name, array in tensors.items():
        out += text(name) + struct.pack("<I", array.ndim)
        out += b"".join(struct.pack("<Q", n) for n in array.shape[::-1])
        out += struct.pack("<IQ", 0, len(data))
        data += array.tobytes() + bytes(-array.nbytes % 32)
    return out + bytes(-len(out) % 32) + data


def write_gguf(path: Path, metadata: dict[str, Any]) -> Path:
    path.write_bytes(gguf_bytes(metadata))
    return path
