"""Attention beside torch's scaled_dot_product_attention, forward and with gradients.

    python benchmarks/bench_attention.py --shape 16x128x12x32 1x512x12x64 1x4096x12x64

All run in one process and take turns; every result is checked first against double precision.
Without torch its lines are left out. GFLOP/s counts 4 T^2 heads width of a text forward, and 14
with the gradients (scores are computed twice); half of it for causal.
"""

from __future__ import annotations

import argparse

import numpy as np
import process
from rivals import attention as rivals
from turns import SPAN, Subject, take_turns

import lowbit
from lowbit import _core
from lowbit import functional as F
from lowbit.reference import attention


def subjects(shape: tuple[int, ...], causal: bool, threads: int) -> list[tuple[Subject, float]]:
    """Forward and gradients of lowbit, each followed by torch's, and the operations of a call."""
    texts, tokens, heads, width = shape
    rng = np.random.default_rng(0)
    size = (texts * tokens, heads * width)
    q, k, v, dy = (rng.standard_normal(size, dtype=np.float32) for _ in range(4))
    indptr = np.arange(texts + 1) * tokens
    wide = [array.astype(np.float64) for array in (q, k, v)]
    expected = attention.attention(*wide, heads, indptr, causal=causal)
    gradients = attention.attention_backward(dy.astype(float), *wide, heads, indptr, causal=causal)
    wanted = np.stack(gradients)

    def forward() -> np.ndarray:
        return F.attention(q, k, v, heads, indptr, causal=causal)

    def backward() -> tuple[np.ndarray, ...]:
        return F.attention_backward(dy, q, k, v, heads, indptr, causal=causal)

    operations = 4.0 * texts * tokens**2 * heads * width / (2 if causal else 1)
    found = [
        (Subject("forward, lowbit", forward, expected, 1e-5, 0), operations),
        (Subject("with gradients, lowbit", backward, wanted, 1e-5, 0), operations * 3.5),
    ]
    try:
        theirs = rivals.torch_attention((q, k, v, dy), shape, causal, threads)
    except ImportError as error:
        print(f"left out: {error}")
        return found
    for (_, work), run, exact in zip(found[:2], theirs, (expected, wanted), strict=True):
        name = "forward, torch" if exact is expected else "with gradients, torch"
        found.append((Subject(name, run, exact, 1e-5, 0), work))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = ["16x128x12x32", "1x512x12x64", "1x4096x12x64"]
    parser.add_argument(
        "--shape", nargs="+", default=default, help="texts x tokens x heads x width"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    lowbit.set_num_threads(options.threads)
    print(f"{process.machine()}, {options.threads} threads, {_core.active_isa()}")
    peak = _core.measure_fma() / 1e9
    for text in options.shape:
        for causal in (False, True):
            shape = tuple(int(part) for part in text.split("x"))
            found = subjects(shape, causal, options.threads)
            take_turns([subject for subject, _ in found], options.rounds)
            lines = [[s.name, s.span(), f"{work / s.median() / 1e9:.0f}"] for s, work in found]
            print(f"\n{text}{' causal' if causal else ''}; FMA peak {peak:.0f} GFLOP/s\n")
            process.print_table(["", SPAN, "GFLOP/s"], lines)


if __name__ == "__main__":
    main()
