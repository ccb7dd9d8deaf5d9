"""Write tests/data/positions.npz: what transformers computes for positions.

To make it again: pip install torch transformers, then python tools/make_position_goldens.py. The
versions are in the file itself.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import LlamaConfig
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.glm import modeling_glm
from transformers.models.llama import modeling_llama
from transformers.models.m2m_100.modeling_m2m_100 import M2M100SinusoidalPositionalEmbedding
from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding
from transformers.models.t5.modeling_t5 import T5Attention
from transformers.models.whisper.modeling_whisper import sinusoids

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "positions.npz"
DIM, TRAINED, LENGTHS = 32, 256, (200, 3000)
PLACES = (0, 1, 199)
SCALINGS = {
    "default": {},
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 4.0},
    "yarn": {"factor": 16.0, "mscale": 1.0, "mscale_all_dim": 0.7},
    "longrope": {
        "short_factor": [1 + i / 20 for i in range(DIM // 2)],
        "long_factor": [1 + i * i / 4 for i in range(DIM // 2)],
    },
    "llama3": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    "proportional": {"partial_rotary_factor": 0.25},
}


def rotary_of(kind: str, length: int) -> dict[str, np.ndarray]:
    """Frequencies, attention factor and some rows of the table for a text of `length` tokens."""
    rope = {"rope_type": kind, "rope_theta": 5000.0, **SCALINGS[kind]}
    if kind in ("yarn", "longrope", "llama3"):
        rope["original_max_position_embeddings"] = TRAINED
    longest = TRAINED if kind == "dynamic" else 4096
    config = LlamaConfig(
        hidden_size=4 * DIM,
        num_attention_heads=4,
        max_position_embeddings=longest,
        rope_parameters=rope,
    )
    module = modeling_llama.LlamaRotaryEmbedding(config)
    cos, sin = (part[0, list(PLACES), : DIM // 2] for part in module(torch.zeros(1), ids(length)))
    return {
        "inv_freq": module.inv_freq.numpy(),
        "attention": np.float64(module.attention_scaling),
        "cos": cos.numpy(),
        "sin": sin.numpy(),
    }


def ids(length: int) -> torch.Tensor:
    return torch.arange(length)[None]


def rotated(layout: str) -> dict[str, np.ndarray]:
    """Bits of turned bfloat16 heads [tokens, heads, DIM], and the tables they were turned with."""
    turn = {"half": modeling_llama, "interleaved": modeling_glm}[layout].apply_rotary_pos_emb
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((1, 2, 5, DIM), generator=generator).bfloat16()
    angles = torch.rand((5, DIM // 2), generator=generator) * 6
    both = torch.cat([angles, angles], -1)[None]
    y, _ = turn(x, x, both.cos().bfloat16(), both.sin().bfloat16())
    words = [t[0].transpose(0, 1).contiguous().view(torch.uint16).numpy() for t in (x, y)]
    return {
        "x": words[0],
        "y": words[1],
        "cos": angles.cos().numpy(),
        "sin": angles.sin().numpy(),
    }


def main() -> None:
    arrays: dict[str, np.ndarray] = {}
    for kind in SCALINGS:
        for length in LENGTHS:
            for name, value in rotary_of(kind, length).items():
                arrays[f"rotary/{kind}/{length}/{name}"] = value
    for layout in ("half", "interleaved"):
        for name, value in rotated(layout).items():
            arrays[f"rotated/{layout}/{name}"] = value
    for heads in (4, 12):
        alibi = build_alibi_tensor(torch.ones(1, 6), heads, torch.float32)
        arrays[f"alibi/{heads}"] = alibi.reshape(heads, 1, 6).numpy()
    offsets = torch.arange(-200, 201)
    for name, both in (("encoder", True), ("decoder", False)):
        buckets = T5Attention._relative_position_bucket(offsets, both, 32, 128)
        arrays[f"buckets/{name}"] = buckets.numpy().astype(np.int16)
    fairseq = M2M100SinusoidalPositionalEmbedding(20, 15, 1).weights
    arrays["sinusoidal/fairseq"] = fairseq[:20].numpy()
    marian = MarianSinusoidalPositionalEmbedding(20, 15).create_weight()
    arrays["sinusoidal/marian"] = marian.numpy()
    arrays["sinusoidal/whisper"] = sinusoids(20, 16).numpy()
    versions = f"transformers {transformers.__version__}, torch {torch.__version__}"
    np.savez_compressed(OUT, versions=np.array(versions), **arrays)
    print(OUT, OUT.stat().st_size)


if __name__ == "__main__":
    main()
