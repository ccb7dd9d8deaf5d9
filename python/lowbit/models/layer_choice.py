"""Which hidden states of an encoder make a vector, and how several are put together."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import numpy as np

Layers = int | Sequence[int]
COMBINATIONS = ("mean", "concat")


def chosen_layers(layer: Layers, count: int, combine: str = "mean") -> list[int]:
    """Numbers from 0, what goes into the first layer, to `count`, what comes out of the last.

    Parameters
    ----------
    layer
        One number or several; negative ones count from the last, -1.
    count
        Layers of the encoder.
    combine
        "mean" or "concat".

    Raises
    ------
    ValueError
        If a number is out of range, there is none, or `combine` is something else.
    TypeError
        If one is no whole number.

    Examples
    --------
    >>> chosen_layers(-1, 6), chosen_layers([0, 3, -2], 6)
    ([6], [0, 3, 5])
    """
    if combine not in COMBINATIONS:
        raise ValueError(f'combine="{combine}" is not known; use "mean" or "concat"')
    given = list(layer) if isinstance(layer, Sequence | np.ndarray) else [layer]
    if not given:
        raise ValueError("layer is empty; name one at least, such as layer=-1")
    chosen = []
    for item in given:
        try:
            number = operator.index(item)
        except TypeError:
            raise TypeError(f"layer must be a whole number, or several; got {item!r}") from None
        if not -count - 1 <= number <= count:
            raise ValueError(
                f"layer={number} is not in a model of {count} layers; use 0 (what goes into the "
                f"first) to {count}, or -1 (the last) to {-count - 1}"
            )
        chosen.append(number % (count + 1))
    return chosen


def combined(states: Sequence[np.ndarray], combine: str) -> np.ndarray:
    """States [M, D] of several layers as their mean [M, D], or side by side [M, layers * D]."""
    if len(states) == 1:
        return states[0]
    if combine == "concat":
        return np.concatenate(states, axis=1)
    total = states[0] + states[1]
    for state in states[2:]:
        total += state
    total /= np.float32(len(states))
    return total
