"""Ids of tokens that are added to a vocabulary, as the tokenizers library gives them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def number_added(
    contents: Iterable[str], vocabulary: Mapping[str, int], known: Mapping[str, int] | None = None
) -> dict[str, int]:
    """The ids of added tokens, in this order.

    A token of the vocabulary keeps its id; the others are numbered from the size of the vocabulary
    on, or behind the highest id of an added token if that is larger.

    Parameters
    ----------
    contents
        Texts of the tokens; empty and repeated ones are left out.
    vocabulary
        Tokens of the model and their ids.
    known
        Tokens that were added before, which keep their ids.

    Examples
    --------
    >>> number_added(["b", "x", "y"], {"a": 0, "b": 1})
    {'b': 1, 'x': 2, 'y': 3}
    """
    known = known or {}
    highest = max(known.values(), default=-1)
    ids: dict[str, int] = {}
    for content in contents:
        if not content or content in ids:
            continue
        id = known.get(content, vocabulary.get(content))
        if id is None:
            id = max(highest + 1, len(vocabulary))
        highest = max(highest, id)
        ids[content] = id
    return ids
