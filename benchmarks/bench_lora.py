"""What low-rank adapters cost: lowbit beside torch, bitsandbytes and PEFT.

    python benchmarks/bench_lora.py --rows 1 16 512 --shape 4096x4096 --rank 16

All run in one process and take turns; every result is checked first against double precision.
Rivals that are not installed are left out. Three questions, each with the base product beside it:
forward with one adapter, forward with backward, and 16 adapters in one batch, whose rows take them
in turn.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import process
from rivals import lora as rivals
from turns import SPAN, Subject, take_turns

import lowbit
from lowbit import _core

ADAPTERS = 16


def lowbit_layers(
    x: np.ndarray,
    w: np.ndarray,
    dy: np.ndarray,
    adapters: list[rivals.Adapter],
    of_row: np.ndarray,
    kind: tuple[str, str],
) -> list[Subject]:
    """The base, one adapter, its training step, and many adapters; in one format and arithmetic."""
    format, compute = kind
    stored = w if format == "fp32" else lowbit.quantize(w, format, group_size=64)
    values = w if format == "fp32" else stored.dequantize()
    weight = w if format == "fp32" else stored._packed
    batch = lowbit.LoraBatch(adapters, of_row)
    a, b, scale = adapters[0]

    def both() -> np.ndarray:
        _, xa = _core.linear_forward(x, weight, None, None, a, b, scale, compute=compute)
        dx, *_ = _core.linear_backward(dy, x, xa, weight, a, b, scale, compute=compute)
        return dx

    mixed = np.stack([rivals.forward(x[[i]], values, adapters[j])[0] for i, j in enumerate(of_row)])
    name = f"lowbit {format}, {compute}"
    limit = {"fp32": 1e-5, "auto": 1e-2, "int8": 3e-2}[compute]
    return [
        Subject(
            f"{name}: base",
            lambda: lowbit.linear(x, stored, compute=compute),
            rivals.forward(x, values, None),
            limit,
            0,
        ),
        Subject(
            f"{name}: adapter",
            lambda: lowbit.linear(x, stored, lora=adapters[0], compute=compute),
            rivals.forward(x, values, adapters[0]),
            limit,
            0,
        ),
        Subject(
            f"{name}: forward + backward", both, rivals.backward(dy, values, adapters[0]), limit, 0
        ),
        Subject(
            f"{name}: {ADAPTERS} adapters",
            lambda: lowbit.linear(x, stored, lora=batch, compute=compute),
            mixed,
            limit,
            0,
        ),
    ]


def of_rivals(make: Callable[[], list[Subject]]) -> list[Subject]:
    """What the library can do, or nothing and a line that says why."""
    try:
        return make()
    except (ImportError, RuntimeError, AttributeError, ValueError) as error:
        print(f"left out: {str(error).splitlines()[0]}")
        return []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 16, 512])
    parser.add_argument("--shape", default="4096x4096", help="NxK of the weight")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    n, k = (int(part) for part in options.shape.split("x"))
    threads, rank = options.threads, options.rank
    lowbit.set_num_threads(threads)
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(shape[-1]))

    w = normal(n, k)
    adapters = [(normal(rank, k), normal(n, rank), 0.5) for _ in range(ADAPTERS)]
    print(f"{process.machine()}, {threads} threads, {_core.active_isa()}")
    for rows in options.rows:
        x, dy, of_row = normal(rows, k), normal(rows, n), np.arange(rows) % ADAPTERS
        one = (x, w, dy, adapters[0], threads)
        found = of_rivals(lambda one=one: rivals.torch_layers(*one, "fp32"))
        found += of_rivals(lambda one=one: rivals.torch_layers(*one, "bf16"))
        found += of_rivals(lambda one=one: rivals.bitsandbytes_layers(*one))
        mixed = (x, w, adapters, of_row, threads)
        found += of_rivals(lambda mixed=mixed: rivals.peft_batch(*mixed))
        for kind in (("fp32", "fp32"), ("nf4", "fp32"), ("nf4", "auto"), ("nf4", "int8")):
            found += lowbit_layers(x, w, dy, adapters, of_row, kind)
        take_turns(found, options.rounds)
        base: dict[str, float] = {}
        lines = []
        for s in found:
            library = s.name.replace(":", ",").rpartition(",")[0]
            base.setdefault(library, s.median())
            ratio = f"{s.median() / base[library]:.2f}"
            lines.append([s.name, s.span(), ratio])
        print(f"\nM={rows}, W {n}x{k}, rank {rank}\n")
        process.print_table(["", SPAN, "times its first line"], lines)


if __name__ == "__main__":
    main()
