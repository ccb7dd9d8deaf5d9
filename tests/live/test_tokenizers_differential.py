"""Random texts of all of Unicode through whole tokenizers, beside the libraries they come from.

LOWBIT_DIFFERENTIAL_STRINGS is how many texts each case compares; LOWBIT_DIFFERENTIAL_SEED which.
"""

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from random_texts import random_ids, random_texts

from lowbit.tokenizers import Tokenizer, patterns

COUNT = int(os.environ.get("LOWBIT_DIFFERENTIAL_STRINGS", "1000"))
SEED = int(os.environ.get("LOWBIT_DIFFERENTIAL_SEED", "1"))
BATCH = 2000


def batches(seed: int = SEED, count: int = COUNT) -> Iterator[list[str]]:
    texts = random_texts(seed, count)
    while batch := list(itertools.islice(texts, BATCH)):
        yield batch


def differ(what: str, text: Any, got: Any, expected: Any) -> str:
    return f"{what} of {text!r}:\n   got {got!r}\nexpect {expected!r}"


# tokenizers


def check_library(ours: Tokenizer, theirs: Any, texts: list[str]) -> None:
    """Ids, tokens, places, words and the way back, of texts one by one and of a batch."""
    expected = theirs.encode_batch(texts)
    batch = ours.encode_batch(texts)
    for i, (text, other) in enumerate(zip(texts, expected, strict=True)):
        got = ours.encode(text)
        assert got.ids.tolist() == other.ids, differ("ids", text, got.ids.tolist(), other.ids)
        assert batch[i].tolist() == other.ids, differ("batch", text, batch[i].tolist(), other.ids)
        assert got.tokens == other.tokens, differ("tokens", text, got.tokens, other.tokens)
        places = [tuple(place) for place in got.offsets.tolist()]
        assert places == other.offsets, differ("places", text, places, other.offsets)
        assert got.word_ids == other.word_ids, differ("words", text, got.word_ids, other.word_ids)
    check_decoding(ours, theirs, [other.ids for other in expected])
    check_choices(ours, theirs, texts[::4], texts[1::4])


def check_choices(ours: Tokenizer, theirs: Any, texts: list[str], pairs: list[str]) -> None:
    """Pairs of texts, all that an encoding holds, and texts whose special tokens are text."""
    for special in (True, False):
        for text, pair in zip(texts, pairs, strict=False):
            got = ours.encode(text, pair, add_special_tokens=special)
            other = theirs.encode(text, pair, add_special_tokens=special)
            assert got.ids.tolist() == other.ids, differ("ids", (text, pair), got.ids, other.ids)
            assert got.type_ids.tolist() == other.type_ids, (text, pair)
            assert got.special_tokens_mask.tolist() == other.special_tokens_mask, (text, pair)
            assert got.word_ids == other.word_ids, (text, pair)
            assert [tuple(place) for place in got.offsets.tolist()] == other.offsets, (text, pair)
    theirs.encode_special_tokens = True
    for text, other in zip(texts, theirs.encode_batch(texts), strict=True):
        ids = ours.encode(text, parse_special=False).ids.tolist()
        assert ids == other.ids, differ("ids of all as text", text, ids, other.ids)
    theirs.encode_special_tokens = False


def check_decoding(ours: Tokenizer, theirs: Any, lists: Iterable[list[int]]) -> None:
    for skip in (False, True):
        expected = theirs.decode_batch(lists, skip_special_tokens=skip)
        for ids, text in zip(lists, expected, strict=True):
            got = ours.decode(ids, skip_special_tokens=skip)
            assert got == text, differ(f"text without specials={skip}", ids, got, text)


def run_library(path: Path, count: int = COUNT) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    ours, theirs = Tokenizer.from_file(path), tokenizers.Tokenizer.from_file(str(path))
    theirs.no_truncation()
    theirs.no_padding()
    for texts in batches(count=count):
        check_library(ours, theirs, texts)
    known = sorted(theirs.get_vocab(with_added_tokens=True).values())
    check_decoding(ours, theirs, list(random_ids(SEED, min(count, 20000), known)))


JSON_FILES = [
    *("tokenizers/gpt2", "tokenizers/dolma2", "tokenizers/llama2", "tokenizers/xlnet"),
    *("tokenizers/bert-base-uncased", "tokenizers/small/sqlpilot.json"),
    "tokenizers/small/hw_doc_summarizer.json",
]


