"""tokenizer.json: read into a `TokenizerSpec`, and written.

Only components that are computed exactly are accepted; any other is refused by name, since a
tokenizer that is nearly right gives a model other words than it was trained on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lowbit import _core
from lowbit.errors import FileFormatError
from lowbit.files.atomic import write_file
from lowbit.files.json_numbers import read_float, write_float
from lowbit.files.tokenizer_components import (
    boolean,
    integer,
    read_steps,
    text,
    write_steps,
)
from lowbit.files.tokenizer_conversion import for_tokenizer_json
from lowbit.files.tokenizer_lengths import (
    read_padding,
    read_truncation,
    write_padding,
    write_truncation,
)
from lowbit.files.tokenizer_models import read_model, write_model
from lowbit.files.untrusted import (
    MAX_TOKENIZER_BYTES,
    parse_json,
    read_bounded,
    shorten,
)
from lowbit.tokenizers.numbering import number_added
from lowbit.tokenizers.spec import AddedToken, Slot, TokenizerSpec, Unigram, bert_templates
from lowbit.tokenizers.vocabulary import Merges, Pieces, Vocabulary


def write_tokenizer(path: Path, spec: TokenizerSpec) -> None:
    """Write a tokenizer.json; the file appears whole or not at all.

    Raises
    ------
    ValueError
        If the format cannot hold the tokenizer; names what it cannot hold.
    """
    values = _to_json(for_tokenizer_json(spec))
    pieces = values["model"]["vocab"] if isinstance(spec.model, Unigram) else None
    if pieces is not None:
        values["model"]["vocab"] = None
    text = json.dumps(values, ensure_ascii=False, indent=1)
    if pieces is not None:  # no text can have an unescaped quote, so this is the key of the model
        text = text.replace('"vocab": null', f'"vocab": {_pieces_text(pieces)}', 1)
    write_file(path, (text + "\n").encode("utf-8"))


def _pieces_text(pieces: Sequence[Sequence[Any]]) -> str:
    lines = (
        f"   [{json.dumps(token, ensure_ascii=False)}, {write_float(float(score))}]"
        for token, score in pieces
    )
    return "[\n" + ",\n".join(lines) + "\n  ]"


def read_tokenizer_json(path: Path) -> TokenizerSpec:
    """Read a tokenizer.json."""
    values = _parse(read_bounded(path, MAX_TOKENIZER_BYTES), str(path))
    if not isinstance(values, dict) or not isinstance(values.get("model"), dict):
        raise FileFormatError(f"{path}: not a tokenizer.json, which is an object with a model")
    single, pair, trim = _post_processor(values.get("post_processor"))
    model = read_model(values["model"])
    return TokenizerSpec(
        model,
        normalizers=read_steps("normalizer", values.get("normalizer")),
        pre_tokenizers=read_steps("pre_tokenizer", values.get("pre_tokenizer")),
        decoders=read_steps("decoder", values.get("decoder")),
        added=_added_tokens(values.get("added_tokens", []), model.vocabulary),
        single=single,
        pair=pair,
        trim=trim,
        truncation=read_truncation(values.get("truncation")),
        padding=read_padding(values.get("padding")),
    )


def _parse(data: bytes, source: str) -> Any:
    """The file as JSON, with tables for the vocabulary and the merges.

    These are most of the file, and the kernels read them in a tenth of the time. A file that is not
    as they want it, such as a broken one, is read without them; errors tell of places in the whole.
    """
    if (read := _core.read_tokenizer_json(data)) is None:
        return parse_json(data, source, read_float)
    rest, table, scores, pairs, joined = read
    try:
        values = parse_json(rest, source, read_float)
    except FileFormatError:
        return parse_json(data, source, read_float)
    values["model"]["vocab"] = Vocabulary(table) if scores is None else Pieces(table, scores)
    if pairs is not None:
        values["model"]["merges"] = Merges(table, pairs, joined)
    return values


def _added_tokens(values: Any, vocabulary: Mapping[str, int]) -> tuple[AddedToken, ...]:
    """Added tokens with the ids that the reference gives them, whatever the file says: a token of
    the vocabulary keeps its own, the others are numbered from its size on."""
    if not isinstance(values, list):
        raise FileFormatError("added_tokens must be a list")
    tokens: dict[str, AddedToken] = {}
    for item in values:
        content = text("added_tokens.content", item["content"])
        integer("added_tokens.id", item["id"])
        if not content or content in tokens:
            continue
        names = ("special", "single_word", "lstrip", "rstrip")
        flags = [boolean(f"added_tokens.{name}", item.get(name, False)) for name in names]
        normalized = item.get("normalized", not flags[0])
        flags.append(boolean("added_tokens.normalized", normalized))
        tokens[content] = AddedToken(content, 0, *flags)
    ids = number_added(tokens, vocabulary)
    return tuple(replace(token, id=ids[content]) for content, token in tokens.items())


def _post_processor(value: Any) -> tuple[tuple[Slot, ...], tuple[Slot, ...], str]:
    """Templates of one text and of a pair, and `trim`."""
    single, pair, trim = (Slot("A"),), (Slot("A"), Slot("B", type_id=1)), ""
    items = [value] if value is not None else []
    if isinstance(value, dict) and value.get("type") == "Sequence":
        items = value.get("processors") or []
    for item in items:
        kind = item.get("type") if isinstance(item, dict) else item
        if kind not in ("TemplateProcessing", "BertProcessing", "RobertaProcessing", "ByteLevel"):
            raise FileFormatError(
                f"post_processor {shorten(kind)} is not supported; TemplateProcessing, "
                "BertProcessing, RobertaProcessing, ByteLevel and Sequence are"
            )
        if kind in ("ByteLevel", "RobertaProcessing") and item.get("trim_offsets", True):
            trim = "first" if item.get("add_prefix_space", True) else "all"
        if kind == "TemplateProcessing":
            single, pair = _templates(item)
        elif kind != "ByteLevel":
            single, pair = _fixed_templates(kind, item)
    return single, pair, trim


def _fixed_templates(kind: str, item: dict[str, Any]) -> tuple[tuple[Slot, ...], tuple[Slot, ...]]:
    cls, sep = (integer(f"post_processor.{name}", item[name][1]) for name in ("cls", "sep"))
    if kind == "BertProcessing":
        return bert_templates(cls, sep)
    single = (Slot("", (cls,)), Slot("A"), Slot("", (sep,)))
    return single, (Slot("", (cls,)), Slot("A"), Slot("", (sep, sep)), Slot("B"), Slot("", (sep,)))


def _templates(item: dict[str, Any]) -> tuple[tuple[Slot, ...], tuple[Slot, ...]]:
    specials = item.get("special_tokens") or {}
    single = _slots("single", item["single"], specials)
    pair = _slots("pair", item["pair"], specials)
    if [slot.text for slot in single if slot.text] != ["A"]:
        raise FileFormatError("post_processor.single must hold the text A once")
    if [slot.text for slot in pair if slot.text] != ["A", "B"]:
        raise FileFormatError("post_processor.pair must hold the texts A and B once, in this order")
    return single, pair


def _slots(name: str, items: Any, specials: dict[str, Any]) -> tuple[Slot, ...]:
    slots = []
    for item in items:
        if "Sequence" in item:
            text = item["Sequence"]["id"]
            if text not in ("A", "B"):
                raise FileFormatError(f"post_processor.{name} names the text {shorten(text)}")
            slots.append(Slot(text, type_id=integer("type_id", item["Sequence"]["type_id"])))
        else:
            token = item["SpecialToken"]
            ids = specials[token["id"]]["ids"]
            numbers = tuple(integer("special_tokens.ids", id) for id in ids)
            slots.append(Slot("", numbers, integer("type_id", token["type_id"])))
    return tuple(slots)


# tokenizer.json, written


def _to_json(spec: TokenizerSpec) -> dict[str, Any]:
    return {
        "version": "1.0",
        "truncation": write_truncation(spec.truncation),
        "padding": write_padding(spec.padding),
        "added_tokens": [vars(token) for token in sorted(spec.added, key=lambda token: token.id)],
        "normalizer": write_steps("normalizer", spec.normalizers),
        "pre_tokenizer": write_steps("pre_tokenizer", spec.pre_tokenizers),
        "post_processor": _post_processor_json(spec),
        "decoder": write_steps("decoder", spec.decoders),
        "model": write_model(spec.model),
    }


def _post_processor_json(spec: TokenizerSpec) -> dict[str, Any] | None:
    trim = spec.trim and {
        "type": "ByteLevel",
        "add_prefix_space": spec.trim == "first",
        "trim_offsets": True,
        "use_regex": True,
    }
    processors = [part for part in (trim, _template_json(spec)) if part]
    if len(processors) < 2:
        return processors[0] if processors else None
    return {"type": "Sequence", "processors": processors}


def _template_json(spec: TokenizerSpec) -> dict[str, Any] | None:
    used = {id for slot in (*spec.single, *spec.pair) for id in slot.ids}
    if not used:
        return None
    tokens = spec.tokens_by_id()

    def written(slots: tuple[Slot, ...]) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        for slot in slots:
            if slot.text:
                out.append({"Sequence": {"id": slot.text, "type_id": slot.type_id}})
            for id in slot.ids:
                out.append({"SpecialToken": {"id": tokens[id], "type_id": slot.type_id}})
        return out

    return {
        "type": "TemplateProcessing",
        "single": written(spec.single),
        "pair": written(spec.pair),
        "special_tokens": {
            tokens[id]: {"id": tokens[id], "ids": [id], "tokens": [tokens[id]]}
            for id in sorted(used)
        },
    }
