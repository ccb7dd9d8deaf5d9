"""How fast each pair of columns turns: every `rope_type` of a model's config.json.

A scaling is a dictionary with the keys that config.json has. Frequencies are computed in double
precision, or with the steps and in the precision of the transformers library (`dtype` float32).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from lowbit.files.untrusted import shorten


class Asked(NamedTuple):
    """What the frequencies are for.

    Attributes
    ----------
    dim
        Columns that turn, even.
    base
        `rope_theta`.
    length
        Tokens of the longest text; None: not longer than the model was trained for.
    dtype
        numpy.float64, or float32 with its rounding.
    """

    dim: int
    base: float
    length: int | None
    dtype: type


class Scaling(NamedTuple):
    """One rope_type: keys it must have, keys it may have, and its computation."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    compute: Callable[[Asked, Mapping[str, Any]], tuple[np.ndarray, float]]


def compute(asked: Asked, scaling: Mapping[str, Any]) -> tuple[np.ndarray, float]:
    """Frequencies [dim / 2] in radians a position, and the factor of cosines and sines.

    `scaling` is one that `check_scaling` returned.

    Examples
    --------
    >>> asked = Asked(4, 10000.0, None, np.float64)
    >>> compute(asked, {"rope_type": "linear", "factor": 2.0})
    (array([0.5  , 0.005]), 1.0)
    """
    return SCALINGS[scaling["rope_type"]].compute(asked, scaling)


def check_scaling(scaling: Mapping[str, Any] | None, dim: int) -> dict[str, Any]:
    """A scaling with its type under "rope_type", and None values left out; "default" for None.

    Raises
    ------
    ValueError
        If the type is unknown, a key is missing or unknown, or a value makes no sense.

    Examples
    --------
    >>> check_scaling({"type": "linear", "factor": 2}, 64)
    {'factor': 2, 'rope_type': 'linear'}
    """
    given = {key: value for key, value in (scaling or {}).items() if value is not None}
    alias = given.pop("type", "default")
    name = given.pop("rope_type", alias)
    if name not in SCALINGS:
        raise ValueError(
            f"positions.Rotary: rope_type={shorten(name)} is not known; use {', '.join(SCALINGS)}"
        )
    kind = SCALINGS[name]
    missing = [key for key in kind.required if key not in given]
    unknown = [key for key in given if key not in kind.required + kind.optional]
    if missing:
        raise ValueError(f"positions.Rotary: rope_type={name!r} needs {', '.join(missing)}")
    if unknown:
        raise ValueError(
            f"positions.Rotary: rope_type={name!r} has unknown keys: {shorten(unknown)}; they "
            f"may change what the model means, so they are not passed over"
        )
    for key, value in given.items():
        _check_value(name, key, value, dim)
    if name == "llama3" and given["high_freq_factor"] <= given["low_freq_factor"]:
        raise ValueError("positions.Rotary: high_freq_factor must be above low_freq_factor")
    return {**given, "rope_type": name}


def _check_value(name: str, key: str, value: Any, dim: int) -> None:
    if key == "truncate":
        good, rule = isinstance(value, bool), "true or false"
    elif key in ("short_factor", "long_factor"):
        listed = isinstance(value, list | tuple | np.ndarray) and len(value) == dim // 2
        good, rule = listed and all(_is_number(v) and v > 0 for v in value), f"{dim // 2} numbers"
    elif key == "original_max_position_embeddings":
        good, rule = _is_number(value) and value == int(value) > 1, "a whole number above 1"
    elif key == "factor":
        good, rule = _is_number(value) and value >= 1, "a number of at least 1"
    else:
        good, rule = _is_number(value) and value > 0, "a number above 0"
    if not good:
        raise ValueError(
            f"positions.Rotary: {key} of rope_type={name!r} is {shorten(value)}; need {rule}"
        )


def _is_number(value: Any) -> bool:
    real = isinstance(value, int | float | np.integer | np.floating)
    return real and not isinstance(value, bool) and math.isfinite(value)


def _powers(asked: Asked, base: float | None = None, dim: int | None = None) -> np.ndarray:
    """base^(2i / dim), with the exponent and the result rounded to the dtype."""
    dim = asked.dim if dim is None else dim
    exponents = np.arange(0, asked.dim, 2).astype(asked.dtype) / asked.dtype(dim)
    base = asked.base if base is None else base
    return np.power(np.float64(base), exponents.astype(np.float64)).astype(asked.dtype)


