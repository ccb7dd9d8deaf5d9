"""`lowbit distill`: a table of static vectors from a model, without its layers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.cli.console import Console, clock_time, table
from lowbit.cli.exit_codes import OK
from lowbit.cli.measurements import Stopwatch, machine, machine_line, megabytes, peak_memory
from lowbit.cli.task import find_model
from lowbit.embeddings.word_evaluation import correlation, ranks
from lowbit.files import read_texts
from lowbit.models import Encoder, StaticEncoder


def run(args: argparse.Namespace, console: Console) -> int:
    """Read, compute a row for every token, write, compare; returns the exit code."""
    if Path(args.output).exists():
        raise FileExistsError(f"distill: --output {args.output!r} exists; choose a new folder")
    words = [] if args.words is None else read_texts(args.words)
    texts = _check_texts(args)
    name, folder = find_model(args)
    encoder = Encoder.from_pretrained(folder, pooler=False)
    hidden = encoder.config.hidden_size
    if args.dim > hidden:
        raise ValueError(
            f"distill: --dim {args.dim} is more than the {hidden} values of the model's vectors"
        )
    watch = Stopwatch()
    with console.progress("distilling") as bar:
        model = StaticEncoder.distill(
            encoder,
            args.dim or None,
            words=words,
            sif=args.sif or None,
            pooling=args.pooling,
            format=args.format,
            progress=lambda done, total: bar.update(
                done, total, f"{done / watch.seconds:.0f} tokens/s"
            ),
        )
    seconds = watch.seconds
    model.save(args.output)
    report: dict[str, Any] = {
        "command": "distill",
        "machine": machine(),
        "model": {"name": name, "format": encoder.format, "bytes": encoder.nbytes},
        "table": {"format": model.format, "bytes": model.nbytes, "dimension": model.dim},
        "tokens": model.tokenizer.vocab_size,
        "words": sum(not token.special for token in model.tokenizer.spec.added),
        "output": args.output,
        "seconds": seconds,
        "peak_memory_bytes": peak_memory(),
    }
    if texts is not None:
        report["check"] = _compare(encoder, model, texts)
    console.result(table(_closing_rows(report)))
    console.document(report)
    return OK


def _check_texts(args: argparse.Namespace) -> list[str] | None:
    """Texts of --check, spread over the file."""
    if args.check is None:
        return None
    texts = read_texts(args.check, args.text_column)
    chosen = texts[:: -(-len(texts) // args.texts)]
    if len(chosen) < 3:
        raise ValueError(f"distill: --check {args.check!r} has {len(chosen)} texts; 3 are needed")
    return chosen


def _compare(encoder: Encoder, model: StaticEncoder, texts: list[str]) -> dict[str, Any]:
    """How the cosines of all pairs of texts go together in both models."""
    first, second = np.triu_indices(len(texts), k=1)
    cosines = []
    for vectors in (encoder.embed(texts), model.embed(texts, normalize=True)):
        cosines.append((vectors @ vectors.T)[first, second].astype(np.float64))
    found = {"pearson": cosines, "spearman": [ranks(some) for some in cosines]}
    return {"texts": len(texts)} | {name: _correlation(*both) for name, both in found.items()}


def _correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    """None where all texts are alike: JSON has no NaN."""
    found = correlation(x, y)
    return None if np.isnan(found) else found


def _closing_rows(report: dict[str, Any]) -> list[tuple[str, str]]:
    model, rows = report["model"], report["table"]
    added = f", {report['words']} of them words of --words" if report["words"] else ""
    closing = [
        ("model", f"{model['name']}, {model['format']}, {megabytes(model['bytes'])}"),
        ("tokens", f"{report['tokens']}{added}"),
        ("table", f"{rows['dimension']} values each, {rows['format']}, {megabytes(rows['bytes'])}"),
    ]
    if check := report.get("check"):
        found = ", ".join(
            f"{name.title()} {'-' if check[name] is None else format(check[name], '.3f')}"
            for name in ("pearson", "spearman")
        )
        closing.append(
            ("cosines", f"correlation with the model's: {found} ({check['texts']} texts)")
        )
    return closing + [
        ("peak memory", megabytes(report["peak_memory_bytes"])),
        ("time", clock_time(report["seconds"])),
        ("kernels", machine_line()),
        ("written", report["output"]),
    ]
