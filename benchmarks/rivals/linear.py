"""y = x W^T in other libraries: one function each, which stores W [N, K] the library's own way.

Each returns the `turns.Subject` that multiplies x [M, K], or raises when the library is missing or
has no such kernel here. `expected` comes from the values that the library really stores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from rivals.ggml import ggml_q4_0
from rivals.int8 import onnxruntime_dynamic_int8, onnxruntime_static_int8, torch_static_int8
from turns import Subject


def exact(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """x W^T in double precision."""
    return x.astype(np.float64) @ w.T.astype(np.float64)


def numpy_fp32(x: np.ndarray, w: np.ndarray, threads: int) -> Subject:
    """What NumPy's own BLAS does; its threads are those of the process."""
    return Subject("numpy fp32", lambda: x @ w.T, exact(x, w), 1e-5, w.nbytes)


def _torch(threads: int) -> Any:
    import torch

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    return torch


def _torch_dense(x: np.ndarray, w: np.ndarray, threads: int, name: str, limit: float) -> Subject:
    torch = _torch(threads)
    dtype = getattr(torch, {"fp32": "float32", "bf16": "bfloat16"}[name])
    tx, tw = torch.from_numpy(x).to(dtype), torch.from_numpy(w).to(dtype)
    expected = exact(tx.float().numpy(), tw.float().numpy())
    return Subject(
        f"torch {name}",
        lambda: torch.nn.functional.linear(tx, tw),
        expected,
        limit,
        tw.numel() * tw.element_size(),
        lambda y: y.float().numpy(),
    )


def torch_fp32(x: np.ndarray, w: np.ndarray, threads: int) -> Subject:
    """Dense float32."""
    return _torch_dense(x, w, threads, "fp32", 1e-5)


def torch_bf16(x: np.ndarray, w: np.ndarray, threads: int) -> Subject:
    """Dense bfloat16, inputs and results too."""
    return _torch_dense(x, w, threads, "bf16", 1e-2)


def torch_dynamic_int8(x: np.ndarray, w: np.ndarray, threads: int) -> Subject:
    """int8 weights, inputs rounded to 8 bits in every call."""
    torch = _torch(threads)
    layer = torch.nn.Linear(w.shape[1], w.shape[0], bias=False)
    layer.weight.copy_(torch.from_numpy(w))
    module = torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(layer), {torch.nn.Linear})
    tx = torch.from_numpy(x)
    stored = module[0].weight().dequantize().numpy()
    return Subject(
        "torch dynamic int8",
        lambda: module(tx),
        exact(x, stored),
        3e-2,
        w.size,
        lambda y: y.numpy(),
    )


def _round_to_4_bits(w: np.ndarray, group: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes 0..15 [N, K], scales [N, K / group], and the matrix they stand for."""
    rows, cols = w.shape
    parts = w.reshape(rows, -1, group)
    scales = np.abs(parts).max(axis=2) / 7.0 + 1e-12
    codes = np.clip(np.rint(parts / scales[:, :, None]), -8, 7)
    stored = (codes * scales[:, :, None]).reshape(rows, cols).astype(np.float32)
    return (codes + 8).astype(np.uint8).reshape(rows, cols), scales.astype(np.float32), stored


def torch_int4pack(x: np.ndarray, w: np.ndarray, threads: int) -> Subject:
    """4-bit weights in groups of 32, bfloat16 inputs, as torchao's kernels take them."""
    torch = _torch(threads)
    codes, scales, _ = _round_to_4_bits(w, 32)
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(
        torch.from_numpy(codes.astype(np.int32)), 1
    )
    rounded = torch.from_numpy(scales).bfloat16()
    both = torch.stack([rounded.T, torch.zeros_like(rounded.T)], dim=2).contiguous()
    tx = torch.from_numpy(x).bfloat16()
    stored = (codes.astype(np.float32) - 8) * np.repeat(rounded.float().numpy(), 32, axis=1)
    return Subject(
        "torch int4pack g32",
        lambda: torch.ops.aten._weight_int4pack_mm_for_cpu(tx, packed, 32, both),
        exact(tx.float().numpy(), stored),
        1e-2,
        w.size // 2 + both.numel() * 2,
        lambda y: y.float().numpy(),
    )


def bitsandbytes_nf4(x: np.ndarray, w: np.ndarray, threads: int) -> Subject:
    """Linear4bit in blocks of 64, as its inference runs."""
    torch = _torch(threads)
    import bitsandbytes

    layer = bitsandbytes.nn.Linear4bit(
        w.shape[1], w.shape[0], bias=False, compute_dtype=torch.float32, quant_type="nf4"
    )
    layer.weight = bitsandbytes.nn.Params4bit(
        torch.from_numpy(w), requires_grad=False, quant_type="nf4", blocksize=64
    )
    layer = layer.to("cpu").eval()
    tx = torch.from_numpy(x)
    # Read before the first call, which on AVX-512 with bf16 reorders the codes.
    state = layer.weight.quant_state
    stored = bitsandbytes.functional.dequantize_4bit(layer.weight, state).float().numpy()
    layer(tx)
    return Subject(
        "bitsandbytes nf4 g64",
        lambda: layer(tx),
        exact(x, stored.reshape(w.shape)),
        1e-2,
        w.size // 2 + w.size // 16,
        lambda y: y.float().numpy(),
    )


def _onnxruntime(x: np.ndarray, w: np.ndarray, threads: int, level: int, limit: float) -> Subject:
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    rows, cols = w.shape
    codes, scales, stored = _round_to_4_bits(w, 32)
    pairs = (codes[:, ::2] | codes[:, 1::2] << 4).reshape(rows, cols // 32, 16)
    node = helper.make_node(
        "MatMulNBits",
        ["x", "codes", "scales"],
        ["y"],
        domain="com.microsoft",
        K=cols,
        N=rows,
        bits=4,
        block_size=32,
        accuracy_level=level,
    )
    graph = helper.make_graph(
        [node],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, cols])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, rows])],
        [numpy_helper.from_array(pairs, "codes"), numpy_helper.from_array(scales, "scales")],
    )
    sets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=sets, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    kind = {0: "fp32", 4: "int8 inputs"}[level]
    return Subject(
        f"onnxruntime int4 g32, {kind}",
        lambda: session.run(None, {"x": x})[0],
        exact(x, stored),
        limit,
        pairs.nbytes + scales.nbytes,
    )


def onnxruntime_int4(x: np.ndarray, w: np.ndarray, threads: int) -> Subject:
    """MatMulNBits with float32 inputs."""
    return _onnxruntime(x, w, threads, 0, 1e-4)


def onnxruntime_int4_int8(x: np.ndarray, w: np.ndarray, threads: int) -> Subject:
    """MatMulNBits with inputs rounded to 8 bits (accuracy level 4), its fastest."""
    return _onnxruntime(x, w, threads, 4, 3e-2)


RIVALS: list[Callable[[np.ndarray, np.ndarray, int], Subject]] = [
    numpy_fp32,
    torch_fp32,
    torch_bf16,
    torch_dynamic_int8,
    torch_static_int8,
    torch_int4pack,
    bitsandbytes_nf4,
    onnxruntime_int4,
    onnxruntime_int4_int8,
    onnxruntime_dynamic_int8,
    onnxruntime_static_int8,
    ggml_q4_0,
]