def _default(asked: Asked, _: Mapping[str, Any]) -> tuple[np.ndarray, float]:
    return 1 / _powers(asked), 1.0


def _linear(asked: Asked, scaling: Mapping[str, Any]) -> tuple[np.ndarray, float]:
    return 1 / _powers(asked) / asked.dtype(scaling["factor"]), 1.0


def _dynamic(asked: Asked, scaling: Mapping[str, Any]) -> tuple[np.ndarray, float]:
    factor, trained = scaling["factor"], scaling["original_max_position_embeddings"]
    length = max(asked.length or trained, trained)
    longer = factor * length / trained - (factor - 1)
    base = asked.base * longer ** (asked.dim / (asked.dim - 2)) if asked.dim > 2 else asked.base
    return 1 / _powers(asked, base), 1.0


def _yarn(asked: Asked, scaling: Mapping[str, Any]) -> tuple[np.ndarray, float]:
    factor, trained = scaling["factor"], scaling["original_max_position_embeddings"]

    def pair_of(turns: float) -> float:
        reach = math.log(trained / (turns * 2 * math.pi))
        return asked.dim * reach / (2 * math.log(asked.base))

    low, high = pair_of(scaling.get("beta_fast", 32)), pair_of(scaling.get("beta_slow", 1))
    if scaling.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, asked.dim - 1)
    width = high - low if high != low else 0.001
    pairs = np.arange(asked.dim // 2).astype(asked.dtype)
    keep = 1 - np.clip((pairs - asked.dtype(low)) / asked.dtype(width), 0, 1)
    powers = _powers(asked)
    slow = 1 / (asked.dtype(factor) * powers)
    return slow * (1 - keep) + 1 / powers * keep, _yarn_attention(scaling)


def _yarn_attention(scaling: Mapping[str, Any]) -> float:
    def of(weight: float) -> float:
        factor = scaling["factor"]
        return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0

    if "attention_factor" in scaling:
        return float(scaling["attention_factor"])
    weights = [scaling.get(key) for key in ("mscale", "mscale_all_dim")]
    return of(weights[0]) / of(weights[1]) if all(weights) else of(1.0)


def _longrope(asked: Asked, scaling: Mapping[str, Any]) -> tuple[np.ndarray, float]:
    trained = scaling["original_max_position_embeddings"]
    beyond = asked.length is not None and asked.length > trained
    slower = np.asarray(scaling["long_factor" if beyond else "short_factor"], asked.dtype)
    attention, factor = scaling.get("attention_factor"), scaling.get("factor", 1.0)
    if attention is None:
        attention = 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(trained))
    return 1 / (slower * _powers(asked)), float(attention)


def _llama3(asked: Asked, scaling: Mapping[str, Any]) -> tuple[np.ndarray, float]:
    trained = scaling["original_max_position_embeddings"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    factor = asked.dtype(scaling["factor"])
    plain, _ = _default(asked, scaling)
    wavelength = asked.dtype(2 * math.pi) / plain
    blend = (asked.dtype(trained) / wavelength - asked.dtype(low)) / asked.dtype(high - low)
    blended = (1 - blend) * plain / factor + blend * plain
    slow = np.where(wavelength > trained / low, plain / factor, blended)
    return np.where(wavelength < trained / high, plain, slow), 1.0


def _proportional(asked: Asked, scaling: Mapping[str, Any]) -> tuple[np.ndarray, float]:
    turning = int(scaling.get("partial_rotary_factor", 1.0) * asked.dim // 2)
    plain, _ = _default(asked, scaling)
    plain[turning:] = 0
    return plain / asked.dtype(scaling.get("factor", 1.0)), 1.0


_TRAINED = "original_max_position_embeddings"

SCALINGS: dict[str, Scaling] = {
    "default": Scaling((), (), _default),
    "linear": Scaling(("factor",), (), _linear),
    "dynamic": Scaling(("factor", _TRAINED), (), _dynamic),
    "yarn": Scaling(
        ("factor", _TRAINED),
        ("attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"),
        _yarn,
    ),
    "longrope": Scaling(
        ("short_factor", "long_factor", _TRAINED), ("attention_factor", "factor"), _longrope
    ),
    "llama3": Scaling(("factor", "low_freq_factor", "high_freq_factor", _TRAINED), (), _llama3),
    "proportional": Scaling((), ("partial_rotary_factor", "factor"), _proportional),
}

# Frequencies of these depend on how long the text is.
BY_LENGTH = ("dynamic", "longrope")
