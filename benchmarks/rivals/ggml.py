"""y = x W^T in ggml, llama.cpp's library: Q4_0 weights, inputs rounded to 8 bits in every call.

ggml comes as shared libraries inside the package llama-cpp-python, which compiles them for the
machine it is installed on; its C functions are called directly. Weights are repacked as llama.cpp
repacks them, where it does on this processor.
"""

from __future__ import annotations

import ctypes
from ctypes import c_bool, c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path
from typing import Any

import numpy as np
from turns import Subject

F32, Q4_0 = 0, 2  # enum ggml_type
BLOCK = 32


class _InitParams(ctypes.Structure):
    _fields_ = (("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool))


# Function -> its result and arguments.
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "ggml_init": (c_void_p, [_InitParams]),
    "ggml_new_tensor_2d": (c_void_p, [c_void_p, c_int, c_int64, c_int64]),
    "ggml_mul_mat": (c_void_p, [c_void_p, c_void_p, c_void_p]),
    "ggml_new_graph": (c_void_p, [c_void_p]),
    "ggml_build_forward_expand": (None, [c_void_p, c_void_p]),
    "ggml_quantize_chunk": (
        c_size_t,
        [c_int, c_void_p, c_void_p, c_int64, c_int64, c_int64, c_void_p],
    ),
    "ggml_backend_alloc_ctx_tensors": (c_void_p, [c_void_p, c_void_p]),
    "ggml_backend_alloc_ctx_tensors_from_buft": (c_void_p, [c_void_p, c_void_p]),
    "ggml_backend_tensor_set": (None, [c_void_p, c_void_p, c_size_t, c_size_t]),
    "ggml_backend_tensor_get": (None, [c_void_p, c_void_p, c_size_t, c_size_t]),
    "ggml_backend_graph_compute": (c_int, [c_void_p, c_void_p]),
    "ggml_backend_reg_get_proc_address": (c_void_p, [c_void_p, c_char_p]),
    "ggml_backend_reg_dev_get": (c_void_p, [c_void_p, c_size_t]),
    "ggml_backend_buft_name": (c_char_p, [c_void_p]),
    "ggml_backend_cpu_init": (c_void_p, []),
    "ggml_backend_cpu_reg": (c_void_p, []),
    "ggml_backend_cpu_set_n_threads": (None, [c_void_p, c_int]),
}


class _Ggml:
    """The functions of `_SIGNATURES` as attributes."""

    def __init__(self) -> None:
        import llama_cpp

        folder = Path(llama_cpp.__file__).parent / "lib"
        libraries = [
            ctypes.CDLL(str(folder / f"lib{name}.so"), mode=ctypes.RTLD_GLOBAL)
            for name in ("ggml-base", "ggml-cpu")
        ]
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(next(lib for lib in libraries if hasattr(lib, name)), name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

    def context(self) -> c_void_p:
        """Room for a few tensors and a graph, without their data."""
        return self.ggml_init(_InitParams(1 << 20, None, True))

    def repacking_buffer_type(self) -> tuple[c_void_p | None, str]:
        """The kind of memory in which weights are laid out anew, if there is one, and its name."""
        registry = self.ggml_backend_cpu_reg()
        address = self.ggml_backend_reg_get_proc_address(
            registry, b"ggml_backend_dev_get_extra_bufts"
        )
        if not address:
            return None, "as stored"
        kinds = ctypes.CFUNCTYPE(ctypes.POINTER(c_void_p), c_void_p)(address)(
            self.ggml_backend_reg_dev_get(registry, 0)
        )
        if not kinds or not kinds[0]:
            return None, "as stored"
        return kinds[0], self.ggml_backend_buft_name(kinds[0]).decode()


def _stored(blocks: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The matrix that Q4_0 blocks stand for: a half, then 16 bytes with element i and i + 16."""
    blocks = blocks.reshape(-1, 2 + BLOCK // 2)
    scales = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    codes = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1)
    return ((codes.astype(np.float32) - 8) * scales).reshape(shape)


def ggml_q4_0(x: np.ndarray, w: np.ndarray, threads: int) -> Subject:
    """Q4_0, four bits in blocks of 32."""
    ggml = _Ggml()
    (rows, cols), count = w.shape, len(x)
    blocks = np.empty(w.size // BLOCK * (2 + BLOCK // 2), np.uint8)
    ggml.ggml_quantize_chunk(Q4_0, w.ctypes.data, blocks.ctypes.data, 0, rows, cols, None)

    backend = ggml.ggml_backend_cpu_init()
    ggml.ggml_backend_cpu_set_n_threads(backend, threads)
    weights, others = ggml.context(), ggml.context()
    weight = ggml.ggml_new_tensor_2d(weights, Q4_0, cols, rows)
    kind, layout = ggml.repacking_buffer_type()
    if kind is None or not ggml.ggml_backend_alloc_ctx_tensors_from_buft(weights, kind):
        ggml.ggml_backend_alloc_ctx_tensors(weights, backend)
    ggml.ggml_backend_tensor_set(weight, blocks.ctypes.data, 0, blocks.nbytes)
    inputs = ggml.ggml_new_tensor_2d(others, F32, cols, count)
    product = ggml.ggml_mul_mat(others, weight, inputs)
    graph = ggml.ggml_new_graph(others)
    ggml.ggml_build_forward_expand(graph, product)
    ggml.ggml_backend_alloc_ctx_tensors(others, backend)
    ggml.ggml_backend_tensor_set(inputs, x.ctypes.data, 0, x.nbytes)
    y = np.empty((count, rows), np.float32)

    def fetch(status: int) -> np.ndarray:
        assert status == 0
        ggml.ggml_backend_tensor_get(product, y.ctypes.data, 0, y.nbytes)
        return y

    expected = x.astype(np.float64) @ _stored(blocks, w.shape).T.astype(np.float64)
    return Subject(
        f"ggml Q4_0, {layout}",
        lambda: ggml.ggml_backend_graph_compute(backend, graph),
        expected,
        3e-2,
        blocks.nbytes,
        fetch,
    )
