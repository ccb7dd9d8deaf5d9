"""Vectors of tokens and words where they stand: what `Encoder.embed_tokens` and `embed_words` give.

A word of a text is a run of characters. Its vector is made from those of the tokens that share a
character with it, its pieces.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lowbit.models.batching import TruncationWarning
from lowbit.tokenizers import Tokenizer
from lowbit.tokenizers.encoding import Encoding

Span = tuple[int, int]


@dataclass(frozen=True)
class ContextualVectors:
    """A row for each token, or word, of some texts.

    Attributes
    ----------
    vectors : float32 [N, D]
    indptr : int64 [B + 1]
        Text b has the rows indptr[b] to indptr[b + 1].
    names : list of str
        The tokens; or the words as they stand in their texts.
    spans : int32 [N, 2]
        First character of each in its text and the one behind its last; (0, 0) for special tokens.
    cut : bool [N]
        Words of which a part is behind the last token that the model reads: their rows are NaN.

    Examples
    --------
    >>> rows = np.array([[3.0, 0.0], [1.0, 4.0]], np.float32)
    >>> spans = np.array([[0, 3], [4, 7]], np.int32)
    >>> found = ContextualVectors(
    ...     rows, np.array([0, 2]), ["low", "bit"], spans, np.zeros(2, bool)
    ... )
    >>> found, len(found), found[0].tolist(), found.centered().vectors.tolist()
    (ContextualVectors(2 x 2 of 1 text), 1, [[3.0, 0.0], [1.0, 4.0]], [[1.0, -2.0], [-1.0, 2.0]])
    """

    vectors: np.ndarray
    indptr: np.ndarray
    names: list[str]
    spans: np.ndarray
    cut: np.ndarray

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        """Rows of one text, float32 [n, D]."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"ContextualVectors: text {index} of {len(self)}")
        index %= len(self)
        return self.vectors[self.indptr[index] : self.indptr[index + 1]]

    @property
    def text_ids(self) -> np.ndarray:
        """Number of the text of each row, int64 [N]."""
        return np.repeat(np.arange(len(self)), np.diff(self.indptr))

    def centered(self) -> ContextualVectors:
        """The same without the mean of all rows, which contextual vectors have in common.

        What remains tells rows apart: cosines of the vectors themselves are all high.
        """
        whole = self.vectors[~self.cut]
        mean = whole.mean(axis=0, dtype=np.float64) if len(whole) else 0.0
        return replace(self, vectors=(self.vectors - mean).astype(np.float32))

    def __repr__(self) -> str:
        rows, dim = self.vectors.shape
        texts = "1 text" if len(self) == 1 else f"{len(self)} texts"
        return f"ContextualVectors({rows} x {dim} of {texts})"


def find_words(texts: Sequence[str], words: str | Sequence[str]) -> list[list[Span]]:
    """Where some words stand in texts, as whole words and in any case.

    Parameters
    ----------
    texts
        Strings.
    words
        One or several, of which none is empty; a word may have spaces.

    Returns
    -------
    list of lists of (begin, end)
        In the order of each text.

    Examples
    --------
    >>> find_words(["The bank by the river bank.", "Banks"], "bank")
    [[(4, 8), (22, 26)], []]
    """
    wanted = [words] if isinstance(words, str) else list(words)
    if not wanted or not all(isinstance(w, str) and w.strip() for w in wanted):
        raise ValueError(f"find_words: words must be one or more words; got {words!r}")
    # Longest first, so that "river bank" is found before "river".
    either = "|".join(re.escape(w) for w in sorted(wanted, key=len, reverse=True))
    pattern = re.compile(rf"(?<!\w)(?:{either})(?!\w)", re.IGNORECASE)
    return [[match.span() for match in pattern.finditer(text)] for text in texts]


@dataclass(frozen=True)
class WordPieces:
    """Words of one text, and their pieces among the tokens that the model reads.

    Attributes
    ----------
    spans : list of (begin, end)
    pieces : list of int64 arrays
        Places of tokens, empty for words that are cut.
    """

    spans: list[Span]
    pieces: list[np.ndarray]


def word_pieces(
    tokenizer: Tokenizer, text: str, max_length: int, spans: Sequence[Span] | None = None
) -> WordPieces:
    """The words that the tokenizer sees in a text, or those at `spans`.

    Raises
    ------
    ValueError
        If no token shares a character with a span.
    """
    kept = tokenizer.encode(text, max_length=max_length)
    # A text that does not fill the limit cannot have been cut.
    whole = kept if len(kept) < max_length else tokenizer.encode(text)
    if spans is None:
        found = _by_word(whole)
        have = found if whole is kept else _by_word(kept)
        keys = list(found)
        places = [tuple(whole.offsets[found[k], i].tolist() for i in (0, 1)) for k in keys]
        spans = [(min(begins), max(ends)) for begins, ends in places]
        counts = [len(found[k]) for k in keys]
        pieces = [np.asarray(have.get(k, ()), np.int64) for k in keys]
    else:
        spans = [(int(begin), int(end)) for begin, end in spans]
        pieces = [_overlapping(kept, span) for span in spans]
        counts = [len(_overlapping(whole, span)) for span in spans]
        for (begin, end), count in zip(spans, counts, strict=True):
            if not count:
                raise ValueError(
                    f"no token has any of the characters {begin} to {end}, "
                    f"{text[max(0, begin) : end][:40]!r}"
                )
    none = np.zeros(0, np.int64)
    pairs = zip(pieces, counts, strict=True)
    return WordPieces(spans, [p if len(p) == count else none for p, count in pairs])


def _by_word(encoding: Encoding) -> dict[int, list[int]]:
    """Places of the tokens of each word."""
    found: dict[int, list[int]] = {}
    for place, word in enumerate(encoding.word_ids):
        if word is not None:
            found.setdefault(word, []).append(place)
    return found


def _overlapping(encoding: Encoding, span: Span) -> np.ndarray:
    begins, ends = encoding.offsets.T
    real = encoding.special_tokens_mask == 0
    return np.flatnonzero(real & (begins < span[1]) & (ends > span[0]) & (span[0] < span[1]))


def warn_of_cut_words(cut: np.ndarray, names: Sequence[str], max_length: int) -> None:
    """Tell that words have no vector, and which is the first."""
    if cut.any():
        first = names[int(np.argmax(cut))]
        warnings.warn(
            f"{int(cut.sum())} of {len(cut)} words have no vector: the model reads {max_length} "
            f"tokens of a text and they, such as {first!r}, stand behind",
            TruncationWarning,
            stacklevel=4,
        )
