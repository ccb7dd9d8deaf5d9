"""Rounding in training, and its gradients, against torch's fake quantization."""

import numpy as np
import pytest

from lowbit.quantization import QatConfig
from lowbit.quantization.qat import WeightRounding

torch = pytest.importorskip("torch")

KINDS = [("int8", None), ("int4", None), ("int4", 3), ("int4", 2)]
SEEDS = range(10)
COLUMNS, GROUP = 160, 32


def same_bits(got: np.ndarray, expected: np.ndarray) -> bool:
    return bool((got == expected).all())


def in_groups(w: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(w.reshape(-1, GROUP))


def drawn(seed: int, kind: tuple[str, int | None], learned: bool):
    """A rounding and weights [N, COLUMNS], some of them beyond the ends of learned steps."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((24, COLUMNS), dtype=np.float32) * np.float32(0.05)
    rounding = WeightRounding(QatConfig(kind[0], GROUP, learned_step=learned, bits=kind[1]), w)
    w += rng.standard_normal(w.shape, dtype=np.float32) * np.float32(0.02)
    return rounding, w, rng.standard_normal(w.shape, dtype=np.float32)


def ends_for(scale: np.ndarray, config: QatConfig) -> list[tuple[np.ndarray, int, int]]:
    """Groups by the sign of their scale: torch wants it positive, so codes are turned round."""
    first, last = (int(end) for end in config.levels[[0, -1]])
    found = [(scale > 0, first, last), (scale < 0, -last, -first)]
    return [entry for entry in found if entry[0].any()]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_rounded_weights_and_their_gradients_are_those_of_torch(kind, seed):
    rounding, w, dy = drawn(seed, kind, learned=False)
    rounded = rounding.forward(w)
    dw, _ = rounding.backward(dy, w, rounded)
    scale = rounded.scales().reshape(-1)
    got, got_dw, seen = in_groups(rounded.dequantize()), in_groups(dw), 0
    for groups, first, last in ends_for(scale, rounding.config):
        leaf = torch.from_numpy(in_groups(w)[groups]).requires_grad_()
        step = torch.from_numpy(np.abs(scale[groups]))
        zero = torch.zeros(len(step), dtype=torch.int32)
        y = torch.fake_quantize_per_channel_affine(leaf, step, zero, 0, first, last)
        y.backward(torch.from_numpy(in_groups(dy)[groups]))
        # The kernels divide by the extreme and torch by the scale, so a tie may go either way.
        apart = got[groups] != y.detach().numpy()
        assert apart.mean() < 1e-3
        assert same_bits(got_dw[groups], leaf.grad.numpy())
        seen += len(step)
    assert seen == len(scale)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_learned_steps_have_the_gradients_of_torch(kind, seed):
    rounding, w, dy = drawn(seed, kind, learned=True)
    log_step = 0.2 * np.random.default_rng(seed).standard_normal(rounding.first_scales.shape)
    log_step = log_step.astype(np.float32)
    rounded = rounding.forward(w, log_step)
    dw, dstep = rounding.backward(dy, w, rounded, log_step)
    scale, dstep = rounded.scales().reshape(-1), dstep.reshape(-1)
    for groups, first, last in ends_for(scale, rounding.config):
        leaf = torch.from_numpy(in_groups(w)[groups]).requires_grad_()
        step = torch.from_numpy(np.abs(scale[groups])).requires_grad_()
        zero = torch.zeros(len(step))
        y = torch._fake_quantize_learnable_per_channel_affine(leaf, step, zero, 0, first, last, 1.0)
        y.backward(torch.from_numpy(in_groups(dy)[groups]))
        assert same_bits(in_groups(rounded.dequantize())[groups], y.detach().numpy())
        assert same_bits(in_groups(dw)[groups], leaf.grad.numpy())
        # Ours is that of the logarithm; torch adds in float32.
        want = step.grad.numpy() * np.abs(scale[groups])
        np.testing.assert_allclose(dstep[groups], want, rtol=1e-4, atol=1e-5)
