"""`lowbit inspect`: the tensors of a file, without reading them."""

from __future__ import annotations

import argparse
import math
from collections import Counter
from pathlib import Path
from typing import Any

from lowbit.cli.console import Console, clip, columns, table
from lowbit.cli.error_picture import format_label
from lowbit.cli.exit_codes import OK
from lowbit.cli.measurements import megabytes
from lowbit.errors import FileFormatError
from lowbit.files.gguf import MAGIC, GgufFile
from lowbit.files.packed_tensors import packed_entries, scale_to_json
from lowbit.files.safetensors import SafetensorsFile
from lowbit.quantization import WeightFormat


def run(args: argparse.Namespace, console: Console) -> int:
    """List what the header of a file says; returns the exit code."""
    path = Path(args.file)
    if path.is_dir():
        path = path / "model.safetensors"
    is_gguf = path.suffix == ".gguf" or _begins_with(path, MAGIC)
    file_kind, tensors, metadata = _gguf(path) if is_gguf else _safetensors(path)
    rounded = any("x_scale" in tensor for tensor in tensors)
    lines = [("tensor", "shape", "type", "MB", "bits each") + ("inputs in int8",) * rounded]
    for tensor in tensors:
        values = math.prod(tensor["shape"])
        bits = f"{8 * tensor['bytes'] / values:.2f}" if values else ""
        shape = "x".join(map(str, tensor["shape"])) or "-"
        kind, size = format_label(tensor, "type"), f"{tensor['bytes'] / 1e6:.3f}"
        line = (tensor["name"], shape, kind, size, bits)
        lines.append(line + (_inputs(tensor.get("x_scale")),) * rounded)
    console.heading(f"{len(tensors)} tensors")
    console.say(columns(lines))
    types = Counter(tensor["type"] for tensor in tensors)
    rows = [
        ("file", f"{path}, {file_kind}"),
        ("parameters", f"{sum(math.prod(tensor['shape']) for tensor in tensors):,}"),
        ("bytes", megabytes(sum(tensor["bytes"] for tensor in tensors))),
        ("types", ", ".join(f"{name}: {count}" for name, count in types.most_common())),
    ]
    rows += [(key, clip(str(value))) for key, value in metadata.items()]
    console.heading("File")
    console.result(table(rows))
    console.document(
        {"command": "inspect", "file": str(path), "kind": file_kind, "tensors": tensors,
         "metadata": {key: str(value) for key, value in metadata.items()}}
    )  # fmt: skip
    return OK


def _inputs(scale: str | dict[str, Any] | None) -> str:
    """How the inputs of a matrix are rounded, in one word or by the scale and the code of zero."""
    if isinstance(scale, dict):
        return f"scale {scale['scale']:.4g}, zero {scale['zero_point']}"
    return f"scale a {scale}" if scale else ""


def _begins_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(magic)) == magic


def _gguf(path: Path) -> tuple[str, list[dict[str, Any]], dict[str, Any]]:
    file = GgufFile(path)
    tensors = [
        {"name": t.name, "shape": list(t.shape), "type": t.type.name, "bytes": t.nbytes}
        for t in file.tensors.values()
    ]
    shown = {k: v for k, v in file.metadata.items() if isinstance(v, str | int | float | bool)}
    return "GGUF", tensors, shown


def _safetensors(path: Path) -> tuple[str, list[dict[str, Any]], dict[str, Any]]:
    try:
        file = SafetensorsFile(path)
    except FileFormatError as error:
        raise FileFormatError(f"{error}; inspect reads safetensors and GGUF files") from error
    with file:
        packed = packed_entries(file)
        parts = {name for entry in packed.values() for name in entry.tensors}
        tensors = [
            {
                "name": entry.name,
                "shape": list(entry.shape),
                "type": entry.stored.format,
                **dict(zip(WeightFormat._fields[1:], entry.stored[1:], strict=True)),
                "bytes": sum(file.tensors[name].nbytes for name in entry.tensors),
            }
            | ({"x_scale": scale_to_json(entry.x_scale)} if entry.x_scale else {})
            for entry in packed.values()
        ]
        tensors += [
            {"name": t.name, "shape": list(t.shape), "type": t.dtype, "bytes": t.nbytes}
            for t in file.tensors.values()
            if t.name not in parts
        ]
        shown = {k: v for k, v in file.metadata.items() if not k.startswith("lowbit.")}
    return "safetensors", sorted(tensors, key=lambda tensor: tensor["name"]), shown
