"""Tokens back to text."""

from __future__ import annotations

from collections.abc import Sequence

from lowbit.tokenizers.spec import TokenizerSpec

# What the reference's clean-up puts together again, in its order.
CLEANUP = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" do not", " don't"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


def decode_tokens(spec: TokenizerSpec, tokens: Sequence[str]) -> str:
    """The text that some tokens stand for.

    Pieces that continue a word are joined to it; words are put apart by a space; characters are
    joined as they are.
    """
    if spec.model == "character":
        return "".join(tokens)
    if spec.model == "word":
        return " ".join(tokens)
    parts = []
    for index, token in enumerate(tokens):
        if index and token.startswith(spec.continuing_prefix):
            token = token.removeprefix(spec.continuing_prefix)
        elif index:
            token = f" {token}"
        if spec.cleanup:
            for spaced, joined in CLEANUP:
                token = token.replace(spaced, joined)
        parts.append(token)
    return "".join(parts)
