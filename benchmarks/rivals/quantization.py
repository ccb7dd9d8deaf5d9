"""Rounding to few bits and back in torch, bitsandbytes and gguf: one function per library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np


class Rival(NamedTuple):
    """How one library quantizes and reads back; `error` is the relative error it may have."""

    name: str
    quantize: Callable[[], Any]
    dequantize: Callable[[Any], Any]
    to_numpy: Callable[[Any], np.ndarray]
    error: float


def torch_copy(w: np.ndarray, threads: int) -> Rival:
    """A copy: what quantizing would take if memory alone counted."""
    import torch

    torch.set_num_threads(threads)
    source, target = torch.from_numpy(w), torch.empty(w.shape)
    return Rival("torch copy", lambda: source, target.copy_, np.asarray, 0.0)


def of_torch(w: np.ndarray, threads: int) -> Iterator[Rival]:
    """int8 with a scale for each row."""
    import torch

    torch.set_num_threads(threads)
    tensor = torch.from_numpy(w)
    scales = tensor.abs().amax(1) / 127
    zeros = torch.zeros(len(w), dtype=torch.int64)
    yield Rival(
        "torch per-channel int8",
        lambda: torch.quantize_per_channel(tensor, scales, zeros, 0, torch.qint8),
        lambda q: q.dequantize(),
        np.asarray,
        0.02,
    )


def of_bitsandbytes(w: np.ndarray, threads: int) -> Iterator[Rival]:
    """nf4 and fp4 in blocks of 64, with scales in float32 and in 8 bits."""
    import torch
    from bitsandbytes import functional

    torch.set_num_threads(threads)
    tensor = torch.from_numpy(w)
    for kind, double, error in (("nf4", False, 0.1), ("nf4", True, 0.1), ("fp4", False, 0.125)):
        yield Rival(
            f"bitsandbytes {kind} 64" + (", double" if double else ""),
            lambda kind=kind, double=double: functional.quantize_4bit(
                tensor, blocksize=64, quant_type=kind, compress_statistics=double
            ),
            lambda q: functional.dequantize_4bit(*q),
            np.asarray,
            error,
        )


def of_gguf(w: np.ndarray, threads: int) -> Iterator[Rival]:
    """Q8_0, Q4_0 and MXFP4 of gguf-py, which is NumPy."""
    from gguf import GGMLQuantizationType, quants

    for name, error in (("Q8_0", 0.01), ("Q4_0", 0.09), ("MXFP4", 0.125)):
        kind = GGMLQuantizationType[name]
        yield Rival(
            f"gguf-py {name}",
            lambda kind=kind: quants.quantize(w, kind),
            lambda q, kind=kind: quants.dequantize(q, kind),
            np.asarray,
            error,
        )


def every(w: np.ndarray, threads: int) -> Iterator[Rival]:
    """The rivals that are installed; the others are named."""
    for make in (of_torch, of_bitsandbytes, of_gguf):
        try:
            yield from make(w, threads)
        except ImportError as error:
            print(f"left out: {error}")
