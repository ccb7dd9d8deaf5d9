"""What a tokenizer returns: one text in detail, or many texts as ragged ids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Encoding:
    """The tokens of one text.

    Attributes
    ----------
    ids : int32 [n]
    tokens : list of str
    offsets : int32 [n, 2]
        First character of each token in the text and the one behind its last; (0, 0) for special
        tokens and padding.
    attention_mask : int32 [n]
        0 for padding.
    type_ids : int32 [n]
        0 for the first text, 1 for its pair.
    word_ids : list of int or None
        Number of the word in its text; None for special tokens and padding.
    """

    ids: np.ndarray
    tokens: list[str]
    offsets: np.ndarray
    attention_mask: np.ndarray
    type_ids: np.ndarray
    word_ids: list[int | None]

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        shown = " ".join(self.tokens[:12]) + (" ..." if len(self) > 12 else "")
        return f"Encoding({len(self)} tokens: {shown})"


@dataclass(frozen=True)
class Batch:
    """The tokens of many texts without padding.

    Attributes
    ----------
    ids : int32 [M]
        All texts, one behind the other.
    indptr : int64 [B + 1]
        Text b is ids[indptr[b]:indptr[b + 1]].
    type_ids : int32 [M]
        0 for the first text of a pair, 1 for the second.
    pad_id : int
        What `pad` fills with.
    """

    ids: np.ndarray
    indptr: np.ndarray
    type_ids: np.ndarray
    pad_id: int = 0

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        """Ids of one text, int32."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"Batch: text {index} of {len(self)}")
        index %= len(self)
        return self.ids[self.indptr[index] : self.indptr[index + 1]]

    def pad(
        self, multiple_of: int = 1, max_length: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ids and mask as rectangles, padded on the right.

        Parameters
        ----------
        multiple_of
            The width is rounded up to a multiple of this.
        max_length
            The width, no matter how long the texts are; a longer text is an error.

        Returns
        -------
        ids, mask
            int32 [B, width]; mask is 1 where a token is real.

        Examples
        --------
        >>> import numpy as np
        >>> batch = Batch(np.array([5, 6, 7], np.int32), np.array([0, 1, 3]), np.zeros(3, np.int32))
        >>> ids, mask = batch.pad()
        >>> ids.tolist(), mask.tolist()
        ([[5, 0], [6, 7]], [[1, 0], [1, 1]])
        """
        if multiple_of < 1:
            raise ValueError(f"Batch.pad: multiple_of={multiple_of} must be at least 1")
        lengths = np.diff(self.indptr)
        longest = int(lengths.max(initial=0))
        if max_length is not None and longest > max_length:
            raise ValueError(
                f"Batch.pad: a text has {longest} tokens, max_length is {max_length}; pass "
                "max_length to encode_batch to cut it"
            )
        width = -(-(longest if max_length is None else max_length) // multiple_of) * multiple_of
        ids = np.full((len(self), width), self.pad_id, np.int32)
        mask = (np.arange(width) < lengths[:, None]).astype(np.int32)
        ids[mask.astype(bool)] = self.ids
        return ids, mask
