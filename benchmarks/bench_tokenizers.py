"""Texts to ids and back: lowbit beside gigatoken, splintr, tiktoken, sentencepiece and tokenizers.

    LOWBIT_SHARED_DATA=FOLDER python benchmarks/bench_tokenizers.py --families gpt2 bert --rounds 3

Real files and texts come from the folder, see docs/tokenizers.md. Documents are stretches of 4,000
characters, ids come as NumPy, one thread (`--threads` is for lowbit alone). In each round every
subject reads its file anew and encodes all documents once, "first", then thrice more, of which the
best is "repeated"; subjects take turns. Ids are compared before the clock: a rival whose ids are
others is marked. Rivals that are not installed, or cannot read a file, are left out.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("RAYON_NUM_THREADS", "1")
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import process
from rivals.tokenizers import RIVALS, Unsupported

import lowbit as lb
from lowbit import _core

FAMILIES = {
    "gpt2": "gpt2/tokenizer.json",
    "cl100k": "cl100k/cl100k_base.tiktoken",
    "dolma2": "dolma2/tokenizer.json",  # cl100k's vocabulary, for those that read no .tiktoken
    "llama2": "llama2/tokenizer.json",
    "bert": "bert-base-uncased/tokenizer.json",
    "xlnet": "xlnet/tokenizer.json",
    "t5": "t5-nai/nai-t5.model",
}
CORPORA = ("tinyshakespeare", "udhr_mix_a", "code_synth_a")
RUNS = {"letter": b"a", "spaces": b" "}


class Lowbit:
    """This library."""

    name = "lowbit"

    def __init__(self, path: Path, threads: int) -> None:
        self._tokenizer, self._threads = lb.Tokenizer.from_file(path), threads

    def encode(self, texts: list[str]) -> np.ndarray:
        return self._tokenizer.encode_batch(texts, num_threads=self._threads).ids

    def decode(self, ids: np.ndarray) -> str:
        return self._tokenizer.decode(ids)


def seconds_of(run: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def makers(path: Path, threads: int) -> dict[str, Callable[[], Any]]:
    """Who can read this file."""
    found: dict[str, Callable[[], Any]] = {"lowbit": lambda: Lowbit(path, threads)}
    for rival in RIVALS:
        try:
            rival(path)
        except (ImportError, Unsupported):
            continue
        found[rival.name] = lambda rival=rival: rival(path)
    return found


def bench(subjects: dict[str, Callable[[], Any]], texts: list[str], rounds: int) -> None:
    """Print a table of MB/s, medians of the rounds, and of decoding."""
    nbytes = sum(len(text.encode()) for text in texts)
    expected = subjects["lowbit"]().encode(texts)
    rows: dict[str, dict[str, list[float]]] = {}
    differs = {
        name: not np.array_equal(make().encode(texts), expected) for name, make in subjects.items()
    }
    for _ in range(rounds):
        for name, make in subjects.items():
            taken = rows.setdefault(name, {"load": [], "first": [], "again": [], "decode": []})
            begin = time.perf_counter()
            subject = make()
            taken["load"].append(time.perf_counter() - begin)
            taken["first"].append(seconds_of(lambda s=subject: s.encode(texts)))
            taken["again"].append(
                min(seconds_of(lambda s=subject: s.encode(texts)) for _ in range(3))
            )
            taken["decode"].append(
                min(seconds_of(lambda s=subject: s.decode(expected)) for _ in range(3))
            )
    median = {n: {k: statistics.median(v) for k, v in taken.items()} for n, taken in rows.items()}
    ours = median["lowbit"]
    lines = []
    for name, taken in median.items():
        rates = [
            f"{nbytes / taken[k] / 1e6:.0f} ({taken[k] / ours[k]:.2f})"
            for k in ("first", "again", "decode")
        ]
        label = name + (" (other ids)" if differs[name] else "")
        lines.append([label, f"{taken['load'] * 1e3:.0f}", *rates])
    process.print_table(["", "load, ms", "first, MB/s", "repeated", "decode"], lines)


def bench_short(subjects: dict[str, Callable[[], Any]], text: str) -> None:
    """Texts of 50 characters, one call each."""
    pieces = [text[i : i + 50] for i in range(0, 100_000, 50)]
    lines = []
    for name, make in subjects.items():
        subject = make()
        encode: Callable[[str], Any] = lambda piece, s=subject: s.encode([piece])  # noqa: E731
        if name == "lowbit":
            encode = subject._tokenizer.encode
        taken = [seconds_of(lambda e=encode: [e(piece) for piece in pieces]) for _ in range(7)]
        lines.append([name, f"{min(taken) / len(pieces) * 1e6:.1f}"])
    process.print_table(["", "us for 50 characters"], lines)


def bench_runs(path: Path, threads: int, english: list[str]) -> None:
    """Ten megabytes of one letter, of spaces and of random bytes, beside as much English.

    The least of three passes by a new tokenizer each: the first one of all takes fresh memory.
    """

    def first_pass(text: str) -> float:
        tokenizer = lb.Tokenizer.from_file(path)
        return seconds_of(lambda: tokenizer.encode_batch([text], num_threads=threads))

    size = 10_000_000
    noise = np.random.default_rng(0).integers(0, 256, size, np.uint8).tobytes()
    texts = {name: (byte * size).decode() for name, byte in RUNS.items()}
    texts["random bytes"] = noise.decode("utf-8", "replace")
    joined = "".join(english)
    texts["English"] = joined * (size // len(joined.encode()) + 1)
    lines = []
    for name, text in texts.items():
        taken = min(first_pass(text) for _ in range(3))
        lines.append([name, f"{len(text.encode()) / taken / 1e6:.0f}"])
    process.print_table(["10 MB, lowbit alone", "MB/s"], lines)


def bench_sizes(path: Path, corpus: Path, names: list[str]) -> None:
    """File, memory and pickle of a tokenizer, each library in a process of its own."""
    program = Path(__file__).with_name("tokenizer_size.py")
    columns = {
        "load_ms": "load, ms",
        "loaded_mb": "memory, MB",
        "used_mb": f"after {corpus.stat().st_size / 1e6:.1f} MB of text",
        "pickle_mb": "pickle, MB",
        "unpickle_ms": "unpickle, ms",
    }
    lines = []
    for name in names:
        arguments = [name, str(path), str(corpus)]
        figures = process.Subject(name, sys.executable, program, arguments).run([], 1)
        lines.append([name, *(str(figures.get(key, "none")) for key in columns)])
    label = f"file {path.stat().st_size / 1e6:.2f} MB"
    process.print_table([label, *columns.values()], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--corpora", nargs="+", default=list(CORPORA), choices=list(CORPORA))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sizes", action="store_true", help="memory and pickles too")
    parser.add_argument("--runs", action="store_true", help="10 MB of one letter and the like too")
    options = parser.parse_args()
    folder = os.environ.get("LOWBIT_SHARED_DATA")
    if not folder:
        parser.error("LOWBIT_SHARED_DATA does not name a folder")
    lb.set_num_threads(options.threads)
    print(f"{process.machine()}, {options.threads} threads, {_core.active_isa()}")
    for family in options.families:
        path = Path(folder) / "tokenizers" / FAMILIES[family]
        subjects = makers(path, options.threads)
        for corpus in options.corpora:
            text = (Path(folder) / f"corpora/{corpus}.txt").read_bytes().decode("utf-8")
            texts = [text[i : i + 4000] for i in range(0, len(text), 4000)]
            print(f"\n{family}, {corpus}; in brackets: times as long as lowbit\n")
            bench(subjects, texts, options.rounds)
            if corpus == options.corpora[0]:
                print()
                bench_short(subjects, text)
                if options.sizes:
                    print()
                    bench_sizes(path, Path(folder) / f"corpora/{corpus}.txt", list(subjects))
                if options.runs:
                    print()
                    bench_runs(path, options.threads, texts)


if __name__ == "__main__":
    main()
