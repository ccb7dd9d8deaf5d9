"""y = x W^T on low-bit weights: lowbit beside NumPy, torch, bitsandbytes, ONNX Runtime and ggml.

    python benchmarks/bench_linear.py --rows 1 8 32 128 512 --shape 4096x4096

All run in one process and take turns; every result is checked first against double precision.
Rivals that are not installed are left out. Reported for each: milliseconds as the median of the
rounds, GB/s of weights read, GFLOP/s, and how many times as long as the fastest of lowbit it takes;
with the limits of this machine (reading this many bytes, multiply-adds of fp32 and of integers in
16 and 8 bits) measured in the same run. `--rotate 1` multiplies by one matrix after another, a
gigabyte of them, so that weights come from memory and not from a cache.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time

import numpy as np
import process
from rivals.linear import RIVALS, exact
from turns import SPAN, Subject, take_turns

import lowbit
from lowbit import _core
from lowbit.arrays import bf16_to_float32, float32_to_bf16

# format, group size, compute, relative error allowed; "static": int8 with one scale for all of x,
# known beforehand, and "zero point": the same with a zero point.
LOWBIT = [
    ("fp32", None, "fp32", 1e-5),
    ("bf16", None, "fp32", 1e-5),
    ("nf4", 64, "fp32", 1e-5),
    ("int4", 32, "fp32", 1e-5),
    ("int8", None, "fp32", 1e-5),
    ("nf4", 64, "int8", 3e-2),
    ("int4", 32, "int8", 3e-2),
    ("int8", None, "int8", 3e-2),
    ("int8", None, "static", 3e-2),
    ("int8", None, "zero point", 3e-2),
    ("int4", 32, "static", 3e-2),
    ("nf4", 64, "auto", 1e-2),
    ("int4", 32, "auto", 1e-2),
    ("int8", None, "auto", 1e-2),
]


def store(w: np.ndarray, format: str, group: int | None) -> tuple[object, np.ndarray, int]:
    """W as lowbit stores it, the matrix that this stands for, and its bytes."""
    if format == "fp32":
        return w, w, w.nbytes
    if format == "bf16":
        words = float32_to_bf16(w)
        return words, bf16_to_float32(words), words.nbytes
    q = lowbit.quantize(w, format, group_size=group)
    return q, q.dequantize(), q.nbytes


def lowbit_subject(
    x: np.ndarray, w: np.ndarray, row: tuple[str, int | None, str, float], rotate: float
) -> Subject:
    """One line of `LOWBIT`; with `rotate`, over as many copies as make that many GB."""
    format, group, compute, tolerance = row
    stored, values, nbytes = store(w, format, group)
    copies = [stored]
    for _ in range(round(rotate * 1e9 / nbytes)):
        if isinstance(stored, np.ndarray):
            copies.append(stored.copy())
        else:
            copies.append(lowbit.QuantizedMatrix.from_parts(stored.parts()))
    following = itertools.cycle(copies)
    name = f"lowbit {format}" + (f" g{group}" if group else "") + f", {compute}"
    products = {"compute": compute}
    if compute in ("static", "zero point"):
        ends, kind = (x.min(), x.max()), ("symmetric", "narrow_range")[compute == "zero point"]
        params = lowbit.quantization.AffineParams.from_range(*ends, **{kind: True})
        products = {"compute": "int8", "x_scale": params}
    return Subject(
        name,
        lambda: lowbit.linear(x, next(following), **products),
        exact(x, values),
        tolerance,
        nbytes,
    )


def subjects(x: np.ndarray, w: np.ndarray, options: argparse.Namespace) -> list[Subject]:
    """Everybody who can run here, rivals first."""
    found = []
    for make in RIVALS if not options.rotate else []:
        try:
            found.append(make(x, w, options.threads))
        except (ImportError, RuntimeError, AttributeError, ValueError) as error:
            print(f"{make.__name__} left out: {str(error).splitlines()[0]}")
    wanted = [row for row in LOWBIT if not options.only or row[0] in options.only]
    return found + [lowbit_subject(x, w, row, options.rotate) for row in wanted]


def show(found: list[Subject], rows: int, shape: tuple[int, int], limits: dict[str, float]) -> None:
    """A table for one number of rows."""
    best = min(s.median() for s in found if s.name.startswith("lowbit"))
    lines = []
    for s in sorted(found, key=Subject.median):
        seconds, work = s.median(), 2.0 * rows * shape[0] * shape[1]
        lines.append(
            [
                s.name,
                s.span(),
                f"{s.nbytes / seconds / 1e9:.1f}",
                f"{work / seconds / 1e9:.0f}",
                f"{seconds / best:.2f}",
            ]
        )
    print(f"\nM={rows}, W {shape[0]}x{shape[1]}; limits: {json.dumps(limits)}\n")
    process.print_table(["", SPAN, "GB/s", "GFLOP/s", "times lowbit's"], lines)


def measure_limits(nbytes: int) -> dict[str, float]:
    """Of this machine with the threads in use, now."""
    data = np.ones(nbytes, np.uint8)
    time.sleep(1)  # until the threads of rivals have stopped waiting in a loop
    return {
        "read GB/s": round(_core.measure_read(data) / 1e9, 1),
        "fp32 GFLOP/s": round(_core.measure_fma() / 1e9),
        "int16 GOP/s": round(_core.measure_pairs() / 1e9),
        "int8 GOP/s": round(_core.measure_bytes() / 1e9),
        "bf16 tiles GFLOP/s": round(_core.measure_bf16_tiles() / 1e9),
        "int8 tiles GOP/s": round(_core.measure_byte_tiles() / 1e9),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8, 32, 128, 512])
    parser.add_argument("--shape", default="4096x4096", help="NxK of the weight")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rotate", type=float, default=0, help="GB of weights to go through")
    parser.add_argument("--only", nargs="+", help="formats of lowbit to take part")
    options = parser.parse_args()
    n, k = (int(part) for part in options.shape.split("x"))
    lowbit.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    w = rng.standard_normal((n, k), dtype=np.float32) / np.float32(np.sqrt(k))
    print(f"{process.machine()}, {options.threads} threads, {_core.active_isa()}")
    for rows in options.rows:
        x = rng.standard_normal((rows, k), dtype=np.float32)
        found = subjects(x, w, options)
        before = measure_limits(int(options.rotate * 1e9) or n * k // 2)
        take_turns(found, options.rounds)
        show(found, rows, (n, k), before)


if __name__ == "__main__":
    main()
