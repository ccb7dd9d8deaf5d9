"""Exact nearest rows: lowbit beside NumPy and faiss's flat indexes, and what bounds them.

    python benchmarks/bench_neighbours.py --rows 1000000 --dim 384 --queries 1 32 256 1000

All run in one process and take turns. Before the clock counts, lowbit's answers to the first
queries must be those of lowbit.reference in every bit, those in int8 the same as in float32 for
all, and the rivals' scores must agree to 1e-5. Rows and queries have length 1. `--data`: "gaussian"
has no row nearer than chance, the worst case for leaving rows out; "clusters" are noisy copies of a
few thousand centres; a path is an .npy file of vectors. `--clock cpu` counts processor time, for
one thread on a machine that others use. Libraries that are not installed are left out.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import process
from rivals import neighbours as rivals
from turns import Subject, take_turns

import lowbit as lb
from lowbit import _core
from lowbit.embeddings.word_search import unit_rows
from lowbit.reference import neighbours as reference

CHECKED = 2
"""Queries whose answers are compared with the definition."""
CHUNK = 50_000
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def gaussian(rng: np.random.Generator, rows: int, dim: int) -> np.ndarray:
    """Independent normal values."""
    return rng.standard_normal((rows, dim), dtype=np.float32)


def clusters(rng: np.random.Generator, rows: int, dim: int) -> np.ndarray:
    """Copies of a few thousand centres, each with noise of about its own length."""
    centres = gaussian(rng, max(1, min(4000, rows // 100)), dim)
    table = gaussian(rng, rows, dim)
    for begin in range(0, rows, CHUNK):
        part = table[begin : begin + CHUNK]
        part += centres[rng.integers(0, len(centres), len(part))]
    return table


KINDS = {"gaussian": gaussian, "clusters": clusters}


def vectors(data: str, rows: int, dim: int, queries: int) -> tuple[np.ndarray, np.ndarray]:
    """Table and queries of unit vectors."""
    rng = np.random.default_rng(0)
    if data in KINDS:
        both = KINDS[data](rng, rows + queries, dim)
        both = both[rng.permutation(len(both))] if data == "clusters" else both
        table, asked = both[:rows], both[rows:]
    else:
        both = np.load(Path(data), mmap_mode="r")
        places = rng.permutation(len(both))
        queries = min(queries, len(both) // 10)
        asked = both[np.sort(places[:queries])]
        table = both[np.sort(places[queries:][:rows])]
    for begin in range(0, len(table), CHUNK):
        table[begin : begin + CHUNK] = unit_rows(table[begin : begin + CHUNK])
    return table, unit_rows(asked)


def by_definition(
    table: np.ndarray, queries: np.ndarray, k: int, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """As reference.nearest, some rows at a time."""
    sign = 1 if metric == "euclidean" else -1
    scores, rows = [], []
    for query in queries:
        parts = [
            reference.scores(table[begin : begin + CHUNK], query, metric)
            for begin in range(0, len(table), CHUNK)
        ]
        every = np.concatenate(parts)
        rows.append(np.argsort(sign * every, kind="stable")[:k])
        scores.append(every[rows[-1]])
    return np.stack(scores), np.stack(rows)


def check(
    ours: dict[str, lb.NearestNeighbours], table: np.ndarray, queries: np.ndarray, k: int
) -> np.ndarray:
    """The exact scores of all queries, once both formats have the same."""
    metric = ours["fp32"].metric
    answers = {name: one.search(queries, k) for name, one in ours.items()}
    expected = by_definition(table, queries[:CHECKED], k, metric)
    for name, answer in answers.items():
        for part, same, exact in zip(answer, answers["fp32"], expected, strict=True):
            assert part.tobytes() == same.tobytes(), f"{name} differs from fp32"
            assert part[:CHECKED].tobytes() == exact.tobytes(), f"{name} is not exact"
    return answers["fp32"][0]


def subjects(
    table: np.ndarray, queries: np.ndarray, k: int, metric: str, finders: dict[str, object]
) -> list[Subject]:
    """Everything that finds nearest rows, with the bytes of a table that it reads."""
    ours = {name: one for name, one in finders.items() if name in ("fp32", "int8")}
    expected = check(ours, table, queries, k).astype(np.float64)
    found = []
    for name, one in finders.items():
        nbytes = table.nbytes // 4 if name == "int8" else table.nbytes
        title, tolerance = (f"lowbit {name}", 0.0) if name in ours else (name, 1e-5)
        run = partial(one.search, queries, k)
        found.append(Subject(title, run, expected, tolerance, nbytes, lambda answer: answer[0]))
    return found


def find_all(table: np.ndarray, metric: str, threads: int) -> dict[str, object]:
    """lowbit in both formats, and the rivals that are there."""
    # Rows have length 1, and as the others lowbit multiplies.
    finders: dict[str, object] = {
        name: lb.NearestNeighbours(table, metric, name) for name in ("fp32", "int8")
    }
    for name, make in (
        ("NumPy", lambda: rivals.NumpyNeighbours(table, metric)),
        ("faiss", lambda: rivals.FaissNeighbours(table, metric, threads)),
    ):
        try:
            finders[name] = make()
        except ImportError as error:
            print(f"left out: {error}")
    if "faiss" in finders:
        finders["faiss, BLAS"] = finders["faiss"].with_blas()
    return finders


def limits(threads: int) -> str:
    """What memory and the units for products give here."""
    read = _core.measure_read(np.ones(1 << 28, np.uint8)) / 1e9
    rates = {"fp32": _core.measure_fma, "int16": _core.measure_pairs, "int8": _core.measure_bytes}
    products = ", ".join(f"{rate() / 1e9:.0f} G {name}" for name, rate in rates.items())
    return f"limits: {read:.1f} GB/s read, {products} operations/s, {threads} threads"


def line(subject: Subject, queries: int, work: float, finders: dict[str, object]) -> list[str]:
    best = min(subject.seconds)
    one = finders.get(subject.name.removeprefix("lowbit "))
    scored = (
        ""
        if one is None or not subject.name.startswith("lowbit")
        else (f"{one.scored_rows / queries:.0f}")
    )
    return [
        subject.name,
        f"{best * 1e3:.2f} ({subject.median() * 1e3:.2f})",
        f"{queries / best:.0f}",
        f"{subject.nbytes / best / 1e9:.1f}",
        f"{work / best / 1e9:.0f}",
        scored,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--queries", type=int, nargs="+", default=[1, 32, 256, 1000])
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--metric", choices=["dot", "cosine", "euclidean"], default="dot")
    parser.add_argument("--data", default="gaussian", help="gaussian, clusters or a path")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    options = parser.parse_args()
    lb.set_num_threads(options.threads)
    print(f"{process.machine()}, {options.threads} threads, {_core.active_isa()}")
    print(limits(options.threads))
    table, asked = vectors(options.data, options.rows, options.dim, max(options.queries))
    finders = find_all(table, options.metric, options.threads)
    for count in options.queries:
        queries = np.ascontiguousarray(asked[:count])
        found = subjects(table, queries, options.k, options.metric, finders)
        take_turns(found, options.rounds, least=1, clock=CLOCKS[options.clock])
        work = 2.0 * len(queries) * table.size
        print(f"\n{len(queries)} queries, {options.data}, {options.metric}, {table.shape}\n")
        process.print_table(
            ["", "ms, best (median)", "queries/s", "GB/s", "Gop/s", "scored rows a query"],
            [line(subject, len(queries), work, finders) for subject in found],
        )


if __name__ == "__main__":
    main()
