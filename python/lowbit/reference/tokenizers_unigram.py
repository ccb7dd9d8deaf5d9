"""The unigram language model and sentencepiece's normalization, as plainly as they can be written.

A vocabulary gives each token a score, the logarithm of its probability. A word is spelled with the
tokens whose scores have the highest sum (Kudo, 2018, "Subword regularization"). Two libraries do
this, and where sums nearly tie they differ:

- tokenizers: float64 sums from the start of each word; unknown characters in a row become one
  token, and that token may even be a known one.
- sentencepiece: float32 sums from the start of the whole text, which start again from 0 where they
  pass 100,000; user-defined symbols score 0.1 for each byte but the first.

Rules of both: candidates are met from left to right by their start, and of equal sums the first
stays. A character that is no token itself may be spelled as unknown, which scores 10 less than the
worst token.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

UNKNOWN_PENALTY = 10
LARGEST_SUM = 100000
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id; `types` are sentencepiece's, and None for a vocabulary of tokenizers."""

    tokens: Sequence[str]
    scores: Sequence[float]
    unknown_id: int
    byte_fallback: bool = False
    types: Sequence[int] | None = None

    @property
    def real(self) -> type:
        """The type of sums."""
        return np.float64 if self.types is None else np.float32

    def spellable(self) -> dict[str, tuple[int, np.floating]]:
        """Id and score of every token that a text may become."""
        if self.types is None:
            pairs = zip(self.tokens, self.scores, strict=True)
            return {t: (i, np.float64(score)) for i, (t, score) in enumerate(pairs) if t}
        table = {}
        for i, (token, kind) in enumerate(zip(self.tokens, self.types, strict=True)):
            if kind == NORMAL:
                table[token] = i, np.float32(self.scores[i])
            elif kind == USER_DEFINED:
                table[token] = i, np.float32(0.1 * (len(token.encode()) - 1))
        return table

    def unknown_score(self) -> np.floating:
        """The score of a character that is no token."""
        types = self.types or [NORMAL] * len(self.tokens)
        worst = min(s for s, kind in zip(self.scores, types, strict=True) if kind == NORMAL)
        return self.real(worst) - self.real(UNKNOWN_PENALTY)


Step = tuple[str, int]
"""A part of a word and the id it has; the vocabulary's `unknown_id` where it has none."""


def viterbi(
    word: str, vocabulary: Vocabulary, total: float = 0.0
) -> tuple[list[Step], np.floating]:
    """The best spelling of a word behind a text that adds up to `total`, and the new sum.

    Examples
    --------
    >>> vocabulary = Vocabulary(["?", "a", "b", "ab"], [0, -1, -1, -1.5], 0)
    >>> viterbi("abxa", vocabulary)[0]
    [('ab', 3), ('x', 0), ('a', 1)]
    """
    known, unknown = vocabulary.spellable(), vocabulary.unknown_score()
    longest = max(map(len, known), default=0)
    best: list[tuple[np.floating, int, int] | None] = [None] * (len(word) + 1)
    best[0] = vocabulary.real(total), 0, -1
    for begin in range(len(word)):
        here = best[begin][0]
        if vocabulary.real is np.float32 and abs(here) > LARGEST_SUM:
            later = [place and (place[0] - here, *place[1:]) for place in best[begin:]]
            best[begin:], here = later, np.float32(0)
        candidates = [
            (end, *known[word[begin:end]])
            for end in range(begin + 1, min(begin + longest, len(word)) + 1)
            if word[begin:end] in known
        ]
        if word[begin] not in known:
            candidates.append((begin + 1, vocabulary.unknown_id, unknown))
        for end, token, score in candidates:
            if best[end] is None or here + score > best[end][0]:
                best[end] = here + score, begin, token
    steps, end = [], len(word)
    while end > 0:
        _, begin, token = best[end]
        steps.append((word[begin:end], token))
        end = begin
    return steps[::-1], best[-1][0]


def encode(word: str, vocabulary: Vocabulary, total: float = 0.0) -> list[int]:
    """The ids of a word.

    Examples
    --------
    >>> vocabulary = Vocabulary(["?", "a"], [0, -1], 0)
    >>> encode("axyza", vocabulary)
    [1, 0, 1]
    """
    steps, _ = viterbi(word, vocabulary, total)
    return resolve(steps, vocabulary)


