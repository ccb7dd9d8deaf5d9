"""Vocabularies in tiktoken's format: a line for each token, base64 of its bytes and its rank.

Such a file has neither the pattern that cuts texts into words nor special tokens. Both are known
for some published files, which are recognised by their SHA-256.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Mapping
from pathlib import Path

from lowbit import _core
from lowbit.errors import FileFormatError
from lowbit.files.untrusted import MAX_TOKENIZER_BYTES, read_bounded, shorten
from lowbit.tokenizers.alphabet import byte_level_text
from lowbit.tokenizers.patterns import PATTERNS, find_pattern
from lowbit.tokenizers.spec import AddedToken, Bpe, Step, TokenizerSpec
from lowbit.tokenizers.steps import byte_level
from lowbit.tokenizers.vocabulary import Vocabulary

END_OF_TEXT = "<|endoftext|>"
_FILL_IN = {"<|fim_prefix|>": 100258, "<|fim_middle|>": 100259, "<|fim_suffix|>": 100260}

# SHA-256 of a file: the name of its pattern, and its special tokens (tiktoken_ext.openai_public).
KNOWN: dict[str, tuple[str, dict[str, int]]] = {
    "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930": (
        "r50k",
        {END_OF_TEXT: 50256},
    ),
    "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069": (
        "p50k",
        {END_OF_TEXT: 50256},
    ),
    "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7": (
        "cl100k",
        {END_OF_TEXT: 100257, **_FILL_IN, "<|endofprompt|>": 100276},
    ),
    "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d": (
        "o200k",
        {END_OF_TEXT: 199999, "<|endofprompt|>": 200018},
    ),
}
_MATCHES_ALONE = {"behavior": "Removed", "invert": True}


def read_tiktoken(
    path: Path, pattern: str | None = None, special_tokens: dict[str, int] | None = None
) -> TokenizerSpec:
    """Read a .tiktoken file.

    Raises
    ------
    FileFormatError
        A line is not what it has to be; or the file is not a known one and no pattern is given.
    """
    data = read_bounded(path, MAX_TOKENIZER_BYTES)
    known = KNOWN.get(hashlib.sha256(data).hexdigest())
    if pattern is None and known is None:
        raise FileFormatError(
            f"{path}: the format does not say how texts are cut into words; pass pattern=, a "
            f"regular expression or one of {', '.join(PATTERNS)}"
        )
    if special_tokens is None:
        special_tokens = known[1] if known else {}
    expression = find_pattern(pattern if pattern is not None else known[0] if known else "")
    # tiktoken leaves out what no match covers; the expressions with a name cover everything.
    whole = expression in PATTERNS.values()
    kept = {"behavior": "Isolated", "invert": False} if whole else _MATCHES_ALONE
    split = {"pattern": {"Regex": expression}, **kept}
    alphabet = byte_level(trim_offsets=False, use_regex=False)
    return TokenizerSpec(
        Bpe(_ranks(data, path), [], ranked=True),
        pre_tokenizers=(Step("Split", split), alphabet),
        decoders=(alphabet,),
        added=tuple(AddedToken(token, id) for token, id in special_tokens.items()),
        asks_for_special=True,
    )


def _ranks(data: bytes, path: Path) -> Mapping[str, int]:
    """Tokens in GPT-2's alphabet and their ranks. A file as it should be is read by the kernels;
    another line by line, to tell what is wrong with it."""
    table = _core.read_tiktoken(data)
    return _ranks_by_line(data, path) if table is None else Vocabulary(table)


def _ranks_by_line(data: bytes, path: Path) -> dict[str, int]:
    ranks: dict[str, int] = {}
    for number, line in enumerate(data.splitlines(), start=1):
        if not line:
            continue
        try:
            encoded, rank = line.split()
            token = binascii.a2b_base64(encoded, strict_mode=True)
            id = int(rank)
        except (ValueError, binascii.Error) as error:
            raise FileFormatError(
                f"{path}: line {number} is not base64 and a number: {shorten(line)}"
            ) from error
        text = byte_level_text(token)
        if not token or text in ranks:
            raise FileFormatError(
                f"{path}: line {number} {'repeats a' if token else 'has an empty'} token"
            )
        ranks[text] = id
    if not ranks:
        raise FileFormatError(f"{path}: there are no tokens")
    return ranks
