"""Numbers of a tokenizer.json as the tokenizers library reads them.

The reader of that library makes a number of its digits and divides by a power of ten, which is not
always the nearest: of the scores of a unigram model a quarter are off by the last bit, and of two
ways to cut a word with equal sums another one wins.
"""

from __future__ import annotations

import math

_LARGEST = (1 << 64) - 1
_POWERS = tuple(float(f"1e{n}") for n in range(309))


def read_float(digits: str) -> float:
    """The value of a number with a point or an exponent.

    Raises
    ------
    ValueError
        If it is too large.

    Examples
    --------
    >>> read_float("-7.5"), read_float("-7.2687246048924505")
    (-7.5, -7.268724604892451)
    """
    number, _, power = digits.lower().partition("e")
    whole, _, fraction = number.lstrip("-").partition(".")
    kept = (whole + fraction).lstrip("0")
    dropped = max(0, len(kept) - 20)  # digits that no longer fit into 64 bits
    while int(kept[: len(kept) - dropped] or 0) > _LARGEST:
        dropped += 1
    exponent = int(power or 0) + dropped - len(fraction)
    value = float(int(kept[: len(kept) - dropped] or 0))
    while abs(exponent) >= len(_POWERS) and value != 0 and exponent < 0:
        value /= _POWERS[-1]
        exponent += len(_POWERS) - 1
    if value != 0 and exponent < 0:
        value /= _POWERS[-exponent]
    elif value != 0:
        value = value * _POWERS[exponent] if exponent < len(_POWERS) else math.inf
    if math.isinf(value):
        raise ValueError(f"the number {digits[:40]} is too large")
    return -value if digits.startswith("-") else value
