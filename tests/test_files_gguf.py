"""GGUF: what is written comes back, and a lying file raises before memory is taken."""

import struct

import numpy as np
import pytest

import lowbit as lb
from gguf_writer import gguf_bytes, text, write_gguf
from lowbit.errors import FileFormatError
from lowbit.files.gguf import GgufFile
from lowbit.files.gguf_splits import SPLITS

METADATA = {
    "general.architecture": "llama",
    "a.flag": True,
    "a.number": 7,
    "a.float": 0.5,
    "a.texts": ["one", "", "\u00fc"],
    "a.bytes": np.arange(5, dtype=np.uint8),
    "a.floats": np.linspace(0, 1, 3, dtype=np.float32),
}
TENSORS = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(5, np.float32)}


@pytest.fixture
def write(tmp_path):
    def write(data: bytes):
        path = tmp_path / "a.gguf"
        path.write_bytes(data)
        return path

    return write


@pytest.mark.parametrize("version", [2, 3])
def test_what_is_written_comes_back(write, version):
    file = GgufFile(write(gguf_bytes(METADATA, TENSORS, version)))
    assert list(file.metadata) == list(METADATA)
    for key, item in METADATA.items():
        assert np.array_equal(file.metadata[key], item)
    assert file.tensors["w"].shape == (2, 3) and file.tensors["w"].type.name == "F32"
    for name, array in TENSORS.items():
        assert np.array_equal(file.read_bytes(name).view(np.float32).reshape(array.shape), array)


def test_a_file_cut_anywhere_raises(write):
    whole = gguf_bytes(METADATA, TENSORS)
    for length in range(len(whole) - 12):  # the last tensor has 20 bytes and 12 of padding
        with pytest.raises(FileFormatError):
            GgufFile(write(whole[:length]))


KEY = text("k")
HEAD = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)
LIES = {
    "magic": (b"GGML" + HEAD[4:], "begins with"),
    "version": (b"GGUF" + struct.pack("<IQQ", 4, 0, 0), "version 4 is not supported"),
    "big endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big endian"),
    "keys": (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60), "more than any model has"),
    "tensors": (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "more than any model has"),
    "long key": (HEAD + struct.pack("<Q", 1 << 62), "at most 65535"),
    "long text": (HEAD + KEY + struct.pack("<IQ", 8, 1 << 62), "at most"),
    "many texts": (HEAD + KEY + struct.pack("<IIQ", 9, 8, 1 << 50), "more than fit"),
    "many numbers": (HEAD + KEY + struct.pack("<IIQ", 9, 12, 1 << 61), "at most"),
    "text beyond": (HEAD + KEY + struct.pack("<IIQQ", 9, 8, 1, 1 << 40), "beyond the end"),
    "nested": (HEAD + KEY + struct.pack("<IIQ", 9, 9, 1), "not supported"),
    "type": (HEAD + KEY + struct.pack("<I", 99), "not known"),
    "no UTF-8": (HEAD + text(b"\xff"), "not UTF-8"),
}


@pytest.mark.parametrize("name", LIES)
def test_lies_are_named(write, name):
    data, message = LIES[name]
    with pytest.raises(FileFormatError, match=message):
        GgufFile(write(data))


def test_keys_and_tensors_twice_and_other_lies_of_tensors(write):
    twice = gguf_bytes({"k": 1})[:24] + 2 * gguf_bytes({"k": 1})[24:41]
    twice = twice[:16] + struct.pack("<Q", 2) + twice[24:]
    with pytest.raises(FileFormatError, match="'k' occurs twice"):
        GgufFile(write(twice))
    with pytest.raises(FileFormatError, match="power of 2"):
        GgufFile(write(gguf_bytes({"general.alignment": 0})))
    entry = text("w") + struct.pack("<IQIQ", 1, 4, 0, 0)
    for bad, message in (
        (text("w") + struct.pack("<I", 5), "5 dimensions"),
        (text("w") + struct.pack("<IQIQ", 1, 4, 99, 0), "type 99"),
        (text("w") + struct.pack("<IQIQ", 1, 4, 2, 0), "no multiples"),
        (text("w") + struct.pack("<IQIQ", 1, 4, 0, 5), "no multiples"),
        (text("w") + struct.pack("<IQIQ", 1, 1 << 60, 0, 0), "beyond the end"),
        (entry + entry, "twice"),
    ):
        count = 2 if bad == entry + entry else 1
        data = b"GGUF" + struct.pack("<IQQ", 3, count, 0) + bad + bytes(64)
        with pytest.raises(FileFormatError, match=message):
            GgufFile(write(data))


# Vocabularies


def vocabulary(**keys):
    return {f"tokenizer.ggml.{name}": item for name, item in keys.items()}


