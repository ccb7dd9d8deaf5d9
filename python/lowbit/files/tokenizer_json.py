"""tokenizer.json and vocab.txt: read into a `TokenizerSpec`, and written.

Only components that are computed exactly are accepted; any other is refused by name, since a
tokenizer that is nearly right gives a model other words than it was trained on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lowbit.errors import FileFormatError
from lowbit.files.atomic import write_file
from lowbit.files.untrusted import parse_json, read_bounded, shorten
from lowbit.tokenizers.spec import AddedToken, Normalizer, Slot, TokenizerSpec

MAX_BYTES = 256 * 1024 * 1024
BERT_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# The split of a character tokenizer, as the tokenizers library would do it.
ONE_CHARACTER = {"Regex": "(?m)."}


def read_tokenizer(path: Path) -> TokenizerSpec:
    """Read the tokenizer in `path`: a vocab.txt by its ending, else a tokenizer.json.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    FileFormatError
        The file is broken, or asks for something that is not supported.
    """
    try:
        if path.suffix == ".txt":
            return _read_vocab_txt(path)
        return _read_json(path)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        detail = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        start = "" if detail.startswith(str(path)) else f"{path}: "
        raise FileFormatError(start + detail) from error


def write_tokenizer(path: Path, spec: TokenizerSpec) -> None:
    """Write a tokenizer.json; the file appears whole or not at all."""
    text = json.dumps(_to_json(spec), ensure_ascii=False, indent=1)
    write_file(path, (text + "\n").encode("utf-8"))


# vocab.txt


def _read_vocab_txt(path: Path) -> TokenizerSpec:
    data = read_bounded(path, MAX_BYTES)
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path}: byte {error.start} is not UTF-8") from error
    if lines and not lines[-1]:
        lines.pop()
    tokens = [line.removesuffix("\r") for line in lines]
    vocabulary: dict[str, int] = {}
    for number, token in enumerate(tokens):
        if token in vocabulary:
            raise FileFormatError(
                f"{path}: line {number + 1} repeats {shorten(token)} of line "
                f"{vocabulary[token] + 1}"
            )
        vocabulary[token] = number
    for token in ("[UNK]", "[CLS]", "[SEP]"):
        if token not in vocabulary:
            raise FileFormatError(f"{path}: {token} is missing; is this a BERT vocabulary?")
    added = tuple(AddedToken(t, vocabulary[t]) for t in BERT_SPECIALS if t in vocabulary)
    cls, sep = vocabulary["[CLS]"], vocabulary["[SEP]"]
    return TokenizerSpec(
        "wordpiece",
        vocabulary,
        normalizer=Normalizer(lowercase=_lowercase_beside(path)),
        added=added,
        single=(Slot("", (cls,)), Slot("A"), Slot("", (sep,))),
        pair=_bert_pair(cls, sep),
        pad_token="[PAD]" if "[PAD]" in vocabulary else None,
    )


def _lowercase_beside(path: Path) -> bool:
    """do_lower_case of a tokenizer_config.json in the same folder; True where there is none."""
    config = path.with_name("tokenizer_config.json")
    if not config.exists():
        return True
    values = parse_json(read_bounded(config, MAX_BYTES), str(config))
    lower = values.get("do_lower_case", True) if isinstance(values, dict) else True
    if not isinstance(lower, bool):
        raise FileFormatError(f"{config}: do_lower_case must be true or false; got {lower!r}")
    return lower


def _bert_pair(cls: int, sep: int) -> tuple[Slot, ...]:
    return (
        Slot("", (cls,)),
        Slot("A"),
        Slot("", (sep,)),
        Slot("B", type_id=1),
        Slot("", (sep,), 1),
    )


# tokenizer.json, read


def _read_json(path: Path) -> TokenizerSpec:
    values = parse_json(read_bounded(path, MAX_BYTES), str(path))
    if not isinstance(values, dict) or not isinstance(values.get("model"), dict):
        raise FileFormatError(f"{path}: not a tokenizer.json, which is an object with a model")
    model = values["model"]
    kind = _model_kind(model)
    vocabulary = _vocabulary(model.get("vocab"))
    splitting = values.get("pre_tokenizer")
    if kind == "word" and _is_character_split(splitting):
        kind = "character"
    else:
        _require_type("pre_tokenizer", splitting, ("BertPreTokenizer",))
    single, pair = _templates(values.get("post_processor"))
    max_length, keep_end = _truncation(values.get("truncation"))
    return TokenizerSpec(
        kind,
        vocabulary,
        unknown=_text("model.unk_token", model.get("unk_token", "[UNK]")),
        continuing_prefix=_text(
            "continuing_subword_prefix", model.get("continuing_subword_prefix", "##")
        ),
        max_characters=_integer(
            "max_input_chars_per_word", model.get("max_input_chars_per_word", 100)
        ),
        normalizer=_normalizer(values.get("normalizer")),
        added=_added_tokens(values.get("added_tokens", [])),
        single=single,
        pair=pair,
        max_length=max_length,
        keep_end=keep_end,
        pad_token=_object("padding", values.get("padding")).get("pad_token"),
        cleanup=_cleanup(values.get("decoder"), kind),
    )


def _truncation(value: Any) -> tuple[int | None, bool]:
    """Longest length in tokens, and whether the end of a longer text is what is kept."""
    truncation = _object("truncation", value)
    if not truncation:
        return None, False
    max_length = _integer("truncation.max_length", truncation.get("max_length"))
    strategy = truncation.get("strategy", "LongestFirst")
    if strategy != "LongestFirst":
        raise FileFormatError(
            f"truncation.strategy {shorten(strategy)} is not supported; LongestFirst is"
        )
    direction = truncation.get("direction", "Right")
    if direction not in ("Left", "Right"):
        raise FileFormatError(
            f"truncation.direction must be Left or Right; got {shorten(direction)}"
        )
    return max_length, direction == "Left"


def _model_kind(model: dict[str, Any]) -> str:
    kind = model.get("type")
    if kind is None:  # files of old versions have no type: WordPiece alone has this key
        kind = "WordPiece" if "max_input_chars_per_word" in model else None
    kinds = {"WordPiece": "wordpiece", "WordLevel": "word"}
    if kind not in kinds:
        raise FileFormatError(
            f"model {shorten(kind)} is not supported; WordPiece and WordLevel are"
        )
    return kinds[kind]


def _vocabulary(vocab: Any) -> dict[str, int]:
    if not isinstance(vocab, dict) or not vocab:
        raise FileFormatError("model.vocab must be an object of tokens and ids")
    for token, id in vocab.items():
        if not isinstance(id, int) or isinstance(id, bool):
            raise FileFormatError(f"model.vocab: token {shorten(token)} has id {shorten(id)}")
    return vocab


def _normalizer(values: Any) -> Normalizer | None:
    if values is None:
        return None
    _require_type("normalizer", values, ("BertNormalizer",))
    strip = values.get("strip_accents")
    if strip is not None:
        strip = _boolean("normalizer.strip_accents", strip)
    return Normalizer(
        _boolean("normalizer.clean_text", values.get("clean_text", True)),
        _boolean("normalizer.handle_chinese_chars", values.get("handle_chinese_chars", True)),
        strip,
        _boolean("normalizer.lowercase", values.get("lowercase", True)),
    )


def _added_tokens(values: Any) -> tuple[AddedToken, ...]:
    if not isinstance(values, list):
        raise FileFormatError("added_tokens must be a list")
    tokens = []
    for item in values:
        token = AddedToken(
            _text("added_tokens.content", item["content"]),
            _integer("added_tokens.id", item["id"]),
            *(
                _boolean(f"added_tokens.{name}", item.get(name, False))
                for name in ("special", "single_word", "lstrip", "rstrip")
            ),
        )
        if item.get("normalized", not token.special):
            raise FileFormatError(
                f"added token {shorten(token.content)} with normalized=true is not supported"
            )
        tokens.append(token)
    return tuple(tokens)


def _templates(values: Any) -> tuple[tuple[Slot, ...], tuple[Slot, ...]]:
    if values is None:
        return (Slot("A"),), (Slot("A"), Slot("B", type_id=1))
    _require_type("post_processor", values, ("TemplateProcessing", "BertProcessing"))
    if values["type"] == "BertProcessing":
        cls, sep = (_integer(f"post_processor.{name}", values[name][1]) for name in ("cls", "sep"))
        return (Slot("", (cls,)), Slot("A"), Slot("", (sep,))), _bert_pair(cls, sep)
    specials = values.get("special_tokens") or {}
    single = _slots("single", values["single"], specials)
    pair = _slots("pair", values["pair"], specials)
    if [slot.text for slot in single if slot.text] != ["A"]:
        raise FileFormatError("post_processor.single must hold the text A once")
    if [slot.text for slot in pair if slot.text] != ["A", "B"]:
        raise FileFormatError("post_processor.pair must hold the texts A and B once, in this order")
    if any(slot.type_id for slot in single):
        raise FileFormatError("post_processor.single with a type_id other than 0 is not supported")
    return single, pair


def _slots(name: str, items: Any, specials: dict[str, Any]) -> tuple[Slot, ...]:
    slots = []
    for item in items:
        if "Sequence" in item:
            text = item["Sequence"]["id"]
            if text not in ("A", "B"):
                raise FileFormatError(f"post_processor.{name} names the text {shorten(text)}")
            slots.append(Slot(text, type_id=_integer("type_id", item["Sequence"]["type_id"])))
        else:
            token = item["SpecialToken"]
            ids = specials[token["id"]]["ids"]
            numbers = tuple(_integer("special_tokens.ids", id) for id in ids)
            slots.append(Slot("", numbers, _integer("type_id", token["type_id"])))
    return tuple(slots)


def _cleanup(decoder: Any, kind: str) -> bool:
    if kind != "wordpiece" or decoder is None:
        return kind == "wordpiece" and decoder is not None
    _require_type("decoder", decoder, ("WordPiece",))
    return _boolean("decoder.cleanup", decoder.get("cleanup", True))


def _is_character_split(values: Any) -> bool:
    return (
        isinstance(values, dict)
        and values.get("type") == "Split"
        and values.get("pattern") == ONE_CHARACTER
        and values.get("behavior") == "Isolated"
        and not values.get("invert")
    )


def _require_type(name: str, values: Any, known: tuple[str, ...]) -> None:
    kind = values.get("type") if isinstance(values, dict) else values
    if kind not in known:
        raise FileFormatError(f"{name} {shorten(kind)} is not supported; {', '.join(known)} is")


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise FileFormatError(f"{name} must be a text; got {shorten(value)}")
    return value


def _object(name: str, value: Any) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise FileFormatError(f"{name} must be an object or null; got {shorten(value)}")
    return value or {}


def _integer(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        raise FileFormatError(f"{name} must be a number from 0; got {shorten(value)}")
    return value


def _boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise FileFormatError(f"{name} must be true or false; got {shorten(value)}")
    return value


# tokenizer.json, written


def _to_json(spec: TokenizerSpec) -> dict[str, Any]:
    return {
        "version": "1.0",
        "truncation": spec.max_length
        and {
            "direction": "Left" if spec.keep_end else "Right",
            "max_length": spec.max_length,
            "strategy": "LongestFirst",
            "stride": 0,
        },
        "padding": None,
        "added_tokens": [
            vars(token) | {"normalized": False}
            for token in sorted(spec.added, key=lambda token: token.id)
        ],
        "normalizer": _normalizer_json(spec.normalizer),
        "pre_tokenizer": {
            "type": "Split",
            "pattern": ONE_CHARACTER,
            "behavior": "Isolated",
            "invert": False,
        }
        if spec.model == "character"
        else {"type": "BertPreTokenizer"},
        "post_processor": _template_json(spec),
        "decoder": _decoder_json(spec),
        "model": _model_json(spec),
    }


def _normalizer_json(normalizer: Normalizer | None) -> dict[str, Any] | None:
    if normalizer is None:
        return None
    return {
        "type": "BertNormalizer",
        "clean_text": normalizer.clean_text,
        "handle_chinese_chars": normalizer.chinese_spaces,
        "strip_accents": normalizer.strip_accents,
        "lowercase": normalizer.lowercase,
    }


def _template_json(spec: TokenizerSpec) -> dict[str, Any] | None:
    used = {id for slot in (*spec.single, *spec.pair) for id in slot.ids}
    if not used:
        return None
    tokens = spec.tokens_by_id()

    def parts(slots: tuple[Slot, ...]) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        for slot in slots:
            if slot.text:
                out.append({"Sequence": {"id": slot.text, "type_id": slot.type_id}})
            for id in slot.ids:
                out.append({"SpecialToken": {"id": tokens[id], "type_id": slot.type_id}})
        return out

    return {
        "type": "TemplateProcessing",
        "single": parts(spec.single),
        "pair": parts(spec.pair),
        "special_tokens": {
            tokens[id]: {"id": tokens[id], "ids": [id], "tokens": [tokens[id]]}
            for id in sorted(used)
        },
    }


def _decoder_json(spec: TokenizerSpec) -> dict[str, Any] | None:
    if spec.model == "wordpiece":
        return {"type": "WordPiece", "prefix": spec.continuing_prefix, "cleanup": spec.cleanup}
    return {"type": "Fuse"} if spec.model == "character" else None


def _model_json(spec: TokenizerSpec) -> dict[str, Any]:
    if spec.model != "wordpiece":
        return {"type": "WordLevel", "vocab": spec.vocabulary, "unk_token": spec.unknown}
    return {
        "type": "WordPiece",
        "unk_token": spec.unknown,
        "continuing_subword_prefix": spec.continuing_prefix,
        "max_input_chars_per_word": spec.max_characters,
        "vocab": spec.vocabulary,
    }
