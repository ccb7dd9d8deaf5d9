"""How byte-pair encoding is learned (Sennrich et al., 2016, algorithm 1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

Pair = tuple[int, int]


def count_pairs(words: Mapping[tuple[int, ...], int]) -> Counter[Pair]:
    """How often each pair of neighbours occurs in words that occur so often.

    Examples
    --------
    >>> count_pairs({(1, 2, 3): 10, (1, 2): 1})[1, 2]
    11
    """
    counts: Counter[Pair] = Counter()
    for word, count in words.items():
        for pair in pairwise(word):
            counts[pair] += count
    return counts


def merge(word: Sequence[int], pair: Pair, token: int) -> tuple[int, ...]:
    """Puts a token in the place of every occurrence of a pair, from the left.

    Examples
    --------
    >>> merge((7, 7, 7, 8), (7, 7), 9)
    (9, 7, 8)
    """
    merged, at = [], 0
    while at < len(word):
        if tuple(word[at : at + 2]) == pair:
            merged.append(token)
            at += 2
        else:
            merged.append(word[at])
            at += 1
    return tuple(merged)


def train_bpe(
    words: Mapping[bytes, int], vocab_size: int, min_frequency: int = 0, ties: str = "ids"
) -> tuple[list[bytes], list[Pair]]:
    """Merges the most frequent pair until there are `vocab_size` tokens.

    Parameters
    ----------
    words
        How often each word occurs, in the order of their first appearance.
    vocab_size
        Tokens to make; the first 256 are the bytes.
    min_frequency
        Pairs that are rarer are not merged.
    ties
        Which of equally frequent pairs is first: "ids", the one of smaller ids; "bytes", the one of
        the greater pair of byte strings; "first", the one that occurs first.

    Returns
    -------
    tuple
        Tokens by id, and the merges in order.

    Raises
    ------
    ValueError
        If `ties` is another word.

    Examples
    --------
    >>> tokens, merges = train_bpe({b"low": 5, b"lower": 2, b"newest": 6}, 258)
    >>> tokens[256:], merges
    ([b'we', b'lo'], [(119, 101), (108, 111)])
    """
    if ties not in ("ids", "bytes", "first"):
        raise ValueError(f'train_bpe: ties is {ties!r}; it is "ids", "bytes" or "first"')
    tokens = [bytes([byte]) for byte in range(256)]
    merges: list[Pair] = []
    spelled = {tuple(word): count for word, count in words.items()}
    while len(tokens) < vocab_size:
        counts = count_pairs(spelled)  # in the order of first occurrence
        if not counts:
            break
        most = max(counts.values())
        if most < min_frequency:
            break
        best = [pair for pair in counts if counts[pair] == most]
        if ties == "ids":
            pair = min(best)
        elif ties == "bytes":
            pair = max(best, key=lambda pair: (tokens[pair[0]], tokens[pair[1]]))
        else:
            pair = best[0]
        joined = tokens[pair[0]] + tokens[pair[1]]
        token = len(tokens)
        if ties != "first" and joined in tokens:  # was made of another pair before
            token = tokens.index(joined)
        else:
            tokens.append(joined)
        merges.append(pair)
        # A pair that is merged again since its token came up again stands where it was last.
        if merges.count(pair) > 1:
            merges.remove(pair)
        spelled = {merge(word, pair, token): count for word, count in spelled.items()}
    return tokens, merges
