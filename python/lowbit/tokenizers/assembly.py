"""Tokens of texts, cut and put into templates: what a tokenizer returns is made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lowbit.tokenizers.encoding import Batch, Encoding
from lowbit.tokenizers.spec import Slot
from lowbit.tokenizers.truncation import Cutting, Span

Part = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, list[tuple[int, str]]]
"""Ids, first characters, characters behind the last, and numbers of words of a text's tokens; which
of them are shown as the text that they stand for, in order."""


def special_count(template: tuple[Slot, ...]) -> int:
    """How many tokens a template adds."""
    return sum(len(slot.ids) for slot in template)


def around_text(template: tuple[Slot, ...]) -> tuple[list[int], list[int]]:
    """Ids that the template of one text puts before it and behind."""
    place = next(i for i, slot in enumerate(template) if slot.text)
    before = [id for slot in template[:place] for id in slot.ids]
    return before, [id for slot in template[place + 1 :] for id in slot.ids]


def in_bytes(part: Part, text: str) -> Part:
    """The same with places in the bytes of UTF-8."""
    encoded = np.frombuffer(text.encode("utf-8"), np.uint8)
    firsts = np.append(np.flatnonzero((encoded & 0xC0) != 0x80), len(encoded)).astype(np.int32)
    ids, begins, ends, words, spelled = part
    return ids, firsts[begins], firsts[ends], words, spelled


def assemble(
    template: tuple[Slot, ...],
    parts: Sequence[Part],
    rows: Sequence[tuple[Span, ...]],
    tokens: Mapping[int, str],
    trim: str,
) -> Encoding:
    """The tokens of a text, or of two, with those of the template.

    Parameters
    ----------
    parts
        The text "A" and, where the template has it, "B".
    rows
        Which tokens of each text; those behind the first become `overflowing`.
    tokens
        Texts of the ids.
    trim
        As in `TokenizerSpec`.
    """
    made = []
    for spans in rows:
        cut = [_cut(part, *span) for part, span in zip(parts, spans, strict=True)]
        made.append(_encoding(template, cut, tokens, trim))
    return replace(made[0], overflowing=tuple(made[1:]))


def _cut(part: Part, start: int, stop: int) -> Part:
    ids, begins, ends, words = (a[start:stop] for a in part[:4])
    spelled = [(i - start, text) for i, text in part[4] if start <= i < stop]
    return ids, begins, ends, words, spelled


def _encoding(
    template: tuple[Slot, ...],
    parts: Sequence[Part],
    tokens: Mapping[int, str],
    trim: str,
) -> Encoding:
    ids: list[np.ndarray] = []
    shown: list[str] = []
    offsets: list[np.ndarray] = []
    types: list[np.ndarray] = []
    words: list[int | None] = []
    sequences: list[int | None] = []
    for slot in template:
        if slot.text:
            number = "AB".index(slot.text)
            text_ids, begins, ends, text_words, spelled = parts[number]
            ids.append(text_ids)
            places = np.stack([begins, ends], axis=1)
            texts = [tokens[id] for id in text_ids.tolist()]
            for i, text in spelled:
                texts[i] = text
            shown += texts
            if trim:
                places = trimmed(places, texts, trim == "first")
            offsets.append(places)
            words += text_words.tolist()
            sequences += [number] * len(text_ids)
        else:
            ids.append(np.array(slot.ids, np.int32))
            offsets.append(np.zeros((len(slot.ids), 2), np.int32))
            shown += [tokens[id] for id in slot.ids]
            words += [None] * len(slot.ids)
            sequences += [None] * len(slot.ids)
        types.append(np.full(len(ids[-1]), slot.type_id, np.int32))
    all_ids = np.concatenate(ids)
    return Encoding(
        all_ids,
        shown,
        np.concatenate(offsets),
        np.ones(len(all_ids), np.int32),
        np.concatenate(types),
        words,
        sequences,
    )


def assemble_batch(
    template: tuple[Slot, ...],
    texts: Sequence[tuple[np.ndarray, np.ndarray]],
    cutting: Cutting,
    pad_id: int,
) -> Batch:
    """Many texts, or pairs, cut and put into a template.

    Parameters
    ----------
    texts
        Ids and indptr of the texts "A" and, where the template has it, of "B".
    """
    lengths = np.stack([np.diff(indptr) for _, indptr in texts])
    spans = {}
    if cutting.room is not None:
        for i in np.flatnonzero(lengths.sum(axis=0) > cutting.room).tolist():
            spans[i] = cutting.spans(lengths[:, i].tolist())
    counts = np.ones(lengths.shape[1], np.int64)
    counts[list(spans)] = [len(rows) for rows in spans.values()]
    sources = np.repeat(np.arange(len(counts)), counts)
    first_row = np.cumsum(counts) - counts
    starts, kept = np.stack([indptr[sources] for _, indptr in texts]), lengths[:, sources]
    for i, rows in spans.items():
        edges = np.array(rows).T  # [start or stop, text, row]
        here = slice(first_row[i], first_row[i] + len(rows))
        starts[:, here] += edges[0]
        kept[:, here] = edges[1] - edges[0]
    ids, indptr, types = _fill(template, [ids for ids, _ in texts], starts, kept)
    return Batch(ids, indptr, types, pad_id, None if cutting.stride is None else sources)


def _fill(
    template: tuple[Slot, ...], texts: list[np.ndarray], starts: np.ndarray, lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids, indptr and types of rows with lengths[t, b] tokens of text t, from starts[t, b] on."""
    sizes = [
        lengths["AB".index(slot.text)] if slot.text else np.full(lengths.shape[1], len(slot.ids))
        for slot in template
    ]
    indptr = np.concatenate([[0], np.cumsum(sum(sizes))]).astype(np.int64)
    ids, types = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.int32)
    at = indptr[:-1].copy()
    for slot, size in zip(template, sizes, strict=True):
        within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        target = np.repeat(at, size) + within
        if slot.text:
            text = "AB".index(slot.text)
            ids[target] = texts[text][np.repeat(starts[text], size) + within]
        else:
            ids[target] = np.array(slot.ids, np.int32)[within]
        types[target] = slot.type_id
        at += size
    return ids, indptr, types


