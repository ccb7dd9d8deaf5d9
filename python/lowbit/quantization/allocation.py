"""A size budget, spent where it saves most: one option for each weight, by dynamic programming.

Weights are added one after another. Of the sums that are possible so far, only those matter that no
other beats in size and in loss; these few are combined with the options of the next weight
(Nemhauser and Ullmann, "Discrete dynamic programming and capital allocation", 1969).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

MOST_SUMS = 1 << 15
"""Sums that are kept. With more, one for each part of the budget is: the result fits, and may lose
a little more than the best."""

UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
UNITS |= {"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}


def parse_size(size: int | float | str) -> int:
    """Bytes of a size such as 20_000_000, "20MB", "19.5 MiB" or "500kB".

    Raises
    ------
    ValueError
        If it is nothing of that kind, or less than one byte.

    Examples
    --------
    >>> [parse_size(size) for size in (20e6, "20MB", "0.5 MiB", "500kB", "123")]
    [20000000, 20000000, 524288, 500000, 123]
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-zA-Z]*)\s*", str(size))
    if isinstance(size, str):
        unit = UNITS.get(found[2].upper() or "B") if found else None
        number = float(found[1]) if found else 0.0
    else:
        unit, number = 1, float(size)
    if unit is None or not 1 <= number * unit < 1 << 62:
        raise ValueError(
            f"budget={size!r} is no size; use bytes, or a number with kB, MB, GB, KiB, MiB or GiB"
        )
    return int(number * unit)


def allocate(
    sizes: Sequence[Sequence[int]], losses: Sequence[Sequence[float]], budget: int
) -> list[int]:
    """Choose an option for each item so that the sum of losses is least and the sizes fit.

    Parameters
    ----------
    sizes
        Bytes of every option of every item.
    losses
        What each costs, not negative.
    budget
        Bytes that all may take together.

    Returns
    -------
    list of int
        The option of each item. Of choices that lose alike, the smaller.

    Raises
    ------
    ValueError
        If even the smallest options do not fit; the message says what they take.

    Examples
    --------
    >>> allocate([[1, 4], [2, 3]], [[9.0, 1.0], [8.0, 7.0]], 6)
    [1, 0]
    """
    smallest = np.array([min(options) for options in sizes], np.int64)
    if smallest.sum() > budget:
        raise ValueError(f"allocate: budget={budget} is below {smallest.sum()}, the least possible")
    behind = smallest.sum() - np.cumsum(smallest)  # what the items that follow need
    total, lost = np.zeros(1, np.int64), np.zeros(1)
    trail = []
    for i, (size, loss) in enumerate(zip(sizes, losses, strict=True)):
        sums = (total[:, None] + np.asarray(size, np.int64)).reshape(-1)
        sums_lost = (lost[:, None] + np.asarray(loss, np.float64)).reshape(-1)
        kept = _undominated(sums, sums_lost, budget - int(behind[i]))
        trail.append(np.divmod(kept, len(size)))
        total, lost = sums[kept], sums_lost[kept]
    at, choice = len(total) - 1, []
    for before, option in reversed(trail):
        choice.append(int(option[at]))
        at = before[at]
    return choice[::-1]


def _undominated(total: np.ndarray, lost: np.ndarray, budget: int) -> np.ndarray:
    """Indices of the sums within the budget that lose less than every smaller one, by size."""
    order = np.lexsort((lost, total))
    order = order[: np.searchsorted(total[order], budget, side="right")]
    least = np.minimum.accumulate(lost[order])
    better = np.concatenate([[True], lost[order][1:] < least[:-1]])
    kept = order[better]
    if len(kept) <= MOST_SUMS:
        return kept
    # The last, which loses least, of each of so many equal parts of the budget; and the smallest.
    part = total[kept] * (MOST_SUMS - 1) // max(1, budget)
    last = np.concatenate([part[1:] != part[:-1], [True]])
    last[0] = True
    return kept[last]
