"""Every operation of the NumPy reference, and its gradient, against torch in float64."""

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lowbit.reference import (  # noqa: E402
    embeddings,
    functional,
    layers,
    linear,
    optimizer,
    positions,
    quantization,
)
from lowbit.reference.attention import attention, attention_backward  # noqa: E402
from lowbit.reference.random import dropout, keep_mask  # noqa: E402

INDPTR = np.array([0, 5, 6, 13])
F = torch.nn.functional


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def tensor(array, grad=True):
    return torch.from_numpy(np.array(array)).requires_grad_(grad)


def close(got, expected, tolerance=1e-12):
    expected = expected.detach().numpy() if isinstance(expected, torch.Tensor) else expected
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("p", [0.0, 0.3])
@pytest.mark.parametrize("with_lora", [False, True])
def test_linear(rng, with_lora, p):
    x, w, bias = (rng.standard_normal(s) for s in ((13, 24), (16, 24), (16,)))
    a, b = rng.standard_normal((4, 24)), rng.standard_normal((16, 4))
    dy = rng.standard_normal((13, 16))
    lora = (a, b, 1.5) if with_lora else (None, None, 1.0)
    tx, ta, tb = tensor(x), tensor(a), tensor(b)
    mask = tensor(dropout(np.ones_like(x), p, 3, 8), grad=False)
    ty = F.linear(tx, tensor(w, False), tensor(bias, False))
    if with_lora:
        ty = ty + 1.5 * F.linear(F.linear(tx * mask, ta), tb)
    ty.backward(tensor(dy, False))
    close(linear.linear(x, w, bias, *lora, p, 3, 8), ty)
    dx, da, db = linear.linear_backward(dy, x, w, *lora, p, 3, 8)
    close(dx, tx.grad)
    if with_lora:
        close(da, ta.grad)
        close(db, tb.grad)
    else:
        assert da is None and db is None


def test_layer_norm(rng):
    x, gamma, beta, dy = (rng.standard_normal(s) for s in ((9, 20), (20,), (20,), (9, 20)))
    tx = tensor(x * 3 + 7)
    ty = F.layer_norm(tx, (20,), tensor(gamma, False), tensor(beta, False), eps=1e-5)
    ty.backward(tensor(dy, False))
    close(layers.layer_norm(x * 3 + 7, gamma, beta, 1e-5), ty)
    close(layers.layer_norm_backward(dy, x * 3 + 7, gamma, 1e-5), tx.grad)


def test_rms_norm(rng):
    x, gamma, dy = (rng.standard_normal(s) for s in ((9, 20), (20,), (9, 20)))
    tx = tensor(x * 3)
    ty = F.rms_norm(tx, (20,), tensor(gamma, False), eps=1e-5)
    ty.backward(tensor(dy, False))
    close(functional.rms_norm(x * 3, gamma, 1e-5), ty)
    close(functional.rms_norm_backward(dy, x * 3, gamma, 1e-5), tx.grad)


ACTIVATIONS = {
    "gelu": (F.gelu, layers.gelu, layers.gelu_backward),
    "gelu_tanh": (
        lambda x: F.gelu(x, approximate="tanh"),
        functional.gelu_tanh,
        functional.gelu_tanh_backward,
    ),
    "silu": (F.silu, functional.silu, functional.silu_backward),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name, rng):
    theirs, forward, backward = ACTIVATIONS[name]
    x, dy = np.linspace(-12, 12, 501), rng.standard_normal(501)
    tx = tensor(x)
    ty = theirs(tx)
    ty.backward(tensor(dy, False))
    close(forward(x), ty)
    close(backward(dy, x), tx.grad)


def test_softmax_and_erf(rng):
    x, dy = rng.standard_normal((7, 30)) * 50, rng.standard_normal((7, 30))
    tx = tensor(x)
    ty = torch.softmax(tx, -1)
    ty.backward(tensor(dy, False))
    close(layers.softmax(x), ty)
    close(functional.softmax_backward(dy, layers.softmax(x)), tx.grad)
    close(layers.erf(x), torch.erf(tensor(x)))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("p", [0.0, 0.4])
