"""Softmax, normalization and activations beside torch, and beside the memory's limit.

    python benchmarks/bench_rowwise.py --shape 2048x384 2048x4096

All run in one process and take turns; every result is checked first against double precision.
Without torch its lines are left out. GB/s counts x once and the result once.
"""

from __future__ import annotations

import argparse

import numpy as np
import process
from rivals import rowwise as rivals
from turns import Subject, print_bandwidths, take_turns

import lowbit
from lowbit import _core
from lowbit import functional as F
from lowbit.reference import functional, layers


def subjects(x: np.ndarray, gamma: np.ndarray, threads: int) -> list[Subject]:
    """Every operation of lowbit, each followed by torch's."""
    wide = x.astype(np.float64)
    operations = {
        "softmax": (lambda: F.softmax(x), layers.softmax(wide)),
        "layer_norm": (
            lambda: F.layer_norm(x, gamma, gamma),
            layers.layer_norm(wide, gamma, gamma, 1e-5),
        ),
        "rms_norm": (lambda: F.rms_norm(x, gamma), functional.rms_norm(wide, gamma, 1e-6)),
        "gelu": (lambda: F.gelu(x), layers.gelu(wide)),
        "gelu tanh": (lambda: F.gelu(x, "tanh"), functional.gelu_tanh(wide)),
        "silu": (lambda: F.silu(x), functional.silu(wide)),
    }
    try:
        of_torch = rivals.torch_operations(x, gamma, threads)
    except ImportError as error:
        print(f"left out: {error}")
        of_torch = {}
    found = []
    for name, (run, exact) in operations.items():
        found.append(Subject(f"{name}, lowbit", run, exact, 1e-5, 2 * x.nbytes))
        if name in of_torch:
            found.append(Subject(f"{name}, torch", of_torch[name], exact, 1e-5, 2 * x.nbytes))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", nargs="+", default=["2048x384", "2048x4096"], help="MxD of x")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    lowbit.set_num_threads(options.threads)
    print(f"{process.machine()}, {options.threads} threads, {_core.active_isa()}")
    for shape in options.shape:
        rows, columns = (int(part) for part in shape.split("x"))
        rng = np.random.default_rng(0)
        x = rng.standard_normal((rows, columns), dtype=np.float32)
        gamma = rng.standard_normal(columns, dtype=np.float32)
        found = subjects(x, gamma, options.threads)
        limit = _core.measure_read(np.ones(x.nbytes, np.uint8)) / 1e9
        take_turns(found, options.rounds)
        print(f"\n{shape}; reading as many bytes: {limit:.1f} GB/s\n")
        print_bandwidths(found)


if __name__ == "__main__":
    main()
