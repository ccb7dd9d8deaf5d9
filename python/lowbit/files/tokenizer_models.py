"""The models of a tokenizer.json, read and written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lowbit.errors import FileFormatError
from lowbit.files.tokenizer_components import boolean, integer, maybe, text
from lowbit.files.untrusted import shorten
from lowbit.tokenizers.spec import Bpe, Model, Unigram, WordLevel, WordPiece
from lowbit.tokenizers.vocabulary import Merges, Pieces, Vocabulary

KINDS = ("BPE", "Unigram", "WordPiece", "WordLevel")


def read_model(model: dict[str, Any]) -> Model:
    """The model of a tokenizer.json; files of old versions have no type, but telling keys."""
    kind = model.get("type")
    if kind is None:
        kind = _telling_kind(model)
    if kind == "BPE":
        return _read_bpe(model)
    if kind == "Unigram":
        return _read_unigram(model)
    if kind == "WordPiece":
        return WordPiece(
            read_vocabulary(model.get("vocab")),
            text("model.unk_token", model.get("unk_token", "[UNK]")),
            text("continuing_subword_prefix", model.get("continuing_subword_prefix", "##")),
            integer("max_input_chars_per_word", model.get("max_input_chars_per_word", 100)),
        )
    if kind == "WordLevel":
        unknown = text("model.unk_token", model.get("unk_token", "<unk>"))
        return WordLevel(read_vocabulary(model.get("vocab")), unknown)
    raise FileFormatError(f"model {shorten(kind)} is not supported; {', '.join(KINDS)} are")


def _telling_kind(model: dict[str, Any]) -> str | None:
    if "merges" in model:
        return "BPE"
    if isinstance(model.get("vocab"), list | Pieces):
        return "Unigram"
    return "WordPiece" if "max_input_chars_per_word" in model else None


def read_vocabulary(vocab: Any) -> Mapping[str, int]:
    """An object of tokens and ids."""
    if isinstance(vocab, Vocabulary):
        return vocab
    if not isinstance(vocab, dict) or not vocab:
        raise FileFormatError("the vocabulary must be an object of tokens and ids")
    if set(map(type, vocab.values())) != {int}:
        token, id = next((t, i) for t, i in vocab.items() if type(i) is not int)
        raise FileFormatError(f"the vocabulary: token {shorten(token)} has id {shorten(id)}")
    return vocab


def _read_bpe(model: dict[str, Any]) -> Bpe:
    merges = model.get("merges")
    if not isinstance(merges, list | Merges):
        raise FileFormatError(f"model.merges must be a list; got {shorten(merges)}")
    if isinstance(merges, list) and set(map(type, merges)) not in ({str}, {list}, set()):
        raise FileFormatError("model.merges must hold pairs of tokens, all written in one way")
    dropout = model.get("dropout")
    if dropout is None:
        dropout = 0
    if type(dropout) not in (int, float) or not 0 <= dropout <= 1:
        raise FileFormatError(f"model.dropout must be from 0 to 1; got {shorten(dropout)}")
    return Bpe(
        read_vocabulary(model.get("vocab")),
        merges,
        maybe(text)("model.unk_token", model.get("unk_token")),
        maybe(text)("continuing_subword_prefix", model.get("continuing_subword_prefix")) or "",
        maybe(text)("end_of_word_suffix", model.get("end_of_word_suffix")) or "",
        *(
            boolean(f"model.{name}", model.get(name) or False)
            for name in ("fuse_unk", "byte_fallback", "ignore_merges")
        ),
        dropout=float(dropout),
    )


def _read_unigram(model: dict[str, Any]) -> Unigram:
    pieces = model.get("vocab")
    if not isinstance(pieces, list | Pieces) or not pieces:
        raise FileFormatError("model.vocab must be a list of tokens and scores")
    for piece in pieces if isinstance(pieces, list) else ():
        if not (
            isinstance(piece, list)
            and len(piece) == 2
            and isinstance(piece[0], str)
            and isinstance(piece[1], int | float)
        ):
            raise FileFormatError(f"model.vocab holds {shorten(piece)}, not a token and a score")
    unknown = maybe(integer)("model.unk_id", model.get("unk_id"))
    if unknown is not None and unknown >= len(pieces):
        raise FileFormatError(f"model.unk_id {unknown} is beyond the {len(pieces)} tokens")
    return Unigram(pieces, unknown, boolean("byte_fallback", model.get("byte_fallback") or False))


def write_model(model: Model) -> dict[str, Any]:
    """What `read_model` reads."""
    if isinstance(model, WordPiece):
        return {
            "type": "WordPiece",
            "unk_token": model.unknown,
            "continuing_subword_prefix": model.continuing_prefix,
            "max_input_chars_per_word": model.max_characters,
            "vocab": dict(model.vocabulary.items()),
        }
    if isinstance(model, WordLevel):
        return {
            "type": "WordLevel",
            "vocab": dict(model.vocabulary.items()),
            "unk_token": model.unknown,
        }
    if isinstance(model, Unigram):
        return {
            "type": "Unigram",
            "unk_id": model.unknown_id,
            "vocab": list(model.pieces),
            "byte_fallback": model.byte_fallback,
        }
    return {
        "type": "BPE",
        "dropout": model.dropout or None,
        "unk_token": model.unknown,
        "continuing_subword_prefix": model.continuing_prefix or None,
        "end_of_word_suffix": model.end_of_word_suffix or None,
        "fuse_unk": model.fuse_unknown,
        "byte_fallback": model.byte_fallback,
        "ignore_merges": model.ignore_merges,
        "vocab": dict(model.vocabulary.items()),
        "merges": list(model.merges),
    }
