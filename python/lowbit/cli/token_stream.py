"""Texts of a file as tokens, some at a time, and how many there were."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from types import TracebackType

import numpy as np

from lowbit.cli.console import Console
from lowbit.cli.measurements import Stopwatch
from lowbit.cli.text_input import read_lines, read_text, split_pieces
from lowbit.tokenizers import Encoding, Tokenizer
from lowbit.tokenizers.pieces import Names
from lowbit.tokenizers.spec import Slot
from lowbit.tokenizers.view import Counts

Part = tuple[str, Encoding, int]
"""A stretch of a text, its tokens, and its first character in the text."""

_NONE = np.zeros(0, np.int64)


class TokenStream:
    """The tokens of a file, of which each line or the whole is a text; read it once.

    Parameters
    ----------
    path
        A file, or "-".
    tokenizer
        What makes the tokens.
    lines
        Every line is a text.
    special
        Put special tokens round texts.
    console
        Has the bar.

    Attributes
    ----------
    counts : Counts
        Of what was read so far.
    texts : int
        Likewise.
    """

    def __init__(
        self, path: str, tokenizer: Tokenizer, lines: bool, special: bool, console: Console
    ) -> None:
        self.tokenizer = tokenizer
        self.counts = Counts()
        self.texts = 0
        self._lines = lines
        self._special = special
        # Asking for special tokens also asks for those in the text, with pieces of it too.
        self._parse = True if special else None
        self._unknown = Names.of(tokenizer.spec).unknown
        self._bar = console.progress("tokenizing, kB:")
        self._watch = Stopwatch()
        self._chunks = read_text(path, self._progress)

    def __enter__(self) -> TokenStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.clear()

    def ids(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Ids, int32, and the lengths of the texts that end with them, int64."""
        if self._lines:
            for texts in read_lines(self._chunks):
                yield self._encode_lines(texts)
            return
        before, after = self._template()
        total = 0
        for ids in self._whole(before.ids, after.ids):
            total += len(ids)
            yield ids, _NONE
        self.texts = 1
        yield _NONE.astype(np.int32), np.array([total], np.int64)

    def _whole(self, before: np.ndarray, after: np.ndarray) -> Iterator[np.ndarray]:
        yield self._counted("", before)
        for pieces in split_pieces(self._chunks, self.tokenizer.spec):
            yield self._encode_pieces(pieces)
        yield self._counted("", after)

    def encodings(self, limit: int | None = None) -> Iterator[Iterable[Part]]:
        """Every text in parts; after `limit` tokens the rest is counted only."""
        if not self._lines:
            yield self._parts(limit)
            self.texts = 1
            return
        for texts in read_lines(self._chunks):
            for i, text in enumerate(texts):
                if limit is not None and self.counts.tokens >= limit:
                    self._encode_lines(texts[i:])
                    break
                encoding = self.tokenizer.encode(text, add_special_tokens=self._special)
                self._counted(text, encoding.ids)
                self.texts += 1
                yield [(text, encoding, 0)]

    def _parts(self, limit: int | None) -> Iterator[Part]:
        before, after = self._template()
        self._counted("", before.ids)
        yield "", before, 0
        shift = 0
        complete = True
        for pieces in split_pieces(self._chunks, self.tokenizer.spec):
            for i, piece in enumerate(pieces):
                left = None if limit is None else limit - self.counts.tokens
                if left is not None and left <= 0:
                    self._encode_pieces(pieces[i:])
                    complete = False
                    break
                yield (*self._detailed(piece, left), shift)
                shift += len(piece)
        self._counted("", after.ids)
        if complete:
            yield "", after, 0

    def _detailed(self, piece: str, wanted: int | None) -> tuple[str, Encoding]:
        """A piece and its tokens, or its beginning with as many as are wanted."""
        if wanted is not None and len(piece) > 100 * wanted:
            # In detail a long text takes much memory; its beginning has the same tokens, or not.
            ids = self._encode_pieces([piece])
            start = piece[: 50 * wanted]
            encoding = self._encode(start)
            if np.array_equal(encoding.ids[:wanted], ids[:wanted]):
                return start, encoding
            return piece, self._encode(piece)
        encoding = self._encode(piece)
        self._counted(piece, encoding.ids)
        return piece, encoding

    def _encode(self, piece: str) -> Encoding:
        return self.tokenizer.encode(piece, add_special_tokens=False, parse_special=self._parse)

    def _encode_pieces(self, pieces: list[str]) -> np.ndarray:
        batch = self.tokenizer.encode_batch(
            pieces, add_special_tokens=False, parse_special=self._parse
        )
        return self._counted("".join(pieces), batch.ids)

    def _encode_lines(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        batch = self.tokenizer.encode_batch(texts, add_special_tokens=self._special)
        self._counted("\n".join(texts), batch.ids)
        breaks = len(texts) - 1
        self.counts += Counts(bytes=-breaks, characters=-breaks)
        self.texts += len(texts)
        return batch.ids, np.diff(batch.indptr)

    def _counted(self, text: str, ids: np.ndarray) -> np.ndarray:
        unknown = int(np.count_nonzero(ids == self._unknown))
        self.counts += Counts.of(text, len(ids), unknown)
        return ids

    def _template(self) -> tuple[Encoding, Encoding]:
        """What comes before a text and behind it."""
        both = self.tokenizer.encode("", add_special_tokens=self._special)
        slots = self.tokenizer.spec.single if self._special else (Slot("A"),)
        place = next(i for i, slot in enumerate(slots) if slot.text)
        before = sum(len(slot.ids) for slot in slots[:place])
        after = sum(len(slot.ids) for slot in slots[place:])
        return _stretch(both, 0, before), _stretch(both, len(both) - after, len(both))

    def _progress(self, done: int, total: int) -> None:
        rate = done / self._watch.seconds / 1e6
        self._bar.update(done // 1000, max(total // 1000, 1), f"{rate:.0f} MB/s")


def _stretch(encoding: Encoding, begin: int, end: int) -> Encoding:
    return replace(
        encoding,
        **{field.name: getattr(encoding, field.name)[begin:end] for field in fields(encoding)},
    )
