"""What each way to round a model's weights keeps: size, vectors, and what they are good for.

    python benchmarks/bench_ladder.py --data SST2_train.tsv
    python benchmarks/bench_ladder.py --data SST2_train.tsv --steps nearest search "gptq, texts" \\
        distilled

All-MiniLM-L6-v2 is rounded in every way of the lists below, by itself or for the inputs that 392
sentences make, or is trained while it is rounded to give the vectors of the original for all
sentences but 1,820, without labels (`lowbit.models.distill`, 100 steps); these 1,820 then get their
vectors. Cosines are with those of the original. Accuracy is that of a logistic regression on
vectors of the other sentences, of the original and, with --own-head, of the rounded model too.
Seconds are those of reading and rounding.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import process
import sst2
from bench_qat import distilled_as

import lowbit
from lowbit import _core
from lowbit.files import find_bundled_model
from lowbit.models import Encoder
from lowbit.quantization import METHODS, Method


@dataclass(frozen=True)
class Step:
    """A rung: a name, and what makes the encoder of (folder, options of the format, texts).

    Texts are those for calibration, or `trains`: all that are not withheld.
    """

    name: str
    make: Callable[[Path, dict[str, Any], list[str]], Encoder]
    trains: bool = False


def rounding(name: str, calibrated: bool, bias: bool = False, method: Any = None) -> Step:
    """The step that `Encoder.from_pretrained` takes by itself."""

    def make(folder: Path, options: dict[str, Any], texts: list[str]) -> Encoder:
        return Encoder.from_pretrained(
            folder,
            **options,
            calibrate=texts if calibrated else None,
            method=method or name,
            bias_correction=bias,
        )

    return Step(f"{name}{', texts' * calibrated}{', bias' * bias}", make)


AWQ_GPTQ = Method(METHODS["gptq"].rounding, METHODS["awq"].scaling)
STEPS = [
    rounding("nearest", False),
    rounding("search", False),
    rounding("hqq", False),
    rounding("nearest", True, True),
    rounding("search", True),
    rounding("search", True, True),
    rounding("hqq", True, True),
    rounding("awq", True),
    rounding("awq", True, True),
    rounding("gptq", True),
    rounding("gptq", True, True),
    rounding("awq+gptq", True, True, AWQ_GPTQ),
    Step("distilled", partial(distilled_as, steps=100), trains=True),
]
"""Of formats of four bits."""
INPUTS_TOO = [
    rounding("nearest", False),
    rounding("nearest", True, True),
    rounding("smoothquant", True),
    rounding("smoothquant", True, True),
]
"""Where inputs are rounded as well."""


@dataclass(frozen=True)
class Setting:
    """A packed format as steps of the ladder get it, and these steps."""

    name: str
    options: dict[str, Any]
    steps: list[Step]


SETTINGS = [
    Setting(
        "nf4 g64 double",
        {"format": "nf4", "group_size": 64, "double_quant": True, "embeddings": "nf4"},
        STEPS,
    ),
    Setting("int4 g32", {"format": "int4", "group_size": 32, "embeddings": "nf4"}, STEPS),
    Setting(
        "int4 g32 fp16",
        {"format": "int4", "group_size": 32, "embeddings": "nf4", "scale_dtype": "fp16"},
        STEPS,
    ),
    Setting(
        "int4 g32 fp16 asymmetric",
        {
            "format": "int4",
            "group_size": 32,
            "embeddings": "nf4",
            "scale_dtype": "fp16",
            "symmetric": False,
        },
        [step for step in STEPS if not step.trains],
    ),
    Setting(
        "int8 products",
        {"format": "int8", "group_size": None, "embeddings": "int8", "compute": "int8"},
        INPUTS_TOO,
    ),
]


class Measure:
    """The sentences, the original's vectors of them, and its head."""

    def __init__(self, folder: Path, path: Path, own_head: bool) -> None:
        data = sst2.load(path)
        train, self._labels = data.part(data.train)
        self._held_out, self._answers = data.part(np.concatenate([data.dev, data.test]))
        self.train, self.calibration = train, train[::13]
        self._own_head = own_head
        original = Encoder.from_pretrained(folder)
        self._exact = original.embed(self._held_out)
        self._head = fit_head(original.embed(train), self._labels)
        accuracy = self._accuracy(self._head, self._exact)
        self.original = [f"{original.nbytes / 1e6:.1f} MB", "1", "1", f"{accuracy:.3f}"]

    def of(self, encoder: Encoder) -> list[str]:
        """Cells of the table."""
        vectors = encoder.embed(self._held_out)
        assert np.isfinite(vectors).all()
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        cosines = np.sum(vectors * self._exact, axis=1)
        cells = [
            f"{encoder.nbytes / 1e6:.2f} MB",
            f"{cosines.mean():.4f}",
            f"{cosines.min():.4f}",
            f"{self._accuracy(self._head, vectors):.3f}",
        ]
        if self._own_head:
            head = fit_head(encoder.embed(self.train), self._labels)
            cells[-1] += f" / {self._accuracy(head, vectors):.3f}"
        return cells

    def _accuracy(self, head: np.ndarray, vectors: np.ndarray) -> float:
        return float(((with_one(vectors) @ head > 0) == self._answers).mean())


def with_one(x: np.ndarray) -> np.ndarray:
    """x with a column of ones, for the head's constant."""
    return np.concatenate([x, np.ones((len(x), 1), x.dtype)], axis=1)


def fit_head(vectors: np.ndarray, labels: np.ndarray, decay: float = 1e-3) -> np.ndarray:
    """Weights of a logistic regression, by Newton's method."""
    x = with_one(vectors.astype(np.float64))
    head = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ head))
        gradient = x.T @ (p - labels) / len(x) + decay * head
        curvature = (x.T * (p * (1 - p))) @ x / len(x) + decay * np.eye(len(head))
        head -= np.linalg.solve(curvature, gradient)
    return head


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="sentence TAB 0 or 1")
    parser.add_argument("--model", type=Path, help="BERT-family folder")
    parser.add_argument("--steps", nargs="*", help="names of steps (default: all)")
    parser.add_argument("--formats", nargs="*", help="names of formats (default: all)")
    parser.add_argument("--own-head", action="store_true", help="fit a head to each model too")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    lowbit.set_num_threads(options.threads)
    folder = options.model or find_bundled_model()
    measure = Measure(folder, options.data, options.own_head)
    lines = [["fp32", "", *measure.original, ""]]
    for setting in (s for s in SETTINGS if not options.formats or s.name in options.formats):
        for step in (s for s in setting.steps if not options.steps or s.name in options.steps):
            start = time.perf_counter()
            texts = measure.train if step.trains else measure.calibration
            encoder = step.make(folder, setting.options, texts)
            seconds = time.perf_counter() - start
            lines.append([setting.name, step.name, *measure.of(encoder), f"{seconds:.0f}"])
            print(" | ".join(lines[-1]), flush=True)
    print(f"\n{process.machine()}, {options.threads} threads, {_core.active_isa()}\n")
    headings = ["format", "step", "size", "cosine", "lowest", "accuracy", "s"]
    process.print_table(headings, lines)


if __name__ == "__main__":
    main()
