"""Rotary positions in place, beside transformers' eager function and what memory gives.

    python benchmarks/bench_positions.py --tokens 1 2048 --heads 32 8 --head-dim 128

All run in one process and take turns; every result is checked first against double precision.
Tables of cosines and sines are made before, as all layers share them; making one is a line of its
own. Libraries that are not installed are left out. GB/s counts queries and keys read once and
written once; scaling as many bytes in place says what memory gives for that.
"""

from __future__ import annotations

import argparse

import numpy as np
import process
from rivals import positions as rivals
from turns import Subject, print_bandwidths, take_turns

import lowbit as lb
from lowbit import _core
from lowbit.arrays import bf16_to_float32, empty_lines, float32_to_bf16
from lowbit.reference import rotary as reference

BASE = 500000.0


def in_lines(x: np.ndarray) -> np.ndarray:
    """A copy that begins with a line of the cache, as torch's tensors do."""
    copy = empty_lines(x.shape, x.dtype)
    copy[...] = x
    return copy


class InPlace:
    """lowbit on arrays of its own, [tokens, heads, head_dim]."""

    def __init__(self, q: np.ndarray, k: np.ndarray, layout: str, bf16: bool) -> None:
        self.bf16 = bf16
        self.arrays = [in_lines(float32_to_bf16(x) if bf16 else x) for x in (q, k)]
        self.rotary = lb.positions.Rotary(q.shape[-1], BASE, layout=layout)
        self.table = self.rotary.table(np.arange(len(q)))

    def run(self) -> list[np.ndarray]:
        self.rotary.rotate_(*self.arrays, self.table)
        return self.arrays

    def to_numpy(self, arrays: list[np.ndarray]) -> np.ndarray:
        wide = [bf16_to_float32(x) if self.bf16 else x for x in arrays]
        return np.concatenate(wide, axis=1)


def exact(q: np.ndarray, k: np.ndarray, layout: str, bf16: bool) -> np.ndarray:
    """Both turned in double precision, from the numbers that are stored."""
    both = np.concatenate([q, k], axis=1)
    stored = bf16_to_float32(float32_to_bf16(both)) if bf16 else both
    angles = np.arange(len(q))[:, None, None] * reference.frequencies(q.shape[-1], BASE)
    return reference.rotate(stored.astype(np.float64), angles, layout)


def subjects(tokens: int, heads: list[int], head_dim: int, threads: int) -> list[Subject]:
    """Every type and layout, the eager function beside each, then the limits."""
    rng = np.random.default_rng(0)
    q, k = (rng.standard_normal((tokens, h, head_dim), dtype=np.float32) for h in heads)
    found = []
    for bf16 in (False, True):
        nbytes = 2 * (q.nbytes + k.nbytes) // (2 if bf16 else 1)
        for layout in ("half", "interleaved"):
            name = f"{'bf16' if bf16 else 'fp32'} {layout}"
            expected = exact(q, k, layout, bf16)
            ours = InPlace(q, k, layout, bf16)
            found.append(
                Subject(f"{name}, lowbit", ours.run, expected, 3e-3 if bf16 else 1e-6, nbytes,
                        ours.to_numpy)
            )  # fmt: skip
            try:
                eager = rivals.TorchRotary(q, k, BASE, layout, bf16, threads)
            except ImportError as error:
                print(f"left out: {error}")
                continue
            # Angles are rounded to float32 there, and cosines and products to bf16.
            tolerance = 1e-2 if bf16 else 1e-4
            found.append(
                Subject(f"{name}, transformers", eager.run, expected, tolerance, nbytes,
                        eager.to_numpy)
            )  # fmt: skip
        found += limits(name.split()[0], nbytes, threads)
    positions = np.arange(tokens)
    rotary = lb.positions.Rotary(head_dim, BASE)
    cos = np.cos(positions[:, None] * reference.frequencies(head_dim, BASE))
    table_bytes = 2 * tokens * head_dim * 2
    found.append(Subject("a table", lambda: rotary.table(positions).cos, cos, 1e-7, table_bytes))
    return found


def limits(name: str, nbytes: int, threads: int) -> list[Subject]:
    """Changing as many bytes in place, and copying them, with torch."""
    ones = np.ones(nbytes // 8)
    try:
        scaling = rivals.in_place_scaling(nbytes // 2, threads)
        copy = rivals.copying(nbytes // 2, threads)
    except ImportError:
        return []
    return [
        Subject(f"{name}: as many bytes scaled in place", scaling, ones, 0.0, nbytes),
        Subject(f"{name}: as many bytes copied", copy, ones, 0.0, nbytes),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[1, 2048])
    parser.add_argument("--heads", type=int, nargs=2, default=[32, 8], help="of queries, of keys")
    parser.add_argument("--head-dim", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    lb.set_num_threads(options.threads)
    print(f"{process.machine()}, {options.threads} threads, {_core.active_isa()}")
    for tokens in options.tokens:
        found = subjects(tokens, options.heads, options.head_dim, options.threads)
        take_turns(found, options.rounds)
        queries, keys = options.heads
        print(f"\n{tokens} tokens, {queries} + {keys} heads of {options.head_dim} columns\n")
        print_bandwidths(found)


if __name__ == "__main__":
    main()
