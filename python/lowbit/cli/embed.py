"""`lowbit embed`: one vector per text, as .npy or JSON lines."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from lowbit.cli.console import Console, table
from lowbit.cli.exit_codes import OK
from lowbit.cli.measurements import Stopwatch, machine, machine_line, megabytes, peak_memory
from lowbit.cli.outputs import check_output
from lowbit.cli.task import find_model, formats
from lowbit.errors import FileFormatError
from lowbit.files import read_texts, replace_file
from lowbit.models import Encoder

OUTPUTS = (".npy", ".jsonl")


def run(args: argparse.Namespace, console: Console) -> int:
    """Read, embed, write; returns the exit code."""
    if args.output is not None:
        check_output("embed", args.output, OUTPUTS)
    texts = _read(args)
    name, folder = find_model(args)
    encoder = Encoder.from_pretrained(folder, double_quant=True, **formats(args, folder))
    watch = Stopwatch()
    with console.progress("embedding") as bar:

        def show(done: int, total: int) -> None:
            bar.update(done, total, f"{done / watch.seconds:.0f} texts/s")

        vectors = encoder.embed(
            texts, args.batch_size, not args.no_normalize, args.pooling, progress=show
        )
    seconds = watch.seconds
    if args.output is None:
        for line in _json_lines(texts, vectors):
            sys.stdout.write(line)
        return OK
    _write(Path(args.output), texts, vectors)
    rate = len(texts) / seconds
    rows = [
        ("texts", f"{len(texts)}"),
        ("vectors", f"{vectors.shape[1]} values each, {args.output}"),
        ("model", f"{name}, {encoder.format}, {megabytes(encoder.nbytes)}"),
        ("speed", f"{rate:.0f} texts/s"),
        ("peak memory", megabytes(peak_memory())),
        ("kernels", machine_line()),
    ]
    console.result(table(rows))
    console.document(
        {
            "command": "embed",
            "machine": machine(),
            "model": {"name": name, "format": encoder.format, "bytes": encoder.nbytes},
            "output": args.output,
            "texts": len(texts),
            "dimension": vectors.shape[1],
            "texts_per_second": rate,
            "peak_memory_bytes": peak_memory(),
        }
    )
    return OK


def _read(args: argparse.Namespace) -> list[str]:
    """The texts of a file, or the lines of standard input."""
    if args.input != "-":
        return read_texts(args.input, args.text_column, allow_empty=args.allow_empty)
    if args.text_column is not None:
        raise ValueError("embed: standard input has one text a line; leave out --text-column")
    data = sys.stdin.buffer.read()
    try:
        # Not splitlines(): it would also break a line at the rarer Unicode separators.
        lines = data.decode("utf-8-sig").replace("\r\n", "\n").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise FileFormatError(f"standard input, line {line}: not UTF-8") from None
    if not data:
        raise FileFormatError("standard input: empty")
    for index, line in enumerate(lines, start=1):
        if not line.strip() and not args.allow_empty:
            raise FileFormatError(
                f"standard input, line {index}: empty text; remove it or pass --allow-empty"
            )
    return lines


def _json_lines(texts: list[str], vectors: np.ndarray) -> Iterable[str]:
    for text, vector in zip(texts, vectors, strict=True):
        # repr of a float32 made double is long; 9 digits give the same float32 back.
        values = [float(f"{value:.9g}") for value in vector.tolist()]
        yield json.dumps({"text": text, "vector": values}, ensure_ascii=False) + "\n"


def _write(path: Path, texts: list[str], vectors: np.ndarray) -> None:
    with replace_file(path) as stream:
        if path.suffix == ".npy":
            np.save(stream, vectors, allow_pickle=False)
        else:
            for line in _json_lines(texts, vectors):
                stream.write(line.encode())
