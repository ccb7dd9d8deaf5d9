"""Inputs of tests that multiply."""

from __future__ import annotations

import numpy as np

from lowbit import _core
from lowbit.arrays import float32_to_bf16

FORMATS = [(entry["name"], entry["packed"]) for entry in _core.formats()]


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Gaussian float32."""
    return rng.standard_normal(shape, dtype=np.float32)


def weight_of(name: str, packed: bool, w: np.ndarray) -> object:
    """`w` as the kernels take it in a format; packed ones in groups of 32."""
    if packed:
        return _core.PackedMatrix.quantize(w, name, 32, False)
    return {"fp32": w, "bf16": float32_to_bf16(w), "fp16": w.astype(np.float16)}[name]
