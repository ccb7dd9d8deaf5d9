"""Words of tens of thousands of bytes: ids are those of their pieces, and of the merges."""

import json
import random

import numpy as np
import pytest

import lowbit as lb

FIRST = 0x10000  # code points that stand for tokens below


def trained(folder, letters: str, seed: int, vocab_size: int = 400):
    """A tokenizer of words that have these letters, and its model; ids are not in order of rank."""
    rng = random.Random(seed)
    corpus = ["".join(rng.choices(letters, k=rng.choice([3, 8, 40]))) for _ in range(600)]
    tokenizer = lb.Tokenizer.train(corpus, model="bpe", vocab_size=vocab_size)
    path = folder / "tokenizer.json"
    tokenizer.save(path)
    file = json.loads(path.read_text("utf-8"))
    model = file["model"]
    model["vocab"] = {token: len(model["vocab"]) - 1 - i for token, i in model["vocab"].items()}
    file["added_tokens"] = []
    path.write_text(json.dumps(file), "utf-8")
    return lb.Tokenizer.from_file(path), model


def merged_in_order(word: str, model: dict) -> list[int]:
    """Every merge over the whole word, in order of rank: right if tokens come after their parts."""
    vocab = model["vocab"]
    text = "".join(chr(FIRST + vocab[letter]) for letter in word)
    for left, right in model["merges"]:
        pair = chr(FIRST + vocab[left]) + chr(FIRST + vocab[right])
        text = text.replace(pair, chr(FIRST + vocab[left + right]))
    return [ord(token) - FIRST for token in text]


LENGTHS = [1025, 16383, 16384, 16385, 50_000]


@pytest.mark.parametrize("letters", ["a", "ab", "aaaab", "lowerbits"])
@pytest.mark.parametrize("seed", [1, 2])
def test_ids_of_long_words(tmp_path, letters, seed):
    tokenizer, model = trained(tmp_path, letters, seed)
    rng = random.Random(seed + 10)
    words = ["".join(rng.choices(letters, k=length)) for length in LENGTHS]
    batch = tokenizer.encode_batch(words)
    for i, word in enumerate(words):
        ids = batch.ids[batch.indptr[i] : batch.indptr[i + 1]]
        assert ids.tolist() == merged_in_order(word, model)
        np.testing.assert_array_equal(ids, tokenizer.encode(word).ids)
    np.testing.assert_array_equal(tokenizer.count_batch(words), np.diff(batch.indptr))
    assert tokenizer.count(words[-1]) == len(ids)


@pytest.mark.parametrize("inside", ["é", "\0", "\u2581x", "🙂", "9", ","])
def test_long_words_with_something_else_inside(tmp_path, inside):
    """Characters that have no token, and places that no merge reaches across."""
    tokenizer, _ = trained(tmp_path, "abcab", 3)
    rng = random.Random(4)
    long = ["".join(rng.choices("abc", k=20_000)) for _ in range(2)]
    texts = [inside.join(long), inside + long[0], long[1] + inside, f" {long[0]} {inside} ab"]
    batch = tokenizer.encode_batch(texts)
    for i, text in enumerate(texts):
        ids = batch.ids[batch.indptr[i] : batch.indptr[i + 1]]
        np.testing.assert_array_equal(ids, tokenizer.encode(text).ids)
        assert tokenizer.count(text) == len(ids)


def test_a_token_may_be_as_long_as_a_long_word(tmp_path):
    """As the word itself, and at its end."""
    tokens = ["a" * 2**i for i in range(16)]
    model = {
        "type": "BPE",
        "vocab": {token: i for i, token in enumerate(tokens)},
        "merges": [[token, token] for token in tokens[:-1]],
    }
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"model": model, "added_tokens": []}))
    tokenizer = lb.Tokenizer.from_file(path)
    counts = [2**15, 2**15 + 1, 5 * 2**15 + 2**14 + 3]
    batch = tokenizer.encode_batch(["a" * count for count in counts])
    assert batch.ids.tolist() == [15, 15, 0, 15, 15, 15, 15, 15, 14, 1, 0]
    assert batch.indptr.tolist() == [0, 1, 3, 11]
