"""Memory and time of quantizing a model, each format in a process of its own.

    python benchmarks/bench_quantize_memory.py --texts texts.txt

quantizes all-MiniLM-L6-v2 (--model names another folder) plainly, calibrated on the texts by each
method, and for a budget. Growth is the most resident memory (VmHWM) above what the process had
before, with every library loaded: pages of files count as well as its own. It should stay below the
size of the largest weight in float32 and of what comes out, together. Before a figure is printed,
the vectors of 32 of the texts are compared with those of the original model. Needs Linux's /proc.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import process

ME = Path(__file__).resolve()
LEAST_COSINE = {"int8": 0.99, "nf4": 0.85, "auto": 0.9}
INT8 = {"format": "int8", "group_size": None, "embeddings": "int8"}
NF4 = {"format": "nf4", "group_size": 64, "double_quant": True, "embeddings": "nf4"}
CASES: dict[str, tuple[dict[str, Any], bool]] = {
    "int8": (INT8, False),
    "int8, gptq": (INT8, True),
    "nf4": (NF4, False),
    "nf4, gptq": (NF4, True),
    "nf4, gptq, bias": (NF4 | {"bias_correction": True}, True),
    "nf4, search": (NF4 | {"method": "search"}, True),
    "nf4, awq": (NF4 | {"method": "awq"}, True),
    "nf4, awq, bias": (NF4 | {"method": "awq", "bias_correction": True}, True),
    "auto": ({"format": "auto"}, False),
    "auto, gptq": ({"format": "auto"}, True),
}
"""Arguments of `Encoder.from_pretrained`, and whether it gets the texts."""


def measure(options: argparse.Namespace) -> None:
    """The subject: runs in its own process and prints its figures."""
    from lowbit.files.bundled_model import find_bundled_model
    from lowbit.files.model_folder import open_model_folder
    from lowbit.models import Encoder

    texts = Path(options.texts).read_text(encoding="utf-8").splitlines()[: options.count]
    folder = Path(options.model) if options.model else find_bundled_model()
    settings, calibrate = CASES[options.case]
    if settings["format"] == "auto":
        settings = settings | {"budget": options.budget}
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # VmHWM starts again
    before, begin = process.status_bytes("VmRSS"), time.perf_counter()
    encoder = Encoder.from_pretrained(folder, calibrate=texts if calibrate else None, **settings)
    seconds = time.perf_counter() - begin
    grown, own = process.peak_bytes() - before, process.status_bytes("RssAnon")
    with open_model_folder(folder) as opened:
        largest = 4 * max(t.shape[0] * t.shape[-1] for t in opened.tensors.values())
    exact = Encoder.from_pretrained(folder).embed(texts[:32])
    cosine = float((encoder.embed(texts[:32]) * exact).sum(axis=1).mean())
    if cosine < LEAST_COSINE[settings["format"]]:
        raise SystemExit(f"{options.case}: mean cosine {cosine:.4f} with the original")
    process.report(
        growth_mb=round(grown / 1e6, 1),
        limit_mb=round((largest + encoder.nbytes) / 1e6, 1),
        own_pages_mb=round(own / 1e6, 1),
        weights_mb=round(encoder.nbytes / 1e6, 1),
        cosine=round(cosine, 4),
        seconds=round(seconds, 1),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", required=True, help="one a line")
    parser.add_argument("--count", type=int, default=400, help="texts to calibrate on")
    parser.add_argument("--model", help="folder (default: all-MiniLM-L6-v2)")
    parser.add_argument("--budget", default="14MB")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--case", choices=list(CASES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        measure(options)
        return
    shared = ["--texts", options.texts, "--count", str(options.count), "--budget", options.budget]
    shared += ["--model", options.model] if options.model else []
    lines = []
    for case in CASES:
        subject = process.Subject(case, sys.executable, ME, ["--case", case, *shared])
        found = subject.run([], options.threads)
        keys = ("growth_mb", "limit_mb", "own_pages_mb", "weights_mb", "cosine", "seconds")
        figures = [found.get("error", "")] if "error" in found else [found[k] for k in keys]
        lines.append([case, *map(str, figures), *[""] * (len(keys) - len(figures))])
    print(f"{process.machine()}, {options.threads} threads, {options.count} texts\n")
    head = ["", "growth MB", "limit MB", "own pages after, MB", "weights MB", "cosine", "s"]
    process.print_table(head, lines)


if __name__ == "__main__":
    main()
