"""Write the golden files of other tools' formats in tests/data, as those tools compute them.

The tests compare lowbit with these files, so they need none of the tools. To make the files again:
pip install gguf llama-cpp-python torch bitsandbytes onnx onnxruntime, then
python tools/make_interchange_goldens.py. The versions are in tests/data/INTERCHANGE_VERSIONS.json.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
from pathlib import Path

import bitsandbytes.functional as bnb
import gguf
import numpy as np
import onnx
import onnxruntime
import torch
from bitsandbytes.backends.default import ops as default_backend

OUT = Path(__file__).resolve().parent.parent / "tests" / "data"
BLOCKS = {
    "Q4_0": (32, 18), "Q4_1": (32, 20), "Q5_0": (32, 22), "Q5_1": (32, 24), "Q8_0": (32, 34),
    "Q4_K": (256, 144), "Q5_K": (256, 176), "Q6_K": (256, 210), "IQ4_NL": (32, 18),
    "MXFP4": (32, 17),
}  # fmt: skip
ROUNDED = ("Q4_0", "Q8_0", "Q4_K", "MXFP4")


def edge_values(generator: np.random.Generator, count: int, width: int) -> np.ndarray:
    """Random runs of many sizes, and those where rounding is decided by a rule: ties, signs, 0."""
    x = generator.standard_normal((count, width)) * np.exp(generator.normal(0, 3, (count, 1)))
    x[0] = 0
    x[1] = 1
    x[2] = -1
    x[3] = np.linspace(-1, 1, width)
    x[4] = np.resize(np.arange(-8, 8), width)
    x[5] = np.resize(np.arange(-127, 128), width) / 2
    x[6] = np.abs(x[6])
    x[7] = -np.abs(x[7])
    x[8, 1:] = 0
    x[9] *= 1e-30
    x[10] = x[10] > 0
    x[11] = 6e-8
    return x.clip(-5e4, 5e4).astype(np.float32)


def write_gguf() -> None:
    """Random blocks with gguf-py's numbers, and numbers with ggml's blocks."""
    generator = np.random.default_rng(11)
    arrays: dict[str, np.ndarray] = {}
    for name, (_, size) in BLOCKS.items():
        blocks = generator.integers(0, 256, (12, size), dtype=np.uint8)
        with np.errstate(all="ignore"):
            values = gguf.dequantize(blocks, gguf.GGMLQuantizationType[name])
        arrays |= {f"blocks/{name}": blocks, f"values/{name}": values}
    for name in ROUNDED:
        x = edge_values(generator, 24, BLOCKS[name][0])
        arrays |= {f"x/{name}": x, f"rounded/{name}": ggml_quantize(name, x)}
    save("gguf_blocks", **arrays)


def ggml_quantize(name: str, x: np.ndarray) -> np.ndarray:
    """x [count, elements of a block] through ggml's reference quantizer."""
    folder = importlib.metadata.distribution("llama-cpp-python").locate_file("llama_cpp/lib")
    quantize = ctypes.CDLL(str(Path(str(folder)) / "libggml-base.so")).ggml_quantize_chunk
    quantize.argtypes = [ctypes.c_int, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 3]
    quantize.argtypes += [ctypes.c_void_p]
    out = np.zeros((len(x), BLOCKS[name][1]), np.uint8)
    code = int(gguf.GGMLQuantizationType[name])
    quantize(code, x.ctypes.data, out.ctypes.data, 0, len(x), x.shape[1], None)
    return out


# Rows, columns, block, type, whether scales are rounded to 8 bits.
BITSANDBYTES_CASES = {
    "plain": (6, 128, 64, "nf4", False),
    "nested": (40, 512, 64, "nf4", True),
    "part": (5, 96, 64, "nf4", False),
    "spanning": (7, 37, 64, "nf4", True),
    "one_row": (1, 100, 64, "nf4", False),
    "fp4": (6, 128, 64, "fp4", True),
}


def write_bitsandbytes() -> None:
    """State dicts of bitsandbytes' torch backend, and what it computes from them."""
    generator = np.random.default_rng(12)
    arrays: dict[str, np.ndarray] = {}
    for case, (rows, cols, block, kind, nested) in BITSANDBYTES_CASES.items():
        w = generator.standard_normal((rows, cols)).astype(np.float16).astype(np.float32)
        w[0, : min(cols, block)] = 0
        packed, state = bnb.quantize_4bit(
            torch.from_numpy(w), blocksize=block, quant_type=kind, compress_statistics=nested
        )
        tensors = {"weight": packed}
        tensors |= {f"weight.{key}": part for key, part in state.as_dict(packed=True).items()}
        arrays |= {f"{case}/{key}": part.numpy() for key, part in tensors.items()}
        arrays |= {
            f"{case}/w": w.astype(np.float16),
            f"{case}/values": dequantize_4bit(packed, state),
        }
    w = generator.standard_normal((9, 70)).astype(np.float32)
    codes, largest, _ = torch.ops.bitsandbytes.int8_vectorwise_quant(torch.from_numpy(w.copy()))
    values = torch.ops.bitsandbytes.int8_vectorwise_dequant(codes, largest)
    arrays |= {"int8/w": w, "int8/weight": codes.numpy(), "int8/SCB": largest.numpy()}
    save("bitsandbytes_state", **arrays, **{"int8/values": values.numpy()})