LETTERS = [chr(c) for c in range(0x21, 0x7F)] + ["\u0120"]
BYTE_LEVEL = vocabulary(
    model="gpt2",
    pre="gpt-2",
    tokens=[*LETTERS, "lo", "low", "\u0120low", "<|end|>"],
    token_type=np.array([1] * (len(LETTERS) + 3) + [3], np.int32),
    merges=["l o", "lo w", "\u0120 low"],
    bos_token_id=len(LETTERS) + 3,
)


def test_llama_cpp_vocabularies_are_reproduced(shared_data):
    for name in ("gpt2/ggml-vocab-gpt-2", "llama2/ggml-vocab-llama-spm"):
        path = shared_data / f"tokenizers/{name}.gguf"
        tokenizer = lb.Tokenizer.from_file(path)
        texts = path.with_suffix(".gguf.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
        lines = path.with_suffix(".gguf.out").read_text().split("\n")
        assert len(texts) == len(lines) > 40
        for given, line in zip(texts, lines, strict=True):
            ids = tokenizer.encode(given, add_special_tokens=False).ids
            assert ids.tolist() == [int(id) for id in line.split()]
            assert tokenizer.decode(ids) == given


@pytest.mark.parametrize("name", ["gpt2", "llama2"])
def test_the_same_ids_as_the_model_s_other_files(name, shared_data):
    folder = shared_data / "tokenizers" / name
    other = lb.Tokenizer.from_file(folder / "tokenizer.json")
    tokenizer = lb.Tokenizer.from_file(next(folder.glob("*.gguf")))
    for corpus in ("udhr_mix_a", "code_synth_a", "emoji"):
        texts = (shared_data / f"corpora/{corpus}.txt").read_text("utf-8")[:100_000].split("\n")
        assert np.array_equal(tokenizer.encode_batch(texts).ids, other.encode_batch(texts).ids)


def test_byte_level(tmp_path):
    path = write_gguf(tmp_path / "a.gguf", BYTE_LEVEL)
    tokenizer = lb.Tokenizer.from_file(path)
    assert tokenizer.encode("low low<|end|>o").tokens == ["low", "\u0120low", "<|end|>", "o"]
    begun = write_gguf(path, BYTE_LEVEL | vocabulary(add_bos_token=True))
    assert lb.Tokenizer.from_file(begun).encode("low").tokens == ["<|end|>", "low"]


@pytest.mark.parametrize("name", SPLITS)
def test_every_split_is_made(tmp_path, name):
    path = write_gguf(tmp_path / "a.gguf", BYTE_LEVEL | vocabulary(pre=name, eos_token_id=3))
    text = "low low, 1234 l'low\n  low!"
    tokenizer = lb.Tokenizer.from_file(path)
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids) == text.replace("\n", "")  # which this vocabulary has not


def test_bert(tmp_path):
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "\u2581low", "er", "\u2581,"]
    keys = vocabulary(
        model="bert",
        tokens=tokens,
        token_type=np.array([3, 2, 3, 3, 1, 1, 1], np.int32),
        unknown_token_id=1,
        bos_token_id=2,
        seperator_token_id=3,
        padding_token_id=0,
    )
    tokenizer = lb.Tokenizer.from_file(write_gguf(tmp_path / "a.gguf", keys))
    pair = tokenizer.encode("Lower, x", "low")
    assert pair.tokens == ["[CLS]", "low", "##er", ",", "[UNK]", "[SEP]", "low", "[SEP]"]
    assert pair.type_ids.tolist() == [0] * 6 + [1] * 2


def test_t5(tmp_path):
    keys = vocabulary(
        model="t5",
        tokens=["<pad>", "</s>", "<unk>", "\u2581low", "\u2581", "l", "o", "w"],
        scores=np.array([0, 0, 0, -1, -2, -3, -3, -3], np.float32),
        token_type=np.array([3, 3, 2, 1, 1, 1, 1, 1], np.int32),
    )
    tokenizer = lb.Tokenizer.from_file(write_gguf(tmp_path / "a.gguf", keys))
    assert tokenizer.encode("low  owl").tokens == ["\u2581low", "\u2581", "o", "w", "l", "</s>"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "rwkv"}, "model 'rwkv' is not supported; gpt2, llama, bert, t5 are"),
        ({"model": 3}, "model must be a text; got 3"),
        ({"pre": "nobody"}, "pre 'nobody' is not supported"),
        ({"tokens": "a"}, "tokens must be an array of texts"),
        ({"tokens": ["a", "a"]}, "has 'a' twice"),
        ({"tokens": []}, "tokens is empty"),
        ({"merges": ["l q"]}, "merge"),
        ({"bos_token_id": 1 << 20}, "bos_token_id is 1048576; there are 99 tokens"),
        ({"add_bos_token": 3}, "add_bos_token must be a bool"),
        ({"token_type": np.ones(3, np.int32)}, "must have a number for each token"),
    ],
)
def test_errors_name_the_key(tmp_path, changes, message):
    path = write_gguf(tmp_path / "a.gguf", BYTE_LEVEL | vocabulary(**changes))
    with pytest.raises(FileFormatError, match=message):
        lb.Tokenizer.from_file(path)
