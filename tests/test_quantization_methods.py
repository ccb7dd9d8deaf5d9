"""Scale search and GPTQ: what they must not lose, and what they must gain."""

import numpy as np
import pytest

from lowbit.quantization import gptq, quantize, quantize_to, search_scales
from lowbit.quantization.matrix import packed_formats
from lowbit.reference import gptq as reference
from lowbit.reference.quantization import NF4

LEVELS = {"int8": np.arange(-127, 128), "int4": np.arange(-8, 8), "nf4": NF4}
SHAPES = [(1, 1), (3, 40), (37, 150), (16, 300)]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def inputs(count: int, columns: int) -> np.ndarray:
    """Inputs of a layer: correlated, and some columns much larger than others."""
    mixing = normal(columns // 4 + 1, columns, seed=1) * np.exp(normal(columns, seed=2))
    return normal(count, columns // 4 + 1) @ mixing + 0.1 * normal(count, columns, seed=3)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("format", packed_formats())
def test_searched_scales_never_lose_and_help_four_bits(format, shape):
    w = normal(*shape)
    importance = np.abs(normal(shape[1], seed=5))
    plain = quantize(w, format, 32)
    for weights in (None, importance):
        scales = search_scales(w, format, 32, weights)
        chosen = quantize_to(w, scales, format, 32, False)
        counts = np.ones(shape[1]) if weights is None else weights
        error, before = (np.sum((q.dequantize() - w) ** 2 * counts) for q in (chosen, plain))
        assert error <= before * (1 + 1e-6)
        if format != "int8" and w.size > 100:
            assert error < 0.95 * before


def test_columns_that_do_not_count_are_given_up():
    w = normal(8, 64)
    w[:, 5] = 100
    importance = np.ones(64)
    importance[5] = 0
    kept = quantize_to(w, search_scales(w, "nf4", 64, importance), "nf4", 64, False)
    plain = quantize(w, "nf4", 64)
    others = np.arange(64) != 5
    assert np.sum((kept.dequantize() - w)[:, others] ** 2) < np.sum(
        (plain.dequantize() - w)[:, others] ** 2
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("group_size", [16, 64, None])
@pytest.mark.parametrize("format", packed_formats())
def test_gptq_rounds_as_the_paper_derives_it(format, group_size, shape):
    w, x = normal(*shape), inputs(2 * shape[1], shape[1]).astype(np.float64)
    h = x.T @ x
    got = gptq(w, h, format, group_size)
    scales = np.repeat(got.scales(), got.group_size, axis=1)[:, : shape[1]]
    expected = reference.gptq(w, h, LEVELS[format], scales)
    differing = np.abs(got.dequantize() - expected) > 1e-4 * np.abs(scales)
    # One value near a middle that falls to the other side changes those behind it in its row.
    assert differing.any(axis=1).mean() < 0.1


@pytest.mark.parametrize("double_quant", [False, True])
@pytest.mark.parametrize("format", packed_formats())
def test_gptq_keeps_products_better_than_nearest_values_do(format, double_quant):
    w, x = normal(48, 200), inputs(500, 200)

    def error(q):
        return np.linalg.norm(x @ (q.dequantize() - w).T)

    q = gptq(w, x.T @ x, format, 32, double_quant)
    assert q.double_quant == double_quant and q.format == format and q.group_size == 32
    searched = quantize_to(w, search_scales(w, format, 32), format, 32, double_quant)
    assert error(q) < 0.6 * min(error(searched), error(quantize(w, format, 32, double_quant)))


def test_inputs_that_never_occur_or_hardly_differ_do_no_harm():
    w = normal(8, 64)
    h = np.zeros((64, 64))
    np.testing.assert_allclose(gptq(w, h).dequantize(), w, atol=0.6)
    h[:4, :4] = 1  # one direction only
    assert np.isfinite(gptq(w, h).dequantize()).all()
    assert gptq(np.zeros((0, 64)), h).shape == (0, 64)
    assert gptq(np.zeros((4, 64)), h).dequantize().any() == np.False_


def test_bad_arguments_are_named():
    w, h = normal(4, 64), np.eye(64)
    with pytest.raises(ValueError, match=r"gptq: the hessian has shape \(3, 3\)"):
        gptq(w, np.eye(3))
    with pytest.raises(ValueError, match="gptq: the hessian holds NaN"):
        gptq(w, h * np.nan)
    with pytest.raises(ValueError, match="not positive"):
        gptq(w, -2 * h + np.diag(np.full(64, 2.0)) - np.ones((64, 64)) + np.eye(64))
    with pytest.raises(ValueError, match="importance has 3 values"):
        search_scales(w, importance=np.ones(3))
    with pytest.raises(ValueError, match="negative or NaN"):
        search_scales(w, importance=np.full(64, -1.0))
    with pytest.raises(ValueError, match='format="int3"'):
        gptq(w, h, "int3")
