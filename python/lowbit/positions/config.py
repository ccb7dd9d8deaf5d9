"""What a model's config.json says about positions, in the old and the new spelling."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lowbit.errors import FileFormatError
from lowbit.files.untrusted import read_json_object, shorten

# Models whose pairs are neighbouring columns. DeepSeek's read them so and write halves, which gives
# the same scores.
INTERLEAVED = frozenset(
    [
        "blt",
        "codegen",
        "cohere",
        "cohere2",
        "cohere2_moe",
        "deepseek_v2",
        "deepseek_v3",
        "ernie4_5",
        "ernie4_5_moe",
        "glm",
        "glm4",
        "gptj",
        "helium",
        "llama4_text",
        "moonshine",
        "moonshine_streaming",
    ]
)

# Share of a head that turns, where the file does not say.
_SHARES = {
    "glm": 0.5,
    "glm4": 0.5,
    "gpt_neox": 0.25,
    "moonshine": 0.9,
    "persimmon": 0.5,
    "phi": 0.5,
    "stablelm": 0.25,
}

# Everything beginning with "rope_" or "rotary_" that is understood here.
_KNOWN = frozenset(
    [
        "rope_interleave",
        "rope_local_base_freq",
        "rope_parameters",
        "rope_scaling",
        "rope_theta",
        "rotary_dim",
        "rotary_emb_base",
        "rotary_pct",
    ]
)

# Larger heads are not believed: a table is made of their columns.
_LARGEST_HEAD = 16384

_TRAINED = "original_max_position_embeddings"


def read_config(config: Any) -> Mapping[str, Any]:
    """The dictionary itself, or that of a file or of the config.json in a folder."""
    if isinstance(config, Mapping):
        return config
    folder = os.path.isdir(config)
    return read_json_object(os.path.join(config, "config.json") if folder else config)


def read_rotary(config: Any, layer_type: str | None = None) -> dict[str, Any]:
    """Arguments of `Rotary` for a config.json.

    Examples
    --------
    >>> read_rotary({"hidden_size": 256, "num_attention_heads": 4})
    {'head_dim': 64, 'base': 10000.0, 'scaling': {'rope_type': 'default'}}
    """
    return _read_rotary(read_config(config), layer_type)


@contextmanager
def blamed_on(config: Any) -> Iterator[None]:
    """What is wrong with a config is a FileFormatError with its name when it came from a file."""
    try:
        yield
    except FileFormatError:
        raise
    except (ValueError, TypeError, ArithmeticError) as error:
        if isinstance(config, Mapping):
            raise
        raise FileFormatError(f"{os.fspath(config)}: {error}") from error


def _read_rotary(config: Mapping[str, Any], layer_type: str | None) -> dict[str, Any]:
    unknown = [k for k in config if k.startswith(("rope_", "rotary_")) and k not in _KNOWN]
    if unknown:
        raise ValueError(
            f"positions.Rotary: keys of the config are not known: {shorten(unknown)}; they may "
            f"change what the model means, so they are not passed over"
        )
    scaling = _scaling_of(config, layer_type)
    kind = scaling.setdefault("rope_type", scaling.pop("type", "default"))
    head_dim = _head_dim(config)
    if head_dim > _LARGEST_HEAD:
        raise ValueError(f"positions.Rotary: heads of {head_dim} columns; at most {_LARGEST_HEAD}")
    out: dict[str, Any] = {"head_dim": head_dim, "base": _base(config, scaling, layer_type)}
    rotary_dim = _rotary_dim(config, scaling, head_dim)
    if rotary_dim != head_dim:
        out["rotary_dim"] = rotary_dim
    if config.get("model_type") in INTERLEAVED and config.get("rope_interleave") is not False:
        out["layout"] = "interleaved"
    sections = scaling.pop("mrope_section", None)
    by_turns = scaling.pop("mrope_interleaved", None)
    if sections is not None:
        out |= {"sections": list(sections)} | ({"section_order": "interleaved"} if by_turns else {})
    if kind in ("su", "mrope"):  # what Phi-3 and Qwen2-VL called them at first
        kind = scaling["rope_type"] = {"su": "longrope", "mrope": "default"}[kind]
    if kind == "yarn" and config.get("model_type") == "phi3":
        kind = scaling["rope_type"] = "longrope"
    _fill_lengths(config, scaling)
    return out | {"scaling": scaling}


def _scaling_of(config: Mapping[str, Any], layer_type: str | None) -> dict[str, Any]:
    """A copy of the parameters of one type of layers, without None."""
    given = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(given, Mapping):
        raise ValueError(
            f"positions.Rotary: rope parameters are {shorten(given)}; expected an object"
        )
    nested = [key for key in given if key.endswith("attention") or key in _layer_types(config)]
    if nested:
        if layer_type not in nested:
            raise ValueError(
                f"positions.Rotary: layers differ; pass layer_type, one of {shorten(nested)}"
            )
        given = given[layer_type]
        if given is None:
            raise ValueError(
                f"positions.Rotary: layers of type {layer_type!r} have no positions; use NoPE()"
            )
    elif "rope_local_base_freq" in config:  # Gemma 3, old spelling
        if layer_type not in ("full_attention", "sliding_attention"):
            raise ValueError(
                "positions.Rotary: layers differ; pass layer_type, full_attention or "
                "sliding_attention"
            )
        given = given if layer_type == "full_attention" else {}
    return {key: value for key, value in given.items() if value is not None}


def _layer_types(config: Mapping[str, Any]) -> set[str]:
    listed = config.get("layer_types")
    return {t for t in listed if isinstance(t, str)} if isinstance(listed, list) else set()


def _head_dim(config: Mapping[str, Any]) -> int:
    for key in ("qk_rope_head_dim", "head_dim"):
        if config.get(key) is not None:
            return _whole(config, key)
    names = ("n_embd", "n_head") if "n_embd" in config else ("hidden_size", "num_attention_heads")
    if any(config.get(name) is None for name in names):
        raise ValueError(f"positions.Rotary: the config has neither head_dim nor {names[0]}")
    return _whole(config, names[0]) // _whole(config, names[1])


def _whole(config: Mapping[str, Any], key: str) -> int:
    value = config[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(
            f"positions.Rotary: {key} is {shorten(value)}; need a whole number above 0"
        )
    return value


def _base(config: Mapping[str, Any], scaling: dict[str, Any], layer_type: str | None) -> float:
    names = ["rope_theta", "rotary_emb_base"]
    if layer_type == "sliding_attention":
        names.insert(0, "rope_local_base_freq")
    found = [scaling.pop("rope_theta", None), *(config.get(name) for name in names), 10000.0]
    base = next(value for value in found if value is not None)
    if not isinstance(base, int | float) or isinstance(base, bool):
        raise ValueError(f"positions.Rotary: rope_theta is {shorten(base)}; need a number")
    return float(base)


def _rotary_dim(config: Mapping[str, Any], scaling: dict[str, Any], head_dim: int) -> int:
    if config.get("rotary_dim") is not None:
        return _whole(config, "rotary_dim")
    default = _SHARES.get(config.get("model_type"), 1.0)
    said = (config.get("partial_rotary_factor"), config.get("rotary_pct"), default)
    outside = next(value for value in said if value is not None)
    if scaling["rope_type"] == "proportional":  # of the whole head, whose other pairs stand still
        scaling.setdefault("partial_rotary_factor", outside)
        return head_dim
    share = scaling.pop("partial_rotary_factor", outside)
    if not isinstance(share, int | float) or isinstance(share, bool) or not 0 < share <= 1:
        raise ValueError(
            f"positions.Rotary: partial_rotary_factor is {shorten(share)}; need 0 < x <= 1"
        )
    turning = int(head_dim * share)
    return turning + turning % 2 if turning < head_dim else turning


def _fill_lengths(config: Mapping[str, Any], scaling: dict[str, Any]) -> None:
    """Lengths that scalings depend on, from beside them when they are not inside."""
    kind, longest = scaling["rope_type"], config.get("max_position_embeddings")
    if kind not in ("dynamic", "yarn", "longrope", "llama3"):
        return
    outside = config.get(_TRAINED)
    if kind == "dynamic":
        if _TRAINED in scaling:
            raise ValueError(
                f"positions.Rotary: rope_type='dynamic' has an unknown key: {_TRAINED}"
            )
        outside = longest
    if outside is not None:  # Phi-3 has it there, and it counts more
        scaling[_TRAINED] = outside
    elif longest is not None:
        scaling.setdefault(_TRAINED, longest)
    if kind in ("yarn", "longrope") and "factor" not in scaling and longest and _TRAINED in scaling:
        scaling["factor"] = max(longest / scaling[_TRAINED], 1.0)