def dequantize_4bit(packed: torch.Tensor, state: bnb.QuantState) -> np.ndarray:
    """By the torch backend, uncompiled: the native one is wrong where rows are no whole blocks."""
    absmax = state.absmax
    if state.nested:
        absmax = bnb.dequantize_blockwise(absmax, state.state2) + state.offset
    compute = default_backend._dequantize_4bit_compute.__wrapped__
    flat = packed.reshape(-1)
    values = compute(flat, absmax, state.code, state.blocksize, state.shape, torch.float32)
    return values.numpy()


# Bits, block, rows, columns, zero points.
MATMUL_NBITS_CASES = {
    "four": (4, 32, 5, 70, None),
    "four_zeros": (4, 16, 17, 48, np.uint8),
    "four_floats": (4, 32, 3, 96, np.float32),
    "eight": (8, 64, 4, 100, None),
    "eight_zeros": (8, 32, 6, 64, np.uint8),
    "two": (2, 32, 4, 40, np.uint8),
}
# Block, rows, columns, type.
MATMUL_BNB4_CASES = {"nf4": (32, 5, 64, 1), "spanning": (64, 7, 37, 1), "fp4": (16, 3, 33, 0)}


def write_onnx() -> None:
    """Random initialisers, and the product of ONNX Runtime with a matrix of ones and zeros."""
    generator = np.random.default_rng(13)
    arrays: dict[str, np.ndarray] = {}
    for case, (bits, block, rows, cols, zeros) in MATMUL_NBITS_CASES.items():
        blocks = -(-cols // block)
        inputs = {
            "B": generator.integers(0, 256, (rows, blocks, block * bits // 8), dtype=np.uint8),
            "scales": generator.standard_normal((rows, blocks)).astype(np.float32),
        }
        if zeros is np.uint8:
            shape = (rows, -(-blocks * bits // 8))
            inputs["zero_points"] = generator.integers(0, 256, shape, dtype=np.uint8)
        elif zeros is np.float32:
            inputs["zero_points"] = generator.uniform(0, 15, (rows, blocks)).astype(np.float32)
        attributes = {"K": cols, "N": rows, "bits": bits, "block_size": block}
        arrays |= {f"{case}/{name}": array for name, array in inputs.items()}
        arrays[f"{case}/values"] = onnx_weight("MatMulNBits", inputs, attributes)
    for case, (block, rows, cols, kind) in MATMUL_BNB4_CASES.items():
        count = rows * cols
        inputs = {
            "B": generator.integers(0, 256, -(-count // 2), dtype=np.uint8),
            "absmax": generator.standard_normal(-(-count // block)).astype(np.float32),
        }
        attributes = {"K": cols, "N": rows, "block_size": block, "quant_type": kind}
        arrays |= {f"{case}/{name}": array for name, array in inputs.items()}
        arrays[f"{case}/values"] = onnx_weight("MatMulBnb4", inputs, attributes)
    save("onnx_weights", **arrays)


def onnx_weight(
    operator: str, inputs: dict[str, np.ndarray], attributes: dict[str, int]
) -> np.ndarray:
    """The weight [N, K] that an operator multiplies with."""
    make, cols = onnx.helper, attributes["K"]
    node = make.make_node(operator, ["A", *inputs], ["Y"], domain="com.microsoft", **attributes)
    a, y = (
        make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [cols, None]) for name in "AY"
    )
    initialisers = [onnx.numpy_helper.from_array(array, name) for name, array in inputs.items()]
    domains = [make.make_opsetid("", 17), make.make_opsetid("com.microsoft", 1)]
    graph = make.make_graph([node], "weight", [a], [y], initialisers)
    model = make.make_model(graph, opset_imports=domains, ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"A": np.eye(cols, dtype=np.float32)})[0].T.copy()


def save(name: str, **arrays: np.ndarray) -> None:
    np.savez_compressed(OUT / f"{name}.npz", **arrays)
    print(f"{name}.npz: {(OUT / f'{name}.npz').stat().st_size / 1e3:.0f} kB, {len(arrays)} arrays")


def main() -> None:
    write_gguf()
    write_bitsandbytes()
    write_onnx()
    libraries = ("gguf", "llama-cpp-python", "torch", "bitsandbytes", "onnxruntime", "numpy")
    versions = {name: importlib.metadata.version(name) for name in libraries}
    (OUT / "INTERCHANGE_VERSIONS.json").write_text(json.dumps(versions, indent=2) + "\n")


if __name__ == "__main__":
    main()
