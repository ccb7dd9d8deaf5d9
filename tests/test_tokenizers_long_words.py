"""Words of tens of thousands of bytes: ids are those of their pieces, and of the merges."""

import json
import random

import numpy as np
import pytest

import lowbit as lb
from lowbit.reference import tokenizers_unigram as reference
from lowbit.tokenizers.spec import TokenizerSpec, Unigram
from test_raw_words import check, near_ties

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


def unigram(letters: str, seed: int, sentencepiece: bool, byte_fallback: bool):
    """A model of random tokens, and the same for the reference."""
    rng = random.Random(seed)
    tokens = ["<unk>", *(f"<0x{i:02X}>" for i in range(256)), *letters]
    words = {"".join(rng.choices(letters, k=rng.choice([2, 3, 5, 9]))) for _ in range(60)}
    tokens += sorted(words - set(tokens))
    scores = [-4.0 * len(token) + rng.random() for token in tokens]
    types = None
    if sentencepiece:
        types = [2] + [6] * 256 + [1] * (len(tokens) - 257)
        scores = [float(np.float32(score)) for score in scores]
    pieces = [[token, score] for token, score in zip(tokens, scores, strict=True)]
    model = Unigram(pieces, 0, byte_fallback=byte_fallback, types=types or ())
    vocabulary = reference.Vocabulary(tokens, scores, 0, byte_fallback, types)
    return lb.Tokenizer(TokenizerSpec(model)), vocabulary


@pytest.mark.parametrize("sentencepiece", [False, True])
@pytest.mark.parametrize("byte_fallback", [False, True])
@pytest.mark.parametrize("letters", ["a", "ab", "abcde"])
def test_ids_of_long_words_by_unigram(letters, sentencepiece, byte_fallback):
    """Through a table shorter than the word, where the best ways meet and where they do not."""
    tokenizer, vocabulary = unigram(letters, len(letters), sentencepiece, byte_fallback)
    rng = random.Random(7)
    for length in [1025, 3000, 9000]:
        unknown = "".join(rng.choices([*letters, "é"], [9] * len(letters) + [1], k=length))
        known = "".join(rng.choices(letters, k=length))
        for word in [
            known,
            unknown,
            known + "é" * 5000 + known,
            letters * (length // len(letters)),
        ]:
            ids = tokenizer.encode_batch([word]).ids
            assert ids.tolist() == reference.encode(word, vocabulary)
            np.testing.assert_array_equal(ids, tokenizer.encode(word).ids)


def test_long_words_among_others():
    """The running sum goes through them."""
    rng = random.Random(5)
    words = ["".join(rng.choices("lowerx", k=rng.choice([4, 9, 1025, 5000]))) for _ in range(60)]
    check(near_ties(), [" ".join(rng.choices(words, k=40)) for _ in range(8)])
