"""Positions beside what transformers computed (tools/make_position_goldens.py)."""

from __future__ import annotations

import numpy as np
import pytest

from golden import load, under
from lowbit import _core, positions

GOLDEN = load("positions")
ULP = 2.0**-23
DIM, TRAINED, PLACES = 32, 256, [0, 1, 199]
SCALINGS = {
    "default": {},
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 4.0, "original_max_position_embeddings": TRAINED},
    "yarn": {
        "factor": 16.0,
        "mscale": 1.0,
        "mscale_all_dim": 0.7,
        "original_max_position_embeddings": TRAINED,
    },
    "longrope": {
        "short_factor": [1 + i / 20 for i in range(DIM // 2)],
        "long_factor": [1 + i * i / 4 for i in range(DIM // 2)],
        "factor": 16.0,
        "original_max_position_embeddings": TRAINED,
    },
    "llama3": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": TRAINED,
    },
    "proportional": {"partial_rotary_factor": 0.25},
}


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("length", [200, 3000])
@pytest.mark.parametrize("kind", SCALINGS)
def test_rotary(kind, length, compat):
    expected = under(GOLDEN, f"rotary/{kind}/{length}")
    scaling = {"rope_type": kind, **SCALINGS[kind]}
    rotary = positions.Rotary(DIM, 5000.0, scaling=scaling, compat=compat).for_length(length)
    np.testing.assert_allclose(
        rotary.inv_freq, expected["inv_freq"], rtol=(3 if compat else 8) * ULP
    )
    assert rotary.attention_factor == pytest.approx(float(expected["attention"]), rel=1e-12)
    table = rotary.table(PLACES)
    for got, want in ((table.cos, expected["cos"]), (table.sin, expected["sin"])):
        np.testing.assert_allclose(got, want, rtol=0, atol=4 * ULP * 199)
        np.testing.assert_allclose(got[:2], want[:2], rtol=0, atol=8 * ULP)


@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_bits_of_bfloat16(layout):
    given = under(GOLDEN, f"rotated/{layout}")
    x = given["x"][None].copy()
    cos, sin = (
        _core.to_float32(_core.from_float32(given[name], "bf16"), "bf16") for name in ("cos", "sin")
    )
    _core.rotate([x], "bf16", cos, sin, layout == "interleaved", False, True)
    assert np.array_equal(x[0], given["y"])


@pytest.mark.parametrize("heads", [4, 12])
def test_alibi(heads):
    got = positions.ALiBi(heads).of_keys(np.arange(6))
    np.testing.assert_allclose(got, GOLDEN[f"alibi/{heads}"], rtol=8 * ULP)


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_buckets(side):
    scheme = positions.RelativeBias(np.zeros((32, 1)), bidirectional=side == "encoder")
    got = scheme.buckets([200], np.arange(401))[0]
    assert np.array_equal(got, GOLDEN[f"buckets/{side}"])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("fairseq", {"dim": 15, "frequencies": "tensor2tensor", "padding": 1}),
        ("marian", {"dim": 15}),
        ("whisper", {"dim": 16, "frequencies": "tensor2tensor"}),
    ],
)
def test_sinusoids(name, arguments):
    got = positions.Sinusoidal(layout="half", **arguments).rows(np.arange(20))
    np.testing.assert_allclose(got, GOLDEN[f"sinusoidal/{name}"], rtol=0, atol=40 * ULP)
