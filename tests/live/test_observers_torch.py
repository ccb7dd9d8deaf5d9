"""Observers that torch has too."""

import warnings

import numpy as np
import pytest

from lowbit.quantization.observers import MinMaxObserver, MovingAverageObserver

torch = pytest.importorskip("torch")


def theirs(name: str, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao is deprecated
        from torch.ao.quantization import observer

        return getattr(observer, name)(**options)


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("bits", [4, 8])
def test_params_are_those_of_torch(bits, averaged, axis, seed):
    rng = np.random.default_rng(seed)
    factor = np.exp(rng.uniform(-15, 15, (6, 7)))
    shift = rng.uniform(-2, 2)
    batches = [(rng.standard_normal((6, 7)) + shift) * factor for _ in range(4)]
    name = ("" if axis is None else "PerChannel") + "MinMaxObserver"
    options = {} if axis is None else {"ch_axis": axis}
    own = MinMaxObserver(axis)
    if averaged:
        own, name = MovingAverageObserver(axis, 0.2), "MovingAverage" + name
        options["averaging_constant"] = 0.2
    codes = {
        False: {"dtype": torch.quint8, "quant_min": 0, "quant_max": 2**bits - 1},
        True: {
            "dtype": torch.qint8,
            "quant_min": -(2 ** (bits - 1)) + 1,
            "quant_max": 2 ** (bits - 1) - 1,
        },
    }
    for symmetric, kind in codes.items():
        scheme = "tensor" if axis is None else "channel"
        qscheme = getattr(torch, f"per_{scheme}_{'symmetric' if symmetric else 'affine'}")
        torch_observer = theirs(name, qscheme=qscheme, eps=2.0**-120, **kind, **options)
        for batch in batches:
            torch_observer(torch.from_numpy(batch.astype(np.float32)))
            if not symmetric:
                own.observe(batch)
        scale, zero = (t.numpy() for t in torch_observer.calculate_qparams())
        params = own.params(bits, symmetric)
        # torch computes the range and its average in float32.
        np.testing.assert_allclose(params.scale, np.reshape(scale, params.scale.shape), rtol=4e-7)
        assert (params.zero_point == np.reshape(zero, params.zero_point.shape)).all()
