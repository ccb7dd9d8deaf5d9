"""Byte-pair encoding of one word, as plainly as it can be said.

Tokens are ``str`` or ``bytes``; atoms are single characters or single bytes of the word. The
lowest rank goes first, of equal ranks the leftmost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

Word = str | bytes


def apply_merges(
    parts: list[Word],
    rank: Callable[[Word, Word], float | None],
    merge: Callable[[Word, Word], Word] = lambda left, right: left + right,
) -> list[Word]:
    """Merge neighbours until no pair has a rank.

    >>> ranks = {("l", "o"): 0, ("lo", "w"): 1}
    >>> apply_merges(list("slow"), lambda *pair: ranks.get(pair))
    ['s', 'low']
    """
    parts = list(parts)
    while True:
        ranks = [(rank(*pair), i) for i, pair in enumerate(pairwise(parts))]
        ranks = [candidate for candidate in ranks if candidate[0] is not None]
        if not ranks:
            return parts
        i = min(ranks)[1]
        parts[i : i + 2] = [merge(parts[i], parts[i + 1])]


def atoms(word: Word) -> list[Word]:
    """The characters or bytes of a word.

    >>> atoms(b"ab")
    [b'a', b'b']
    """
    return [word[i : i + 1] for i in range(len(word))]


def encode_by_ranks(
    word: Word, ranks: dict[Word, float], whole_word_first: bool = True
) -> list[Word]:
    """As tiktoken does: two neighbours merge if their text has a rank.

    With the negative scores of a sentencepiece model as ranks, and without looking at the whole
    word first, it is the encoding of that. Atoms without a rank stay as they are.

    >>> encode_by_ranks(b"abcab", {b"a": 0, b"b": 1, b"c": 2, b"ab": 3, b"abc": 4})
    [b'abc', b'ab']
    """
    if whole_word_first and word in ranks:
        return [word]
    return apply_merges(atoms(word), lambda left, right: ranks.get(left + right))


def encode_by_merges(
    word: Word,
    vocabulary: dict[Word, int],
    merges: Sequence[tuple[Word, Word]],
    *,
    byte_fallback: bool = False,
    unknown: str | None = None,
    fuse_unknown: bool = False,
    ignore_merges: bool = False,
    continuing_prefix: str = "",
    end_of_word_suffix: str = "",
) -> list[int]:
    """The ids of a word as Hugging Face tokenizers 0.23 find them, quirks included.

    Bytes that stand for a character without a token come before unknown characters to the left
    of it, which wait for the next character that has one. A merge cuts the length of the prefix off
    its right part, whether the prefix is there or not.

    >>> vocabulary = {"a": 0, "b": 1, "ab": 2, "?": 3}
    >>> encode_by_merges("abxa", vocabulary, [("a", "b")], unknown="?")
    [2, 3, 0]
    """
    if ignore_merges and word in vocabulary:
        return [vocabulary[word]]
    parts: list[Word] = []
    waiting: list[Word] = []
    for i, atom in enumerate(atoms(word)):
        if continuing_prefix and i > 0:
            atom = continuing_prefix + atom
        if end_of_word_suffix and i == len(word) - 1:
            atom = atom + end_of_word_suffix
        fallback = [f"<0x{byte:02X}>" for byte in atom.encode()] if byte_fallback else []
        if atom in vocabulary:
            parts += [*waiting, atom]
            waiting = []
        elif fallback and all(name in vocabulary for name in fallback):
            parts += fallback
        elif unknown is not None:
            waiting = [unknown] if fuse_unknown else [*waiting, unknown]
            if len(waiting) == 2:
                parts.append(waiting.pop())
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    parts = apply_merges(
        parts + waiting,
        lambda left, right: ranks.get((left, right)),
        lambda left, right: left + right[len(continuing_prefix) :],
    )
    return [vocabulary[part] for part in parts]
