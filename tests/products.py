"""Inputs of tests that multiply."""

from __future__ import annotations

import numpy as np

from lowbit import _core

FORMATS = [(entry["name"], entry["packed"]) for entry in _core.formats()]


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Gaussian float32."""
    return rng.standard_normal(shape, dtype=np.float32)


def weight_of(name: str, packed: bool, w: np.ndarray) -> object:
    """`w` as the kernels take it in a format; packed ones in groups of 32."""
    if packed:
        return _core.PackedMatrix.quantize(w, name, 32, False)
    return (w.view(np.uint32) >> 16).astype(np.uint16) if name == "bf16" else w
