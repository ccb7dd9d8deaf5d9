"""Affine codes bit for bit against torch and ONNX Runtime."""

import numpy as np
import pytest

from lowbit.quantization.affine import (
    AffineParams,
    dequantize_linear,
    fake_quantize,
    fake_quantize_backward,
    learned_step_backward,
    quantize_linear,
)

torch = pytest.importorskip("torch")

RANGES = [(0, 255), (-128, 127), (-127, 127), (0, 15), (-8, 7), (0, 1), (0, 65535)]
SEEDS = range(20)


def drawn(seed: int, slices: int, low: int, high: int) -> tuple[np.ndarray, AffineParams]:
    """Values [slices, 300], and params of any size; every tenth value near a tie or far out."""
    rng = np.random.default_rng([seed, slices, high])
    scale = np.exp(rng.uniform(-20, 20, slices)).astype(np.float32)
    zero = rng.integers(low, high + 1, slices)
    width = (high - low) * scale[:, None].astype(np.float64)
    x = rng.uniform(-1.2, 1.2, (slices, 300)) * width
    x[:, :100] = (rng.integers(low, high, (slices, 100)) + 0.5) * scale[:, None]
    x[:, 100:110] *= 10.0 ** rng.uniform(-30, 8, (slices, 10))
    x[:, 110:113] = (0.0, -0.0, 1e-45)
    return x.astype(np.float32), AffineParams(scale, zero, low, high)


def same_bits(got: np.ndarray, expected: np.ndarray) -> bool:
    return bool((got.view(np.uint32) == expected.view(np.uint32)).all())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("low", "high"), RANGES)
def test_fake_quantize_has_the_bits_of_torch(low, high, seed):
    x, params = drawn(seed, 5, low, high)
    dy = np.random.default_rng(seed).standard_normal(x.shape).astype(np.float32)
    for axis, arrays in ((0, (x, dy)), (1, (x.T.copy(), dy.T.copy()))):
        tx = torch.from_numpy(arrays[0]).requires_grad_()
        zero = torch.from_numpy(params.zero_point)
        ty = torch.fake_quantize_per_channel_affine(
            tx, torch.from_numpy(params.scale), zero, axis, low, high
        )
        ty.backward(torch.from_numpy(arrays[1]))
        assert same_bits(fake_quantize(arrays[0], params, axis), ty.detach().numpy())
        got = fake_quantize_backward(arrays[1], arrays[0], params, axis)
        assert same_bits(got, tx.grad.numpy())
    for row, gradient, scale, zero in zip(x, dy, params.scale, params.zero_point, strict=True):
        one = AffineParams(scale, zero, low, high)
        tx = torch.from_numpy(row).requires_grad_()
        ty = torch.fake_quantize_per_tensor_affine(tx, float(scale), int(zero), low, high)
        ty.backward(torch.from_numpy(gradient))
        assert same_bits(fake_quantize(row, one), ty.detach().numpy())
        assert same_bits(fake_quantize_backward(gradient, row, one), tx.grad.numpy())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("low", "high"), RANGES)
def test_learned_steps_have_the_gradients_of_torch(low, high, seed):
    x, params = drawn(seed, 5, low, high)
    # torch rounds x / scale + zero point as one here, so an odd zero point turns ties round.
    if seed % 2 == 0:
        x = x[:, 100:].copy()
    else:
        params = AffineParams(params.scale, np.full(5, max(low, 0)), low, high)
    dy = np.random.default_rng(seed).standard_normal(x.shape).astype(np.float32)
    dx, dscale = learned_step_backward(dy, x, params, 0, factor=0.25)
    tx, scale = torch.from_numpy(x).requires_grad_(), torch.from_numpy(params.scale)
    scale, zero = scale.requires_grad_(), torch.from_numpy(params.zero_point).float()
    rest = (low, high, 0.25)
    ty = torch._fake_quantize_learnable_per_channel_affine(tx, scale, zero, 0, *rest)
    ty.backward(torch.from_numpy(dy))
    assert same_bits(dx, tx.grad.numpy())
    # torch adds in float32.
    size = 0.25 * (high - low) * np.sum(np.abs(dy))
    np.testing.assert_allclose(dscale, scale.grad.numpy(), rtol=1e-5, atol=1e-6 * size)
    # The backward of torch's per-tensor function takes a zero point of -5 for -4.
    for k in np.flatnonzero(params.zero_point >= 0):
        one = [torch.from_numpy(a[k : k + 1]) for a in (params.scale, params.zero_point)]
        leaf, step = torch.from_numpy(x[k]).requires_grad_(), one[0].requires_grad_()
        ty = torch._fake_quantize_learnable_per_tensor_affine(leaf, step, one[1].float(), *rest)
        ty.backward(torch.from_numpy(dy[k]))
        assert same_bits(dx[k], leaf.grad.numpy())
        np.testing.assert_allclose(dscale[k], step.grad.numpy()[0], rtol=1e-5, atol=1e-6 * size)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_codes_are_those_of_onnx_runtime(dtype, seed):
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    info = np.iinfo(dtype)
    x, params = drawn(seed, 5, int(info.min), int(info.max))
    helper, types = onnx.helper, onnx.TensorProto
    kind = getattr(types, dtype.upper())
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["codes"], axis=0),
        helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["y"], axis=0),
    ]
    graph = helper.make_graph(
        nodes,
        "affine",
        [helper.make_tensor_value_info("x", types.FLOAT, x.shape)],
        [helper.make_tensor_value_info(*o, x.shape) for o in (("codes", kind), ("y", types.FLOAT))],
        [
            onnx.numpy_helper.from_array(params.scale, "scale"),
            onnx.numpy_helper.from_array(params.zero_point.astype(dtype), "zero"),
        ],
    )
    opset = [helper.make_opsetid("", 21)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    codes, y = session.run(None, {"x": x})
    got = quantize_linear(x, params, 0)
    assert got.dtype == codes.dtype and (got == codes).all()
    assert same_bits(dequantize_linear(got, params, 0), y)
