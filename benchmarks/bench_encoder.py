"""Sentence embedding: lowbit beside torch, each in a process of its own, taking turns.

    python benchmarks/bench_encoder.py --data SST2_train.tsv --rival-python VENV/bin/python

embeds the withheld sentences of the file (see sst2.py) with all-MiniLM-L6-v2, in batches of 32
sorted by length, tokenizing included. Reported: sentences per second as the median of the rounds,
the peak memory of the process, and how far the vectors are from torch fp32. VENV holds torch,
transformers and tokenizers; without --rival-python only lowbit is measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import process
import sst2

HERE = Path(__file__).resolve().parent
LOWBIT_KINDS = ("fp32", "bf16", "int8", "int8 dynamic", "int8 static", "nf4")
CALIBRATION = 400  # sentences of the training part
TORCH_KINDS = ("fp32", "bf16", "int8")


def measure_lowbit(options: argparse.Namespace) -> None:
    """The subject: runs in its own process and prints its figures."""
    import lowbit

    texts = Path(options.texts).read_text(encoding="utf-8").splitlines()
    format, _, activations = options.kind.partition(" ")
    model = lowbit.models.Encoder.from_pretrained(
        options.model,
        format=format,
        double_quant=format == "nf4",
        embeddings="fp32" if format == "fp32" else "int8",
        compute="auto" if activations else options.compute,
        activations=activations or None,
        calibrate=_calibration(options) if activations == "static" else None,
        observer=options.observer,
    )
    model.embed(texts[:64])
    begin = time.perf_counter()
    vectors = model.embed(texts, batch_size=32)
    seconds = time.perf_counter() - begin
    np.save(options.out, vectors)
    process.report(
        sentences_per_second=round(len(texts) / seconds, 1),
        sentences=len(texts),
        weights_mb=round(model.nbytes / 1e6, 1),
        isa=lowbit.cpu_info()["active_isa"],
    )


def _calibration(options: argparse.Namespace) -> list[str]:
    """Sentences that are not embedded, spread over the training part."""
    data = sst2.load(options.data)
    texts, _ = data.part(data.train)
    return texts[:: -(-len(texts) // CALIBRATION)]


def subjects(options: argparse.Namespace, folder: Path) -> list[process.Subject]:
    """Who takes part, rivals first; each leaves its vectors in `folder` under its name."""
    runs: list[tuple[str, str, Path, list[str]]] = []
    if options.rival_python:
        rival, threads = HERE / "rivals" / "torch_encoder.py", ["--threads", str(options.threads)]
        runs += [
            (f"torch {k}", options.rival_python, rival, ["--kind", k, *threads])
            for k in TORCH_KINDS
        ]
    inside = ["--inside", "--compute", options.compute]
    inside += ["--data", options.data, "--observer", options.observer]
    runs += [
        (f"lowbit {k}", sys.executable, Path(__file__), ["--kind", k, *inside])
        for k in options.kinds
    ]
    shared = ["--model", options.model, "--texts", str(folder / "texts.txt"), "--out"]
    return [
        process.Subject(name, python, program, [*arguments, *shared, str(folder / f"{name}.npy")])
        for name, python, program, arguments in runs
    ]


def show(names: list[str], results: list[list[dict[str, Any]]], folder: Path, threads: int) -> None:
    """The table over all rounds; cosines are with the first subject."""
    base: np.ndarray | None = None
    rows = []
    for name, rounds in zip(names, results, strict=True):
        if failed := process.failure(name, rounds, 4):
            rows.append(failed)
            continue
        vectors = np.load(folder / f"{name}.npy")
        base = vectors if base is None else base
        speed = process.median_and_range([figures["sentences_per_second"] for figures in rounds])
        peak = process.peak_memory(rounds)
        cosines = (vectors * base).sum(axis=1)
        rows.append([name, speed, peak, f"{cosines.mean():.6f} / {cosines.min():.6f}"])
    print(f"\n{process.machine()}, {threads} threads, {len(results[-1])} rounds\n")
    columns = ["", "sentences/s", "peak memory", "cosine with the first, mean / lowest"]
    process.print_table(columns, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="sentences and labels, see sst2.py")
    parser.add_argument("--model", help="model folder; the installed all-MiniLM-L6-v2 if not given")
    parser.add_argument("--rival-python", help="python of an environment with torch")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compute", default="auto", help="products of the linear layers")
    parser.add_argument("--observer", default="mse", help="of the static scales of inputs")
    parser.add_argument("--kinds", nargs="+", default=LOWBIT_KINDS, help="of lowbit to take part")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--kind", help=argparse.SUPPRESS)
    parser.add_argument("--texts", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        measure_lowbit(options)
        return
    if not options.data:
        parser.error("--data is needed")
    options.model = process.model_folder(options.model)
    data = sst2.load(options.data)
    texts, _ = data.part(np.concatenate([data.dev, data.test]))
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
        found = subjects(options, Path(name))
        results = process.take_turns(found, [[]] * options.rounds, options.threads)
        show([subject.name for subject in found], results, Path(name), options.threads)


if __name__ == "__main__":
    main()
