"""Truncation and padding of a tokenizer.json, read and written."""

from __future__ import annotations

from typing import Any

from lowbit.errors import FileFormatError
from lowbit.files.tokenizer_components import integer, text
from lowbit.files.untrusted import shorten
from lowbit.tokenizers.spec import MAX_ID, Padding, Truncation

STRATEGIES = {
    "LongestFirst": "longest_first",
    "OnlyFirst": "only_first",
    "OnlySecond": "only_second",
}
SIDES = {"Left": "left", "Right": "right"}


def read_truncation(value: Any) -> Truncation | None:
    """How longer texts are to be cut; None where the file does not say."""
    if not _object("truncation", value):
        return None
    return Truncation(
        integer("truncation.max_length", value.get("max_length")),
        integer("truncation.stride", value.get("stride", 0)),
        _named("truncation.strategy", value.get("strategy", "LongestFirst"), STRATEGIES),
        _named("truncation.direction", value.get("direction", "Right"), SIDES),
    )


def write_truncation(truncation: Truncation | None) -> dict[str, Any] | None:
    """What `read_truncation` reads."""
    return truncation and {
        "direction": _name(truncation.direction, SIDES),
        "max_length": truncation.max_length,
        "strategy": _name(truncation.strategy, STRATEGIES),
        "stride": truncation.stride,
    }


def read_padding(value: Any) -> Padding | None:
    """How shorter texts are to be filled up; None where the file does not say."""
    if not _object("padding", value):
        return None
    strategy = value.get("strategy", "BatchLongest")
    length = None
    if isinstance(strategy, dict) and set(strategy) == {"Fixed"}:
        length = integer("padding.strategy.Fixed", strategy["Fixed"])
    elif strategy != "BatchLongest":
        raise FileFormatError(
            f'padding.strategy must be "BatchLongest" or {{"Fixed": length}}; got '
            f"{shorten(strategy)}"
        )
    multiple = value.get("pad_to_multiple_of")
    return Padding(
        length,
        _named("padding.direction", value.get("direction", "Right"), SIDES),
        None if multiple is None else integer("padding.pad_to_multiple_of", multiple),
        _id("padding.pad_id", value.get("pad_id", 0)),
        _id("padding.pad_type_id", value.get("pad_type_id", 0)),
        text("padding.pad_token", value.get("pad_token", "[PAD]")),
    )


def write_padding(padding: Padding | None) -> dict[str, Any] | None:
    """What `read_padding` reads."""
    return padding and {
        "strategy": "BatchLongest" if padding.length is None else {"Fixed": padding.length},
        "direction": _name(padding.side, SIDES),
        "pad_to_multiple_of": padding.multiple_of,
        "pad_id": padding.pad_id,
        "pad_type_id": padding.pad_type_id,
        "pad_token": padding.pad_token,
    }


def _id(name: str, value: Any) -> int:
    if integer(name, value) > MAX_ID:
        raise FileFormatError(f"{name} must be at most 2^31-1; got {shorten(value)}")
    return value


def _named(name: str, value: Any, names: dict[str, str]) -> str:
    if not isinstance(value, str) or value not in names:
        raise FileFormatError(f"{name} {shorten(value)} is not one of {', '.join(names)}")
    return names[value]


def _name(value: str, names: dict[str, str]) -> str:
    return next(name for name, known in names.items() if known == value)


def _object(name: str, value: Any) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise FileFormatError(f"{name} must be an object or null; got {shorten(value)}")
    return value or {}
