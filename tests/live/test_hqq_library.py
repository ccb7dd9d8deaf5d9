"""The rounds of half-quadratic quantization, as the authors' package takes them."""

import itertools

import numpy as np
import pytest

from lowbit.reference import hqq as reference

torch = pytest.importorskip("torch")
optimize = pytest.importorskip("hqq.core.optimize")


@pytest.mark.parametrize("top", [3, 15, 255])
@pytest.mark.parametrize("rounds", [2, 5, 20])
@pytest.mark.parametrize("beta", [1.0, 10.0])
def test_zero_points_of_every_round_are_those_of_the_package(beta, rounds, top):
    w = np.random.default_rng([rounds, top]).standard_t(3, (200, 64))
    scale, zero = reference.first_affine(w, top)
    options = {"lp_norm": 0.7, "beta": beta, "kappa": 1.01, "iters": rounds, "tol": 0.0,
               "early_stop": False, "scale_gridsearch": False}  # fmt: skip
    codes, _, theirs = optimize.optimize_weights_proximal_v2(
        torch.tensor(w),
        torch.tensor(1 / scale),
        torch.tensor(zero),
        min_max=[0, top],
        axis=1,
        device="cpu",
        dtype=torch.float64,
        opt_params=options,
    )
    steps = reference.affine_rounds(w, scale, zero, top, 0.7, beta)
    ours = next(itertools.islice(steps, rounds, None))
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(np.clip(np.rint(w / scale + ours), 0, top), codes.numpy())


@pytest.mark.parametrize("norm", [0.5, 0.7, 1.0])
def test_shrinking_is_that_of_the_package(norm):
    x = np.concatenate([np.random.default_rng(0).standard_normal(1000), [0.0, -0.0]])
    theirs = optimize.shrink_lp_op(torch.tensor(x), 10.0, norm).numpy()
    np.testing.assert_allclose(reference.shrink(x, 10.0, norm), np.nan_to_num(theirs), rtol=1e-12)
