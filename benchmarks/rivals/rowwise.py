"""Row-wise operations as torch computes them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def torch_operations(
    x: np.ndarray, gamma: np.ndarray, threads: int
) -> dict[str, Callable[[], np.ndarray]]:
    """The operations of bench_rowwise by name, on torch's own copy of x."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(threads)
    rows, scale = torch.from_numpy(x), torch.from_numpy(gamma)
    shape = (x.shape[1],)
    operations = {
        "softmax": lambda: torch.softmax(rows, -1),
        "layer_norm": lambda: functional.layer_norm(rows, shape, scale, scale, 1e-5),
        "rms_norm": lambda: functional.rms_norm(rows, shape, scale, 1e-6),
        "gelu": lambda: functional.gelu(rows),
        "gelu tanh": lambda: functional.gelu(rows, approximate="tanh"),
        "silu": lambda: functional.silu(rows),
    }

    def run(operation: Callable[[], torch.Tensor]) -> np.ndarray:
        with torch.inference_mode():
            return operation().numpy()

    return {name: lambda f=f: run(f) for name, f in operations.items()}
