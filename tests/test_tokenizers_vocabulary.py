"""Vocabularies as tables: read from files as Python's json reads them, and kept as they came."""

from __future__ import annotations

import base64
import dataclasses
import json
import pickle
import random

import numpy as np
import pytest

from lowbit import Tokenizer, _core
from lowbit.errors import FileFormatError
from lowbit.files import tokenizer_json
from lowbit.files.json_numbers import read_float
from lowbit.files.untrusted import parse_json
from lowbit.tokenizers.alphabet import byte_level_text
from lowbit.tokenizers.spec import AddedToken, Bpe, Slot, TokenizerSpec, Unigram
from lowbit.tokenizers.vocabulary import Merges, Pieces, Vocabulary

WORDS = ["a", " ", "\u0120", "ab", '"', "\\", "/\b\f\n\r\t", "\u4e2d", "\U0001f600", "\x7f", ""]


def written(**members):
    model = {"type": "BPE", "vocab": {t: i for i, t in enumerate(WORDS)}, "merges": [["a", " "]]}
    values = {"version": "1.0", "model": {**model, **members}, "other": [{"model": "]}"}, "\\", 1]}
    return values


def both_ways(data: bytes):
    """What the tables hold and what Python's json says, which raises for a broken file."""
    read = _core.read_tokenizer_json(data)
    if read is None:
        return None, None
    rest, table, scores, pairs, joined = read
    values = parse_json(rest, "rest", read_float)
    vocabulary = Vocabulary(table) if scores is None else Pieces(table, scores)
    values["model"]["vocab"] = dict(vocabulary.items()) if scores is None else list(vocabulary)
    if pairs is not None:
        values["model"]["merges"] = list(Merges(table, pairs, joined))
    return values, parse_json(data, "whole", read_float)


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    "members",
    [
        {},
        {"merges": []},
        {"merges": ["a ab", "ab a"]},
        {"vocab": [["a", -1.5], ["", 0], ["a", -7.2687246048924505], ["\u4e2d", 1e-300]]},
        {"vocab": {"a": 2**31 - 1, "b": 0}, "merges": None},
    ],
)
def test_tables_hold_what_json_says(members, indent, ascii_only):
    values = written(**members)
    if isinstance(values["model"]["vocab"], list):
        del values["model"]["merges"]
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
    read, expected = both_ways(text.encode())
    assert read == expected
    assert expected == parse_json(text.encode(), "x", read_float) and read is not None


def test_merges_may_stand_before_the_vocabulary():
    text = '{"model": {"merges": ["a b"], "vocab": {"a": 0, "b": 1, "ab": 2}, "type": "BPE"}}'
    read, expected = both_ways(text.encode())
    assert read == expected and read["model"]["merges"] == ["a b"]


@pytest.mark.parametrize(
    "model",
    [
        '"vocab":{"a":0,"a":1}',
        '"vocab":{"a":0},"vocab":{"a":0}',
        '"vocab":{"a":-1}',
        '"vocab":{"a":1.0}',
        '"vocab":{"a":1e3}',
        '"vocab":{"a":01}',
        '"vocab":{"a":2147483648}',
        '"vocab":{"a":12345678901234567890}',
        '"vocab":{"a":true}',
        '"vocab":{"a":0,}',
        '"vocab":{"a" 0}',
        '"vocab":{"\\ud800":0}',
        '"vocab":{"\\udc00\\ud800":0}',
        '"vocab":{"\\u12g4":0}',
        '"vocab":{"\\x":0}',
        '"vocab":{"a\n":0}',
        '"vocab":{}',
        '"vocab":[]',
        '"vocab":[["a",NaN]]',
        '"vocab":[["a",1e999]]',
        '"vocab":[["a",.5]]',
        '"vocab":[["a",5.]]',
        '"vocab":[["a",+5]]',
        '"vocab":[["a"]]',
        '"vocab":[["a",1,2]]',
        '"vocab":[["a",1]],"merges":[]',
        '"vocab":{"a":0},"merges":["a"]',
        '"vocab":{"a":0},"merges":["a b"]',
        '"vocab":{"a":0},"merges":["a a",["a","a"]]',
        '"vocab":{"a":0},"merges":[["a","a"],"a a"]',
        '"vocab":{"a":0},"merges":[["a","a","a"]]',
        '"vocab":{"a":0},"merges":[["a",1]]',
        '"vocab":{"a":0},"merges":[',
        '"vocab":{"a":0',
        '"vocab":{"a',
        '"vocab":{"\\',
        '"vocab":{"\\u00',
    ],
)
def test_what_is_not_in_order_is_left_to_python(model):
    assert _core.read_tokenizer_json(f'{{"model":{{{model}}}}}'.encode()) is None


