"""State dicts to and from bitsandbytes itself, on random matrices, by its torch backend."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
bnb = pytest.importorskip("bitsandbytes")

from bitsandbytes import functional  # noqa: E402
from bitsandbytes.backends.default import ops  # noqa: E402

import lowbit as lb  # noqa: E402
from lowbit.files.bitsandbytes_state import from_bitsandbytes, to_bitsandbytes  # noqa: E402

SHAPES = [(1, 64), (3, 96), (5, 80), (7, 37), (1, 33), (16, 256), (33, 192), (2, 1000)]


def matrix(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Edge values among random ones: zeros of both signs, denormals, one huge number."""
    generator = np.random.default_rng(seed)
    w = generator.standard_normal(shape) * np.exp(generator.normal(0, 3, (shape[0], 1)))
    w[generator.random(shape) < 0.1] = 0
    w[generator.random(shape) < 0.02] = -0.0
    w[generator.random(shape) < 0.02] = 1e-40
    w.reshape(-1)[generator.integers(w.size)] = 1e30
    return w.astype(np.float32)


def quantized(w: np.ndarray, block: int, kind: str, nested: bool):
    packed, state = functional.quantize_4bit(
        torch.from_numpy(w), blocksize=block, quant_type=kind, compress_statistics=nested
    )
    tensors = {f"weight.{key}": part.numpy() for key, part in state.as_dict(packed=True).items()}
    return packed, state, tensors | {"weight": packed.numpy()}


def dequantized(packed, state) -> np.ndarray:
    """The native backend is wrong where rows are no whole blocks."""
    absmax = state.absmax
    if state.nested:
        absmax = functional.dequantize_blockwise(absmax, state.state2) + state.offset
    compute = ops._dequantize_4bit_compute.__wrapped__
    flat = packed.reshape(-1)
    values = compute(flat, absmax, state.code, state.blocksize, state.shape, torch.float32)
    return values.numpy().reshape(state.shape)


def values_of(read) -> np.ndarray:
    return read.dequantize() if isinstance(read, lb.QuantizedMatrix) else read


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("block", [32, 64, 128])
@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("nested", [False, True])
def test_what_bitsandbytes_stores_has_its_numbers(shape, block, kind, nested):
    for seed in range(3):
        packed, state, tensors = quantized(matrix(shape, seed), block, kind, nested)
        read = values_of(from_bitsandbytes(tensors, "weight"))
        assert read.tobytes() == dequantized(packed, state).tobytes()


@pytest.mark.parametrize("block", [32, 64, 128, 1024])
@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("nested", [False, True])
def test_a_written_state_is_loaded_by_its_layer(block, kind, nested):
    w = matrix((48, 1024), block)
    q = lb.quantize(w, kind, block, nested)
    written = {k: torch.from_numpy(v) for k, v in to_bitsandbytes(q, "weight").items()}
    parts = {k.removeprefix("weight."): v for k, v in written.items() if k != "weight"}
    loaded = bnb.nn.Params4bit.from_prequantized(written["weight"], parts, device="cpu")
    values = dequantized(loaded.data, loaded.quant_state)
    assert values.tobytes() == q.dequantize().tobytes()
    packed, state, _ = quantized(w, block, kind, False)
    assert np.array_equal(written["weight"].numpy(), packed.numpy())
    if not nested:
        assert np.array_equal(written["weight.absmax"].numpy(), state.absmax.numpy())


@pytest.mark.parametrize("seed", range(5))
def test_int8_codes_and_scales(seed):
    w = np.random.default_rng(seed).standard_normal((20, 77)).astype(np.float32)
    codes, largest, _ = torch.ops.bitsandbytes.int8_vectorwise_quant(torch.from_numpy(w.copy()))
    q = from_bitsandbytes({"a.weight": codes.numpy(), "a.SCB": largest.numpy()}, "a.weight")
    expected = torch.ops.bitsandbytes.int8_vectorwise_dequant(codes, largest).numpy()
    np.testing.assert_allclose(q.dequantize(), expected, rtol=2.4e-7, atol=0)
    assert np.array_equal(lb.quantize(w, "int8", None).codes(), codes.numpy())
    layer = bnb.nn.Linear8bitLt(77, 20, bias=False, has_fp16_weights=False)
    state = {k: torch.from_numpy(np.array(v)) for k, v in to_bitsandbytes(q, "weight").items()}
    assert set(state) == {"weight", "SCB", "weight_format"}
    layer.weight = bnb.nn.Int8Params(state["weight"], requires_grad=False, has_fp16_weights=False)
    layer.weight.SCB = torch.zeros(20)
    layer.load_state_dict(state)
    assert torch.equal(layer.weight.data, codes)
