"""Which tokens of longer texts are kept, and the windows over the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from lowbit.tokenizers.spec import STRATEGIES, Truncation

Span = tuple[int, int]
"""First token, and the one behind the last."""


@dataclass(frozen=True)
class Cutting:
    """How texts are cut: `room` is for their tokens alone, None for as many as there are; `stride`
    None is for no windows; `left`, the beginning is cut."""

    room: int | None = None
    stride: int | None = None
    strategy: str = "longest_first"
    left: bool = False

    def spans(self, lengths: Sequence[int]) -> list[tuple[Span, ...]]:
        """What is kept of each text, and then, with `stride`, the windows over the rest.

        Examples
        --------
        >>> Cutting(room=4, stride=1).spans([6])
        [((0, 4),), ((3, 6),)]
        >>> Cutting(room=4).spans([6, 2])
        [((0, 2), (0, 2))]
        """
        if self.room is None or sum(lengths) <= self.room:
            return [tuple((0, length) for length in lengths)]
        kept = shares(lengths, self.room, self.strategy)
        if self.stride is None:
            pairs = zip(lengths, kept, strict=True)
            return [tuple((n - k, n) if self.left else (0, k) for n, k in pairs)]
        found = [windows(n, k, self.stride, self.left) for n, k in zip(lengths, kept, strict=True)]
        # The order of the reference: the windows of the first text, each with all of the second.
        first, rest = found[0][:1], found[0][1:]
        return [
            *product(first, *(other[:1] for other in found[1:])),
            *product(rest, *found[1:]),
            *(product(first, *(other[1:] for other in found[1:])) if len(found) > 1 else ()),
        ]


UNCUT = Cutting()


def make_cutting(
    function: str,
    special: int,
    file: Truncation | None,
    max_length: int | None,
    stride: int | None,
    strategy: str | None,
    direction: str | None,
) -> Cutting:
    """A `Cutting` of checked arguments of a call; what is None is as the file says.

    Parameters
    ----------
    function
        For messages.
    special
        How many tokens the template adds.
    """
    file = file or Truncation(1)
    strategy = file.strategy if strategy is None else strategy
    direction = file.direction if direction is None else direction
    if strategy not in STRATEGIES:
        raise ValueError(f'{function}: strategy="{strategy}" is not one of {", ".join(STRATEGIES)}')
    if direction not in ("left", "right"):
        raise ValueError(f'{function}: direction="{direction}" is not "left" or "right"')
    if max_length is None:
        if stride is not None:
            raise ValueError(f"{function}: stride={stride} needs max_length")
        return UNCUT
    if max_length < special:
        raise ValueError(
            f"{function}: max_length={max_length} leaves no room for the {special} special tokens"
        )
    if stride is not None and stride < 0:
        raise ValueError(f"{function}: stride={stride} must be at least 0")
    return Cutting(max_length - special, stride, strategy, direction == "left")


def shares(lengths: Sequence[int], room: int, strategy: str = "longest_first") -> list[int]:
    """How many tokens each text keeps, as the reference does it.

    Examples
    --------
    >>> shares([10, 3], 8)
    [5, 3]
    >>> shares([10, 3], 8, "only_second")
    Traceback (most recent call last):
    ValueError: Tokenizer: strategy="only_second" would cut 5 tokens from a text of 3
    """
    surplus = sum(lengths) - room
    if surplus <= 0:
        return list(lengths)
    if room == 0:
        return [0] * len(lengths)
    if strategy != "longest_first":
        target = STRATEGIES.index(strategy) - 1
        if target >= len(lengths):
            raise ValueError(f'Tokenizer: strategy="{strategy}" needs a pair of texts')
        if lengths[target] <= surplus:
            raise ValueError(
                f'Tokenizer: strategy="{strategy}" would cut {surplus} tokens from a text of '
                f"{lengths[target]}"
            )
        return [n - surplus if i == target else n for i, n in enumerate(lengths)]
    if len(lengths) == 1:
        return [room]
    shorter = min(lengths)
    longer = shorter if shorter > room else max(shorter, room - shorter)
    if shorter + longer > room:
        shorter = room // 2
        longer = shorter + room % 2
    return [longer, shorter] if lengths[0] > lengths[1] else [shorter, longer]


def windows(length: int, size: int, stride: int, left: bool = False) -> list[Span]:
    """Windows of `size` tokens over a text, each sharing `stride` of them with the one before.

    Parameters
    ----------
    length
        Tokens of the text.
    left
        The first window is at the end of the text.

    Examples
    --------
    >>> windows(8, 4, 1)
    [(0, 4), (3, 7), (6, 8)]
    >>> windows(8, 4, 1, left=True)
    [(4, 8), (1, 5), (0, 2)]
    """
    if size >= length:
        return [(0, length)]
    if size == 0:
        return [(0, 0), (0, length)]
    if stride >= size:
        raise ValueError(
            f"Tokenizer: stride={stride} must be less than the {size} tokens a window has of a text"
        )
    found = [(0, size)]
    while found[-1][1] < length:
        start = found[-1][0] + size - stride
        found.append((start, min(start + size, length)))
    return [(length - stop, length - start) for start, stop in found] if left else found
