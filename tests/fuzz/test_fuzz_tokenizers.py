"""Damaged files of tokenizers: what reads has to encode and decode, all else raises."""

import base64
import contextlib
import json
import random

import numpy as np
import pytest
from damage import CASES, SECONDS, count_refused

import lowbit as lb
from gguf_writer import write_gguf
from lowbit.errors import FileFormatError
from lowbit.files.sentencepiece_model import PieceType
from wire import block, number, piece

TEXT = "low lower [UNK] \u00fc\u4e2d \U0001f600  1234's\n\t" + "ab" * 40
LINES = ["low lower lowest", "a newer wider \u00fc", "1 22 333 4444"]


def use(path):
    """Everything that a file may break once it is read."""
    tokenizer = lb.Tokenizer.from_file(path, **OPTIONS.get(path.name, {}))
    ids = tokenizer.encode(TEXT, TEXT).ids
    tokenizer.decode(ids[:200])
    tokenizer.encode_batch([TEXT, "", "x"], add_special_tokens=False)
    return tokenizer


OPTIONS = {"a.tiktoken": {"pattern": r"\w+|\s+|[^\w\s]+"}}


def trained(model, **options):
    def write(path):
        lb.Tokenizer.train(LINES, model=model, **options).save(path)

    return write


def whole(path):
    """A tokenizer.json with a step of every kind."""
    lb.Tokenizer.train(LINES, model="bpe", vocab_size=270).save(path)
    values = json.loads(path.read_text("utf-8"))
    values["normalizer"] = {
        "type": "Sequence",
        "normalizers": [
            {"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": "a{2,}|\\d+"}, "content": "a"},
            {"type": "Strip", "strip_left": True, "strip_right": True},
        ],
    }
    split = {"type": "Split", "pattern": {"Regex": "(?i:[ab])|\\p{L}+(?!x)| ?[^\\s\\p{L}]+|\\s"}}
    level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    values["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            {**split, "behavior": "Isolated", "invert": False},
            {"type": "Digits", "individual_digits": True},
            {"type": "Punctuation", "behavior": "Contiguous"},
            {**level, "trim_offsets": True},
        ],
    }
    values["truncation"] = {"max_length": 9, "stride": 2, "strategy": "LongestFirst"}
    values["padding"] = {"strategy": "BatchLongest", "pad_id": 0, "pad_token": "[PAD]"}
    path.write_text(json.dumps(values), "utf-8")


def tiktoken(path):
    tokens = [bytes([byte]) for byte in range(256)] + [b"lo", b"low", b" low"]
    lines = [b"%s %d" % (base64.b64encode(token), id) for id, token in enumerate(tokens)]
    path.write_bytes(b"\n".join(lines))


def sentencepiece(model_type):
    def write(path):
        pieces = piece("<unk>", 0, PieceType.UNKNOWN) + piece("<s>", 0, PieceType.CONTROL)
        for place, token in enumerate(["\u2581low", "\u2581", "l", "o", "w", "lo", "er", "e", "r"]):
            pieces += piece(token, -float(place + 1))
        pieces += piece("abab", 0, PieceType.USER_DEFINED)
        path.write_bytes(pieces + block(2, number(3, model_type) + number(41, 1)))

    return write


def vocab_txt(path):
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "low", "##er", "a", "##b"]))


def gguf(path):
    letters = [chr(c) for c in range(0x21, 0x7F)] + ["\u0120", "lo", "low"]
    keys = {
        "model": "gpt2",
        "pre": "qwen2",
        "tokens": letters,
        "token_type": np.ones(len(letters), np.int32),
        "merges": ["l o", "lo w"],
    }
    write_gguf(path, {f"tokenizer.ggml.{key}": item for key, item in keys.items()})


# reader: (writes a good file, its name)
READERS = {
    "bpe": (trained("bpe", vocab_size=270), "tokenizer.json"),
    "wordpiece": (trained("wordpiece", vocab_size=60), "tokenizer.json"),
    "unigram": (trained("unigram", vocab_size=40), "tokenizer.json"),
    "word": (trained("word"), "tokenizer.json"),
    "character": (trained("character"), "tokenizer.json"),
    "many steps": (whole, "tokenizer.json"),
    "tiktoken": (tiktoken, "a.tiktoken"),
    "sentencepiece unigram": (sentencepiece(1), "a.model"),
    "sentencepiece bpe": (sentencepiece(2), "a.model"),
    "vocab.txt": (vocab_txt, "vocab.txt"),
    "gguf": (gguf, "a.gguf"),
}


@pytest.mark.parametrize("reader", READERS)
def test_damaged_tokenizers_work_or_raise(tmp_path, alarm, reader):
    write, name = READERS[reader]
    path = tmp_path / name
    write(path)
    use(path)
    refused = count_refused(reader, path, lambda: use(path), alarm, CASES)
    assert refused > CASES // 20


def test_random_bytes_are_no_tokenizer(tmp_path, alarm):
    for name in ("tokenizer.json", "a.tiktoken", "a.model", "vocab.txt", "a.gguf", "vocab.json"):
        for seed in range(CASES // 10):
            generator = random.Random(seed)
            path = tmp_path / name
            path.write_bytes(b"\xff" + generator.randbytes(generator.randrange(1, 200)))
            alarm(SECONDS)
            with pytest.raises(FileFormatError):
                use(path)
            alarm(0)


# Files whose sizes lie: little to read, much to pay for a reader that believes it.
HUGE = 2**31 - 1
BPE = {"type": "BPE", "vocab": {"a": 0}, "merges": []}
HOSTILE = {
    "ids far apart": {"model": {**BPE, "vocab": {"a": 0, "b": HUGE}}},
    "words far apart": {
        "model": {"type": "WordLevel", "vocab": {"a": 0, "b": HUGE}, "unk_token": "a"}
    },
    "added far away": {
        "model": BPE,
        "added_tokens": [{"id": HUGE, "content": "b", "special": True}],
    },
    "a huge prefix": {
        "model": {
            "type": "WordPiece",
            "vocab": {"a": 0},
            "unk_token": "a",
            "max_input_chars_per_word": 1 << 61,
        }
    },
    "a counted repeat": {
        "model": BPE,
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": "(((a{1,1000}){1,1000}){1,1000}){1,1000}"},
            "behavior": "Isolated",
            "invert": False,
        },
    },
    "an exponential search": {
        "model": BPE,
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": "(a|a)*(a|a)*(a|a)*b"},
            "behavior": "Isolated",
            "invert": False,
        },
    },
    "deep parentheses": {
        "model": BPE,
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": "(" * 100_000 + "a" + ")" * 100_000},
            "behavior": "Isolated",
            "invert": False,
        },
    },
    "a long fixed length": {
        "model": BPE,
        "pre_tokenizer": {"type": "FixedLength", "length": 1 << 61},
    },
    "strips far more": {
        "model": BPE,
        "decoder": {"type": "Strip", "content": "a", "start": 1 << 61, "stop": 1 << 61},
    },
    "a long truncation": {"model": BPE, "truncation": {"max_length": 1 << 61, "stride": 1 << 61}},
    "a replacement that doubles": {
        "model": BPE,
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"} for _ in range(64)
            ],
        },
    },
}


@pytest.mark.parametrize("name", HOSTILE)
def test_lies_cost_neither_time_nor_memory(tmp_path, alarm, name):
    resource = pytest.importorskip("resource")
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(HOSTILE[name]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    alarm(SECONDS)
    with contextlib.suppress(ValueError):  # FileFormatError is one
        use(path)
    alarm(0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 512 * 1024  # kB
