"""Settings of trainings as JSON has them, and back: from files that anybody may have written."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from typing import Any

import numpy as np


def make_plain(settings: Any) -> None:
    """Turn NumPy's numbers in a frozen dataclass into Python's, which JSON knows."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, np.generic):
            object.__setattr__(settings, field.name, value.item())


def check_seed(seed: int) -> None:
    """ValueError for a seed that does not fit 64 bits."""
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"WordVectors.train: seed={seed} must be between 0 and 2^64 - 1")


def checked_fields(kind: type, read: Any, left_out: Collection[str] = ()) -> dict[str, Any]:
    """The arguments of a dataclass from parsed JSON, all but those left out.

    Raises
    ------
    ValueError
        If one is missing, or there is another, or one has not the type that it is declared with.
    """
    types = {field.name: field.type for field in fields(kind) if field.name not in left_out}
    if not isinstance(read, dict) or set(read) != set(types):
        raise ValueError("the settings are not those of a training")
    checked: dict[str, Any] = {}
    for name, declared in types.items():
        value = read[name]
        if declared == "tuple[int, int]":
            fits = isinstance(value, list) and len(value) == 2 and all(map(_is_integer, value))
            value = tuple(value) if fits else value
        elif value is None:
            fits = "None" in declared
        elif declared.startswith("int"):
            fits = _is_integer(value, 1 << 64 if name == "seed" else 1 << 63)
        elif declared.startswith("float"):
            fits = isinstance(value, float) or _is_integer(value)
        else:
            fits = type(value).__name__ == declared
        if not fits:
            raise ValueError(f"{name} is {value!r}")
        checked[name] = value
    return checked


def _is_integer(value: Any, end: int = 1 << 63) -> bool:
    return type(value) is int and abs(value) < end
