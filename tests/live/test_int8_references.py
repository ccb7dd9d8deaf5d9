"""Static int8 products, integer for integer, against torch and ONNX Runtime.

Scales are powers of two, so nothing but the integers is rounded.
"""

import numpy as np
import pytest

import lowbit as lb
from lowbit.quantization import AffineParams, quantize_linear

SHAPES = [(1, 16, 64), (7, 33, 100), (40, 20, 1500), (32, 64, 4096)]
SCALE, STEPS = 0.25, np.array([0.125, 0.25, 0.5, 1, 2], np.float32)


def case(
    shape: tuple[int, int, int], zero_point: int, low: int, high: int
) -> tuple[np.ndarray, AffineParams, np.ndarray, np.ndarray]:
    """x with codes over the whole range, its params, weights as int8 [N, K], and their scales."""
    rows, outputs, inputs = shape
    rng = np.random.default_rng([inputs, high - zero_point])
    x = ((rng.integers(low, high + 1, (rows, inputs)) - zero_point) * SCALE).astype(np.float32)
    w = rng.integers(-127, 128, (outputs, inputs)).astype(np.int8)
    return x, AffineParams(SCALE, zero_point, low, high), w, rng.choice(STEPS, outputs)


def product(x: np.ndarray, params: AffineParams, w: np.ndarray, scales: np.ndarray) -> np.ndarray:
    q = lb.QuantizedMatrix.from_codes("int8", w, scales[:, None], None)
    return lb.linear(x, q, compute="int8", x_scale=params)


def run_onnx(operator: str, inputs: dict[str, np.ndarray], kind: str) -> np.ndarray:
    """The only result of one operator."""
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    make = onnx.helper
    types = {name: make.np_dtype_to_tensor_dtype(array.dtype) for name, array in inputs.items()}
    given = [make.make_tensor_value_info(n, types[n], a.shape) for n, a in inputs.items()]
    result = make.make_tensor_value_info("Y", getattr(onnx.TensorProto, kind), None)
    graph = make.make_graph(
        [make.make_node(operator, list(inputs), ["Y"])], "product", given, [result]
    )
    opset = [make.make_opsetid("", 21)]
    model = make.make_model(graph, opset_imports=opset, ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, inputs)[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("zero_point", "low", "high"), [(0, -127, 127), (-90, -127, 127), (17, 0, 254), (127, 0, 127)]
)
def test_matmul_integer_of_onnx(shape, zero_point, low, high):
    x, params, w, scales = case(shape, zero_point, low, high)
    codes = quantize_linear(x, params)
    inputs = {"A": codes, "B": np.ascontiguousarray(w.T), "z": np.array(zero_point, codes.dtype)}
    sums = run_onnx("MatMulInteger", inputs, "INT32")
    assert np.abs(sums).max() < 2**24  # so float32 has them all
    assert np.array_equal(product(x, params, w, scales), sums * (scales * np.float32(SCALE)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("zero_point", [0, -90])
def test_qlinear_matmul_of_onnx(shape, zero_point):
    x, params, w, scales = case(shape, zero_point, -127, 127)
    out = AffineParams(float(2 ** np.ceil(np.log2(shape[2]))), 11, -128, 127)
    inputs = {
        "a": quantize_linear(x, params),
        "a_scale": params.scale,
        "a_zero_point": np.array(zero_point, np.int8),
        "b": np.ascontiguousarray(w.T),
        "b_scale": scales,
        "b_zero_point": np.zeros(len(w), np.int8),
        "y_scale": out.scale,
        "y_zero_point": np.array(11, np.int8),
    }
    expected = run_onnx("QLinearMatMul", inputs, "INT8")
    got = quantize_linear(product(x, params, w, scales), out)
    assert len(np.unique(got)) > min(8, got.size // 2)
    assert np.array_equal(got, expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_integer_product_of_torch(shape):
    torch = pytest.importorskip("torch")
    x, params, w, scales = case(shape, 0, -127, 127)
    codes = torch.from_numpy(quantize_linear(x, params))
    sums = torch._int_mm(codes, torch.from_numpy(w).T.contiguous()).numpy()
    assert np.array_equal(product(x, params, w, scales), sums * (scales * np.float32(SCALE)))


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")  # deprecated
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("zero_point", [0, 40])
def test_quantized_linear_of_torch(shape, zero_point):
    """Seven bits, as torch's observers choose them: with eight, some processors saturate."""
    torch = pytest.importorskip("torch")
    x, params, w, scales = case(shape, zero_point, 0, 127)
    out = AffineParams(float(2 ** np.ceil(np.log2(shape[2]))), 128, 0, 255)
    tx = torch.quantize_per_tensor(torch.from_numpy(x), SCALE, zero_point, torch.quint8)
    exact = torch.from_numpy(w.astype(np.float32) * scales[:, None])
    zeros = torch.zeros(len(w), dtype=torch.int64)
    tw = torch.quantize_per_channel(exact, torch.from_numpy(scales).double(), zeros, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(tw, None)
    expected = torch.ops.quantized.linear(tx, packed, float(out.scale), 128).int_repr().numpy()
    assert np.array_equal(quantize_linear(product(x, params, w, scales), out), expected)
