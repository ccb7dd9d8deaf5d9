"""Batches of texts as packed tokens: no padding anywhere.

A batch is one run of M tokens and the places where its texts begin. Every operation works on the M
real tokens, so a short text beside a long one costs nothing extra.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lowbit.tokenizers import Tokenizer


class TruncationWarning(UserWarning):
    """Some texts were longer than the model can read and lost their ends."""


@dataclass(frozen=True)
class TokenBatch:
    """Some texts as tokens.

    Attributes
    ----------
    ids, positions, type_ids
        int32 [M].
    indptr
        int64 [B + 1]: text b is the tokens indptr[b] to indptr[b + 1].
    """

    ids: np.ndarray
    positions: np.ndarray
    type_ids: np.ndarray
    indptr: np.ndarray

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def tokens(self) -> int:
        """Number of tokens M."""
        return len(self.ids)

    @classmethod
    def from_ids(cls, ids: np.ndarray, indptr: np.ndarray) -> TokenBatch:
        """A batch from ragged ids: positions count from 0 in each text, all types are 0.

        Examples
        --------
        >>> batch = TokenBatch.from_ids(np.array([5, 6, 7]), np.array([0, 1, 3]))
        >>> len(batch), batch.tokens, batch.positions.tolist()
        (2, 3, [0, 0, 1])
        """
        indptr = np.ascontiguousarray(indptr, np.int64)
        ids = np.ascontiguousarray(ids, np.int32)
        starts = np.repeat(indptr[:-1], np.diff(indptr))
        positions = (np.arange(len(ids)) - starts).astype(np.int32)
        return cls(ids, positions, np.zeros(len(ids), np.int32), indptr)

    @classmethod
    def from_padded(
        cls, ids: np.ndarray, mask: np.ndarray, type_ids: np.ndarray | None = None
    ) -> TokenBatch:
        """The tokens of a padded batch [B, T] that its mask keeps, at their own positions.

        Dropping a masked token changes nothing for the others: attention gives it no weight.
        """
        keep = np.asarray(mask).astype(bool)
        rows, columns = np.nonzero(keep)
        indptr = np.concatenate([[0], np.cumsum(keep.sum(axis=1))]).astype(np.int64)
        types = np.zeros(len(rows), np.int32)
        if type_ids is not None:
            types = np.asarray(type_ids)[rows, columns].astype(np.int32)
        picked = np.asarray(ids)[rows, columns].astype(np.int32)
        return cls(picked, columns.astype(np.int32), types, indptr)


class TokenizedTexts:
    """Many texts, tokenized once, from which batches are cut.

    Parameters
    ----------
    tokenizer
        Adds the model's special tokens.
    texts
        Any number of strings.
    max_length
        Tokens a text may have, special tokens included; longer ones are cut and a
        `TruncationWarning` tells how many.
    """

    def __init__(self, tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> None:
        texts = check_texts(texts)
        batch = tokenizer.encode_batch(texts, max_length=max_length)
        self.ids = np.asarray(batch.ids, np.int32)
        self.indptr = np.asarray(batch.indptr, np.int64)
        self.lengths = np.diff(self.indptr)
        self._warn_if_cut(tokenizer, texts, max_length)

    def __len__(self) -> int:
        return len(self.lengths)

    def _warn_if_cut(self, tokenizer: Tokenizer, texts: list[str], max_length: int) -> None:
        # A token is at least one byte, so a short text that fills the limit cannot have been cut.
        full = [i for i in np.nonzero(self.lengths >= max_length)[0] if len(texts[i]) > max_length]
        if not full:
            return
        whole = tokenizer.encode_batch([texts[i] for i in full], max_length=1 << 30)
        lengths = np.diff(whole.indptr)
        cut = int((lengths > max_length).sum())
        if cut:
            warnings.warn(
                f"{cut} of {len(texts)} texts have more than {max_length} tokens (the longest "
                f"{int(lengths.max())}) and were cut to {max_length}",
                TruncationWarning,
                stacklevel=4,
            )

    def batch(self, rows: np.ndarray) -> TokenBatch:
        """The texts with these indices, in this order."""
        indptr = np.concatenate([[0], np.cumsum(self.lengths[rows])])
        return TokenBatch.from_ids(self.ids[self.places(rows)], indptr)

    def places(self, rows: np.ndarray) -> np.ndarray:
        """Where the tokens of these texts are among all, int64 [M]."""
        lengths = self.lengths[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        offsets = np.repeat(self.indptr[:-1][rows] - indptr[:-1], lengths)
        return offsets + np.arange(indptr[-1])

    def by_length(self, batch_size: int) -> Iterator[np.ndarray]:
        """Indices of batches of texts of similar length, longest first."""
        order = np.argsort(-self.lengths, kind="stable")
        for begin in range(0, len(order), batch_size):
            yield order[begin : begin + batch_size]

    def by_tokens(self, limit: int) -> Iterator[np.ndarray]:
        """Indices of batches of at most `limit` tokens, or one text; longest texts first."""
        order = np.argsort(-self.lengths, kind="stable")
        begin = 0
        while begin < len(order):
            ends = np.cumsum(self.lengths[order[begin : begin + limit]])
            end = begin + max(1, int(np.searchsorted(ends, limit, side="right")))
            yield order[begin:end]
            begin = end

    def shuffled(self, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
        """Indices of the batches of one epoch: random, but alike in length inside a batch.

        A random permutation is cut into runs of 8 batches; each run is sorted by length and cut
        into batches, and all batches are then shuffled. So every epoch pairs other texts.
        """
        generator = np.random.default_rng([seed, epoch])
        order = generator.permutation(len(self))
        batches = []
        for begin in range(0, len(order), 8 * batch_size):
            run = order[begin : begin + 8 * batch_size]
            run = run[np.argsort(self.lengths[run], kind="stable")]
            batches += [run[i : i + batch_size] for i in range(0, len(run), batch_size)]
        generator.shuffle(batches)
        return batches


def check_texts(texts: Sequence[str]) -> list[str]:
    """`texts` as a list of strings.

    Raises
    ------
    TypeError
        If `texts` is one string, or an element is not a string.
    """
    if isinstance(texts, str):
        raise TypeError("texts is one string; pass a list of strings, [text]")
    texts = list(texts)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{i}] is a {type(text).__name__}; every text must be a string")
    return texts
