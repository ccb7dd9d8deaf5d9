"""Packed matrices inside safetensors files: the layout of lowbit's own checkpoints.

The metadata of the file has `"lowbit": "1"`, the version of this layout, and for every packed
matrix NAME

    "lowbit.NAME"   JSON: format, rows, cols, group_size (0: a scale for each row), double_quant;
                    scale_offset, if doubly quantized; and x_scale, if the inputs that the
                    matrix is multiplied with are rounded to int8: "block" or "row", or an object
                    with scale, zero_point, low and high, as x_scale of lowbit.linear

Its bytes are tensors of their own, as csrc/formats/weight.hpp draws them, on every machine alike:

    NAME.lines          U8 [bytes]      codes: lines of 16 rows times 8 columns (4 bits) or 4 (8)
    NAME.scales         F32 [values]    [block of 16 rows][group][16]
    NAME.scale_codes    U8 [values]     instead of scales under double quantization, as are
    NAME.scale_scales   F32 [values]    one for every 256 scales in row-major order

Tensors that are not named so are what they are in any safetensors file.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np

from lowbit.errors import FileFormatError
from lowbit.files.safetensors import SafetensorsFile
from lowbit.files.untrusted import parse_json, shorten
from lowbit.quantization.affine import AffineParams
from lowbit.quantization.matrix import QuantizedMatrix

VERSION = "1"
VERSION_KEY = "lowbit"
KEY_PREFIX = "lowbit."
ARRAYS = {False: ("lines", "scales"), True: ("lines", "scale_codes", "scale_scales")}
"""By double_quant."""

_FIELDS: dict[str, type] = {
    "format": str,
    "rows": int,
    "cols": int,
    "group_size": int,
    "double_quant": bool,
}


class PackedEntry(NamedTuple):
    """A packed matrix of a file: its name, what the metadata says, and its tensors' names."""

    name: str
    fields: dict[str, Any]
    tensors: tuple[str, ...]
    x_scale: str | AffineParams | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.fields["rows"], self.fields["cols"]


def packed_to_tensors(
    matrices: dict[str, QuantizedMatrix],
    x_scales: dict[str, str | AffineParams] | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors and metadata that stand for these matrices in a safetensors file.

    `x_scales` says of matrices whose inputs are rounded to int8 how that is done.

    Examples
    --------
    >>> from lowbit import quantize
    >>> tensors, metadata = packed_to_tensors({"w": quantize(np.eye(16), "nf4", 16)})
    >>> sorted(tensors), sorted(metadata)
    (['w.lines', 'w.scales'], ['format', 'lowbit', 'lowbit.w'])
    """
    tensors: dict[str, np.ndarray] = {}
    metadata = {"format": "pt", VERSION_KEY: VERSION}
    for name, matrix in matrices.items():
        parts = matrix.parts()
        arrays = ARRAYS[parts["double_quant"]]
        tensors |= {f"{name}.{array}": parts.pop(array) for array in arrays}
        if x_scales and name in x_scales:
            parts["x_scale"] = scale_to_json(x_scales[name])
        metadata[KEY_PREFIX + name] = json.dumps(parts, sort_keys=True)
    return tensors, metadata


def packed_entries(file: SafetensorsFile) -> dict[str, PackedEntry]:
    """The packed matrices of a file by name; none where lowbit did not write it.

    Raises
    ------
    FileFormatError
        If the layout has another version, or a description is broken or lacks a tensor.
    """
    version = file.metadata.get(VERSION_KEY)
    if version is None:
        return {}
    if version != VERSION:
        raise FileFormatError(
            f"{file.path}: layout {shorten(version)} of lowbit is not known; this version reads "
            f"{VERSION}"
        )
    entries = {}
    for key, text in file.metadata.items():
        if key.startswith(KEY_PREFIX):
            name = key.removeprefix(KEY_PREFIX)
            entries[name] = _entry(file, name, text)
    return entries


def read_packed(file: SafetensorsFile, entry: PackedEntry) -> QuantizedMatrix:
    """Read one packed matrix; every size is checked.

    Raises
    ------
    FileFormatError
        If an array has not the type or size that the description asks for.
    """
    arrays = {name.rpartition(".")[2]: file.read(name) for name in entry.tensors}
    try:
        for name, array in arrays.items():
            wanted = np.float32 if name in ("scales", "scale_scales") else np.uint8
            if array.dtype != wanted or array.ndim != 1:
                raise ValueError(f"{name} is {array.dtype} {array.shape}")
            if wanted is np.float32 and not np.isfinite(array).all():
                raise ValueError(f"{name} holds NaN or infinity")
        return QuantizedMatrix.from_parts(entry.fields | arrays)
    except (ValueError, TypeError) as error:
        raise FileFormatError(f"{file.path}: packed {shorten(entry.name)}: {error}") from error


def _entry(file: SafetensorsFile, name: str, text: str) -> PackedEntry:
    where = f"{file.path}: metadata {shorten(KEY_PREFIX + name)}"
    fields = parse_json(text.encode(), where)
    if not isinstance(fields, dict):
        raise FileFormatError(f"{where} is no object")
    for field, kind in _FIELDS.items():
        if type(fields.get(field)) is not kind:
            raise FileFormatError(f"{where}: {field} must be {kind.__name__}")
    offset = fields.get("scale_offset")
    if fields["double_quant"] and not (isinstance(offset, float) and np.isfinite(offset)):
        raise FileFormatError(f"{where}: scale_offset must be a finite number")
    names = tuple(f"{name}.{array}" for array in ARRAYS[fields["double_quant"]])
    for tensor in names:
        if tensor not in file.tensors:
            raise FileFormatError(f"{where}: tensor {shorten(tensor)} is missing")
    known = {*_FIELDS, "scale_offset"}
    scale = fields.get("x_scale")
    return PackedEntry(
        name,
        {k: v for k, v in fields.items() if k in known},
        names,
        None if scale is None else _scale_from_json(scale, where),
    )


def scale_to_json(scale: str | AffineParams) -> str | dict[str, float]:
    """An x_scale as the description of a matrix holds it."""
    if isinstance(scale, str):
        return scale
    return {
        "scale": float(scale.scale),
        "zero_point": int(scale.zero_point),
        "low": scale.low,
        "high": scale.high,
    }


def _scale_from_json(value: Any, where: str) -> str | AffineParams:
    if value in ("block", "row"):
        return value
    kinds = {"scale": float, "zero_point": int, "low": int, "high": int}
    if not isinstance(value, dict) or {k: type(v) for k, v in value.items()} != kinds:
        raise FileFormatError(
            f'{where}: x_scale must be "block", "row" or numbers {", ".join(kinds)}'
        )
    scale, *codes = (value[field] for field in kinds)
    if not (0 < scale < 3e38 and all(-32768 <= code <= 65535 for code in codes)):
        raise FileFormatError(f"{where}: x_scale must be finite, with codes of 16 bits")
    try:
        params = AffineParams(**value)
    except ValueError as error:
        raise FileFormatError(f"{where}: x_scale: {error}") from error
    if params.high - params.low > 254:
        raise FileFormatError(f"{where}: x_scale has more than the 255 codes of int8 products")
    return params
