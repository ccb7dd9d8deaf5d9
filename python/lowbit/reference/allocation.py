"""The best choice of one option for each item under a budget, by looking at every choice."""

from __future__ import annotations

import itertools
from collections.abc import Sequence


def allocate(
    sizes: Sequence[Sequence[int]], losses: Sequence[Sequence[float]], budget: int
) -> tuple[int, ...] | None:
    """The options with the least sum of losses whose sizes fit, one for each item; None: none fit.

    The multiple-choice knapsack problem. Of choices that lose alike, the smaller is taken.

    Examples
    --------
    >>> allocate([[1, 4], [2, 3]], [[9.0, 1.0], [8.0, 7.0]], 6)
    (1, 0)
    """
    best: tuple[float, int, tuple[int, ...]] | None = None
    for choice in itertools.product(*(range(len(options)) for options in sizes)):
        size = sum(options[i] for options, i in zip(sizes, choice, strict=True))
        loss = sum(options[i] for options, i in zip(losses, choice, strict=True))
        if size <= budget and (best is None or (loss, size) < best[:2]):
            best = loss, size, choice
    return None if best is None else best[2]