def batch_types(template: tuple[Slot, ...], indptr: np.ndarray) -> np.ndarray:
    """Type of every token of a batch of single texts, int32 [indptr[-1]]; may be read-only."""
    if not any(slot.type_id for slot in template):
        return np.broadcast_to(np.int32(0), int(indptr[-1]))  # takes no memory
    types = np.empty(int(indptr[-1]), np.int32)
    place = next(i for i, slot in enumerate(template) if slot.text)
    types[:] = template[place].type_id
    for edge, slots, step in (
        (indptr[:-1], template[:place], 1),
        (indptr[1:] - 1, template[:place:-1], -1),
    ):
        kinds = [slot.type_id for slot in slots for _ in slot.ids]
        for distance, kind in enumerate(kinds):
            types[edge + step * distance] = kind
    return types


def trimmed(places: np.ndarray, tokens: list[str], keep_first: bool) -> np.ndarray:
    """Places without the white space at the ends of their tokens, as GPT-2's post-processor.

    Parameters
    ----------
    places
        int32 [n, 2].
    tokens
        In GPT-2's alphabet, where a space is U+0120.
    keep_first
        A single space before the text was put there and has no place in it.

    Returns
    -------
    numpy.ndarray
        int32 [n, 2].

    Examples
    --------
    >>> trimmed(np.array([[0, 2], [2, 5]]), ["Hi", "\u0120yo"], False).tolist()
    [[0, 2], [3, 5]]
    """
    out = places.copy()
    for i, token in enumerate(tokens):
        begin, end = out[i]
        inner = token.replace("\u0120", " ")
        leading = len(inner) - len(inner.lstrip())
        trailing = len(inner) - len(inner.rstrip())
        if leading == 1 and keep_first and (i == 0 or begin == 0):
            leading = 0  # with more, none was put there
        begin = min(begin + leading, end)
        if trailing and end >= trailing:
            end = max(end - trailing, begin)
        out[i] = begin, end
    return out
