"""The .model files of sentencepiece: vocabulary, scores, and how texts are prepared.

Such a file is one protocol buffer, the ModelProto of sentencepiece_model.proto. It is read without
that library; what is there to train with is left out.
"""

from __future__ import annotations

import math
import os
import struct
from collections import Counter
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Any

from lowbit.files.protobuf import Reader, Wire, signed32
from lowbit.files.untrusted import MAX_TOKENIZER_BYTES, read_bounded, shorten

MAX_PIECES = 4_000_000
"""Far above the largest vocabularies; each piece costs some hundred bytes of memory."""

MAX_PIECE_BYTES = 7999
"""The library's own limit."""


class PieceType(IntEnum):
    """What a piece is for."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


class ModelType(IntEnum):
    """How texts are split into pieces."""

    UNIGRAM = 1
    BPE = 2
    WORD = 3
    CHAR = 4


@dataclass(frozen=True)
class NormalizerSpec:
    """How a text is prepared: `charsmap` replaces characters, the flags are about spaces."""

    name: str = ""
    charsmap: bytes = field(default=b"", repr=False)
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True
    escape_whitespaces: bool = True


@dataclass(frozen=True)
class SentencePieceModel:
    """A .model file; the index of a piece is its id, and an id of -1 means that there is none."""

    pieces: tuple[str, ...]
    scores: tuple[float, ...]
    types: tuple[PieceType, ...]
    normalizer: NormalizerSpec = NormalizerSpec()
    denormalizer: NormalizerSpec | None = None
    model_type: ModelType = ModelType.UNIGRAM
    byte_fallback: bool = False
    treat_whitespace_as_suffix: bool = False
    unk_id: int = 0
    bos_id: int = 1
    eos_id: int = 2
    pad_id: int = -1
    unk_piece: str = "<unk>"
    bos_piece: str = "<s>"
    eos_piece: str = "</s>"
    pad_piece: str = "<pad>"
    unk_surface: str = " \u2047 "

    def __repr__(self) -> str:
        kind = self.model_type.name.lower()
        return f"SentencePieceModel({kind}, {len(self.pieces)} pieces)"


# Field number -> attribute of the dataclass, whose default tells the type.
_TRAINER = {
    3: "model_type", 24: "treat_whitespace_as_suffix", 35: "byte_fallback", 40: "unk_id",
    41: "bos_id", 42: "eos_id", 43: "pad_id", 44: "unk_surface", 45: "unk_piece",
    46: "bos_piece", 47: "eos_piece", 48: "pad_piece",
}  # fmt: skip
_NORMALIZER = {
    1: "name", 2: "charsmap", 3: "add_dummy_prefix", 4: "remove_extra_whitespaces",
    5: "escape_whitespaces",
}  # fmt: skip


def read_sentencepiece_model(path: str | os.PathLike) -> SentencePieceModel:
    """Read a .model file.

    Raises
    ------
    OSError
        The file does not exist or cannot be read.
    FileFormatError
        It is too long, or no model; the byte is named where the format is broken.
    """
    return parse_sentencepiece_model(read_bounded(path, MAX_TOKENIZER_BYTES), str(path))


def parse_sentencepiece_model(data: bytes, source: str) -> SentencePieceModel:
    """The model in the bytes of a .model file; `source` starts every error message.

    Raises
    ------
    FileFormatError
        As `read_sentencepiece_model`.

    Examples
    --------
    >>> unknown = b"\\x0a\\x05<unk>" + b"\\x18\\x02"
    >>> model = parse_sentencepiece_model(b"\\x0a\\x09" + unknown, "example")
    >>> model.pieces, model.types[0].name
    (('<unk>',), 'UNKNOWN')
    """
    reader = Reader(data, source)
    pieces: list[str] = []
    scores: list[float] = []
    types: list[PieceType] = []
    trainer: dict[str, Any] = {}
    specs: dict[int, dict[str, Any]] = {3: {}}
    for number, wire, value, place in reader.fields(0, len(data)):
        if number not in (1, 2, 3, 5):
            continue
        reader.expect(wire, Wire.BYTES, f"field {number} of the model", place)
        if number == 1:
            if len(pieces) == MAX_PIECES:
                reader.fail(place, f"more than {MAX_PIECES} pieces")
            read = _plain_piece(data, place, value) or _piece(reader, place, value)
            piece, score, kind = read
            pieces.append(piece)
            scores.append(score)
            types.append(kind)
        elif number == 2:
            trainer |= _attributes(reader, place, value, _TRAINER, SentencePieceModel)
        else:
            spec = specs.setdefault(number, {})
            spec |= _attributes(reader, place, value, _NORMALIZER, NormalizerSpec)
    if not pieces:
        reader.fail(len(data), "no pieces; is this a sentencepiece model?")
    _check_pieces(reader, pieces, types, trainer.get("byte_fallback", False))
    denormalizer = NormalizerSpec(**specs[5]) if 5 in specs else None
    normalizer = NormalizerSpec(**specs[3])
    return SentencePieceModel(
        tuple(pieces), tuple(scores), tuple(types), normalizer, denormalizer, **trainer
    )


_PIECE_TYPES = {int(kind): kind for kind in PieceType}
_FLOAT32 = struct.Struct("<f")


def _plain_piece(data: bytes, begin: int, end: int) -> tuple[str, float, PieceType] | None:
    """A piece as the library writes it: text, score and perhaps type; None for any other.

    This is three times as fast as reading field by field, and a vocabulary has many pieces.
    """
    if end - begin < 8 or data[begin] != 0x0A or not 0 < data[begin + 1] < 0x80:
        return None
    at = begin + 2 + data[begin + 1]
    if at + 5 > end or data[at] != 0x15:
        return None
    if at + 5 == end:
        kind = PieceType.NORMAL
    elif at + 7 == end and data[at + 5] == 0x18 and data[at + 6] in _PIECE_TYPES:
        kind = _PIECE_TYPES[data[at + 6]]
    else:
        return None
    (score,) = _FLOAT32.unpack_from(data, at + 1)
    try:
        text = data[begin + 2 : at].decode("utf-8")
    except UnicodeDecodeError:
        return None
    return (text, score, kind) if math.isfinite(score) else None


def _piece(reader: Reader, begin: int, end: int) -> tuple[str, float, PieceType]:
    piece, score, kind = "", 0.0, PieceType.NORMAL
    for number, wire, value, place in reader.fields(begin, end):
        if number == 1:
            reader.expect(wire, Wire.BYTES, "a piece", place)
            if value - place > MAX_PIECE_BYTES:
                reader.fail(place, f"a piece of more than {MAX_PIECE_BYTES} bytes")
            piece = reader.text(place, value)
        elif number == 2:
            reader.expect(wire, Wire.FOUR_BYTES, "a score", place)
            score = reader.float32(place)
            if not math.isfinite(score):
                reader.fail(place, f"{score} is no score")
        elif number == 3:
            reader.expect(wire, Wire.VARINT, "a type", place)
            if value not in _PIECE_TYPES:
                reader.fail(place, f"{value} is no type of a piece")
            kind = _PIECE_TYPES[value]
    if not piece:
        reader.fail(begin, "an empty piece")
    return piece, score, kind


def _attributes(
    reader: Reader, begin: int, end: int, names: dict[int, str], target: type
) -> dict[str, Any]:
    """The fields of a message that `target` has attributes for."""
    defaults = {attribute.name: attribute.default for attribute in fields(target)}
    found: dict[str, Any] = {}
    for number, wire, value, place in reader.fields(begin, end):
        name = names.get(number)
        if name is None:
            continue
        default = defaults[name]
        wanted = Wire.BYTES if isinstance(default, str | bytes) else Wire.VARINT
        reader.expect(wire, wanted, name, place)
        if isinstance(default, bool):
            found[name] = value != 0
        elif isinstance(default, ModelType):
            if value not in tuple(ModelType):
                reader.fail(place, f"{value} is no type of a model")
            found[name] = ModelType(value)
        elif isinstance(default, int):
            found[name] = signed32(value)
        elif isinstance(default, str):
            found[name] = reader.text(place, value)
        else:
            found[name] = reader.data[place:value]
    return found


def _check_pieces(
    reader: Reader, pieces: list[str], types: list[PieceType], byte_fallback: bool
) -> None:
    """What the library itself demands before it takes a model."""
    ordinary = {PieceType.NORMAL, PieceType.USER_DEFINED, PieceType.UNUSED}
    keys = [(kind in ordinary, text) for kind, text in zip(types, pieces, strict=True)]
    if len(set(keys)) < len(keys):
        for (_, text), count in Counter(keys).items():
            # The library passes over unused pieces of this text.
            if count > 1 and text != "\0":
                reader.fail(len(reader.data), f"the piece {shorten(text)} is there twice")
    unknown = types.count(PieceType.UNKNOWN)
    if unknown > 1 or (unknown == 0 and not byte_fallback):
        reader.fail(len(reader.data), f"{unknown} pieces for the unknown; there has to be one")
    if byte_fallback and types.count(PieceType.BYTE) != 256:
        count = types.count(PieceType.BYTE)
        reader.fail(len(reader.data), f"{count} pieces for bytes; 256 are needed for byte_fallback")
