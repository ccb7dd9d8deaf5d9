"""What rotary positions refuse, and what they read from a config.json."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lowbit import FileFormatError, positions

FLOATS = np.zeros((3, 2, 8), np.float32)
TRAINED = "original_max_position_embeddings"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head_dim": 7}, "rotary_dim=7 must be even"),
        ({"head_dim": 8, "rotary_dim": 10}, "rotary_dim=10 must be even"),
        ({"head_dim": 8, "base": 1.0}, "base=1.0 must be above 1"),
        ({"head_dim": 8, "layout": "neox"}, "layout='neox' is not known"),
        ({"head_dim": 8, "sections": [1, 2]}, "whose sum is the 4 pairs"),
        ({"head_dim": 8, "sections": [2, 2], "section_order": "x"}, "section_order='x'"),
        ({"head_dim": 8, "scaling": {"rope_type": "ntk"}}, "rope_type='ntk' is not known; use"),
        ({"head_dim": 8, "scaling": {"type": "linear"}}, "'linear' needs factor"),
        ({"head_dim": 8, "scaling": {"type": "linear", "factor": 0.5}}, "factor of .* is 0.5"),
        ({"head_dim": 8, "scaling": {"type": "linear", "factor": True}}, "factor of .* is True"),
        (
            {"head_dim": 8, "scaling": {"rope_type": "default", "mscale": 1}},
            r"unknown keys: \['mscale'",
        ),
        (
            {"head_dim": 8, "scaling": {"type": "yarn", "factor": 2, TRAINED: 9, "truncate": 1}},
            "truncate .* need true or false",
        ),
        (
            {
                "head_dim": 8,
                "scaling": {
                    "type": "longrope",
                    "short_factor": [1] * 4,
                    "long_factor": [1] * 3,
                    TRAINED: 9,
                },
            },
            "long_factor .* need 4 numbers",
        ),
        (
            {
                "head_dim": 8,
                "scaling": {
                    "type": "llama3",
                    "factor": 2,
                    "low_freq_factor": 4,
                    "high_freq_factor": 4,
                    TRAINED: 9,
                },
            },
            "high_freq_factor must be above",
        ),
    ],
)
def test_arguments_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        positions.Rotary(**arguments)


@pytest.mark.parametrize(
    ("array", "ids", "error", "message"),
    [
        ([[1.0]], None, TypeError, "q is list"),
        (FLOATS.astype(np.float64), None, TypeError, "q is float64"),
        (FLOATS[0, 0], None, ValueError, r"q has shape \(8,\); expected \[tokens, heads \* 8\]"),
        (FLOATS[..., :7].copy(), None, ValueError, r"q has shape \(3, 2, 7\)"),
        (FLOATS, [0, 1], ValueError, r"positions have shape \(2,\) for 1 x 3 tokens"),
        (FLOATS, [5], ValueError, r"positions have shape \(1,\) for 1 x 3 tokens"),
        (FLOATS, [0.0, 1.0, 2.0], TypeError, "positions have dtype float64"),
        (FLOATS, 3, ValueError, r"positions have shape \(\)"),
        (np.broadcast_to(FLOATS[:1], (3, 2, 8)), None, ValueError, "read-only"),
        (FLOATS[::-1], None, ValueError, "overlap or run backwards"),
        (np.zeros((3, 2, 16), np.float32)[..., ::2], None, ValueError, "are not contiguous"),
        (
            np.lib.stride_tricks.as_strided(np.zeros(24, np.float32), (3, 2, 8), (32, 16, 4)),
            None,
            ValueError,
            "overlap or run backwards",
        ),
    ],
)
def test_arrays_that_cannot_be_turned(array, ids, error, message):
    with pytest.raises(error, match=message):
        positions.Rotary(8).rotate_(array, positions=ids)


def test_keys_with_other_tokens_are_refused_before_anything_is_turned():
    q, k = np.ones((3, 2, 8), np.float32), np.ones((4, 2, 8), np.float32)
    with pytest.raises(ValueError, match="an array has 1 x 4 tokens, the first 1 x 3"):
        positions.Rotary(8).rotate_(q, k)
    assert (q == 1).all()


def test_queries_and_keys_of_two_types_are_refused():
    with pytest.raises(TypeError, match="q is float32, k is float16; pass the same type"):
        positions.Rotary(8).rotate_(FLOATS.copy(), FLOATS.astype(np.float16))
    with pytest.raises(TypeError, match="q is >f4"):
        positions.Rotary(8).rotate_(FLOATS.astype(">f4"))


def test_no_tokens_are_no_error():
    for shape in ((0, 2, 8), (2, 0, 8), (0, 16), (0, 5, 2, 8), (2, 0, 2, 8)):
        positions.Rotary(8).rotate_(np.zeros(shape, np.float32))


LLAMA = {"hidden_size": 64, "num_attention_heads": 4, "max_position_embeddings": 128}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LLAMA, positions.Rotary(16)),
        ({**LLAMA, "head_dim": 32, "rope_theta": 5e5}, positions.Rotary(32, 5e5)),
        ({**LLAMA, "rope_scaling": None}, positions.Rotary(16)),
        (
            {**LLAMA, "rope_scaling": {"type": "linear", "factor": 2.0}},
            positions.Rotary(16, scaling={"rope_type": "linear", "factor": 2.0}),
        ),
        (
            {
                **LLAMA,
                "rope_parameters": {"rope_type": "dynamic", "rope_theta": 100.0, "factor": 2},
            },
            positions.Rotary(
                16, 100.0, scaling={"factor": 2, TRAINED: 128, "rope_type": "dynamic"}
            ),
        ),
        (
            {"model_type": "gptj", "n_embd": 64, "n_head": 2, "rotary_dim": 16},
            positions.Rotary(32, rotary_dim=16, layout="interleaved"),
        ),
        (
            {**LLAMA, "model_type": "gpt_neox", "rotary_pct": 0.5, "rotary_emb_base": 500},
            positions.Rotary(16, 500, rotary_dim=8),
        ),
        ({**LLAMA, "model_type": "glm"}, positions.Rotary(16, rotary_dim=8, layout="interleaved")),
        (
            {**LLAMA, "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}},
            positions.Rotary(16, sections=[2, 3, 3]),
        ),
        (
            {
                **LLAMA,
                "rope_parameters": {"mrope_section": [2, 3, 3], "mrope_interleaved": True},
            },
            positions.Rotary(16, sections=[2, 3, 3], section_order="interleaved"),
        ),
        (
            {"qk_rope_head_dim": 8, "model_type": "deepseek_v3", **LLAMA},
            positions.Rotary(8, layout="interleaved"),
        ),
        (
            {
                **LLAMA,
                "model_type": "phi3",
                TRAINED: 32,
                "rope_scaling": {"type": "su", "short_factor": [1] * 8, "long_factor": [2] * 8},
            },
            positions.Rotary(
                16,
                scaling={
                    "short_factor": [1] * 8,
                    "long_factor": [2] * 8,
                    TRAINED: 32,
                    "factor": 4.0,
                    "rope_type": "longrope",
                },
            ),
        ),
    ],
)
def test_configs(config, expected):
    got = positions.Rotary.from_config(config)
    assert got._arguments() == expected._arguments()
    assert (got.head_dim, got.base) == (expected.head_dim, expected.base)
    assert np.array_equal(got.inv_freq, expected.inv_freq)


def test_layers_that_differ():
    nested = {
        **LLAMA,
        "layer_types": ["full_attention", "sliding_attention", "none"],
        "rope_parameters": {
            "full_attention": {
                "rope_type": "proportional",
                "partial_rotary_factor": 0.25,
                "rope_theta": 1e6,
            },
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            "none": None,
        },
    }
    full = positions.Rotary.from_config(nested, "full_attention")
    assert (full.base, full.rotary_dim, np.count_nonzero(full.inv_freq)) == (1e6, 16, 2)
    assert positions.Rotary.from_config(nested, "sliding_attention").base == 1e4
    with pytest.raises(ValueError, match=r"pass layer_type, one of \['full_attention'"):
        positions.Rotary.from_config(nested)
    with pytest.raises(ValueError, match=r"have no positions; use NoPE\(\)"):
        positions.Rotary.from_config(nested, "none")
    gemma3 = {**LLAMA, "rope_theta": 1e6, "rope_local_base_freq": 1e4}
    gemma3["rope_scaling"] = {"rope_type": "linear", "factor": 8.0}
    assert positions.Rotary.from_config(gemma3, "full_attention").inv_freq[0] == 1 / 8
    assert positions.Rotary.from_config(gemma3, "sliding_attention").base == 1e4


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "neither head_dim nor hidden_size"),
        ({**LLAMA, "rope_ratio": 2}, r"keys of the config are not known: \['rope_ratio'"),
        (
            {**LLAMA, "rope_scaling": {"type": "linear", "factor": 2, "beta": 1}},
            r"unknown keys: \['beta'",
        ),
        ({**LLAMA, "rope_scaling": {"type": "dynamic", "factor": 2, TRAINED: 5}}, "unknown key"),
        ({**LLAMA, "rope_scaling": 3}, "rope parameters are 3"),
        ({**LLAMA, "rope_theta": "x"}, "rope_theta is 'x'"),
        ({**LLAMA, "partial_rotary_factor": 1.5}, "partial_rotary_factor is 1.5"),
        ({**LLAMA, "head_dim": -4}, "head_dim is -4"),
    ],
)
def test_configs_that_are_refused(config, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        positions.Rotary.from_config(config)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    for place in (path, tmp_path):
        with pytest.raises(FileFormatError, match=message):
            positions.Rotary.from_config(place)


def test_broken_values_of_a_file_raise_nothing_else(tmp_path):
    """Every key with values of every kind: a scheme, or FileFormatError."""
    path = tmp_path / "config.json"
    values = [None, True, -1, 0, 3, 1e300, "x", [], [1], {}, {"a": 1}]
    inner = ["rope_type", "type", "factor", "rope_theta", "partial_rotary_factor", TRAINED]
    inner += ["short_factor", "long_factor", "mrope_section", "beta_fast", "attention_factor"]
    outer = ["head_dim", "hidden_size", "num_attention_heads", "rope_theta", "rotary_dim"]
    outer += ["rope_scaling", "rope_parameters", "layer_types", "model_type", TRAINED]
    outer += ["max_position_embeddings", "partial_rotary_factor", "qk_rope_head_dim"]
    good = {"short_factor": [1] * 8, "long_factor": [1] * 8, TRAINED: 64, "rope_type": "longrope"}
    for value in values:
        for key in inner:
            for kind in ("yarn", "longrope", "linear", "dynamic"):
                base = good if kind == "longrope" else {"rope_type": kind, "factor": 2, TRAINED: 9}
                try_config(path, {**LLAMA, "rope_scaling": {**base, key: value}})
        for key in outer:
            try_config(path, {**LLAMA, "rope_scaling": good, key: value})


def try_config(path, config):
    path.write_text(json.dumps(config))
    try:
        positions.Rotary.from_config(path)
    except FileFormatError:
        return
