"""Rows and bags of a large embedding table, beside torch, NumPy and what memory gives.

    python benchmarks/bench_embeddings.py --threads 1 --rounds 5

Ids are random and new for every call, over a table far beyond the caches, so every row comes from
memory. All take turns in one process, and every result is checked first. GB/s counts what must be
touched: the rows as they are stored with their scales, the ids, and the results written once.

The first share is of a streaming copy with as many threads, bytes read and written: the faster of a
copy by torch or NumPy and of float32 rows in order, which lowbit writes past the caches. The second
is of the same call with ids that follow one another, which says what the random order costs.
Of the calls of a round the tenth counts that is quicker than nine of ten: on a machine that is
shared the others measure who else is there. Libraries that are not installed are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import process
from rivals import embeddings as rivals
from turns import Subject, take_turns

import lowbit as lb
from lowbit import _core
from lowbit.arrays import bf16_to_float32, float32_to_bf16

FORMATS = ("fp32", "fp16", "bf16", "int8", "int4")
CALLS = 64  # batches of ids, one after the other


@dataclass
class Batches:
    """Ids of many calls; the first is that of the check."""

    ids: list[np.ndarray]
    indptr: np.ndarray

    def calls(self, call: rivals.Call) -> Callable[[], np.ndarray]:
        """A function that takes the next batch every time."""
        at = -1

        def run() -> np.ndarray:
            nonlocal at
            at = (at + 1) % len(self.ids)
            return call(self.ids[at])

        return run


def stored_rows(table: np.ndarray, format: str) -> np.ndarray:
    """What rows stand for once rounded, by other code than looks them up."""
    if format == "fp16":
        return table.astype(np.float16).astype(np.float32)
    if format == "bf16":
        return bf16_to_float32(float32_to_bf16(table))
    if format in ("int8", "int4"):
        return lb.quantize(table, format, None if format == "int8" else 64).dequantize()
    return table


def make_table(table: np.ndarray, format: str) -> lb.Embedding:
    """int4 without the search for scales, which takes minutes for so many rows."""
    if format == "int4":
        return lb.Embedding.from_packed(lb.quantize(table, "int4", 64))
    return lb.Embedding(table, format)


def sums(rows: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    return np.add.reduceat(rows.astype(np.float64), indptr[:-1])


def our_subjects(
    table: np.ndarray, format: str, random: Batches, in_order: Batches
) -> list[tuple[str, Subject]]:
    """Rows and bags of one format, with random ids and with ids that follow one another."""
    embedding = make_table(table, format)
    rows = len(random.ids[0])
    dim, bags = table.shape[1], len(random.indptr) - 1
    of_rows = rows * (embedding.nbytes / len(table) + 8)
    found = []
    for order, batches in (("random", random), ("in order", in_order)):
        exact = stored_rows(table[batches.ids[0]], format)
        found.append((f"rows {format} {order}", Subject(
            f"{format}, rows", batches.calls(embedding), exact, 0.0,
            int(of_rows + rows * dim * 4))))  # fmt: skip
        found.append((f"bags {format} {order}", Subject(
            f"{format}, bags", batches.calls(lambda ids: embedding.pool(ids, random.indptr, "sum")),
            sums(exact, random.indptr), 1e-6, int(of_rows + bags * dim * 4))))  # fmt: skip
    return found


def torch_subjects(
    table: np.ndarray, format: str, random: Batches, threads: int
) -> list[tuple[str, Subject]]:
    theirs = rivals.TorchTable(table, format, threads)
    ids, dim, bags = random.ids[0], table.shape[1], len(random.indptr) - 1
    size = {"fp32": 4 * dim, "int8": dim + 8, "int4": dim // 2 + 4}.get(format, 2 * dim)
    found = []
    if format not in ("int8", "int4"):
        size_out = 4 if format == "fp32" else 2
        exact = stored_rows(table[ids], format)
        found.append((f"torch rows {format}", Subject(
            f"torch {format}, rows", random.calls(theirs.rows()), exact, 1e-6,
            len(ids) * (size + 8 + size_out * dim))))  # fmt: skip
    exact = sums(theirs.values(ids), random.indptr)
    # 16-bit sums are rounded to 16 bits there.
    tolerance = 1e-2 if format in ("fp16", "bf16") else 1e-5
    found.append((f"torch bags {format}", Subject(
        f"torch {format}, bags", random.calls(theirs.bags(random.indptr)), exact, tolerance,
        len(ids) * (size + 8) + bags * dim * 4)))  # fmt: skip
    return found


def copies(nbytes: int, threads: int) -> list[tuple[str, Subject]]:
    """Copies of as many bytes as the rows of a call have, every time to and from another place."""
    ones = np.ones(nbytes // 4)
    try:
        name, copy = "copy, torch", rivals.torch_copies(nbytes, CALLS, threads)
    except ImportError:
        name, copy = "copy, NumPy", rivals.numpy_copies(nbytes, CALLS)
    return [("copy", Subject(name, copy, ones, 0.0, 2 * nbytes))]


def collect(options: argparse.Namespace) -> dict[str, Subject]:
    """All subjects by what they are."""
    rng = np.random.default_rng(0)
    table = rng.standard_normal((options.rows, options.dim), dtype=np.float32)
    count, bag = options.ids, options.bag
    indptr = np.arange(0, count + 1, bag)
    random = Batches([rng.integers(0, options.rows, count) for _ in range(CALLS)], indptr)
    starts = rng.integers(0, options.rows - count + 1, CALLS)
    in_order = Batches([np.arange(start, start + count) for start in starts], indptr)
    found = copies(count * options.dim * 4, options.threads)
    take = rivals.numpy_rows(table, count)
    found.append(("numpy", Subject(
        "numpy.take fp32, rows", random.calls(take), table[random.ids[0]], 0.0,
        count * (8 * options.dim + 8))))  # fmt: skip
    for format in options.formats:
        found += our_subjects(table, format, random, in_order)
        try:
            found += torch_subjects(table, format, random, options.threads)
        except ImportError as error:
            print(f"left out: {error}")
    return dict(found)


def quick(seconds: list[float]) -> float:
    """The first tenth of them, in order."""
    return sorted(seconds)[len(seconds) // 10]


def rate(subject: Subject) -> float:
    """Bytes a second."""
    return subject.nbytes / subject.median()


def lines_of(found: dict[str, Subject], count: int) -> list[list[str]]:
    copy = max(rate(found[key]) for key in ("copy", "rows fp32 in order") if key in found)
    lines = []
    for key, subject in found.items():
        ms = [1e3 * seconds for seconds in (subject.median(), *sorted(subject.seconds))]
        in_order = found.get(key.replace("random", "in order")) if "random" in key else None
        lines.append(
            [
                subject.name + (", in order" if "in order" in key else ""),
                f"{ms[0]:.2f} ({ms[1]:.2f} - {ms[-1]:.2f})",
                f"{count / subject.median() / 1e6:.1f}",
                f"{rate(subject) / 1e9:.1f}",
                f"{rate(subject) / copy:.0%}",
                f"{rate(subject) / rate(in_order):.0%}" if in_order else "",
            ]
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--ids", type=int, default=16384, help="of a call; a multiple of --bag")
    parser.add_argument("--bag", type=int, default=32)
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    lb.set_num_threads(options.threads)
    found = collect(options)
    take_turns(list(found.values()), options.rounds, 0.3, of_a_slot=quick)
    threads = f"{options.threads} thread{'s' if options.threads > 1 else ''}"
    print(f"{process.machine()}, {threads}, {_core.active_isa()}")
    print(f"{options.rows} x {options.dim}, {options.ids} ids a call, bags of {options.bag}\n")
    columns = ["", "ms (range of rounds)", "M ids/s", "GB/s", "of a copy", "of ids in order"]
    process.print_table(columns, lines_of(found, options.ids))


if __name__ == "__main__":
    main()
