"""Sentence embedding: lowbit beside torch, each in a process of its own, one after the other.

    python benchmarks/bench_encoder.py --data SST2_train.tsv --rival-python VENV/bin/python

embeds the withheld sentences of the file (see sst2.py) with all-MiniLM-L6-v2, in batches of 32
sorted by length, tokenizing included. Reported: the best of the repeats, the peak memory of the
process, and how far the vectors are from torch fp32. VENV holds torch, transformers and tokenizers;
without --rival-python only lowbit is measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import process
import sst2

HERE = Path(__file__).resolve().parent
LOWBIT_KINDS = ("fp32", "bf16", "int8", "nf4")
TORCH_KINDS = ("fp32", "bf16", "int8")


def measure_lowbit(options: argparse.Namespace) -> None:
    """The subject: runs in its own process and prints its figures."""
    import lowbit

    texts = Path(options.texts).read_text(encoding="utf-8").splitlines()
    model = lowbit.models.Encoder.from_pretrained(
        options.model,
        format=options.kind,
        double_quant=options.kind == "nf4",
        embeddings="fp32" if options.kind == "fp32" else "int8",
        compute=options.compute,
    )
    model.embed(texts[:64])
    seconds = []
    for _ in range(options.repeats):
        begin = time.perf_counter()
        vectors = model.embed(texts, batch_size=32)
        seconds.append(time.perf_counter() - begin)
    np.save(options.out, vectors)
    process.report(
        name=f"lowbit {options.kind}",
        sentences_per_second=round(len(texts) / min(seconds), 1),
        seconds=[round(s, 3) for s in seconds],
        sentences=len(texts),
        weights_mb=round(model.nbytes / 1e6, 1),
        isa=lowbit.cpu_info()["active_isa"],
    )


def subjects(options: argparse.Namespace, folder: Path) -> list[tuple[dict[str, Any], Path]]:
    """Figures of every subject and the file with its vectors, rivals first."""
    runs = []
    if options.rival_python:
        program = HERE / "rivals" / "torch_encoder.py"
        runs += [(options.rival_python, program, kind, []) for kind in TORCH_KINDS]
    inside = ["--inside", "--compute", options.compute]
    runs += [(sys.executable, Path(__file__), kind, inside) for kind in LOWBIT_KINDS]
    done = []
    for number, (python, program, kind, extra) in enumerate(runs):
        out = folder / f"{number}.npy"
        arguments = ["--model", options.model, "--texts", str(folder / "texts.txt")]
        arguments += ["--kind", kind, "--repeats", str(options.repeats), "--out", str(out), *extra]
        if python == options.rival_python:
            arguments += ["--threads", str(options.threads)]
        figures = process.run(python, program, arguments, options.threads)
        print(json.dumps({"subject": f"{program.stem} {kind}", **figures}), flush=True)
        done.append((figures, out))
    return done


def show(results: list[tuple[dict[str, Any], Path]], threads: int) -> None:
    """The table; cosines are with the first subject."""
    base: np.ndarray | None = None
    rows = []
    for figures, out in results:
        if "error" in figures:
            rows.append([figures["error"][:60], "-", "-", "-"])
            continue
        vectors = np.load(out)
        base = vectors if base is None else base
        cosine = float((vectors * base).sum(axis=1).min())
        speed, peak = f"{figures['sentences_per_second']:.0f}", f"{figures['peak_mb']:.0f} MB"
        rows.append([figures["name"], speed, peak, f"{cosine:.6f}"])
    print(f"\n{process.machine()}, {threads} threads\n")
    process.print_table(["", "sentences/s", "peak memory", "lowest cosine with the first"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="sentences and labels, see sst2.py")
    parser.add_argument("--model", help="model folder; the installed all-MiniLM-L6-v2 if not given")
    parser.add_argument("--rival-python", help="python of an environment with torch")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--compute", default="auto", help="products of the linear layers")
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
    if not options.model:
        from lowbit.files import find_bundled_model

        options.model = str(find_bundled_model())
    data = sst2.load(options.data)
    texts, _ = data.part(np.concatenate([data.dev, data.test]))
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
        show(subjects(options, Path(name)), options.threads)


if __name__ == "__main__":
    main()
