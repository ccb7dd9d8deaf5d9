"""Weights of MatMulNBits and MatMulBnb4 as ONNX Runtime multiplies with them, and written ones."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

import lowbit as lb  # noqa: E402
from lowbit.files.onnx_weights import (  # noqa: E402
    from_matmul_bnb4,
    from_matmul_nbits,
    to_matmul_bnb4,
    to_matmul_nbits,
)

SHAPES = [(5, 70), (16, 256), (33, 300), (1, 16), (2, 1000)]


def weight_of(operator: str, inputs: dict, attributes: dict) -> np.ndarray:
    """The weight [N, K] of an operator: its product with the unit matrix, which rounds nothing."""
    make, cols = onnx.helper, attributes["K"]
    node = make.make_node(operator, ["A", *inputs], ["Y"], domain="com.microsoft", **attributes)
    a, y = (
        make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [cols, None]) for name in "AY"
    )
    initialisers = [onnx.numpy_helper.from_array(array, name) for name, array in inputs.items()]
    domains = [make.make_opsetid("", 17), make.make_opsetid("com.microsoft", 1)]
    graph = make.make_graph([node], "weight", [a], [y], initialisers)
    model = make.make_model(graph, opset_imports=domains, ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {"A": np.eye(cols, dtype=np.float32)})[0].T


def values_of(read) -> np.ndarray:
    return read.dequantize() if isinstance(read, lb.QuantizedMatrix) else read


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("block", [16, 32, 64, 128, 256])
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("zeros", ["none", "uint8", "float"])
def test_matmul_nbits(shape, block, bits, zeros):
    if bits == 8 and zeros == "float":
        pytest.skip("ONNX Runtime has no float zero points of 8 bits on a CPU")
    (rows, cols), generator = shape, np.random.default_rng(block + bits)
    blocks = -(-cols // block)
    inputs = {
        "B": generator.integers(0, 256, (rows, blocks, block * bits // 8), dtype=np.uint8),
        "scales": generator.standard_normal((rows, blocks)).astype(np.float32),
    }
    if zeros == "uint8":
        packed = (rows, -(-blocks * bits // 8))
        inputs["zero_points"] = generator.integers(0, 256, packed, dtype=np.uint8)
    elif zeros == "float":
        inputs["zero_points"] = generator.uniform(0, 15, (rows, blocks)).astype(np.float32)
    attributes = {"K": cols, "N": rows, "bits": bits, "block_size": block}
    expected = weight_of("MatMulNBits", inputs, attributes)
    read = from_matmul_nbits(*inputs.values(), cols=cols, block_size=block, bits=bits)
    assert np.array_equal(values_of(read), expected)


@pytest.mark.parametrize("shape", [(5, 64), (7, 37), (16, 256), (1, 100), (33, 96)])
@pytest.mark.parametrize("block", [16, 32, 64, 128])
@pytest.mark.parametrize("kind", [0, 1])
def test_matmul_bnb4(shape, block, kind):
    (rows, cols), generator = shape, np.random.default_rng(block)
    inputs = {
        "B": generator.integers(0, 256, -(-rows * cols // 2), dtype=np.uint8),
        "absmax": generator.standard_normal(-(-rows * cols // block)).astype(np.float32),
    }
    attributes = {"K": cols, "N": rows, "block_size": block, "quant_type": kind}
    expected = weight_of("MatMulBnb4", inputs, attributes)
    sizes = {"rows": rows, "cols": cols, "block_size": block, "quant_type": kind}
    assert np.array_equal(values_of(from_matmul_bnb4(*inputs.values(), **sizes)), expected)


@pytest.mark.parametrize("format", ["int4", "int8", "nf4"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("group_size", [16, 32, 128, 512, None])
def test_what_is_written_is_multiplied_with(format, shape, group_size):
    w = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    q = lb.quantize(w, format, group_size)
    if format == "nf4":
        if shape[1] % 16:
            pytest.skip("rows are no whole blocks")
        node, operator = to_matmul_bnb4(q), "MatMulBnb4"
    else:
        node, operator = to_matmul_nbits(q), "MatMulNBits"
    inputs = {name: node.pop(name) for name in ("B", "scales", "absmax") if name in node}
    assert np.array_equal(weight_of(operator, inputs, node), q.dequantize())
