"""`lowbit train-vectors`: word vectors from text files, and how good they are."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lowbit.cli.console import Console, clip, clock_time, columns, table
from lowbit.cli.exit_codes import OK
from lowbit.cli.measurements import (
    Stopwatch,
    machine,
    machine_line,
    megabytes,
    peak_memory,
    percent,
)
from lowbit.cli.outputs import check_output
from lowbit.embeddings import WordVectors
from lowbit.embeddings.word_evaluation import AnalogyReport, PairsReport
from lowbit.embeddings.word_training import TrainingProgress
from lowbit.errors import FileFormatError
from lowbit.files.untrusted import open_regular
from lowbit.files.word_vector_files import SUFFIXES

SETTINGS = (
    "window",
    "negative",
    "min_count",
    "max_vocab",
    "sample",
    "epochs",
    "lr",
    "seed",
    "deterministic",
)
"""Options that go to `WordVectors.train` where they are given."""
RESUMED = ("epochs",)
"""Those that go to `WordVectors.resume`, which has the others from the file."""


def run(args: argparse.Namespace, console: Console) -> int:
    """Read, train, write, evaluate; returns the exit code."""
    path = check_output("train-vectors", args.output, tuple(SUFFIXES))
    if path.exists():
        raise FileExistsError(f"train-vectors: --output {args.output!r} exists; choose a new name")
    checkpoint = _checkpoint(args, path)
    console.unfinished = "no vectors were written"
    corpus = [Path(name) for name in args.corpus]
    size = sum(part.stat().st_size for part in corpus)
    tests = {name: _is_analogies(name) for name in args.evaluate}
    settings = _settings(args)
    watch = Stopwatch()
    with _kept(checkpoint, console):
        wv, last = _train(args, corpus, settings, console)
    seconds = watch.seconds
    # fastText's own .bin keeps what unknown words need.
    own = wv.subwords is not None and path.suffix == ".bin"
    wv.save(path, "fasttext" if own else None)
    console.checkpoint, console.unfinished = None, f"the vectors are in {path}"
    reports = {name: _evaluate(wv, name, analogies) for name, analogies in tests.items()}
    report = {
        "command": "train-vectors",
        "machine": machine(),
        "corpus": args.corpus,
        "corpus_bytes": size,
        "output": args.output,
        "format": "fasttext" if own else SUFFIXES[path.suffix],
        "file_bytes": path.stat().st_size,
        "checkpoint": None if checkpoint is None else str(checkpoint),
        "resumed": args.resume is not None,
        "method": wv.training.settings.method,
        "settings": {name: settings[name] for name in SETTINGS if name in settings},
        "words": len(wv),
        "dim": wv.dim,
        "loss": finite(last.loss) if last else None,
        "words_per_second": last.words_per_second if last else None,
        "evaluation": [{"file": name, **of} for name, of in reports.items()],
        "seconds": seconds,
        "peak_memory_bytes": peak_memory(),
    }
    _show(report, console)
    if wv.subwords is not None and not own:
        console.notice("n-grams are not in this file: a name with .bin keeps them")
    return OK


def _checkpoint(args: argparse.Namespace, output: Path) -> Path | None:
    """Where the training is kept; refuses what cannot be one before any work."""
    name, option = args.checkpoint, "--checkpoint"
    if args.resume is not None:
        name, option = args.resume, "--resume"
    if name is None:
        return None
    path = check_output("train-vectors", name, (".safetensors",), option)
    if path.exists() and args.resume is None:
        raise FileExistsError(
            f"train-vectors: {option} {name!r} exists; choose a new name, or go on with it by "
            "--resume"
        )
    if path.resolve() == output.resolve():
        raise ValueError(f"train-vectors: {option} and --output are one file; name two")
    return path


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(args, name) for name in ("method", "dim", *SETTINGS)}
    settings = {name: value for name, value in given.items() if value is not None}
    if args.resume is not None:
        for name in settings:
            if name not in RESUMED:
                option = "--" + name.replace("_", "-")
                raise ValueError(
                    f"train-vectors: --resume takes the settings of the file; leave {option} out"
                )
    return settings


@contextmanager
def _kept(checkpoint: Path | None, console: Console) -> Iterator[None]:
    """Have the console tell of a checkpoint that is there when something ends the training."""
    try:
        yield
    finally:
        if checkpoint is not None and checkpoint.exists():
            console.checkpoint = str(checkpoint)


def _train(
    args: argparse.Namespace, corpus: list[Path], settings: dict[str, Any], console: Console
) -> tuple[WordVectors, TrainingProgress | None]:
    """The vectors, and how far the training was when it last told."""
    last = None
    with console.progress("training, thousands") as bar:

        def show(at: TrainingProgress) -> None:
            nonlocal last
            last = at
            done, total = at.words // 1000, max(at.total_words // 1000, 1)
            note = f"epoch {at.epoch} of {at.epochs}, {at.words_per_second:,.0f}/s"
            bar.update(done, total, f"{note}, loss {at.loss:.4f}")

        seconds = args.checkpoint_seconds
        shared = {"progress": show, "checkpoint_seconds": seconds} | settings
        if args.resume is not None:
            return WordVectors.resume(args.resume, corpus, **shared), last
        return WordVectors.train(corpus, checkpoint=args.checkpoint, **shared), last


def finite(value: float) -> float | None:
    """A number as JSON has it.

    Examples
    --------
    >>> finite(float("nan")), finite(0.5)
    (None, 0.5)
    """
    return value if math.isfinite(value) else None


def _is_analogies(path: str) -> bool:
    """Whether a test has analogies, in sections that begin with a colon, or judged pairs."""
    with open_regular(path) as file:
        start = file.read(1 << 16).decode("utf-8", "replace")
    lines = (line for line in start.splitlines() if line.strip() and not line.startswith("#"))
    first = next(lines, "")
    if not first.startswith(":") and "\t" not in first:
        raise FileFormatError(
            f'{path}: --evaluate takes analogies, which begin with a line ": name", or lines of '
            "two words and a number with tabs between"
        )
    return first.startswith(":")


def _evaluate(wv: WordVectors, path: str, analogies: bool) -> dict[str, Any]:
    if analogies:
        return _of_analogies(wv.evaluate_analogies(path))
    return _of_pairs(wv.evaluate_word_pairs(path))


def _of_analogies(report: AnalogyReport) -> dict[str, Any]:
    sections = {
        name: {"correct": right, "total": total} for name, (right, total) in report.sections.items()
    }
    return {
        "kind": "analogies",
        "accuracy": finite(report.accuracy),
        "correct": report.correct,
        "total": report.total,
        "unknown": report.unknown,
        "sections": sections,
    }


def _of_pairs(report: PairsReport) -> dict[str, Any]:
    return {
        "kind": "pairs",
        "spearman": finite(report.spearman),
        "pearson": finite(report.pearson),
        "total": report.pairs,
        "unknown": report.unknown,
    }


def _show(report: dict[str, Any], console: Console) -> None:
    for test in report["evaluation"]:
        if test["kind"] == "analogies":
            lines = [
                (clip(name, 40), f"{of['correct']:,}", f"{of['total']:,}")
                for name, of in test["sections"].items()
                if of["total"]
            ]
            console.heading(f"Analogies of {test['file']}")
            console.say(columns([("section", "right", "asked"), *lines]))
    files = "1 file" if len(report["corpus"]) == 1 else f"{len(report['corpus'])} files"
    rows = [
        ("vectors", f"{report['words']:,} words, {report['dim']} values, {report['output']}"),
        ("corpus", f"{files}, {report['corpus_bytes']:,} bytes"),
        ("method", report["method"]),
        ("loss", "none" if report["loss"] is None else f"{report['loss']:.4f}"),
        *((clip(Path(test["file"]).name, 40), _result(test)) for test in report["evaluation"]),
        ("file", f"{megabytes(report['file_bytes'])}, {report['format']}"),
        ("time", clock_time(report["seconds"])),
        ("peak memory", megabytes(report["peak_memory_bytes"])),
        ("kernels", machine_line()),
    ]
    console.heading("Result")
    console.result(table(rows))
    console.document(report)


def _result(test: dict[str, Any]) -> str:
    """What a test says, in a few words."""
    asked = f"{test['total']:,} asked, {test['unknown']:,} with unknown words"
    if test["kind"] == "analogies":
        share = test["accuracy"]
        return f"{'no' if share is None else percent(share)} right; {asked}"
    values = [test[name] for name in ("spearman", "pearson")]
    one, two = ("none" if value is None else f"{value:.3f}" for value in values)
    return f"Spearman {one}, Pearson {two}; {asked}"
