"""Packed matrices inside safetensors files: the layout of lowbit's own checkpoints.

The metadata of the file has `"lowbit"`, the version of this layout: "2" where a matrix has what
version 1 did not know (a format, a type of scales, zero points, one scale for a tensor), else "1".
For every packed matrix NAME there is

    "lowbit.NAME"   JSON: format, rows, cols, group_size (0: a scale for each row, -1: one for all),
                    double_quant and, doubly quantized, scale_offset; scale_dtype, where it is not
                    fp32; symmetric, where it is false; and x_scale, if the inputs that the matrix
                    is multiplied with are rounded to int8: "block" or "row", or an object with
                    scale, zero_point, low and high, as x_scale of lowbit.linear

Its bytes are tensors of their own, as csrc/formats/weight.hpp draws them, on every machine alike:

    NAME.lines          U8 [bytes]      codes: lines of 16 rows times 8 columns (4 bits) or 4 (8)
    NAME.scales         F32 [values]    [block of 16 rows][group][16]; [group][16] if one is for all
                        F16             fp16
                        U16             bf16, its upper 16 bits
                        U8              e8m0, powers of two: exponent + 127
    NAME.scale_codes    U8 [values]     instead of scales under double quantization, as are
    NAME.scale_scales   F32 [values]    one for every 256 scales in row-major order
    NAME.zero_points    I8 [values]     in the order of scales, counted from the code of zero

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
from lowbit.quantization.packing import scales_as_floats
from lowbit.quantization.weight_format import WeightFormat

VERSION = "2"
KNOWN_VERSIONS = ("1", "2")
VERSION_KEY = "lowbit"
KEY_PREFIX = "lowbit."
SCALE_TYPES = {"fp32": np.float32, "fp16": np.float16, "bf16": np.uint16, "e8m0": np.uint8}
_FIRST_FORMATS = ("int8", "int4", "nf4")

_FIELDS: dict[str, type] = {
    "format": str,
    "rows": int,
    "cols": int,
    "group_size": int,
    "double_quant": bool,
}
_OPTIONAL = ("scale_offset", "scale_dtype", "symmetric")


class PackedEntry(NamedTuple):
    """A packed matrix of a file: its name, what the metadata says, and its tensors' names."""

    name: str
    fields: dict[str, Any]
    tensors: tuple[str, ...]
    x_scale: str | AffineParams | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.fields["rows"], self.fields["cols"]

    @property
    def stored(self) -> WeightFormat:
        """How the matrix is stored, as `lowbit.quantize` takes it."""
        fields = self.fields
        size, dtype = fields["group_size"], fields.get("scale_dtype")
        return WeightFormat(
            fields["format"],
            {0: None, -1: "tensor"}.get(size, size),
            fields["double_quant"],
            dtype if dtype in ("fp16", "bf16") else None,
            fields.get("symmetric", True),
        )


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
    metadata = {"format": "pt", VERSION_KEY: KNOWN_VERSIONS[0]}
    for name, matrix in matrices.items():
        parts = matrix.parts()
        fields = {key: parts.pop(key) for key in list(parts) if key in (*_FIELDS, *_OPTIONAL)}
        if not matrix.symmetric:
            fields["symmetric"] = False
        tensors |= {f"{name}.{array}": parts[array] for array in _arrays(fields)}
        newer = matrix.format not in _FIRST_FORMATS or matrix.per_tensor
        if newer or {"scale_dtype", "symmetric"} & fields.keys():
            metadata[VERSION_KEY] = VERSION
        if x_scales and name in x_scales:
            fields["x_scale"] = scale_to_json(x_scales[name])
        metadata[KEY_PREFIX + name] = json.dumps(fields, sort_keys=True)
    return tensors, metadata


def _arrays(fields: dict[str, Any]) -> tuple[str, ...]:
    """The arrays that a matrix consists of."""
    scales = ("scale_codes", "scale_scales") if fields["double_quant"] else ("scales",)
    zeros = () if fields.get("symmetric", True) else ("zero_points",)
    return ("lines", *scales, *zeros)


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
    if version not in KNOWN_VERSIONS:
        raise FileFormatError(
            f"{file.path}: layout {shorten(version)} of lowbit is not known; this version reads "
            f"{' and '.join(KNOWN_VERSIONS)}"
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
            _check_array(name, array, entry.fields.get("scale_dtype", "fp32"))
        return QuantizedMatrix.from_parts(entry.fields | arrays)
    except (ValueError, TypeError) as error:
        raise FileFormatError(f"{file.path}: packed {shorten(entry.name)}: {error}") from error


def _check_array(name: str, array: np.ndarray, scale_dtype: str) -> None:
    kinds = {"scales": scale_dtype, "scale_scales": "fp32"}
    wanted = np.int8 if name == "zero_points" else SCALE_TYPES[kinds.get(name, "e8m0")]
    if array.dtype != wanted or array.ndim != 1:
        raise ValueError(f"{name} is {array.dtype} {array.shape}")
    if name in kinds and not np.isfinite(scales_as_floats(array, kinds[name])).all():
        raise ValueError(f"{name} holds NaN or infinity")


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
    if fields.get("scale_dtype", "fp32") not in SCALE_TYPES:
        raise FileFormatError(f"{where}: scale_dtype must be one of {', '.join(SCALE_TYPES)}")
    if not isinstance(fields.get("symmetric", True), bool):
        raise FileFormatError(f"{where}: symmetric must be true or false")
    names = tuple(f"{name}.{array}" for array in _arrays(fields))
    for tensor in names:
        if tensor not in file.tensors:
            raise FileFormatError(f"{where}: tensor {shorten(tensor)} is missing")
    known = {*_FIELDS, *_OPTIONAL}
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