def test_bytes_that_are_no_utf8_are_left_to_python():
    for bad in (b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"):
        data = b'{"model":{"vocab":{"a' + bad + b'":0}}}'
        assert _core.read_tokenizer_json(data) is None


def test_damaged_files_are_read_alike():
    """Whatever the kernels take, Python's json takes as well, and reads the same in it."""
    generator = random.Random(0)
    unigram = written(vocab=[["a", -1.25], ["\u4e2d", -3e-5]], type="Unigram")
    del unigram["model"]["merges"]
    files = [json.dumps(v).encode() for v in (written(), written(merges=["a ab"]), unigram)]
    taken = 0
    for _ in range(20000):
        data = bytearray(generator.choice(files))
        for _ in range(generator.randint(1, 2)):
            place = generator.randrange(len(data))
            data[place : place + generator.randint(0, 2)] = generator.choice(
                [b'"', b"\\", b",", b":", b"0", b"[", b"]", b"{", b"}", b"e", b".", b" ", b"\xc3"]
            )
        try:
            read, expected = both_ways(bytes(data))
        except FileFormatError as error:
            assert str(error).startswith("rest")  # never the whole file alone
            with pytest.raises(FileFormatError):
                parse_json(bytes(data), "whole", read_float)
            continue
        assert read == expected
        taken += read is not None
    assert taken > 200


def test_errors_tell_of_places_in_the_whole_file(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text('{"model": {"vocab": {\n"a": 0\n}},\n"x": NULL}')
    with pytest.raises(FileFormatError, match=r"line 4, column 6"):
        Tokenizer.from_file(path)


def test_items_are_counted_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("lowbit.files.untrusted.MAX_JSON_ITEMS", 3)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(written()))
    with pytest.raises(FileFormatError, match="more than 3 values"):
        tokenizer_json.read_tokenizer_json(path)


def test_numbers_of_files():
    for digits in ("", "-", "1.", ".5", "1e", "01", "1 ", "NaN", "1e400", "9" * 400):
        with pytest.raises(ValueError, match=r"is no number|is too large"):
            read_float(digits)
    assert [read_float(d) for d in ("-0.0", "1e-400", "0e999", "18446744073709551616.0")] == [
        0.0, 0.0, 0.0, 18446744073709551616.0,
    ]  # fmt: skip


def test_ranks_are_read_as_python_reads_them():
    tokens = [bytes([byte]) for byte in range(256)] + [b"low er", b"\xff\x00", b"abcd"]
    lines = [b"%s %d\n" % (base64.b64encode(token), 3 * id) for id, token in enumerate(tokens)]
    table = _core.read_tiktoken(b"".join(lines))
    assert table.to_dict() == {byte_level_text(t): 3 * id for id, t in enumerate(tokens)}


@pytest.mark.parametrize(
    "line", [b"YQ== 1", b"YQ= 1\n", b"YQ 1\n", b"YR== 1\n", b" 1\n", b"YQ==\n", b"YQ== 01\n",
             b"Y=Q= 1\n", b"==== 1\n", b"YQ== 2147483648\n", b"YQ== 1 \n", b"\n", b"Y!== 1\n",
             b"YQ== 1\nYQ== 2\n", b"YQ== \n1\n", b""],
)  # fmt: skip
def test_other_lines_are_left_to_python(line):
    assert _core.read_tiktoken(line) is None


def test_tables_look_like_dicts_and_lists():
    vocabulary = Vocabulary({"a": 5, "b": 1})
    assert list(vocabulary) == ["a", "b"] and vocabulary.get("c") is None and "c" not in vocabulary
    assert vocabulary | {"b": 2} == {"a": 5, "b": 2} and vocabulary != {"a": 5}
    assert 3 not in vocabulary and "\ud800" not in vocabulary
    with pytest.raises(KeyError):
        vocabulary["c"]
    for broken in ({"a": -1}, {"a": 2**31}, {"a": 2**70}, {"a": 1.5}, {"a": "b"}):
        with pytest.raises(ValueError, match="ids go from 0"):
            Vocabulary(broken)
    for broken in ({"\ud800": 1}, {7: 1}):
        with pytest.raises(ValueError, match="a token is no text"):
            Vocabulary(broken)
    pieces = Unigram([["a", -1], ["b", -2], ["a", -3]]).pieces
    assert pieces == [["a", -1], ["b", -2], ["a", -3]] and pieces[-1] == ["a", -3.0]
    assert Unigram(pieces).vocabulary == {"a": 2, "b": 1}


def test_merges_of_another_vocabulary_are_looked_up_again():
    model = Bpe({"a": 0, "b": 1, "ab": 2}, [["a", "b"]])
    other = Bpe({"b": 0, "ab": 1, "a": 2}, model.merges)
    assert other.merges == [["a", "b"]] and other.merges.pairs.tolist() == [[2, 0]]
    with pytest.raises(ValueError, match=r"merge 0 .*'a' is not in the vocabulary"):
        Bpe({"b": 0}, model.merges)


def test_pickled_tables_are_equal_and_small(tmp_path):
    trained = Tokenizer.train(["low lower lowest"] * 3, model="bpe", vocab_size=262)
    again = pickle.loads(pickle.dumps(trained))
    assert again.spec == trained.spec and isinstance(again.spec.model.merges, Merges)
    assert again.spec.model.merges.table is again.spec.model.vocabulary.table
    assert again.encode("lowest").tokens == trained.encode("lowest").tokens
    pieces = Pieces.of([["a", -1.5], ["a", 2]])
    assert pickle.loads(pickle.dumps(pieces)) == pieces


def test_damaged_pickles_raise():
    table = _core.TokenTable.from_dict({"a": 0, "bc": 1})
    make = type(table).__new__
    good = (b"abc", np.array([0, 1, 3], np.uint32), np.array([0, 1], np.int32))
    for place, value in [
        (0, b"a\xff\xff"),
        (1, np.array([0, 2, 1], np.uint32)),
        (1, np.array([0, 1, 9], np.uint32)),
        (1, np.array([], np.uint32)),
        (2, np.array([0, 1, 2], np.int32)),
        (2, np.array([0, -1], np.int32)),
    ]:
        state = tuple(value if i == place else part for i, part in enumerate(good))
        with pytest.raises(ValueError, match=r"pickled|ids"):
            make(type(table)).__setstate__(state)


def test_templates_may_use_ids_of_added_tokens_only_or_of_the_vocabulary():
    model = Bpe({"a": 0}, [])
    TokenizerSpec(model, added=(AddedToken("x", 9),), single=(Slot("", (9, 0)), Slot("A")))
    with pytest.raises(ValueError, match="the template uses id 7"):
        TokenizerSpec(model, single=(Slot("", (7,)), Slot("A")))


def test_ids_of_tokens_are_those_of_added_ones_first():
    spec = Tokenizer.train(["low bit"], model="word", special_tokens=["[UNK]"]).spec
    again = AddedToken("bit", 9), AddedToken("rank", spec.model.vocabulary["low"])
    tok = Tokenizer(dataclasses.replace(spec, added=(*spec.added, *again)))
    assert [tok.token_to_id(t) for t in ("[UNK]", "bit", "rank")] == [0, 9, again[1].id]
    assert tok.token_to_id("low") is None  # its id has another text now
    assert tok.token_to_id("\ud800") is None and tok.token_to_id("none") is None
