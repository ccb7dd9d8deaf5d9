"""Which special tokens written in texts are read as such, and which may not be there at all."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache

from lowbit.tokenizers.spec import TokenizerSpec

Policy = bool | Collection[str]
"""All special tokens, none, or these."""


def specials_read(
    spec: TokenizerSpec, asked: Policy | None, add_special_tokens: bool
) -> bool | list[int]:
    """What the kernels take for `parse_special`: all, none, or the ids of some."""
    if asked is None:
        return add_special_tokens or not spec.asks_for_special
    if isinstance(asked, bool):
        return asked
    known = {token.content: token.id for token in spec.added if token.special}
    return [known[token] for token in _named("parse_special", asked, known)]


def check_disallowed(
    spec: TokenizerSpec, disallow: Policy, asked: Policy | None, texts: Sequence[str]
) -> None:
    """Raise if a text contains a special token that may not be there.

    Raises
    ------
    ValueError
        Names the text, the token and its place.
    """
    if disallow is False or disallow is None:
        return
    known = {token.content for token in spec.added if token.special}
    if disallow is True:
        allowed = () if asked is None or isinstance(asked, bool) else asked
        refused = known.difference(allowed)
    else:
        refused = set(_named("disallow", disallow, known))
    if not refused:
        return
    search = _searcher(tuple(sorted(refused))).search
    for i, text in enumerate(texts):
        if isinstance(text, str) and (found := search(text)):
            raise ValueError(
                f"Tokenizer: texts[{i}] contains the special token {found[0]!r} at character "
                f"{found.start()}, which disallow refuses; pass parse_special={{{found[0]!r}}} to "
                "read it as a token or disallow=False"
            )


@lru_cache(maxsize=16)
def _searcher(tokens: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))))


def _named(argument: str, tokens: Collection[str], known: Collection[str]) -> list[str]:
    if isinstance(tokens, str) or not isinstance(tokens, Collection):
        raise TypeError(
            f"Tokenizer: {argument} is a {type(tokens).__name__}; pass True, False or a set of "
            "special tokens"
        )
    for token in tokens:
        if token not in known:
            raise ValueError(f"Tokenizer: {argument} names {token!r}, which is no special token")
    return list(tokens)
