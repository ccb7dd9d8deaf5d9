"""y = x W^T in int8 in other libraries, x in float32 and rounded in every call.

Weights have a scale a row. Inputs have one for all of x: static, so known beforehand, or dynamic,
found in the call.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from turns import Subject

TOLERANCE = 3e-2


def round_weights(w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """int8 codes [N, K], scales [N], and float64 values of both."""
    scales = (np.abs(w).max(axis=1) / 127).astype(np.float32)
    codes = np.rint(w / scales[:, None]).astype(np.int8)
    return codes, scales, codes * scales[:, None].astype(np.float64)


def scale_of(x: np.ndarray) -> float:
    """Symmetric, for 127 codes on each side."""
    return float(np.abs(x).max() / 127)


def torch_static_int8(x: np.ndarray, w: np.ndarray, threads: int) -> Subject:
    """torch's statically quantized Linear, whose result is in 8 bits too, and made float32 again.

    Its functions with a float32 result take longer.
    """
    import torch

    torch.set_num_threads(threads)
    warnings.filterwarnings("ignore", message="torch.quantize_per_tensor")  # deprecated
    _, scales, stored = round_weights(w)
    expected = x.astype(np.float64) @ stored.T
    zeros = torch.zeros(len(w), dtype=torch.int64)
    exact = torch.from_numpy(stored.astype(np.float32))
    packed = torch.ops.quantized.linear_prepack(
        torch.quantize_per_channel(exact, torch.from_numpy(scales), zeros, 0, torch.qint8), None
    )
    tx, scale, of_results = torch.from_numpy(x), scale_of(x), scale_of(expected)

    def run() -> Any:
        codes = torch.quantize_per_tensor(tx, scale, 128, torch.quint8)
        return torch.ops.quantized.linear(codes, packed, of_results, 128).dequantize()

    return Subject("torch static int8", run, expected, TOLERANCE, w.size, lambda y: y.numpy())


def _onnxruntime(
    name: str, nodes: list[Any], x: np.ndarray, w: np.ndarray, threads: int
) -> Subject:
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    codes, scales, stored = round_weights(w)
    used = {name for _, given, _, _ in nodes for name in given}
    constants = {
        "w": np.ascontiguousarray(codes.T),
        "w_scale": scales,
        "x_scale": np.array(scale_of(x), np.float32),
        "x_zero": np.array(128, np.uint8),
    }
    graph = helper.make_graph(
        [helper.make_node(kind, given, [to], domain=domain) for kind, given, to, domain in nodes],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, w.shape[1]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, w.shape[0]])],
        [numpy_helper.from_array(array, key) for key, array in constants.items() if key in used],
    )
    sets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=sets, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    expected = x.astype(np.float64) @ stored.T
    return Subject(
        f"onnxruntime {name} int8",
        lambda: session.run(None, {"x": x})[0],
        expected,
        TOLERANCE,
        w.size,
    )


def onnxruntime_dynamic_int8(x: np.ndarray, w: np.ndarray, threads: int) -> Subject:
    """DynamicQuantizeMatMul, which its optimizer makes of dynamically quantized models."""
    node = ("DynamicQuantizeMatMul", ["x", "w", "w_scale"], "y", "com.microsoft")
    return _onnxruntime("dynamic", [node], x, w, threads)


def onnxruntime_static_int8(x: np.ndarray, w: np.ndarray, threads: int) -> Subject:
    """QuantizeLinear and MatMulIntegerToFloat, of statically quantized models."""
    nodes = [
        ("QuantizeLinear", ["x", "x_scale", "x_zero"], "q", ""),
        (
            "MatMulIntegerToFloat",
            ["q", "w", "x_scale", "w_scale", "x_zero"],
            "y",
            "com.microsoft",
        ),
    ]
    return _onnxruntime("static", nodes, x, w, threads)
