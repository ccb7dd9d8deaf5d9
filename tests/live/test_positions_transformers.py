"""Every position scheme beside transformers: what its rotary modules, tables and biases compute."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", minversion="5.0")

from transformers import LlamaConfig  # noqa: E402
from transformers.models.bloom.modeling_bloom import build_alibi_tensor  # noqa: E402
from transformers.models.glm import modeling_glm  # noqa: E402
from transformers.models.gptj import modeling_gptj  # noqa: E402
from transformers.models.llama import modeling_llama  # noqa: E402
from transformers.models.m2m_100 import modeling_m2m_100  # noqa: E402
from transformers.models.marian import modeling_marian  # noqa: E402
from transformers.models.mpt.modeling_mpt import build_mpt_alibi_tensor  # noqa: E402
from transformers.models.qwen2_vl import modeling_qwen2_vl  # noqa: E402
from transformers.models.qwen3_vl import modeling_qwen3_vl  # noqa: E402
from transformers.models.t5.modeling_t5 import T5Attention  # noqa: E402
from transformers.models.whisper.modeling_whisper import sinusoids  # noqa: E402

from lowbit import positions  # noqa: E402
from lowbit.arrays import bf16_to_float32, float32_to_bf16  # noqa: E402
from lowbit.positions.config import INTERLEAVED  # noqa: E402

DIM = 64
TRAINED = {"original_max_position_embeddings": 256}
ULP = 2.0**-23
SCALINGS = {
    "default": {},
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 4.0},
    "yarn": {"factor": 16.0, **TRAINED},
    "yarn exact borders": {"factor": 16.0, "truncate": False, **TRAINED},
    "yarn mscale": {
        "factor": 40.0,
        "mscale": 1.0,
        "mscale_all_dim": 0.7,
        "beta_fast": 16,
        **TRAINED,
    },
    "yarn attention": {"factor": 8.0, "attention_factor": 1.5, "beta_slow": 2, **TRAINED},
    "longrope": {
        "short_factor": [1 + i / 50 for i in range(DIM // 2)],
        "long_factor": [1 + i * i / 20 for i in range(DIM // 2)],
        **TRAINED,
    },
    "llama3": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, **TRAINED},
    "proportional": {"partial_rotary_factor": 0.25},
}


def config_of(name: str) -> dict:
    rope = {"rope_type": name.split()[0], "rope_theta": 50000.0, **SCALINGS[name]}
    longest = 256 if name == "dynamic" else 4096
    return {
        "hidden_size": 4 * DIM,
        "num_attention_heads": 4,
        "max_position_embeddings": longest,
        "rope_parameters": rope,
    }


def theirs(name: str) -> modeling_llama.LlamaRotaryEmbedding:
    return modeling_llama.LlamaRotaryEmbedding(LlamaConfig(**config_of(name)))


def ours(name: str, length: int, compat: bool) -> positions.Rotary:
    return positions.Rotary.from_config(config_of(name), compat=compat).for_length(length)


@pytest.mark.parametrize("length", [200, 3000])
@pytest.mark.parametrize("name", SCALINGS)
def test_rotary_of_every_type(name, length):
    module = theirs(name)
    ids = torch.arange(length)[None]
    cos, sin = (part[0].numpy() for part in module(torch.zeros(1), ids))
    rotary = ours(name, length, compat=True)
    inv_freq = module.inv_freq.numpy()
    # torch's power is not rounded correctly: one bit, and two where the base was one.
    np.testing.assert_allclose(rotary.inv_freq, inv_freq, rtol=3 * ULP)
    assert rotary.inv_freq.dtype == np.float32
    exact = ours(name, length, compat=False)
    np.testing.assert_allclose(exact.inv_freq, inv_freq, rtol=8 * ULP)
    assert rotary.attention_factor == pytest.approx(module.attention_scaling, rel=1e-12)
    table = rotary.table(np.arange(length))
    assert table.cos.shape == (length, DIM // 2)
    for got, expected in ((table.cos, cos), (table.sin, sin)):
        same = rotary.inv_freq == inv_freq  # elsewhere angles differ by the bit, times the position
        # The cosine itself is not rounded correctly either.
        np.testing.assert_allclose(
            got[:, same], expected[:, : DIM // 2][:, same], rtol=0, atol=1.5e-7
        )
        np.testing.assert_allclose(got, expected[:, : DIM // 2], rtol=0, atol=3 * ULP * length)


@pytest.mark.parametrize("layout", ["half", "interleaved"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rotated_bits(layout, dtype):
    """Products and sums have their rounding: all bits, given the same cosines and sines."""
    rng = np.random.default_rng(5)
    x = torch.from_numpy(rng.standard_normal((2, 3, 40, DIM), dtype=np.float32)).to(dtype)
    y = torch.from_numpy(rng.standard_normal((2, 1, 40, DIM), dtype=np.float32)).to(dtype)
    rotary = positions.Rotary(DIM, layout=layout, compat=True)
    table = rotary.table(np.arange(40))
    twice = [
        torch.from_numpy(np.concatenate([p, p], 1))[None].to(dtype) for p in (table.cos, table.sin)
    ]
    turn = {"half": modeling_llama, "interleaved": modeling_glm}[layout].apply_rotary_pos_emb
    expected = turn(x, y, *twice)
    arrays = [array_of(x), array_of(y)]
    rotary.rotate_(*(a.swapaxes(1, 2) for a in arrays), table)
    for got, want in zip(arrays, expected, strict=True):
        assert got.tobytes() == array_of(want).tobytes()


def array_of(tensor: torch.Tensor) -> np.ndarray:
    """A copy; bfloat16 as its bits."""
    tensor = tensor.contiguous().clone()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def test_bfloat16_beside_the_module():
    """End to end in the model's type; the last bit of a cosine may move one of many elements."""
    module = theirs("yarn")
    rng = np.random.default_rng(6)
    x = torch.from_numpy(rng.standard_normal((1, 4, 2000, DIM), dtype=np.float32)).bfloat16()
    cos, sin = module(x, torch.arange(2000)[None])
    expected, _ = modeling_llama.apply_rotary_pos_emb(x, x, cos, sin)
    got = array_of(x)
    ours("yarn", 2000, compat=True).rotate_(got.swapaxes(1, 2))
    assert np.mean(got != array_of(expected)) < 0.01
    np.testing.assert_allclose(bf16_to_float32(got), expected.float().numpy(), atol=0.06)


