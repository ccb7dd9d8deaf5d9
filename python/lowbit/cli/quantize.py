"""`lowbit quantize`: a model folder in few bits, and a table of what that cost each layer."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.cli.console import Console, columns, table
from lowbit.cli.error_picture import draw_errors
from lowbit.cli.exit_codes import OK
from lowbit.cli.measurements import Stopwatch, machine, machine_line, megabytes, peak_memory
from lowbit.cli.task import find_model
from lowbit.embeddings import Embedding
from lowbit.files import read_texts
from lowbit.files.model_folder import open_model_folder
from lowbit.models import Encoder
from lowbit.quantization import QuantizedMatrix

HEADINGS = ("layer", "shape", "format", "MB", "error", "of outputs")


def run(args: argparse.Namespace, console: Console) -> int:
    """Read, round, compare, write; returns the exit code."""
    target = Path(args.output)
    if target.exists():
        raise FileExistsError(f"quantize: --output {args.output!r} exists; choose a new folder")
    texts, check_texts = _texts(args, args.calibrate), _texts(args, args.check)
    name, folder = find_model(args)
    watch = Stopwatch()
    encoder = _round(args, folder, texts, console)
    layers = _layers(encoder, folder)
    report: dict[str, Any] = {
        "command": "quantize",
        "machine": machine(),
        "model": {"name": name, "format": encoder.format, "bytes": encoder.nbytes},
        "embeddings": encoder.word_embeddings.format,
        "bytes_fp32": encoder.nbytes_fp32,
        "calibration_texts": len(texts or []),
        "method": args.method or ("gptq" if texts else "nearest"),
        "bias_correction": args.bias_correction,
        "layers": layers,
        "output": args.output,
        "seconds": watch.seconds,
        "peak_memory_bytes": peak_memory(),
    }
    encoder.save(target)
    if check_texts is not None:
        report["drift"] = _drift(encoder, folder, check_texts)
    _show(report, target, args, console)
    return OK


def _texts(args: argparse.Namespace, path: str | None) -> list[str] | None:
    """Some texts of a file, spread over it."""
    if path is None:
        return None
    texts = read_texts(path, args.text_column)
    return texts[:: -(-len(texts) // args.texts)]


def _round(
    args: argparse.Namespace, folder: Path, texts: list[str] | None, console: Console
) -> Encoder:
    by_row = args.format == "int8" if args.group_size is None else args.group_size == 0
    with console.progress("calibrating layers") as bar:
        return Encoder.from_pretrained(
            folder,
            format=args.format,
            group_size=None if by_row else args.group_size or 64,
            # int4's scales have signs, around whose mean 8 bits are too few.
            double_quant=args.format == "nf4",
            embeddings=args.embeddings or args.format,
            calibrate=texts,
            progress=bar.update,
            method=args.method,
            bias_correction=args.bias_correction,
        )


def _layers(encoder: Encoder, folder: Path) -> list[dict[str, Any]]:
    """What rounding cost, layer by layer; one original weight is in memory at a time."""
    of_outputs = {report.name: report.output_error for report in encoder.reports}
    words = encoder.word_embeddings
    stored: dict[str, Any] = {"embeddings.word_embeddings": (words, None)} | {
        name: (QuantizedMatrix(linear.weight), linear.input_scale)
        for name, linear in encoder.linears().items()
    }
    with open_model_folder(folder) as opened:
        return [
            {
                "name": name,
                "shape": list(weight.shape),
                "format": weight.format,
                "bytes": weight.nbytes,
                "error": _relative_error(weight, opened.read(f"{name}.weight"), scale),
                "output_error": of_outputs.get(name),
            }
            for name, (weight, scale) in stored.items()
        ]


def _relative_error(
    weight: Embedding | QuantizedMatrix, exact: np.ndarray, scale: np.ndarray | None
) -> float:
    """Norm of the change as a part of the whole; tables are read some rows at a time."""
    if isinstance(weight, QuantizedMatrix):
        weight = Embedding.from_packed(weight)
    change = 0.0
    for first in range(0, len(exact), 4096):
        rows = exact[first : first + 4096]
        read = weight(np.arange(first, first + len(rows)))
        if scale is not None:
            read = read * scale
        change += float(np.sum((read - rows) ** 2, dtype=np.float64))
    return float(np.sqrt(change)) / max(float(np.linalg.norm(exact)), 1e-30)


def _drift(encoder: Encoder, folder: Path, texts: list[str]) -> dict[str, float]:
    """Cosines between the vectors of texts and those that the original model gives them."""
    cosines = np.sum(encoder.embed(texts) * Encoder.from_pretrained(folder).embed(texts), axis=1)
    return {"texts": len(texts), "mean": float(cosines.mean()), "lowest": float(cosines.min())}


def _method_line(report: dict[str, Any]) -> str:
    texts = report["calibration_texts"]
    return (
        report["method"]
        + (f", for the inputs that {texts} texts make" if texts else "")
        + (", biases corrected" if report["bias_correction"] else "")
    )


def _show(report: dict[str, Any], target: Path, args: argparse.Namespace, console: Console) -> None:
    lines = [HEADINGS] + [
        (
            layer["name"],
            "x".join(str(size) for size in layer["shape"]),
            layer["format"],
            f"{layer['bytes'] / 1e6:.2f}",
            f"{layer['error']:.4f}",
            "" if layer["output_error"] is None else f"{layer['output_error']:.4f}",
        )
        for layer in report["layers"]
    ]
    console.heading("What rounding cost")
    console.say(columns(lines))
    rows = [
        ("model", f"{report['model']['name']}, {report['model']['format']}"),
        ("size", f"{megabytes(report['model']['bytes'])} of {megabytes(report['bytes_fp32'])}"),
        ("rounding", _method_line(report)),
        ("folder", str(target)),
    ]
    if "drift" in report:
        drift = report["drift"]
        found = f"mean {drift['mean']:.4f}, lowest {drift['lowest']:.4f} of {drift['texts']} texts"
        rows.append(("cosine with the original", found))
    if not args.no_plot:
        rows.append(("picture", draw_errors(target / "errors.png", report, console)))
    rows += [
        ("peak memory", megabytes(report["peak_memory_bytes"])),
        ("kernels", machine_line()),
    ]
    console.heading("Result")
    console.result(table(rows))
    console.document(report)