def test_attention(rng, p, causal):
    heads, width = 3, 8
    q, k, v, dout = (rng.standard_normal((13, heads * width)) for _ in range(4))
    tq, tk, tv = tensor(q), tensor(k), tensor(v)
    parts = []
    for begin, end in itertools.pairwise(INDPTR):
        split = [t[begin:end].view(-1, heads, width).transpose(0, 1) for t in (tq, tk, tv)]
        scores = split[0] @ split[1].mT / width**0.5
        if causal:
            scores = scores + torch.full_like(scores, -torch.inf).triu(1)
        weights = torch.softmax(scores, -1)
        row, head = np.arange(begin, end)[None, :, None], np.arange(heads)[:, None, None]
        places = 4 + (row * heads + head) * 8 + np.arange(end - begin)  # 8: the longest, 7, padded
        keep = tensor(keep_mask(p, 9, places) / (1 - np.float64(np.float32(p))), False)
        parts.append((weights * keep @ split[2]).transpose(0, 1).reshape(-1, heads * width))
    torch.cat(parts).backward(tensor(dout, False))
    tolerance = 1e-12 if p == 0 else 1e-6  # 1 / (1 - p) is a float32 by definition
    mask = (p, 9, 4, causal)
    close(attention(q, k, v, heads, INDPTR, *mask), torch.cat(parts), tolerance)
    gradients = attention_backward(dout, q, k, v, heads, INDPTR, *mask)
    for got, expected in zip(gradients, (tq, tk, tv), strict=True):
        close(got, expected.grad, tolerance)


@pytest.mark.parametrize("mode", ["mean", "sum", "cls"])
def test_pool(rng, mode):
    x, dy = rng.standard_normal((13, 6)), rng.standard_normal((3, 6))
    tx = tensor(x)
    pick = {"mean": lambda t: t.mean(0), "sum": lambda t: t.sum(0), "cls": lambda t: t[0]}[mode]
    ty = torch.stack([pick(tx[b:e]) for b, e in itertools.pairwise(INDPTR)])
    ty.backward(tensor(dy, False))
    close(layers.pool(x, INDPTR, mode), ty)
    close(layers.pool_backward(dy, INDPTR, mode), tx.grad)


def test_l2_normalize(rng):
    x = rng.standard_normal((4, 6))
    close(layers.l2_normalize(x), F.normalize(tensor(x)))


def test_cross_entropy(rng):
    logits, labels = rng.standard_normal((8, 5)) * 20, rng.integers(0, 5, 8)
    tlogits = tensor(logits)
    loss = F.cross_entropy(tlogits, torch.from_numpy(labels))
    loss.backward()
    got, gradient = layers.cross_entropy(logits, labels)
    assert got == pytest.approx(float(loss.detach()), rel=1e-12)
    close(gradient, tlogits.grad)


def test_embedding_sum(rng):
    word, position, kind = (rng.standard_normal((n, 8)) for n in (50, 20, 2))
    ids, places, types = rng.integers(0, 50, 13), np.arange(13), rng.integers(0, 2, 13)
    expected = word[ids] + position[places] + kind[types]
    close(embeddings.embedding_sum(word, ids, position, places, kind, types), expected)
    close(positions.learned(position, places), F.embedding(tensor(places, False), tensor(position)))


def test_bf16_rounding(rng):
    x = np.concatenate([rng.standard_normal(4000), [0.0, -0.0, np.inf, -np.inf, 1e-40, 3.4e38]])
    x = np.concatenate([x.astype(np.float32), np.float32(1) + np.arange(64) * np.float32(2**-9)])
    expected = torch.from_numpy(x).bfloat16().float().numpy()
    assert (quantization.round_to_bf16(x).view(np.uint32) == expected.view(np.uint32)).all()
    assert np.isnan(quantization.round_to_bf16(np.array([np.nan]))).all()


def test_int8_rows_against_fake_quantize(rng):
    x = rng.standard_normal((16, 40)).astype(np.float32)
    got = quantization.quantize(x, "int8", None)
    expected = torch.fake_quantize_per_channel_affine(
        torch.from_numpy(x), torch.from_numpy(got.scales[:, 0]), torch.zeros(16).int(), 0, -127, 127
    )
    # A tie may fall either way where 127 / absmax and 1 / (absmax / 127) differ in the last place.
    difference = np.abs(got.dequantize() - expected.numpy()) / got.scales
    assert difference.max() < 1.001 and (difference > 1e-3).mean() < 0.01


def test_adamw_schedule_and_clipping(rng):
    values = rng.standard_normal(30)
    parameter = torch.nn.Parameter(torch.from_numpy(values.copy()))
    torch_adamw = torch.optim.AdamW([parameter], lr=0.05, weight_decay=0.2, betas=(0.8, 0.99))
    m, v = np.zeros(30), np.zeros(30)
    for step in range(12):
        rate = optimizer.learning_rate(step, total=12, peak=0.05, warmup=4)
        gradient = rng.standard_normal(30) * 10.0 ** rng.integers(-3, 2)
        parameter.grad = torch.from_numpy(gradient.copy())
        norm = torch.nn.utils.clip_grad_norm_([parameter], 1.0)
        torch_adamw.param_groups[0]["lr"] = rate
        torch_adamw.step()
        (clipped,), got_norm = optimizer.clip_by_norm([gradient], 1.0)
        assert got_norm == pytest.approx(float(norm), rel=1e-12)
        values, m, v = optimizer.adamw(
            values, clipped, m, v, step + 1, rate, betas=(0.8, 0.99), weight_decay=0.2
        )
        close(values, parameter, 1e-11)
