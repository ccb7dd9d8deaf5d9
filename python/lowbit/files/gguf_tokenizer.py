"""Tokenizers in GGUF files: the vocabulary of a model of llama.cpp, with what its keys say of it.

The keys `tokenizer.ggml.*` name a family ("gpt2", "llama", "bert", "t5") and, for byte-level
vocabularies, how texts are cut into words. Where llama.cpp only comes near to the tokenizer that a
model was trained with, the model's own is what is made here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.errors import FileFormatError
from lowbit.files.gguf import GgufFile
from lowbit.files.gguf_splits import SPLITS, Split
from lowbit.files.sentencepiece_model import (
    ModelType,
    NormalizerSpec,
    PieceType,
    SentencePieceModel,
)
from lowbit.files.sentencepiece_tokenizer import sentencepiece_spec
from lowbit.files.untrusted import shorten
from lowbit.tokenizers.spec import (
    AddedToken,
    Bpe,
    Slot,
    Step,
    TokenizerSpec,
    WordPiece,
    bert_templates,
)
from lowbit.tokenizers.steps import META, bert_normalizer, byte_level

SEPARATOR = "seperator"  # as the format spells it
FAMILIES = ("gpt2", "llama", "bert", "t5")
ADDED = (PieceType.CONTROL, PieceType.USER_DEFINED, PieceType.UNKNOWN)


def read_gguf(path: Path) -> TokenizerSpec:
    """Read the vocabulary in a .gguf file.

    Raises
    ------
    FileFormatError
        The file is broken, has no vocabulary, or one whose family or split is not supported.
    """
    keys = _Keys(GgufFile(path).metadata)
    family = keys.text("model")
    if family not in FAMILIES:
        raise FileFormatError(
            f"tokenizer.ggml.model {shorten(family)} is not supported; {', '.join(FAMILIES)} are"
        )
    make = {"gpt2": _byte_level, "llama": _llama, "bert": _bert, "t5": _t5}[family]
    return make(keys)


class _Keys:
    """The keys `tokenizer.ggml.*`, checked as they are asked for."""

    def __init__(self, metadata: dict[str, Any]) -> None:
        prefix = "tokenizer.ggml."
        self._keys = {
            key.removeprefix(prefix): value
            for key, value in metadata.items()
            if key.startswith(prefix)
        }
        self.tokens = self.texts("tokens")
        if not self.tokens:
            raise FileFormatError("tokenizer.ggml.tokens is empty")
        self.types = self._numbers("token_type", PieceType.NORMAL)
        self.vocabulary = {token: id for id, token in enumerate(self.tokens)}
        if len(self.vocabulary) != len(self.tokens):
            twice = next(t for id, t in enumerate(self.tokens) if self.vocabulary[t] != id)
            raise FileFormatError(f"tokenizer.ggml.tokens has {shorten(twice)} twice")

    def text(self, name: str, default: str | None = None) -> str:
        value = self._keys.get(name, default)
        if not isinstance(value, str):
            raise FileFormatError(f"tokenizer.ggml.{name} must be a text; got {shorten(value)}")
        return value

    def texts(self, name: str) -> list[str]:
        value = self._keys.get(name)
        if not isinstance(value, list):
            raise FileFormatError(
                f"tokenizer.ggml.{name} must be an array of texts; got {shorten(value)}"
            )
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self._keys.get(name, default)
        if not isinstance(value, bool):
            raise FileFormatError(f"tokenizer.ggml.{name} must be a bool; got {shorten(value)}")
        return value

    def id(self, name: str, default: int | None = None) -> int | None:
        """The id of a special token; None where there is none."""
        id = self._keys.get(f"{name}_token_id", default)
        if id is None or (isinstance(id, int) and id in (-1, 0xFFFFFFFF)):
            return None
        if not isinstance(id, int) or not 0 <= id < len(self.tokens):
            raise FileFormatError(
                f"tokenizer.ggml.{name}_token_id is {shorten(id)}; there are {len(self.tokens)} "
                "tokens"
            )
        return id

    def _numbers(self, name: str, default: float) -> list[Any]:
        """A number for each token."""
        value = self._keys.get(name)
        if value is None:
            return [default] * len(self.tokens)
        if not isinstance(value, np.ndarray) or len(value) < len(self.tokens):
            raise FileFormatError(f"tokenizer.ggml.{name} must have a number for each token")
        return value[: len(self.tokens)].tolist()

    def scores(self) -> tuple[float, ...]:
        return tuple(map(float, self._numbers("scores", 0.0)))

    def charsmap(self) -> bytes:
        value = self._keys.get("precompiled_charsmap")
        if value is None:
            return b""
        if not isinstance(value, np.ndarray) or value.dtype.itemsize != 1:
            raise FileFormatError("tokenizer.ggml.precompiled_charsmap must be an array of bytes")
        return value.tobytes()

    def added(self, kinds: tuple[PieceType, ...] = ADDED) -> tuple[AddedToken, ...]:
        """Tokens that are cut out of a text before it is split."""
        return tuple(
            AddedToken(self.tokens[id], id, special=type != PieceType.USER_DEFINED)
            for id, type in enumerate(self.types)
            if type in kinds and self.tokens[id]
        )

    def frame(
        self, bos: int | None, eos: int | None, add_bos: bool, add_eos: bool
    ) -> dict[str, tuple[Slot, ...]]:
        """Templates with what goes before and behind a text."""
        first = (
            (Slot("", (bos,)),) if self.flag("add_bos_token", add_bos) and bos is not None else ()
        )
        last = (
            (Slot("", (eos,)),) if self.flag("add_eos_token", add_eos) and eos is not None else ()
        )
        second = Slot("B", type_id=1)
        return {"single": (*first, Slot("A"), *last), "pair": (*first, Slot("A"), second, *last)}


def _byte_level(keys: _Keys) -> TokenizerSpec:
    name = keys.text("pre", "default")
    if name not in SPLITS:
        raise FileFormatError(
            f"tokenizer.ggml.pre {shorten(name)} is not supported; {', '.join(SPLITS)} are"
        )
    split: Split = SPLITS[name]
    mapped = any(step.type == "ByteLevel" for step in split.steps)
    bos, eos, pad = keys.id("bos"), keys.id("eos"), keys.id("padding")
    if split.frames:
        framed = keys.frame(bos, keys.id(SEPARATOR, eos), True, True)
    else:
        framed = keys.frame(bos, eos, split.add_bos, False)
    return TokenizerSpec(
        Bpe(keys.vocabulary, keys.texts("merges"), ignore_merges=split.ignore_merges),
        pre_tokenizers=split.steps if mapped else (*split.steps, byte_level(use_regex=False)),
        decoders=(byte_level(),),
        added=keys.added(),
        pad_token=None if pad is None else keys.tokens[pad],
        **framed,
    )


def _llama(keys: _Keys) -> TokenizerSpec:
    """sentencepiece's BPE by scores; a space goes before every stretch between added tokens."""
    unknown = keys.id("unknown", 0)
    mark = Step("Replace", {"pattern": {"String": " "}, "content": META})
    prefix = keys.flag("add_space_prefix", True)
    prepare = (Step("Prepend", {"prepend": META}), mark) if prefix else (mark,)
    strip = (Step("Strip", {"content": " ", "start": 1, "stop": 0}),) if prefix else ()
    space = Step("Replace", {"pattern": {"String": META}, "content": " "})
    return TokenizerSpec(
        Bpe(
            keys.vocabulary,
            [],
            None if unknown is None else keys.tokens[unknown],
            fuse_unknown=True,
            byte_fallback=True,
            scores=keys.scores(),
        ),
        normalizers=prepare,
        decoders=(space, Step("ByteFallback"), Step("Fuse"), *strip),
        added=keys.added(),
        **keys.frame(keys.id("bos", 1), keys.id("eos", 2), True, False),
    )


