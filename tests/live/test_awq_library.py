"""AWQ's search on a grid, as the AutoAWQ package runs it on one layer."""

import warnings

import numpy as np
import pytest

from lowbit.reference import column_scaling as reference

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    quantizer = pytest.importorskip("awq.quantize.quantizer")


class Linear(torch.nn.Linear):
    """AutoAWQ puts the weight back after each try; on a CPU its copy would change with it."""

    def state_dict(self, *arguments, **options):
        state = super().state_dict(*arguments, **options)
        return {name: value.clone() for name, value in state.items()}


@pytest.mark.parametrize("seed", range(5))
def test_scales_are_those_of_autoawq(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((100, 64)) * np.exp(rng.standard_normal(64))
    w = rng.standard_normal((24, 64))
    theirs = object.__new__(quantizer.AwqQuantizer)
    theirs.w_bit, theirs.group_size, theirs.zero_point = 4, 32, False
    theirs.duo_scaling = False  # s of the magnitudes of the inputs alone, as the paper writes it
    theirs.n_parallel_calib_samples, theirs.max_chunk_memory = None, 1 << 30
    linear = Linear(64, 24, bias=False, dtype=torch.float64).requires_grad_(False)
    linear.weight.data = torch.tensor(w)
    inputs = torch.tensor(x)
    expected = theirs._compute_best_scale(
        inputs, torch.ones(64), inputs.abs().mean(0), linear, [linear], linear(inputs)
    )

    def round_to_absmax(values):
        return theirs.pseudo_quantize_tensor(torch.tensor(values))[0].numpy()

    got, _ = reference.awq([w], x, round_to_absmax)
    np.testing.assert_allclose(got, expected.numpy(), rtol=1e-6)
