"""Models of sentencepiece: what is read, and that a broken file is told from a good one."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.errors import FileFormatError
from lowbit.files import sentencepiece_model
from lowbit.files.protobuf import Reader
from lowbit.files.sentencepiece_model import (
    ModelType,
    NormalizerSpec,
    PieceType,
    parse_sentencepiece_model,
    read_sentencepiece_model,
)
from wire import BYTES, EIGHT_BYTES, FOUR_BYTES, block, number, piece, varint

UNKNOWN = piece("<unk>", 0, PieceType.UNKNOWN)
GOOD = UNKNOWN + piece("\u2581a", -1.5) + piece("b", -2.25, PieceType.USER_DEFINED)


def parse(data):
    return parse_sentencepiece_model(data, "x.model")


def test_pieces():
    model = parse(GOOD)
    assert model.pieces == ("<unk>", "\u2581a", "b")
    assert model.scores == (0.0, -1.5, -2.25)
    assert model.types == (PieceType.UNKNOWN, PieceType.NORMAL, PieceType.USER_DEFINED)
    assert repr(model) == "SentencePieceModel(unigram, 3 pieces)"


def test_what_is_not_there_has_the_default_of_the_format():
    model = parse(UNKNOWN + block(1, block(1, b"a")))
    assert (model.scores[1], model.types[1]) == (0.0, PieceType.NORMAL)
    assert (model.unk_id, model.bos_id, model.eos_id, model.pad_id) == (0, 1, 2, -1)
    assert model.normalizer == NormalizerSpec() and model.denormalizer is None
    assert model.model_type is ModelType.UNIGRAM and not model.byte_fallback


def test_specifications():
    trainer = number(3, 2) + number(24, 1) + number(40, 3) + number(41, -1) + block(45, b"?")
    normalizer = block(1, b"nfkc") + block(2, b"\1\2") + number(3, 0) + number(4, 0) + number(5, 0)
    model = parse(GOOD + block(2, trainer) + block(3, normalizer) + block(5, block(2, b"\3")))
    assert model.model_type is ModelType.BPE and model.treat_whitespace_as_suffix
    assert (model.unk_id, model.bos_id, model.unk_piece) == (3, -1, "?")
    assert model.normalizer == NormalizerSpec("nfkc", b"\1\2", False, False, False)
    assert model.denormalizer == NormalizerSpec(charsmap=b"\3")


def test_messages_in_parts_are_joined_and_the_last_value_counts():
    model = parse(GOOD + block(2, number(40, 7) + number(41, 8)) + block(2, number(40, 9)))
    assert (model.unk_id, model.bos_id) == (9, 8)


def test_unknown_fields_are_skipped():
    strange = number(900, 1) + block(901, b"abc") + varint(902 << 3 | FOUR_BYTES) + b"1234"
    strange += varint(903 << 3 | EIGHT_BYTES) + b"12345678"
    assert parse(strange + GOOD + strange + block(2, strange) + block(3, strange)) == parse(GOOD)


def test_bytes_for_the_unknown():
    pieces = b"".join(piece(f"<0x{i:02X}>", 0, PieceType.BYTE) for i in range(256))
    assert parse(GOOD + pieces + block(2, number(35, 1))).byte_fallback
    with pytest.raises(FileFormatError, match="256 are needed"):
        parse(GOOD + block(2, number(35, 1)))


def test_fields_in_another_order():
    text, score = block(1, b"a"), varint(2 << 3 | FOUR_BYTES) + struct.pack("<f", -1.5)
    kind = number(3, PieceType.UNUSED)
    for fields in (text + score + kind, kind + score + text, score + text + kind + number(900, 1)):
        model = parse(UNKNOWN + block(1, fields))
        assert (model.pieces[1], model.scores[1], model.types[1]) == ("a", -1.5, PieceType.UNUSED)


def test_files(tmp_path):
    path = tmp_path / "x.model"
    path.write_bytes(GOOD)
    assert read_sentencepiece_model(path) == parse(GOOD)
    with pytest.raises(FileNotFoundError):
        read_sentencepiece_model(tmp_path / "y.model")
    path.write_bytes(GOOD[:-1])
    with pytest.raises(FileFormatError, match=r"byte \d+: 10 bytes are promised"):
        read_sentencepiece_model(path)


TEXT = varint(1 << 3 | BYTES)
BROKEN = {
    "empty": (b"", "byte 0: no pieces; is this a sentencepiece model"),
    "no pieces": (block(3, b""), "no pieces"),
    "no unknown": (piece("a"), "0 pieces for the unknown"),
    "two unknowns": (UNKNOWN + piece("?", 0, PieceType.UNKNOWN), "2 pieces for the unknown"),
    "twice": (UNKNOWN + piece("a") + piece("a"), "the piece 'a' is there twice"),
    "empty piece": (UNKNOWN + piece(""), f"byte {len(UNKNOWN) + 2}: an empty piece"),
    "long piece": (UNKNOWN + piece("a" * 8000), "more than 7999 bytes"),
    "not UTF-8": (UNKNOWN + piece(b"ab\xff"), f"byte {len(UNKNOWN) + 6}: not UTF-8"),
    "infinite": (UNKNOWN + piece("a", float("inf")), "inf is no score"),
    "nan": (UNKNOWN + piece("a", float("nan")), "nan is no score"),
    "type": (UNKNOWN + piece("a", 0, 7), "7 is no type of a piece"),
    "model type": (GOOD + block(2, number(3, 9)), "9 is no type of a model"),
    "score as number": (block(1, number(2, 5)), "a score is of wire type 0; 5 is expected"),
    "piece as number": (number(1, 5), "field 1 of the model is of wire type 0; 2 is expected"),
    "flag as text": (GOOD + block(3, block(3, b"1")), "add_dummy_prefix is of wire type 2"),
    "charsmap as number": (GOOD + block(3, number(2, 1)), "charsmap is of wire type 0"),
    "lying length": (GOOD + TEXT + varint(1 << 40), "1099511627776 bytes are promised but 0 are"),
    "lying inside": (block(1, TEXT + varint(9) + b"abc"), "9 bytes are promised but 3 are left"),
    "long number": (b"\xff" * 11, "byte 0: a number is longer than 64 bits"),
    "large number": (b"\xff" * 9 + b"\x7f", "a number is longer than 64 bits"),
    "cut number": (GOOD + b"\x80", f"byte {len(GOOD)}: the message ends within a number"),
    "field 0": (b"\x02\x00", "0 is no field number"),
    "group": (GOOD + b"\x0b\x0c", f"byte {len(GOOD)}: 3 is no wire type"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken(name):
    data, message = BROKEN[name]
    with pytest.raises(FileFormatError, match=r"^x\.model: byte \d+: ") as raised:
        parse(data)
    assert message in str(raised.value)


def test_as_many_pieces_as_bytes_allow_are_refused_at_once(monkeypatch):
    monkeypatch.setattr(sentencepiece_model, "MAX_PIECES", 10)
    with pytest.raises(FileFormatError, match="more than 10 pieces"):
        parse(b"".join(piece(str(i)) for i in range(11)))
    with pytest.raises(FileFormatError, match="byte 2: an empty piece"):
        parse(b"\x0a\x00" * 1_000_000)


ENDS = [len(UNKNOWN), len(UNKNOWN + piece("\u2581a")), len(GOOD)]


def test_every_cut_is_an_error_or_the_end_of_a_field():
    data = GOOD + block(3, block(2, b"12345"))
    for end in range(len(data)):
        try:
            model = parse(data[:end])
        except FileFormatError:
            continue
        assert end in ENDS and len(model.pieces) == min(ENDS.index(end) + 1, 3)


@given(st.binary(max_size=60), st.integers(0, len(GOOD)))
def test_any_bytes_are_a_model_or_an_error(noise, place):
    for data in (noise, GOOD[:place] + noise, GOOD[:place] + noise + GOOD[place:]):
        try:
            parse(data)
        except FileFormatError as error:
            assert str(error).startswith("x.model: byte ")


@given(st.integers(0, 2**64 - 1))
def test_varint(value):
    data = varint(value)
    assert Reader(data, "x").varint(0, len(data)) == (value, len(data))