def _bert(keys: _Keys) -> TokenizerSpec:
    """WordPiece, written there with U+2581 before the first piece of a word and nothing before
    the others."""
    specials = {token.content for token in keys.added()}
    vocabulary: dict[str, int] = {}
    for token, id in keys.vocabulary.items():
        if token in specials:
            plain = token
        elif token.startswith(META):
            plain = token.removeprefix(META)
        else:
            plain = "##" + token
        if plain in vocabulary:
            raise FileFormatError(f"tokenizer.ggml.tokens has {shorten(plain)} twice")
        vocabulary[plain] = id
    unknown, cls, sep = keys.id("unknown", 100), keys.id("bos", 101), keys.id(SEPARATOR, 102)
    if unknown is None or cls is None or sep is None:
        raise FileFormatError("tokenizer.ggml has no id of the unknown token, of CLS or of SEP")
    pad = keys.id("padding", 0)
    single, pair = bert_templates(cls, sep)
    names = {id: token for token, id in vocabulary.items()}
    return TokenizerSpec(
        WordPiece(vocabulary, names[unknown]),
        normalizers=(bert_normalizer(keys.flag("normalizer.lowercase", True)),),
        pre_tokenizers=(Step("BertPreTokenizer"),),
        decoders=(Step("WordPiece", {"prefix": "##", "cleanup": True}),),
        added=keys.added((PieceType.CONTROL, PieceType.UNKNOWN)),
        single=single,
        pair=pair,
        pad_token=None if pad is None else names[pad],
    )


def _t5(keys: _Keys) -> TokenizerSpec:
    """sentencepiece's unigram."""
    unknown = keys.id("unknown", 2)
    if unknown is None:
        raise FileFormatError("tokenizer.ggml.unknown_token_id is missing")
    bos, eos = keys.id("bos"), keys.id("eos", 1)
    spec = sentencepiece_spec(
        SentencePieceModel(
            tuple(keys.tokens),
            keys.scores(),
            tuple(PieceType(type) for type in keys.types),
            NormalizerSpec(
                charsmap=keys.charsmap(),
                add_dummy_prefix=keys.flag("add_space_prefix", True),
                remove_extra_whitespaces=keys.flag("remove_extra_whitespaces", True),
            ),
            model_type=ModelType.UNIGRAM,
            byte_fallback=PieceType.BYTE in keys.types,
            unk_id=unknown,
            bos_id=-1 if bos is None else bos,
            eos_id=-1 if eos is None else eos,
        )
    )
    # Sums of scores in double precision, as there and in the tokenizers library.
    model = replace(spec.model, types=())
    return replace(spec, model=model, added=keys.added(), **keys.frame(bos, eos, False, True))