@pytest.mark.parametrize("name", JSON_FILES, ids=lambda name: Path(name).stem)
def test_tokenizers_library(name: str, shared_data: Path):
    path = shared_data / name
    path = path if path.suffix else path / "tokenizer.json"
    run_library(path)


@pytest.mark.parametrize("model", ["word", "character", "wordpiece", "unigram", "bpe"])
def test_what_is_trained_here(model: str, shared_data: Path, tmp_path: Path):
    corpus = shared_data / "corpora" / "udhr_mix_a.txt"
    ours = Tokenizer.train(corpus, model=model, vocab_size=3000)
    ours.save(tmp_path / "tokenizer.json")
    run_library(tmp_path / "tokenizer.json")


# tiktoken


@pytest.mark.parametrize("name", ["cl100k", "r50k", "o200k", "llama3", "qwen2", "kimi-k2"])
def test_tiktoken(name: str, shared_data: Path):
    tiktoken = pytest.importorskip("tiktoken")
    from tiktoken.load import load_tiktoken_bpe

    path = shared_data / "tokenizers/cl100k/cl100k_base.tiktoken"
    special = {"<|endoftext|>": 100257, "<|fim_prefix|>": 100258, "<|endofprompt|>": 100276}
    pattern = patterns.PATTERNS[name]
    theirs = tiktoken.Encoding(
        name, pat_str=pattern, mergeable_ranks=load_tiktoken_bpe(str(path)), special_tokens=special
    )
    ours = Tokenizer.from_file(path, pattern=name, special_tokens=special)
    for texts in batches():
        plain = theirs.encode_ordinary_batch(texts, num_threads=1)
        read = theirs.encode_batch(texts, allowed_special="all")
        batch = ours.encode_batch(texts, add_special_tokens=False)
        for i, text in enumerate(texts):
            ids = ours.encode(text, add_special_tokens=False).ids.tolist()
            assert ids == plain[i], differ("ids", text, ids, plain[i])
            assert batch[i].tolist() == plain[i], differ("batch", text, batch[i], plain[i])
            ids = ours.encode(text).ids.tolist()
            assert ids == read[i], differ("ids with specials", text, ids, read[i])
            assert ours.decode(ids) == text
    known = [*range(100256), *special.values()]
    for ids in random_ids(SEED, min(COUNT, 20000), known):
        assert ours.decode(ids) == theirs.decode(ids), ids


def test_tiktoken_leaves_out_what_no_match_covers(shared_data: Path):
    tiktoken = pytest.importorskip("tiktoken")
    from tiktoken.load import load_tiktoken_bpe

    path = shared_data / "tokenizers/cl100k/cl100k_base.tiktoken"
    ranks = load_tiktoken_bpe(str(path))
    pattern = r"\p{L}+|\d| ?[.!]"
    theirs = tiktoken.Encoding("x", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    ours = Tokenizer.from_file(path, pattern=pattern, special_tokens={})
    for text in random_texts(SEED, 1000):
        assert ours.encode(text).ids.tolist() == theirs.encode(text), text


# sentencepiece

MODELS = [
    "tokenizers/llama2/tokenizer.model",
    "tokenizers/t5-nai/nai-t5.model",
    "bpe_training/sp_bpe_botchan_1000.model",
    "bpe_training/sp_unigram_botchan_1000.model",
]


@pytest.mark.parametrize("name", MODELS, ids=lambda name: Path(name).stem)
def test_sentencepiece(name: str, shared_data: Path):
    sentencepiece = pytest.importorskip("sentencepiece")
    path = shared_data / name
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(path))
    ours = Tokenizer.from_file(path)
    for texts in batches():
        expected = theirs.encode(texts, out_type=int)
        pieces = theirs.encode(texts, out_type=str)
        batch = ours.encode_batch(texts, add_special_tokens=False)
        for i, text in enumerate(texts):
            encoding = ours.encode(text, add_special_tokens=False)
            ids = encoding.ids.tolist()
            assert ids == expected[i], differ("ids", text, ids, expected[i])
            assert encoding.tokens == pieces[i], differ("tokens", text, encoding.tokens, pieces[i])
            assert batch[i].tolist() == expected[i], differ("batch", text, batch[i], expected[i])
            got, back = ours.decode(ids), theirs.decode(ids)
            assert got == back, differ("text", ids, got, back)
    for ids in random_ids(SEED, min(COUNT, 20000), list(range(theirs.vocab_size()))):
        got, back = ours.decode(ids), theirs.decode(ids)
        assert got == back, differ("text", ids, got, back)