def resolve(steps: Iterable[Step], vocabulary: Vocabulary) -> list[int]:
    """Ids of a spelling: unknown parts in a row are one token, or become bytes."""
    index = {token: i for i, token in enumerate(vocabulary.tokens)}
    fuses = vocabulary.types is None or not vocabulary.byte_fallback
    runs: list[list] = []
    for text, token in steps:
        if fuses and token == vocabulary.unknown_id and runs and runs[-1][1] == token:
            runs[-1][0] += text
        else:
            runs.append([text, token])
    ids: list[int] = []
    for text, token in runs:
        if token != vocabulary.unknown_id:
            ids.append(token)
            continue
        names = [f"<0x{byte:02X}>" for byte in text.encode()]
        if vocabulary.types is None and text in index:
            ids.append(index[text])
        elif vocabulary.byte_fallback and all(name in index for name in names):
            ids += [index[name] for name in names]
        else:
            ids.append(token)
    return ids


def spellings(word: str, vocabulary: Vocabulary) -> list[tuple[float, list[Step]]]:
    """Every spelling and its score, best first; their number grows exponentially.

    Examples
    --------
    >>> vocabulary = Vocabulary(["?", "a", "aa"], [0, -1, -1.5], 0)
    >>> [score for score, _ in spellings("aaa", vocabulary)]
    [-2.5, -2.5, -3.0]
    """
    known, unknown = vocabulary.spellable(), float(vocabulary.unknown_score())

    def rest(begin: int) -> Iterator[tuple[float, list[Step]]]:
        if begin == len(word):
            yield 0.0, []
            return
        for end in range(begin + 1, len(word) + 1):
            part = word[begin:end]
            if part in known:
                token, score = known[part]
            elif end == begin + 1:
                token, score = vocabulary.unknown_id, unknown
            else:
                continue
            for others, steps in rest(end):
                yield float(score) + others, [(part, token), *steps]

    return sorted(rest(0), key=lambda spelling: -spelling[0])


def charsmap_entries(blob: bytes) -> dict[str, str]:
    """What a precompiled charsmap replaces by what.

    The blob is the size of a trie, the trie in the format of darts-clone, and the replacements,
    each ended by a zero byte.
    """
    (size,) = struct.unpack_from("<I", blob)
    units = struct.unpack_from(f"<{size // 4}I", blob, 4)
    replacements = blob[4 + size :]

    def walk(place: int, key: bytes) -> Iterator[tuple[bytes, bytes]]:
        unit = units[place]
        children = place ^ (unit >> 10 << ((unit >> 6) & 8))
        if unit >> 8 & 1:
            begin = units[children] & 0x7FFFFFFF
            yield key, replacements[begin : replacements.index(0, begin)]
        for byte in range(1, 256):
            if units[children ^ byte] & 0x800000FF == byte:
                yield from walk(children ^ byte, key + bytes([byte]))

    return {key.decode(): text.decode() for key, text in walk(0, b"")}


def precompiled(clusters: Iterable[str], entries: Mapping[str, str]) -> str:
    """A text, given as its grapheme clusters, as the tokenizers library normalizes it.

    Examples
    --------
    >>> precompiled(["f", "\\ufb01\\u0301"], {"\\ufb01": "fi"})
    'ffi'
    """

    def shortest(text: str) -> str | None:
        ends = range(1, len(text) + 1)
        return next((entries[text[:end]] for end in ends if text[:end] in entries), None)

    out = []
    for cluster in clusters:
        whole = shortest(cluster) if len(cluster.encode()) < 6 else None
        parts = [entries.get(character, character) for character in cluster]
        out.append("".join(parts) if whole is None else whole)
    return "".join(out)


def sentencepiece_replace(text: str, entries: Mapping[str, str]) -> str:
    """A text with the longest entries replaced from left to right, as sentencepiece does it.

    Examples
    --------
    >>> sentencepiece_replace("abc", {"a": "1", "ab": "2"})
    '2c'
    """
    longest = max(map(len, entries), default=0)
    out, at = [], 0
    while at < len(text):
        ends = range(min(at + longest, len(text)), at, -1)
        end = next((end for end in ends if text[at:end] in entries), None)
        out.append(text[at] if end is None else entries[text[at:end]])
        at = at + 1 if end is None else end
    return "".join(out)


def sentencepiece_spaces(
    text: str, prefix: bool = True, remove_extra: bool = True, escape: bool = True,
    suffix: bool = False,
) -> str:  # fmt: skip
    """What sentencepiece does to the spaces of a text whose characters are replaced.

    Examples
    --------
    >>> sentencepiece_spaces("  a  b ").replace("\\u2581", "_")
    '_a_b'
    """
    if remove_extra:
        text = " ".join(part for part in text.split(" ") if part)
    if not text:
        return ""
    if prefix:
        text = text + " " if suffix else " " + text
    return text.replace(" ", "\u2581") if escape else text
