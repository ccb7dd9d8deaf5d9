"""A `TokenizerSpec` as the kernels take it.

Most steps go over as they are. Some become others that give the same tokens sooner: BERT's two
steps are one pass, GPT-2's alphabet is left out where the model can read bytes, and texts without
words are cut where no merge reaches across.
"""

from __future__ import annotations

import base64
from typing import Any

from lowbit.tokenizers.patterns import GPT2
from lowbit.tokenizers.spec import Bpe, Model, Step, TokenizerSpec, Unigram
from lowbit.tokenizers.steps import META


def kernel_arguments(spec: TokenizerSpec) -> dict[str, Any]:
    """What `_core.Tokenizer` is made from."""
    steps = [part for step in spec.pre_tokenizers for part in _pre_tokenizer(step)]
    normalizers = [part for step in spec.normalizers for part in _normalizer(step)]
    model = _model(spec.model)
    if isinstance(spec.model, Bpe):
        model["bytes"] = spec.model.ranked or (
            bool(steps) and steps[-1]["type"] == "ByteLevel" and not spec.model.byte_fallback
        )
        if model["bytes"] and steps and steps[-1]["type"] == "ByteLevel":
            steps.pop()
    if _is_bert(spec):
        steps = [{**normalizers.pop(), "type": "BertWords"}]
    return {
        "model": model,
        "normalizers": normalizers,
        "pre_tokenizers": steps,
        "cut": _cut(spec),
        "raw_cut": _raw_cut(spec),
        "added": [vars(token) for token in spec.added],
        "unknown": _spelled_unknown(spec),
    }


def decoder_arguments(spec: TokenizerSpec) -> dict[str, Any]:
    """What `_core.Decoder` is made from."""
    tokens = spec.tokens_by_id()
    special = {token.id for token in spec.added if token.special}
    return {
        "tokens": list((tokens | spec.surfaces).values()),
        "ids": list(tokens),
        "special": [id in special for id in tokens],
        "steps": [_described(step) for step in spec.decoders],
    }


def _described(step: Step) -> dict[str, Any]:
    return {"type": step.type, **step.options}


def _normalizer(step: Step) -> list[dict[str, Any]]:
    if step.type != "Precompiled":
        return [_described(step)]
    encoded = step.options["precompiled_charsmap"]
    if not encoded:
        return []
    return [{"type": step.type, "charsmap": base64.b64decode(encoded, validate=True)}]


def _split(pattern: dict[str, str]) -> dict[str, Any]:
    return {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}


def _pre_tokenizer(step: Step) -> list[dict[str, Any]]:
    """A step of tokenizer.json as steps that do one thing each."""
    if step.type != "ByteLevel":
        return [_described(step)]
    steps: list[dict[str, Any]] = []
    if step.options["add_prefix_space"]:
        steps.append({"type": "PrefixSpace"})
    if step.options["use_regex"]:
        steps.append(_split({"Regex": GPT2}))
    return [*steps, {"type": "ByteLevel"}]


def _spelled_unknown(spec: TokenizerSpec) -> int:
    """Id of the unknown token where encodings show the text that it stands for, or -1."""
    model = spec.model
    if isinstance(model, Unigram):
        return -1 if model.unknown_id is None else model.unknown_id
    if any(step.type == "SentencePiece" for step in spec.normalizers) and model.unknown:
        return model.vocabulary[model.unknown]
    return -1


def _is_bert(spec: TokenizerSpec) -> bool:
    return (
        [step.type for step in spec.normalizers] == ["BertNormalizer"]
        and [step.type for step in spec.pre_tokenizers] == ["BertPreTokenizer"]
        and not any(token.normalized for token in spec.added)
    )


# Steps that look at single characters or clusters of them, and never at white space with others.
_LOCAL = {"NFC", "NFD", "NFKC", "NFKD", "StripAccents", "Lowercase", "Replace", "Precompiled"}


def _raw_cut(spec: TokenizerSpec) -> str:
    """Where a text may be cut before all steps, since they and the model treat its words alike."""
    if _is_bert(spec):
        return "punctuation"
    if any(token.normalized for token in spec.added):
        return "nowhere"
    if _is_sentencepiece_unigram(spec):
        return "sentencepiece"
    if [step.type for step in spec.pre_tokenizers] != ["WhitespaceSplit", "Metaspace"]:
        return "nowhere"
    if spec.pre_tokenizers[1].options["prepend_scheme"] == "first":
        return "nowhere"
    local = all(step.type in _LOCAL for step in spec.normalizers)
    replaced = [step.options for step in spec.normalizers if step.type == "Replace"]
    return "spaces" if local and all(map(_replaces_visible, replaced)) else "nowhere"


def _is_sentencepiece_unigram(spec: TokenizerSpec) -> bool:
    """Whether all there is are sentencepiece's normalizer, with a single space in front of every
    word, and its unigram model."""
    if not isinstance(spec.model, Unigram) or not spec.model.types or spec.pre_tokenizers:
        return False
    if [step.type for step in spec.normalizers] != ["SentencePiece"]:
        return False
    options = spec.normalizers[0].options
    symbols = options["user_defined"]
    return (
        options["add_dummy_prefix"]
        and options["remove_extra_whitespaces"]
        and options["escape_whitespaces"]
        and not options["treat_whitespace_as_suffix"]
        and not any(character.isspace() for symbol in symbols for character in symbol)
    )


def _replaces_visible(options: dict[str, Any]) -> bool:
    """Whether a replacement is of visible ASCII by others."""
    changed = options["pattern"].get("String", "")
    return bool(changed) and (changed + options["content"]).isascii() and len(changed.split()) == 1


def _cut(spec: TokenizerSpec) -> dict[str, Any] | None:
    """Where whole texts are one word: in front of runs of U+2581, if it is a token and no token has
    one behind another character, since then neither a merge nor a run of what is unknown reaches
    across. Characters that are dropped would leave runs side by side."""
    model = spec.model
    if not isinstance(model, Bpe) or spec.pre_tokenizers or model.ignore_merges:
        return None
    if model.end_of_word_suffix or model.continuing_prefix:
        return None
    if model.unknown is None and not (model.ranked or model.scores):
        return None
    if META not in model.vocabulary or model.vocabulary.table.has_behind(META):
        return None
    return {"type": "BeforeRuns", "mark": META}


def _model(model: Model) -> dict[str, Any]:
    described: dict[str, Any] = {"type": type(model).__name__, **vars(model)}
    if isinstance(model, Unigram):
        return described | {"pieces": model.pieces.table, "scores": model.pieces.scores}
    unknown = model.unknown
    described["unknown_id"] = None if unknown is None else model.vocabulary[unknown]
    described["vocabulary"] = model.vocabulary.table
    if isinstance(model, Bpe):
        described["merges"] = model.merges.pairs
    return described
