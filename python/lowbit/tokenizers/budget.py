"""The longest beginning of a text that has so many tokens."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

LOOK = 64  # characters behind the last token that fits


def longest_prefix(
    text: str,
    budget: int,
    count: Callable[[str], int],
    encode: Callable[[str], tuple[np.ndarray, ...]],
) -> str:
    """See `Tokenizer.truncate`.

    How many tokens a prefix has is not known from the tokens of the text: those at its end may
    become others. So prefixes are counted, the longest first.

    Parameters
    ----------
    count
        Tokens of a text.
    encode
        Ids, first characters, characters behind the last and words of the tokens of a text.
    """
    if count(text) <= budget:
        return text
    ends, stop = _where_it_ends(text, budget, encode)
    for end in range(stop, max(stop - 4 * LOOK, 0), -1):
        if count(text[:end]) <= budget:
            return text[:end]
    for end in np.unique(ends[ends <= stop - 4 * LOOK])[::-1].tolist():
        if count(text[:end]) <= budget:
            return text[:end]
    return ""


def _where_it_ends(
    text: str, budget: int, encode: Callable[[str], tuple[np.ndarray, ...]]
) -> tuple[np.ndarray, int]:
    """Where tokens end, and the end of the word in which the first token is that does not fit.

    Only a beginning of the text is encoded, as long as it needs to be.
    """
    size = 4 * budget + 4 * LOOK
    while True:
        _, _, ends, words = encode(text[:size])
        if len(ends) > budget:
            word_end = int(ends[words == words[budget]].max())
            last = int(ends[budget - 1]) if budget else 0
            stop = min(word_end, last + LOOK)
            if size >= len(text) or stop <= size - LOOK:
                return ends, min(stop, len(text))
        elif size >= len(text):
            return ends, len(text)
        size *= 2
