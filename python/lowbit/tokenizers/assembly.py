"""Tokens of texts, cut and put into templates: what a tokenizer returns is made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lowbit.tokenizers.encoding import Encoding
from lowbit.tokenizers.spec import Slot

Part = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Ids, first characters, characters behind the last, and numbers of words of a text's tokens."""


def special_count(template: tuple[Slot, ...]) -> int:
    """How many tokens a template adds."""
    return sum(len(slot.ids) for slot in template)


def cut(part: Part, length: int, keep_end: bool) -> Part:
    """The first tokens of a text, or the last."""
    ids, begins, ends, words = part
    kept = slice(len(ids) - length, None) if keep_end else slice(length)
    return ids[kept], begins[kept], ends[kept], words[kept]


def assemble(
    template: tuple[Slot, ...], parts: Sequence[Part], tokens: Mapping[int, str], trim: str
) -> Encoding:
    """The tokens of a text, or of two, with those of the template.

    Parameters
    ----------
    parts
        The text "A" and, where the template has it, "B".
    tokens
        Texts of the ids.
    trim
        As in `TokenizerSpec`.
    """
    ids: list[np.ndarray] = []
    offsets: list[np.ndarray] = []
    types: list[np.ndarray] = []
    words: list[int | None] = []
    for slot in template:
        if slot.text:
            text_ids, begins, ends, text_words = parts["AB".index(slot.text)]
            ids.append(text_ids)
            places = np.stack([begins, ends], axis=1)
            if trim:
                texts = [tokens[id] for id in text_ids.tolist()]
                places = trimmed(places, texts, trim == "first")
            offsets.append(places)
            words += text_words.tolist()
        else:
            ids.append(np.array(slot.ids, np.int32))
            offsets.append(np.zeros((len(slot.ids), 2), np.int32))
            words += [None] * len(slot.ids)
        types.append(np.full(len(ids[-1]), slot.type_id, np.int32))
    all_ids = np.concatenate(ids)
    return Encoding(
        all_ids,
        [tokens[id] for id in all_ids.tolist()],
        np.concatenate(offsets),
        np.ones(len(all_ids), np.int32),
        np.concatenate(types),
        words,
    )


def batch_types(template: tuple[Slot, ...], indptr: np.ndarray) -> np.ndarray:
    """Type of every token of a batch of single texts, int32 [indptr[-1]]."""
    types = np.zeros(int(indptr[-1]), np.int32)
    if not any(slot.type_id for slot in template):
        return types
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
        One space before the text was put there and has no place in it.

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
        if leading and keep_first and (i == 0 or begin == 0):
            leading -= 1
        begin = min(begin + leading, end)
        if trailing and end >= trailing:
            end = max(end - trailing, begin)
        out[i] = begin, end
    return out


def shares(lengths: list[int], room: int) -> list[int]:
    """How many tokens each text keeps: the longer of two is cut first, as the reference does.

    Examples
    --------
    >>> shares([10, 3], 8)
    [5, 3]
    """
    if sum(lengths) <= room:
        return lengths
    if len(lengths) == 1:
        return [min(lengths[0], room)]
    shorter = min(lengths)
    longer = shorter if shorter > room else max(shorter, room - shorter)
    if shorter + longer > room:
        shorter = room // 2
        longer = shorter + room % 2
    return [longer, shorter] if lengths[0] > lengths[1] else [shorter, longer]
