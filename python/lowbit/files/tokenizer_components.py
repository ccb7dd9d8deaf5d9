"""The steps of a tokenizer.json: which there are, and what options they take.

A step that is not here is refused by name, and so is a value that a step does not take: a tokenizer
that is nearly right gives a model other words than it was trained on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lowbit.errors import FileFormatError
from lowbit.files.untrusted import shorten
from lowbit.tokenizers.spec import Step
from lowbit.tokenizers.steps import META

REQUIRED = object()
BEHAVIORS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
SCHEMES = ("always", "first", "never")
MAX_STEPS = 1000
# {1,3}+ is possessive in one engine and a repeated group in another.
COUNTED_PLUS = re.compile(r"\{[0-9]+,?[0-9]*\}\+")


def text(name: str, value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise FileFormatError(f"{name} must be a text; got {shorten(value)}")
    return value


def integer(name: str, value: Any) -> int:
    """A number from 0."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        raise FileFormatError(f"{name} must be a number from 0; got {shorten(value)}")
    return value


def boolean(name: str, value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise FileFormatError(f"{name} must be true or false; got {shorten(value)}")
    return value


def maybe(check: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    """Null, or what `check` accepts."""
    return lambda name, value: None if value is None else check(name, value)


def one_of(*values: str) -> Callable[[str, Any], str]:
    """One of some strings."""

    def check(name: str, value: Any) -> str:
        if value not in values:
            raise FileFormatError(f"{name} {shorten(value)} is not one of {', '.join(values)}")
        return value

    return check


def pattern(name: str, value: Any) -> dict[str, str]:
    """{"String": literal} or {"Regex": expression}, not empty."""
    if not isinstance(value, dict) or len(value) != 1 or not {"String", "Regex"} & set(value):
        raise FileFormatError(f'{name} must hold "String" or "Regex"; got {shorten(value)}')
    if not all(isinstance(content, str) and content for content in value.values()):
        raise FileFormatError(f"{name} must not be empty; got {shorten(value)}")
    if COUNTED_PLUS.search(value.get("Regex", "")):
        raise FileFormatError(f"{name}: a + behind a counted repeat is not supported: {value}")
    return value


def character(name: str, value: Any) -> str:
    """One character."""
    if not isinstance(value, str) or len(value) != 1:
        raise FileFormatError(f"{name} must be one character; got {shorten(value)}")
    return value


Options = dict[str, tuple[Callable[[str, Any], Any], Any]]
_BYTE_LEVEL: Options = {
    "add_prefix_space": (boolean, True),
    "trim_offsets": (boolean, True),
    "use_regex": (boolean, True),
}
_METASPACE: Options = {
    "replacement": (character, META),
    "prepend_scheme": (one_of(*SCHEMES), "always"),
    "split": (boolean, True),
}
_REPLACE: Options = {"pattern": (pattern, REQUIRED), "content": (text, REQUIRED)}

NORMALIZERS: dict[str, Options] = {
    "BertNormalizer": {
        "clean_text": (boolean, True),
        "handle_chinese_chars": (boolean, True),
        "strip_accents": (maybe(boolean), None),
        "lowercase": (boolean, True),
    },
    "Strip": {"strip_left": (boolean, True), "strip_right": (boolean, True)},
    "StripAccents": {},
    "NFC": {},
    "NFD": {},
    "NFKC": {},
    "NFKD": {},
    "Lowercase": {},
    "Nmt": {},
    "Precompiled": {"precompiled_charsmap": (maybe(text), None)},
    "Replace": _REPLACE,
    "Prepend": {"prepend": (text, REQUIRED)},
    "ByteLevel": {},
}
PRE_TOKENIZERS: dict[str, Options] = {
    "BertPreTokenizer": {},
    "ByteLevel": _BYTE_LEVEL,
    "CharDelimiterSplit": {"delimiter": (character, REQUIRED)},
    "Metaspace": _METASPACE,
    "Whitespace": {},
    "WhitespaceSplit": {},
    "Split": {
        "pattern": (pattern, REQUIRED),
        "behavior": (one_of(*BEHAVIORS), REQUIRED),
        "invert": (boolean, False),
    },
    "Punctuation": {"behavior": (one_of(*BEHAVIORS), "Isolated")},
    "Digits": {"individual_digits": (boolean, False)},
    "FixedLength": {"length": (integer, 5)},
    "UnicodeScripts": {},
}
DECODERS: dict[str, Options] = {
    "ByteLevel": _BYTE_LEVEL,
    "WordPiece": {"prefix": (text, "##"), "cleanup": (boolean, True)},
    "Metaspace": _METASPACE,
    "BPEDecoder": {"suffix": (text, "</w>")},
    "CTC": {
        "pad_token": (text, "<pad>"),
        "word_delimiter_token": (text, "|"),
        "cleanup": (boolean, True),
    },
    "Replace": _REPLACE,
    "Fuse": {},
    "Strip": {"content": (character, " "), "start": (integer, 0), "stop": (integer, 0)},
    "ByteFallback": {},
}
_LISTS = {
    "normalizer": (NORMALIZERS, "normalizers"),
    "pre_tokenizer": (PRE_TOKENIZERS, "pretokenizers"),
    "decoder": (DECODERS, "decoders"),
}


def read_steps(kind: str, value: Any) -> tuple[Step, ...]:
    """The steps of a "normalizer", "pre_tokenizer" or "decoder", sequences laid out flat."""
    steps: list[Step] = []
    _collect(kind, value, steps)
    return tuple(steps)


def _collect(kind: str, value: Any, steps: list[Step]) -> None:
    table, inner = _LISTS[kind]
    if value is None:
        return
    if not isinstance(value, dict):
        raise FileFormatError(f"{kind} must be an object or null; got {shorten(value)}")
    name = value.get("type")
    if name == "Sequence":
        for item in value.get(inner) or ():
            _collect(kind, item, steps)
    elif name not in table:
        raise FileFormatError(
            f"{kind} {shorten(name)} is not supported; {', '.join(table)} and Sequence are"
        )
    else:
        steps.append(Step(name, _options(f"{kind} {name}", table[name], _modern(value))))
    if len(steps) > MAX_STEPS:
        raise FileFormatError(f"{kind} has more than {MAX_STEPS} steps")


def _modern(value: dict[str, Any]) -> dict[str, Any]:
    """Keys of old files by their new names."""
    if value["type"] != "Metaspace" or "prepend_scheme" in value:
        return value
    scheme = "never" if value.get("add_prefix_space") is False else "always"
    return {**value, "prepend_scheme": scheme}


def _options(name: str, table: Options, value: dict[str, Any]) -> dict[str, Any]:
    options = {}
    for key, (check, default) in table.items():
        given = value.get(key, default)
        if given is REQUIRED:
            raise FileFormatError(f"{name}: {key} is missing")
        options[key] = given if given is default else check(f"{name}: {key}", given)
    return options


def write_steps(kind: str, steps: tuple[Step, ...]) -> dict[str, Any] | None:
    """What `read_steps` reads."""
    written = [{"type": step.type, **step.options} for step in steps]
    if len(written) < 2:
        return written[0] if written else None
    return {"type": "Sequence", _LISTS[kind][1]: written}
