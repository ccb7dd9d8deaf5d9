"""Rounding a matrix to few bits and back, beside other libraries and a plain copy.

    python benchmarks/bench_quantization.py --shape 4096x4096

All run in one process and take turns; every result is checked first against the matrix itself,
within the error of its format. Libraries that are not installed are left out. GB/s counts what is
read and written once; torch's copy says what memory gives for that.
"""

from __future__ import annotations

import argparse

import numpy as np
import process
from rivals import quantization as rivals
from turns import Subject, print_bandwidths, take_turns

import lowbit
from lowbit import _core

FORMATS = [
    ("int8", None, {}, 0.02),
    ("int8", "tensor", {}, 0.02),
    ("int8", 64, {}, 0.01),
    ("int8", 64, {"symmetric": False}, 0.01),
    ("int4", 32, {}, 0.09),
    ("int4", 32, {"scale_dtype": "fp16"}, 0.09),
    ("int4", 32, {"scale_dtype": "fp16", "symmetric": False}, 0.09),
    ("nf4", 64, {}, 0.1),
    ("nf4", 64, {"double_quant": True}, 0.1),
    ("fp4", 64, {}, 0.125),
    ("mxfp4", 32, {}, 0.125),
]


def of_lowbit(w: np.ndarray) -> list[rivals.Rival]:
    """Every format as the other libraries are described."""
    return [
        rivals.Rival(
            " ".join([f"lowbit {format} {group or 'a row'}", *map(shown, options.items())]),
            lambda format=format, group=group, options=options: lowbit.quantize(
                w, format, group, **options
            ),
            lambda q: q.dequantize(),
            np.asarray,
            error,
        )
        for format, group, options, error in FORMATS
    ]


def shown(option: tuple[str, object]) -> str:
    name, value = option
    names = {"symmetric": "asymmetric", "double_quant": "double"}
    return names.get(name) or f"{value} scales"


def subjects(w: np.ndarray, described: rivals.Rival) -> list[Subject]:
    """Rounding, and reading back what was rounded once."""
    rounded = described.quantize()
    nbytes = w.nbytes + (rounded.nbytes if hasattr(rounded, "nbytes") else w.nbytes // 8)
    exact = w.astype(np.float64)

    def values(q: object) -> np.ndarray:
        return described.to_numpy(described.dequantize(q))

    return [
        Subject(f"{described.name}: quantize", described.quantize, exact, described.error, nbytes,
                values),
        Subject(f"{described.name}: dequantize", lambda: described.dequantize(rounded), exact,
                described.error, nbytes, described.to_numpy),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", default="4096x4096", help="rows x columns")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    lowbit.set_num_threads(options.threads)
    rows, columns = (int(part) for part in options.shape.split("x"))
    w = np.random.default_rng(0).standard_normal((rows, columns), dtype=np.float32)
    found = []
    for described in [*of_lowbit(w), *rivals.every(w, options.threads)]:
        found += subjects(w, described)
    try:
        copy = rivals.torch_copy(w, options.threads)
        source = copy.quantize()
        found.append(
            Subject(copy.name, lambda: copy.dequantize(source), w.astype(np.float64), 0.0,
                    2 * w.nbytes)
        )  # fmt: skip
    except ImportError:
        pass
    take_turns(found, options.rounds)
    print(f"{process.machine()}, {options.threads} threads, {_core.active_isa()}")
    limit = _core.measure_read(w.view(np.uint8).reshape(-1)) / 1e9
    print(f"{rows} x {columns} Gaussian float32; reading them alone: {limit:.1f} GB/s\n")
    print_bandwidths(found)


if __name__ == "__main__":
    main()
