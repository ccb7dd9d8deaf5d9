"""Ids of tokens that are added to a vocabulary, as the tokenizers library gives them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from lowbit.tokenizers.spec import AddedToken, TokenizerSpec


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


def with_added_tokens(
    spec: TokenizerSpec, tokens: Iterable[str | AddedToken], special: bool
) -> TokenizerSpec:
    """A spec with more added tokens; see `Tokenizer.add_tokens`."""
    if isinstance(tokens, str):
        raise TypeError("Tokenizer.add_tokens: tokens is one string; pass a list of strings")
    # Sentencepiece's normalizer puts a space before a text, also before the text of a token.
    sentencepiece = any(step.type == "SentencePiece" for step in spec.normalizers)
    normalized = not special and not sentencepiece
    asked: dict[str, AddedToken | None] = {}
    for token in tokens:
        if isinstance(token, str):
            asked[token] = None
        elif isinstance(token, AddedToken):
            asked[token.content] = token
        else:
            raise TypeError(
                f"Tokenizer.add_tokens: a token is a {type(token).__name__}; pass strings or "
                "AddedTokens"
            )
    asked.pop("", None)
    before = {token.content: token.id for token in spec.added}
    ids = number_added(asked, spec.model.vocabulary, before)
    taken = spec.tokens_by_id()
    for content, id in ids.items():
        if taken.get(id, content) != content:
            raise ValueError(
                f"Tokenizer.add_tokens: the id {id} for {content!r} belongs to {taken[id]!r}: the "
                "vocabulary has gaps"
            )
    kept = {token.content: token for token in spec.added}
    new = {
        content: AddedToken(content, ids[content], special, normalized=normalized)
        if token is None
        else replace(token, id=ids[content])
        for content, token in asked.items()
    }
    return replace(spec, added=tuple((kept | new).values()))
