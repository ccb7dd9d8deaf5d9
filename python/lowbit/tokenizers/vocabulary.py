"""Vocabularies, merges and scores as tables of the kernels: read from files in no time.

They look like the dicts and lists they stand for; objects of Python are made when they are asked
for. All of them are immutable and can be pickled.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np

from lowbit import _core


class Vocabulary(Mapping[str, int]):
    """Tokens and their ids.

    Parameters
    ----------
    tokens
        A mapping of texts to ids from 0 to 2^31-1, or a `_core.TokenTable` without equal tokens.

    Raises
    ------
    ValueError
        If an id is none, or a token is no text.

    Examples
    --------
    >>> vocabulary = Vocabulary({"low": 0, "bit": 7})
    >>> vocabulary["bit"], len(vocabulary), vocabulary == {"low": 0, "bit": 7}
    (7, 2, True)
    """

    def __init__(self, tokens: Mapping[str, int] | _core.TokenTable) -> None:
        if isinstance(tokens, Vocabulary):
            tokens = tokens.table
        if not isinstance(tokens, _core.TokenTable):
            tokens = _core.TokenTable.from_dict(dict(tokens))
        self.table: _core.TokenTable = tokens

    @cached_property
    def _dict(self) -> dict[str, int]:
        return self.table.to_dict()

    def __getitem__(self, token: str) -> int:
        id = self.table.find(token)
        if id is None:
            raise KeyError(token)
        return id

    def __contains__(self, token: object) -> bool:
        return self.table.find(token) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._dict)

    def __len__(self) -> int:
        return len(self.table)

    def keys(self) -> Any:
        return self._dict.keys()

    def values(self) -> Any:
        return self._dict.values()

    def items(self) -> Any:
        return self._dict.items()

    def __or__(self, other: Mapping[str, int]) -> dict[str, int]:
        return {**self._dict, **other}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and self._dict == dict(other.items())

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.table,)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens)"

    def repeated_id(self) -> tuple[int, str, str] | None:
        """An id that two tokens have, and these; None where there is none.

        Examples
        --------
        >>> Vocabulary({"a": 3, "b": 0, "c": 3}).repeated_id()
        (3, 'a', 'c')
        """
        ids = self.table.ids()
        if (ids[1:] > ids[:-1]).all():
            return None
        order = np.argsort(ids, kind="stable")
        equal = np.flatnonzero(ids[order[1:]] == ids[order[:-1]])
        if equal.size == 0:
            return None
        first, second = (self.table.text(int(order[equal[0] + i])) for i in (0, 1))
        return int(ids[order[equal[0]]]), first, second


class _Table(Sequence[Any]):
    """A sequence that is a list once it is more than read from and written to files."""

    @abstractmethod
    def _listed(self) -> list[Any]:
        """The same as a list."""

    def __getitem__(self, place: Any) -> Any:
        return self._listed()[place]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._listed())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._listed() == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)})"


class Merges(_Table):
    """Merges of byte-pair encoding: [left, right], or both with a space between, as they came.

    Attributes
    ----------
    table : _core.TokenTable
        Of the vocabulary.
    pairs : ndarray of uint32 [merges, 2]
        The places of both tokens in the table.
    joined
        Whether an item is one text.

    Examples
    --------
    >>> merges = Merges.of(["a b"], Vocabulary({"a": 0, "b": 1, "ab": 2}))
    >>> merges[0], merges.pairs.tolist()
    ('a b', [[0, 1]])
    """

    def __init__(self, table: _core.TokenTable, pairs: np.ndarray, joined: bool) -> None:
        self.table, self.pairs, self.joined = table, pairs, joined

    @classmethod
    def of(cls, merges: Sequence[Any], vocabulary: Vocabulary) -> Self:
        """Merges by the places of tokens.

        Raises
        ------
        ValueError
            If one is no pair of tokens, or a token is not in the vocabulary.
        """
        if isinstance(merges, cls) and merges.table is vocabulary.table:
            return merges
        listed = list(merges)
        joined = bool(listed) and isinstance(listed[0], str)
        return cls(vocabulary.table, vocabulary.table.find_merges(listed), joined)

    @cached_property
    def _items(self) -> list[Any]:
        texts = self.table.texts()
        pairs = ([texts[left], texts[right]] for left, right in self.pairs.tolist())
        return [" ".join(pair) for pair in pairs] if self.joined else list(pairs)

    def _listed(self) -> list[Any]:
        return self._items

    def __len__(self) -> int:
        return len(self.pairs)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.table, self.pairs, self.joined)


class Pieces(_Table):
    """The tokens of a unigram model, [text, score]; the place is the id.

    Attributes
    ----------
    table : _core.TokenTable
        Texts.
    scores : ndarray of float64
        One for each.

    Examples
    --------
    >>> Pieces.of([["a", -1.5], ["b", -2]])[1]
    ['b', -2.0]
    """

    def __init__(self, table: _core.TokenTable, scores: np.ndarray) -> None:
        self.table, self.scores = table, scores

    @classmethod
    def of(cls, pieces: Sequence[Any]) -> Self:
        """Pieces from pairs."""
        if isinstance(pieces, cls):
            return pieces
        scores = np.array([score for _, score in pieces], np.float64)
        return cls(_core.TokenTable.from_list([token for token, _ in pieces]), scores)

    @cached_property
    def _items(self) -> list[Any]:
        pairs = zip(self.table.texts(), self.scores.tolist(), strict=True)
        return [list(pair) for pair in pairs]

    def _listed(self) -> list[Any]:
        return self._items

    def __len__(self) -> int:
        return len(self.table)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.table, self.scores)
