"""GGUF vocabularies beside llama.cpp itself: every name of a split, on real texts."""

import contextlib
import json
import os
import random

import numpy as np
import pytest

import lowbit as lb
from gguf_writer import write_gguf
from lowbit.files.gguf import GgufFile
from lowbit.files.gguf_splits import SPLITS

llama_cpp = pytest.importorskip("llama_cpp")

# Falcon's digits are cut after bytes have become letters, in its own files; llama.cpp cuts before.
DIFFERENT = {"falcon"}


@contextlib.contextmanager
def silence():
    """llama.cpp writes to the descriptor itself."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def load(path):
    with silence():
        return llama_cpp.Llama(str(path), vocab_only=True, verbose=False)


@pytest.fixture(scope="module")
def texts(shared_data):
    rng = random.Random(0)
    found = json.loads((shared_data / "corpora/samples_a.json").read_text("utf-8"))
    for name in ("tinyshakespeare", "udhr_mix_a", "code_synth_a", "emoji"):
        corpus = (shared_data / f"corpora/{name}.txt").read_bytes().decode("utf-8")
        for _ in range(60):
            begin = rng.randrange(len(corpus))
            found.append(corpus[begin : begin + rng.randrange(5, 400)])
    return [text for text in found if text]


def compare(path, texts):
    theirs, ours = load(path), lb.Tokenizer.from_file(path)
    for text in texts:
        expected = theirs.tokenize(text.encode(), add_bos=False, special=True)
        assert ours.encode(text, add_special_tokens=False).ids.tolist() == expected, text


@pytest.mark.parametrize("name", sorted(set(SPLITS) - DIFFERENT))
def test_splits(name, texts, shared_data, tmp_path):
    metadata = GgufFile(shared_data / "tokenizers/gpt2/ggml-vocab-gpt-2.gguf").metadata
    compare(write_gguf(tmp_path / "a.gguf", metadata | {"tokenizer.ggml.pre": name}), texts)


def test_llama(texts, shared_data):
    compare(shared_data / "tokenizers/llama2/ggml-vocab-llama-spm.gguf", texts)


def test_bert(texts, shared_data, tmp_path):
    source = lb.Tokenizer.from_file(shared_data / "tokenizers/bert-base-uncased/vocab.txt")
    names = source.spec.model.vocabulary
    special = {token.content for token in source.spec.added}
    tokens = [
        name if name in special else name[2:] if name.startswith("##") else "\u2581" + name
        for name in names
    ]
    metadata = GgufFile(shared_data / "tokenizers/gpt2/ggml-vocab-gpt-2.gguf").metadata
    kept = {key: item for key, item in metadata.items() if not key.startswith("tokenizer")}
    keys = {
        "model": "bert",
        "tokens": tokens,
        "token_type": np.array([3 if name in special else 1 for name in names], np.int32),
        "unknown_token_id": names["[UNK]"],
        "bos_token_id": names["[CLS]"],
        "seperator_token_id": names["[SEP]"],
        "padding_token_id": names["[PAD]"],
    }
    path = tmp_path / "a.gguf"
    write_gguf(path, kept | {f"tokenizer.ggml.{key}": item for key, item in keys.items()})
    # llama.cpp has classes of characters of its own and no longest word; both are BERT's here.
    plain = [
        text
        for text in texts
        if text.isascii() and text.isprintable() and max(map(len, text.split()), default=0) < 100
    ]
    assert len(plain) > 50
    compare(path, plain)


def test_t5(texts, shared_data, tmp_path):
    from lowbit.files.sentencepiece_model import read_sentencepiece_model

    model = read_sentencepiece_model(shared_data / "tokenizers/t5-nai/nai-t5.model")
    metadata = GgufFile(shared_data / "tokenizers/gpt2/ggml-vocab-gpt-2.gguf").metadata
    kept = {key: item for key, item in metadata.items() if not key.startswith("tokenizer")}
    keys = {
        "model": "t5",
        "tokens": list(model.pieces),
        "scores": np.array(model.scores, np.float32),
        "token_type": np.array(model.types, np.int32),
        "unknown_token_id": model.unk_id,
        "eos_token_id": model.eos_id,
        "padding_token_id": max(model.pad_id, 0),
        "precompiled_charsmap": np.frombuffer(model.normalizer.charsmap, np.uint8),
        "remove_extra_whitespaces": model.normalizer.remove_extra_whitespaces,
    }
    path = tmp_path / "a.gguf"
    write_gguf(path, kept | {f"tokenizer.ggml.{key}": item for key, item in keys.items()})
    compare(path, [text.rstrip() for text in texts if text.strip()])
