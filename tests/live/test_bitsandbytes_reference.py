"""NF4 and FP4 of the reference against bitsandbytes on random matrices."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
bnb = pytest.importorskip("bitsandbytes.functional")

from lowbit.reference import quantization  # noqa: E402


@pytest.mark.parametrize("block", [32, 64, 128])
@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("seed", range(3))
def test_codes_scales_and_values(seed, kind, block):
    w = np.random.default_rng(seed).standard_normal((48, 256)).astype(np.float32)
    packed, state = bnb.quantize_4bit(torch.from_numpy(w), blocksize=block, quant_type=kind)
    got = quantization.quantize(w, kind, block)
    pairs = got.codes.reshape(-1, 2)
    assert ((pairs[:, 0] << 4 | pairs[:, 1]) == packed.numpy().reshape(-1)).all()
    assert (got.scales.reshape(-1) == state.absmax.numpy()).all()
    assert (got.dequantize() == bnb.dequantize_4bit(packed, state).numpy()).all()


def test_values_half_way_between_levels_take_the_lower():
    levels = quantization.NF4.astype(np.float32)
    middles = (levels[:-1] + levels[1:]) * np.float32(0.5)
    w = np.concatenate([middles, np.ones(49, np.float32)])[None]
    packed, _ = bnb.quantize_4bit(torch.from_numpy(w), blocksize=64, quant_type="nf4")
    pairs = quantization.quantize(w, "nf4", 64).codes.reshape(-1, 2)
    assert pairs.reshape(-1)[:15].tolist() == list(range(15))
    assert ((pairs[:, 0] << 4 | pairs[:, 1]) == packed.numpy().reshape(-1)).all()
