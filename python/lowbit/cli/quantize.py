"""`lowbit quantize`: a model folder in few bits, and a table of what that cost each layer."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.cli.console import Console, columns, table
from lowbit.cli.error_picture import draw_errors, format_label
from lowbit.cli.exit_codes import OK
from lowbit.cli.measurements import Stopwatch, machine, machine_line, megabytes, peak_memory
from lowbit.cli.task import find_model
from lowbit.embeddings import Embedding
from lowbit.files import read_texts
from lowbit.files.model_folder import ModelFolder, open_model_folder
from lowbit.files.sentence_config import says_pooling
from lowbit.models import Encoder, FormatPlan, Step, choose_formats, distill
from lowbit.models.training import Event
from lowbit.models.weight_store import POSITIONS, WORDS, dense_weight, stored_format
from lowbit.quantization import QatConfig
from lowbit.quantization.search import row_chunks


def run(args: argparse.Namespace, console: Console) -> int:
    """Read, round, compare, write; returns the exit code."""
    target = Path(args.output)
    if target.exists():
        raise FileExistsError(f"quantize: --output {args.output!r} exists; choose a new folder")
    _check_options(args)
    texts, check_texts = _texts(args, args.calibrate), _texts(args, args.check)
    name, folder = find_model(args)
    watch = Stopwatch()
    # A model whose files say how sentences become vectors does not use the pooler for them.
    pooler = args.keep_pooler or not says_pooling(folder)
    plan = _choose(args, folder, texts, pooler, console)
    encoder = _round(args, folder, texts, plan, pooler, console)
    layers = _layers(encoder, folder, plan)
    report: dict[str, Any] = {
        "command": "quantize",
        "machine": machine(),
        "model": {"name": name, "format": encoder.format, "bytes": encoder.nbytes},
        "embeddings": encoder.word_embeddings.format,
        "bytes_fp32": encoder.nbytes_fp32,
        "pooler_left_out": not pooler and _has_pooler(folder),
        "calibration_texts": len(texts or []),
        "method": _method(args),
        "bias_correction": args.bias_correction,
        "activations": args.activations,
        "observer": args.observer if args.activations == "static" else None,
        "distillation_steps": args.distill,
        "layers": layers,
        "output": args.output,
        "seconds": watch.seconds,
        "peak_memory_bytes": peak_memory(),
    }
    if plan is not None:
        report["budget"] = {"bytes": plan.budget, "cost": plan.loss, "measure": plan.measure}
    encoder.save(target)
    report["file_bytes"] = (target / "model.safetensors").stat().st_size
    if check_texts is not None:
        report["drift"] = _drift(encoder, folder, check_texts)
    _show(report, target, args, console)
    return OK


def _check_options(args: argparse.Namespace) -> None:
    auto = args.format == "auto"
    if args.distill is not None:
        if args.calibrate is None:
            raise ValueError("quantize: --distill needs texts; name a file with --calibrate")
        others = (args.method, args.bias_correction, args.activations, args.asymmetric)
        if auto or any(others):
            raise ValueError(
                "quantize: --distill goes without --format auto, --method, --bias-correction, "
                "--activations and --asymmetric"
            )
    if auto and args.budget is None:
        raise ValueError("quantize: --format auto needs a size to stay below: --budget 20MB")
    for option in (
        ("group_size", "embeddings", "scale_dtype", "asymmetric") if auto else ("budget",)
    ):
        if getattr(args, option) not in (None, False):
            name = option.replace("_", "-")
            word = "chooses that" if auto else "has no budget; use --format auto"
            raise ValueError(f"quantize: --{name} beside --format {args.format}, which {word}")


def _has_pooler(folder: Path) -> bool:
    with open_model_folder(folder) as opened:
        return "pooler.dense.weight" in opened.tensors


def _method(args: argparse.Namespace) -> str:
    if args.distill is not None:
        return "distilled"
    return args.method or ("gptq" if args.calibrate else "nearest")


def _texts(args: argparse.Namespace, path: str | None) -> list[str] | None:
    """Some texts of a file, spread over it."""
    if path is None:
        return None
    texts = read_texts(path, args.text_column)
    return texts[:: -(-len(texts) // args.texts)]


def _choose(
    args: argparse.Namespace,
    folder: Path,
    texts: list[str] | None,
    pooler: bool,
    console: Console,
) -> FormatPlan | None:
    if args.format != "auto":
        return None
    with console.progress("measuring layers") as bar:
        return choose_formats(folder, args.budget, texts, pooler, bar.update)


def _round(
    args: argparse.Namespace,
    folder: Path,
    texts: list[str] | None,
    plan: FormatPlan | None,
    pooler: bool,
    console: Console,
) -> Encoder:
    if texts is not None and args.distill is not None:
        return _distill(args, folder, texts, pooler, console)
    options: dict[str, Any] = {"format": plan.formats} if plan else _uniform(args)
    with console.progress("calibrating layers") as bar:
        return Encoder.from_pretrained(
            folder,
            calibrate=texts,
            progress=bar.update,
            pooler=pooler,
            method=args.method,
            bias_correction=args.bias_correction,
            activations=args.activations,
            observer=args.observer,
            **options,
        )


def _uniform(args: argparse.Namespace) -> dict[str, Any]:
    by_row = args.format == "int8" if args.group_size is None else args.group_size == 0
    return {
        "format": args.format,
        "group_size": None if by_row else args.group_size or 64,
        # int4's scales have signs, around whose mean 8 bits are too few.
        "double_quant": args.format in ("nf4", "fp4") and args.scale_dtype is None,
        "scale_dtype": args.scale_dtype,
        "symmetric": not args.asymmetric,
        "embeddings": args.embeddings or args.format,
    }


def _distill(
    args: argparse.Namespace, folder: Path, texts: list[str], pooler: bool, console: Console
) -> Encoder:
    """Train the rounded weights to give what the exact ones give."""
    options = _uniform(args)
    exact = Encoder.from_pretrained(folder, pooler=False)
    student = Encoder.from_pretrained(folder, pooler=pooler, embeddings=options.pop("embeddings"))
    del options["symmetric"]
    config = QatConfig(**options, learned_step=True)
    with console.progress("distilling") as bar:

        def show(event: Event) -> None:
            if isinstance(event, Step):
                bar.update(event.step, event.total_steps, f"loss {event.loss:.4f}")

        return distill(student, exact, texts, config, steps=args.distill, on_event=show)


def _layers(encoder: Encoder, folder: Path, plan: FormatPlan | None) -> list[dict[str, Any]]:
    """What rounding cost, layer by layer; one original weight is in memory at a time."""
    of_outputs = {report.name: report.output_error for report in encoder.reports}
    stored: dict[str, Any] = {
        WORDS: encoder.word_embeddings,
        POSITIONS: encoder.position_embeddings,
    }
    stored |= {name: linear.weight for name, linear in encoder.linears().items()}
    scales = {name: linear.input_scale for name, linear in encoder.linears().items()}
    found = []
    with open_model_folder(folder) as opened:
        for name, weight in stored.items():
            layer = {
                "name": name,
                "shape": list(weight.shape),
                **stored_format(weight)._asdict(),
                "bytes": weight.nbytes,
                "error": _relative_error(weight, opened, f"{name}.weight", scales.get(name)),
                "output_error": of_outputs.get(name),
            }
            if plan is not None:
                taken = [o for o in plan.options[name] if o.format == plan.formats[name]]
                layer["cost"] = taken[0].loss
            found.append(layer)
    return found


def _relative_error(weight: Any, folder: ModelFolder, name: str, scale: np.ndarray | None) -> float:
    """Norm of the change as a part of the whole; tables are read some rows at a time."""
    change = norm = 0.0
    whole = None if isinstance(weight, Embedding) else dense_weight(weight)
    if whole is not None and scale is not None:
        whole = whole * scale
    for first, end in row_chunks(*weight.shape):
        exact = folder.read(name, (first, end))
        read = weight(np.arange(first, end)) if whole is None else whole[first:end]
        change += float(np.sum((read - exact) ** 2, dtype=np.float64))
        norm += float(np.sum(exact**2, dtype=np.float64))
    return float(np.sqrt(change / max(norm, 1e-60)))


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
    console.heading("What rounding cost")
    console.say(columns(_table(report)))
    model = report["model"]
    rows = [
        ("model", f"{model['name']}, {model['format']}"),
        ("size", f"{megabytes(model['bytes'])} of {megabytes(report['bytes_fp32'])}"),
        ("rounding", _method_line(report)),
        ("folder", f"{target}, weights in {megabytes(report['file_bytes'])}"),
    ]
    if "budget" in report:
        budget = report["budget"]
        rows.append(("budget", megabytes(budget["bytes"])))
        rows.append(("cost", f"{budget['cost']:.2e}, sum of: {budget['measure']}"))
    if report["pooler_left_out"]:
        rows.append(("left out", "pooler.dense, which vectors do not need; see --keep-pooler"))
    if report["activations"]:
        observer = f", scales by {report['observer']}" if report["observer"] else ""
        rows.insert(1, ("activations", f"int8, {report['activations']}{observer}"))
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


def _table(report: dict[str, Any]) -> list[tuple[str, ...]]:
    """A line for each weight."""
    headings = ["layer", "shape", "format", "MB", "error", "of outputs"]
    lines = [tuple(headings + ["cost"] * ("budget" in report))]
    for layer in report["layers"]:
        line = [
            layer["name"],
            "x".join(str(size) for size in layer["shape"]),
            format_label(layer),
            f"{layer['bytes'] / 1e6:.2f}",
            f"{layer['error']:.4f}",
            "" if layer["output_error"] is None else f"{layer['output_error']:.4f}",
        ]
        if "cost" in layer:
            line.append(f"{layer['cost']:.1e}")
        lines.append(tuple(line))
    return lines
