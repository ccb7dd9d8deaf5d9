"""Attention as torch computes it, on its own layout: texts, heads, tokens, width."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def torch_attention(
    arrays: tuple[np.ndarray, ...], shape: tuple[int, ...], causal: bool, threads: int
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Forward, and forward with the gradients of q, k and v, of arrays q, k, v and dy [M, D]."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    torch.set_num_threads(threads)
    texts, tokens, heads, width = shape
    q, k, v, dy = (
        torch.from_numpy(array.reshape(texts, tokens, heads, width)).transpose(1, 2)
        for array in arrays
    )

    def rows(tensor: torch.Tensor) -> np.ndarray:
        return tensor.detach().transpose(1, 2).reshape(texts * tokens, heads * width).numpy()

    def forward() -> np.ndarray:
        with torch.inference_mode():
            return rows(scaled_dot_product_attention(q, k, v, is_causal=causal))

    def backward() -> list[np.ndarray]:
        inputs = [tensor.detach().requires_grad_() for tensor in (q, k, v)]
        scaled_dot_product_attention(*inputs, is_causal=causal).backward(dy)
        return [rows(tensor.grad) for tensor in inputs]

    return forward, backward
