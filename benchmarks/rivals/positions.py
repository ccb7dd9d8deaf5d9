"""Rotary positions as transformers turns queries and keys with torch, and what memory gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class TorchRotary:
    """Queries and keys [tokens, heads, head_dim] as a projection leaves them, turned eagerly."""

    def __init__(
        self, q: np.ndarray, k: np.ndarray, base: float, layout: str, bf16: bool, threads: int
    ) -> None:
        import torch

        torch.set_num_threads(threads)
        self.torch = torch
        self.dtype = torch.bfloat16 if bf16 else torch.float32
        self.q, self.k = (torch.from_numpy(x).to(self.dtype)[None].transpose(1, 2) for x in (q, k))
        pairs = 1.0 / base ** (torch.arange(0, q.shape[-1], 2).float() / q.shape[-1])
        angles = torch.arange(len(q)).float()[:, None] * pairs
        both = torch.cat([angles, angles], -1)
        self.cos, self.sin = (f(both).to(self.dtype)[None] for f in (torch.cos, torch.sin))
        self.turn = self._function(layout)

    def _function(self, layout: str) -> Callable:
        if layout == "half":
            from transformers.models.llama.modeling_llama import apply_rotary_pos_emb
        else:
            from transformers.models.glm.modeling_glm import apply_rotary_pos_emb
        return apply_rotary_pos_emb

    def run(self) -> tuple[Any, Any]:
        with self.torch.inference_mode():
            return self.turn(self.q, self.k, self.cos, self.sin)

    def to_numpy(self, result: tuple[Any, Any]) -> np.ndarray:
        """Heads of both, side by side, [tokens, heads, head_dim] in float32."""
        both = self.torch.cat([x[0].transpose(0, 1) for x in result], 1)
        return both.float().numpy()


def in_place_scaling(nbytes: int, threads: int) -> Callable[[], np.ndarray]:
    """x *= 1 by torch on so many bytes: the least that changing them in place can take."""
    import torch

    torch.set_num_threads(threads)
    x = torch.ones(nbytes // 4)
    return lambda: x.mul_(1.0).numpy()


def copying(nbytes: int, threads: int) -> Callable[[], np.ndarray]:
    """A copy by torch of so many bytes to another place."""
    import torch

    torch.set_num_threads(threads)
    source, target = torch.ones(nbytes // 4), torch.zeros(nbytes // 4)
    return lambda: target.copy_(source).numpy()
