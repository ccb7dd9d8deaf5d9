"""A linear layer with low-rank adapters in other libraries, W [N, K] frozen.

Each function returns `turns.Subject`s for x [M, K] and (A [r, K], B [N, r], scale), or raises when
its library is missing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from turns import Subject

Adapter = tuple[np.ndarray, np.ndarray, float]


def forward(x: np.ndarray, w: np.ndarray, adapter: Adapter | None) -> np.ndarray:
    """y in double precision."""
    y = x.astype(np.float64) @ w.T.astype(np.float64)
    if adapter is not None:
        a, b, scale = adapter
        y += scale * (x.astype(np.float64) @ a.T) @ b.T
    return y


def backward(dy: np.ndarray, w: np.ndarray, adapter: Adapter) -> np.ndarray:
    """dx in double precision."""
    a, b, scale = adapter
    return dy.astype(np.float64) @ w + scale * (dy.astype(np.float64) @ b) @ a


def torch_layers(
    x: np.ndarray, w: np.ndarray, dy: np.ndarray, adapter: Adapter, threads: int, kind: str
) -> list[Subject]:
    """torch with a dense base, "fp32" or "bf16": alone, with an adapter, forward with backward."""
    import torch

    if kind == "bf16" and len(x) > 16 and not torch.cpu._is_avx512_bf16_supported():
        raise ValueError("torch bf16: minutes for each gradient on this processor")
    torch.set_num_threads(threads)
    dtype, limit = {"fp32": (torch.float32, 1e-5), "bf16": (torch.bfloat16, 2e-2)}[kind]
    tx, tw, tdy = (torch.from_numpy(part).to(dtype) for part in (x, w, dy))
    a, b = (torch.nn.Parameter(torch.from_numpy(part.copy()).to(dtype)) for part in adapter[:2])
    scale, nbytes = adapter[2], tw.numel() * tw.element_size()

    def layer(rows: Any) -> Any:
        return torch.nn.functional.linear(rows, tw) + scale * (rows @ a.T) @ b.T

    def base() -> Any:
        with torch.no_grad():
            return torch.nn.functional.linear(tx, tw)

    def with_adapter() -> Any:
        with torch.no_grad():
            return layer(tx)

    def both() -> Any:
        rows = tx.clone().requires_grad_()
        a.grad = b.grad = None
        layer(rows).backward(tdy)
        return rows.grad

    def array(y: Any) -> np.ndarray:
        return y.float().numpy()

    name = f"torch {kind}"
    return [
        Subject(f"{name}, base", base, forward(x, w, None), limit, nbytes, array),
        Subject(f"{name}, adapter", with_adapter, forward(x, w, adapter), limit, nbytes, array),
        Subject(
            f"{name}, forward + backward", both, backward(dy, w, adapter), limit, nbytes, array
        ),
    ]


def bitsandbytes_layers(
    x: np.ndarray, w: np.ndarray, dy: np.ndarray, adapter: Adapter, threads: int
) -> list[Subject]:
    """A QLoRA layer: Linear4bit (nf4, blocks of 64) with an adapter, forward and backward."""
    import bitsandbytes
    import torch

    torch.set_num_threads(threads)
    base = bitsandbytes.nn.Linear4bit(
        w.shape[1], w.shape[0], bias=False, compute_dtype=torch.float32, quant_type="nf4"
    )
    base.weight = bitsandbytes.nn.Params4bit(
        torch.from_numpy(w), requires_grad=False, quant_type="nf4", blocksize=64
    )
    base = base.to("cpu")
    tx, tdy = torch.from_numpy(x), torch.from_numpy(dy)
    values = bitsandbytes.functional.dequantize_4bit(base.weight, base.weight.quant_state)
    a, b = (torch.nn.Parameter(torch.from_numpy(part.copy())) for part in adapter[:2])

    def both() -> Any:
        rows = tx.clone().requires_grad_()
        a.grad = b.grad = None
        (base(rows) + adapter[2] * (rows @ a.T) @ b.T).backward(tdy)
        return rows.grad

    stored = values.float().numpy().reshape(w.shape)
    name = "bitsandbytes nf4, forward + backward"
    return [Subject(name, both, backward(dy, stored, adapter), 1e-2, w.size * 9 // 16)]


def peft_batch(
    x: np.ndarray, w: np.ndarray, adapters: list[Adapter], rows: np.ndarray, threads: int
) -> list[Subject]:
    """PEFT's mixed batch: every row names its adapter."""
    import peft
    import torch

    torch.set_num_threads(threads)
    linear = torch.nn.Linear(w.shape[1], w.shape[0], bias=False)
    linear.weight = torch.nn.Parameter(torch.from_numpy(w), requires_grad=False)
    rank = len(adapters[0][0])
    config = peft.LoraConfig(r=rank, lora_alpha=rank, target_modules=["0"])
    model = peft.get_peft_model(torch.nn.Sequential(linear), config, adapter_name="0")
    for j in range(1, len(adapters)):
        model.add_adapter(str(j), config)
    layer = model.base_model.model[0]
    for j, (a, b, scale) in enumerate(adapters):
        layer.lora_A[str(j)].weight.data = torch.from_numpy(a.copy())
        layer.lora_B[str(j)].weight.data = torch.from_numpy(scale * b)
    model.eval()
    tx, names = torch.from_numpy(x), [str(j) for j in rows]
    expected = np.stack([forward(x[[i]], w, adapters[j])[0] for i, j in enumerate(rows)])

    def mixed() -> Any:
        with torch.no_grad():
            return model(tx, adapter_names=names)

    def base() -> Any:
        with torch.no_grad():
            return linear(tx)

    return [
        Subject("PEFT fp32, base", base, forward(x, w, None), 1e-5, w.nbytes),
        Subject("PEFT fp32, one adapter a row", mixed, expected, 1e-5, w.nbytes),
    ]
