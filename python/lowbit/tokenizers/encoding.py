"""What a tokenizer returns: one text in detail, or many texts as ragged ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Encoding:
    """The tokens of one text.

    Attributes
    ----------
    ids : int32 [n]
    tokens : list of str
    offsets : int32 [n, 2]
        First character, or byte, of each token in the text and the one behind its last; (0, 0) for
        special tokens and padding.
    attention_mask : int32 [n]
        0 for padding.
    type_ids : int32 [n]
        0 for the first text, 1 for its pair.
    word_ids : list of int or None
        Number of the word in its text; None for special tokens and padding.
    sequence_ids : list of int or None
        0 for the first text, 1 for its pair; None for special tokens and padding.
    overflowing : tuple of Encoding
        Windows over the rest of a text that was cut with `stride`, in order.
    """

    ids: np.ndarray
    tokens: list[str]
    offsets: np.ndarray
    attention_mask: np.ndarray
    type_ids: np.ndarray
    word_ids: list[int | None]
    sequence_ids: list[int | None]
    overflowing: tuple[Encoding, ...] = ()

    @property
    def special_tokens_mask(self) -> np.ndarray:
        """1 for tokens of the template and padding, int32 [n]."""
        return np.array([number is None for number in self.sequence_ids], np.int32)

    def pad(
        self,
        length: int,
        side: str = "right",
        pad_id: int = 0,
        pad_type_id: int = 0,
        pad_token: str = "[PAD]",
    ) -> Encoding:
        """The same with padding up to `length` tokens, its windows too; longer ones stay as long.

        Parameters
        ----------
        side
            "left" or "right": where the padding is.

        Examples
        --------
        >>> from lowbit import Tokenizer
        >>> tok = Tokenizer.train(["low bit"], model="word")
        >>> tok.encode("low bit").pad(3, side="left").attention_mask.tolist()
        [0, 1, 1]
        """
        _check_side("Encoding.pad", side)
        windows = tuple(
            w.pad(length, side, pad_id, pad_type_id, pad_token) for w in self.overflowing
        )
        count = max(0, length - len(self))
        edges = (count, 0) if side == "left" else (0, count)

        def filled(array: np.ndarray, value: int) -> np.ndarray:
            widths = [edges, *[(0, 0)] * (array.ndim - 1)]
            return np.pad(array, widths, constant_values=value)

        def joined(values: list, value: object) -> list:
            return [value] * edges[0] + values + [value] * edges[1]

        return Encoding(
            filled(self.ids, pad_id),
            joined(self.tokens, pad_token),
            filled(self.offsets, 0),
            filled(self.attention_mask, 0),
            filled(self.type_ids, pad_type_id),
            joined(self.word_ids, None),
            joined(self.sequence_ids, None),
            windows,
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        shown = " ".join(self.tokens[:12]) + (" ..." if len(self) > 12 else "")
        return f"Encoding({len(self)} tokens: {shown})"

    def _repr_html_(self) -> str:
        from lowbit.tokenizers.pieces import token_pieces
        from lowbit.tokenizers.view import TokenView

        return TokenView(token_pieces(self))._repr_html_()


class LaterEncoding(Encoding):
    """An `Encoding` with its ids, which makes the rest when it is asked for.

    Most callers want ids alone, and places cost several times as much.
    """

    @classmethod
    def of(
        cls, ids: np.ndarray, make: Callable[..., Encoding], arguments: tuple[Any, ...]
    ) -> LaterEncoding:
        """With these ids, and the rest of `make(*arguments)`."""
        encoding = object.__new__(cls)
        own = encoding.__dict__
        own["ids"] = ids
        own["_later"] = make, arguments
        return encoding

    def __getattr__(self, name: str) -> Any:  # only of what is not there yet
        if name not in Encoding.__dataclass_fields__:
            raise AttributeError(f"'Encoding' object has no attribute '{name}'")
        make, arguments = self.__dict__["_later"]
        self.__dict__.update(vars(make(*arguments)) | {"ids": self.ids})
        return self.__dict__[name]

    def __reduce__(self) -> tuple[Any, ...]:
        return Encoding, tuple(getattr(self, name) for name in Encoding.__dataclass_fields__)


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
    sources : int64 [B] or None
        Of texts cut with `stride`: row b is a window over text sources[b]. Otherwise row b is text
        b, and this is None.
    """

    ids: np.ndarray
    indptr: np.ndarray
    type_ids: np.ndarray
    pad_id: int = 0
    sources: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        """Ids of one text, int32."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"Batch: text {index} of {len(self)}")
        index %= len(self)
        return self.ids[self.indptr[index] : self.indptr[index + 1]]

    @classmethod
    def concatenate(cls, batches: Iterable[Batch]) -> Batch:
        """One batch with the rows of several, in order; `sources` count on.

        Examples
        --------
        >>> from lowbit import Tokenizer
        >>> tok = Tokenizer.train(["low bit"], model="word")
        >>> both = Batch.concatenate([tok.encode_batch(["low bit"]), tok.encode_batch(["bit"])])
        >>> both.indptr.tolist()
        [0, 2, 3]
        """
        parts = list(batches)
        if not parts:
            return cls(np.zeros(0, np.int32), np.zeros(1, np.int64), np.zeros(0, np.int32))
        starts = np.cumsum([0, *(len(part.ids) for part in parts)])
        edges = [part.indptr[1:] + start for part, start in zip(parts, starts, strict=False)]
        sources = None
        if any(part.sources is not None for part in parts):
            known = [np.arange(len(p)) if p.sources is None else p.sources for p in parts]
            counts = np.cumsum([0, *(int(rows.max(initial=-1)) + 1 for rows in known)])
            sources = np.concatenate([s + n for s, n in zip(known, counts, strict=False)])
        return cls(
            np.concatenate([part.ids for part in parts]),
            np.concatenate([np.zeros(1, np.int64), *edges]),
            np.concatenate([part.type_ids for part in parts]),
            parts[0].pad_id,
            sources,
        )

    def pad(
        self,
        multiple_of: int = 1,
        max_length: int | None = None,
        side: str = "right",
        pad_id: int | None = None,
        pad_type_id: int = 0,
        return_type_ids: bool = False,
    ) -> tuple[np.ndarray, ...]:
        """Ids and mask as rectangles.

        Parameters
        ----------
        multiple_of
            The width is rounded up to a multiple of this.
        max_length
            The width, no matter how long the texts are; a longer text is an error.
        side
            "left" or "right": where the padding is.
        pad_id, pad_type_id
            What ids and types are filled with; None is for that of the tokenizer.
        return_type_ids
            Return the types as well.

        Returns
        -------
        ids, mask, or ids, mask, type_ids
            int32 [B, width]; mask is 1 where a token is real.

        Examples
        --------
        >>> import numpy as np
        >>> batch = Batch(np.array([5, 6, 7], np.int32), np.array([0, 1, 3]), np.zeros(3, np.int32))
        >>> ids, mask = batch.pad()
        >>> ids.tolist(), mask.tolist()
        ([[5, 0], [6, 7]], [[1, 0], [1, 1]])
        """
        _check_side("Batch.pad", side)
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
        places = np.arange(width)
        if side == "left":
            places = places[::-1]
        real = places < lengths[:, None]

        def filled(values: np.ndarray, fill: int) -> np.ndarray:
            out = np.full(real.shape, fill, np.int32)
            out[real] = values
            return out

        ids = filled(self.ids, self.pad_id if pad_id is None else pad_id)
        mask = real.astype(np.int32)
        return (ids, mask, filled(self.type_ids, pad_type_id)) if return_type_ids else (ids, mask)


def _check_side(function: str, side: str) -> None:
    if side not in ("left", "right"):
        raise ValueError(f'{function}: side="{side}" is not "left" or "right"')