def test_gptj_with_its_own_rotary_dim():
    config = SimpleNamespace(rotary_dim=16, head_dim=32)
    table = modeling_gptj.create_sinusoidal_positions(64, config.rotary_dim)
    rng = np.random.default_rng(7)
    x = rng.standard_normal((1, 50, 2, config.head_dim), dtype=np.float32)
    sin, cos = (part[None, :50] for part in torch.split(table, config.rotary_dim // 2, dim=-1))
    turned = modeling_gptj.apply_rotary_pos_emb(torch.from_numpy(x[..., :16]), sin, cos).numpy()
    given = {"model_type": "gptj", "n_embd": 64, "n_head": 2, "rotary_dim": 16}
    rotary = positions.Rotary.from_config(given, compat=True)
    np.testing.assert_allclose(rotary(x)[..., :16], turned, atol=2e-5)
    assert np.array_equal(rotary(x)[..., 16:], x[..., 16:])


@pytest.mark.parametrize("module", [modeling_qwen2_vl, modeling_qwen3_vl])
def test_positions_with_three_coordinates(module):
    sections, third = [8, 12, 12], module is modeling_qwen3_vl
    given = {"mrope_section": sections, **({"mrope_interleaved": True} if third else {})}
    config = config_of("default")
    config["rope_parameters"] = config["rope_parameters"] | given
    kind = module.Qwen3VLTextRotaryEmbedding if third else module.Qwen2VLRotaryEmbedding
    fake = LlamaConfig(**config_of("default"))
    fake.rope_parameters["mrope_section"] = sections
    ids = np.random.default_rng(8).integers(0, 500, (3, 2, 9))
    cos, sin = (p.numpy() for p in kind(fake)(torch.zeros(1), torch.from_numpy(ids)))
    table = positions.Rotary.from_config(config, compat=True).table(ids)
    assert table.shape == (2, 9)
    for got, expected in ((table.cos, cos), (table.sin, sin)):
        np.testing.assert_allclose(got.reshape(2, 9, -1), expected[..., : DIM // 2], atol=2e-4)


def test_layouts_are_those_of_the_models():
    """Every model with a function of its own turns neighbours exactly when the list says so."""
    folder = Path(transformers.__file__).parent / "models"
    neighbours, halves = set(), set()
    for path in sorted(folder.glob("*/modeling_*.py")):
        text = path.read_text("utf-8")
        found = re.search(r"def rotate_(?:half|every_two)\(x.*?\n    return", text, re.DOTALL)
        if found and path.stem == f"modeling_{path.parent.name}":
            (neighbours if re.search(r"0?::2\]", found[0]) else halves).add(path.parent.name)
    assert len(halves) > 100 and len(neighbours) > 10
    # DeepSeek reads neighbours and writes halves.
    assert INTERLEAVED & halves <= {"deepseek_v3"}
    # Pictures, and a model whose heads turn in their last columns.
    others = {"deepseek_v4", "efficientloftr", "hy_v4_vl", "lightglue"}
    assert neighbours - INTERLEAVED <= others


@pytest.mark.parametrize("dim", [32, 31])
def test_sinusoids_of_fairseq(dim):
    padding = 1
    table = modeling_m2m_100.M2M100SinusoidalPositionalEmbedding(300, dim, padding)
    expected = table.weights.numpy()
    for compat, tolerance in ((True, 1e-6), (False, 3e-4)):
        scheme = positions.Sinusoidal(
            dim, layout="half", frequencies="tensor2tensor", padding=padding, compat=compat
        )
        np.testing.assert_allclose(scheme.rows(np.arange(302)), expected, atol=tolerance)
    ids = torch.tensor([[5, 6, 7, padding, padding], [5, 6, 7, 8, 9]])
    shifted = positions.Sinusoidal(
        dim, layout="half", frequencies="tensor2tensor", offset=padding + 1, padding=padding
    )
    places = positions.from_mask(ids.numpy() != padding, masked=-1)
    np.testing.assert_allclose(shifted.rows(places), table(ids).numpy(), atol=1e-5)


@pytest.mark.parametrize("dim", [32, 31])
def test_sinusoids_of_marian(dim):
    table = modeling_marian.MarianSinusoidalPositionalEmbedding(300, dim)
    got = positions.Sinusoidal(dim, layout="half").rows(np.arange(300))
    np.testing.assert_allclose(got, table.create_weight().numpy(), atol=1e-7)


def test_sinusoids_of_whisper():
    # The last bit of a frequency counts as often as the position says.
    for compat, tolerance in ((True, 2 * ULP * 1500), (False, 1e-3)):
        scheme = positions.Sinusoidal(
            384, layout="half", frequencies="tensor2tensor", compat=compat
        )
        expected = sinusoids(1500, 384).numpy()
        np.testing.assert_allclose(scheme.rows(np.arange(1500)), expected, atol=tolerance)


def test_learned_rows_are_resized_as_torch_does():
    table = np.random.default_rng(9).standard_normal((17, 5)).astype(np.float32)
    for count in (17, 40, 9, 2):
        columns = torch.from_numpy(table.T[None].astype(np.float64))
        expected = torch.nn.functional.interpolate(
            columns, size=count, mode="linear", align_corners=True
        )[0].T
        got = positions.Learned(table).resize(count).table
        np.testing.assert_allclose(got, expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("heads", [1, 6, 8, 12, 20, 71])
def test_alibi(heads):
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1]])
    expected = build_alibi_tensor(mask, heads, torch.float32).reshape(2, heads, 1, 6).numpy()
    alibi = positions.ALiBi(heads)
    got = alibi.of_keys(positions.from_mask(mask.numpy()))
    np.testing.assert_allclose(got, expected, rtol=8 * ULP)
    for bias_max in (8, 4):
        mpt = build_mpt_alibi_tensor(heads, 50, bias_max).numpy()
        other = positions.ALiBi(heads, bias_max)(np.array([49]), np.arange(50))
        np.testing.assert_allclose(other, mpt, rtol=4 * ULP)


@pytest.mark.parametrize("decoder", [False, True])
@pytest.mark.parametrize("buckets, distance", [(32, 128), (8, 20), (64, 256), (16, 100)])
def test_buckets_of_t5(decoder, buckets, distance):
    offsets = np.arange(-600, 601)
    expected = T5Attention._relative_position_bucket(
        torch.from_numpy(offsets), not decoder, buckets, distance
    )
    table = np.random.default_rng(10).standard_normal((buckets, 3)).astype(np.float32)
    config = {
        "relative_attention_num_buckets": buckets,
        "relative_attention_max_distance": distance,
    }
    scheme = positions.RelativeBias.from_config(config, table, decoder)
    assert np.array_equal(scheme.buckets([600], np.arange(1201))[0], expected.numpy())
    assert np.array_equal(scheme([600], np.arange(1201))[:, 0], table[expected.numpy()].T)


def test_words_of_bfloat16_are_those_of_torch():
    values = np.random.default_rng(11).standard_normal(1000).astype(np.float32)
    expected = torch.from_numpy(values).bfloat16().view(torch.uint16).numpy()
    assert np.array_equal(float32_to_bf16(values), expected)
