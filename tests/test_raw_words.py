"""Ids made from words as they stand in the text are those of the text taken through all steps."""

import random

import numpy as np
import pytest

from lowbit.tokenizers import Tokenizer
from lowbit.tokenizers.spec import Step, TokenizerSpec, Unigram, WordPiece

SPACES = [
    " ",
    "  ",
    "\n",
    "\t",
    "\r",
    "\r\n",
    "\v",
    "\f",
    "\x1c",
    "\x85",
    "\xa0",
    "\u3000",
    "\u2581",
]
# What a step may see together with the space beside it, or take away.
JOINING = ["\u0301", "\u200d", "\u0903", "\u102b", "\u0600", "\u00a8", "\uff9e", "\u1100", "\ufe0f"]
PARTS = [
    "lower",
    "Low",
    "bits",
    "x",
    "``",
    "''",
    "'",
    ".",
    "--",
    "é",
    "İ",
    "我们",
    "\x00",
    "\x01",
    "\x7f",
]


def texts_of(seed: int, count: int) -> list[str]:
    rng = random.Random(seed)
    kinds = [PARTS, PARTS, SPACES, SPACES, JOINING, ["w" * 20, "w" * 150, "a b" * 40]]
    return [
        "".join(rng.choice(rng.choice(kinds)) for _ in range(rng.choice([1, 3, 9, 30, 200, 900])))
        for _ in range(count)
    ]


def bert() -> Tokenizer:
    tokens = ["[UNK]", "low", "##er", "bits", "x", ".", "-", "'", "e", "i", "我", "w", "##w"]
    model = WordPiece({token: id for id, token in enumerate(tokens)})
    options = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None}
    normalizer = Step("BertNormalizer", options | {"lowercase": True})
    return Tokenizer(
        TokenizerSpec(model, normalizers=(normalizer,), pre_tokenizers=(Step("BertPreTokenizer"),))
    )


def spaced() -> Tokenizer:
    pieces = [
        "<unk>",
        "\u2581",
        "low",
        "\u2581low",
        "er",
        "bits",
        "x",
        '"',
        "e",
        "i",
        ".",
        "-",
        "w",
    ]
    model = Unigram([[piece, -float(i)] for i, piece in enumerate(pieces)], 0)
    replaced = {"pattern": {"String": "``"}, "content": '"'}
    meta = {"replacement": "\u2581", "prepend_scheme": "always", "split": True}
    return Tokenizer(
        TokenizerSpec(
            model,
            normalizers=(Step("Replace", replaced), Step("NFKD"), Step("StripAccents")),
            pre_tokenizers=(Step("WhitespaceSplit"), Step("Metaspace", meta)),
        )
    )


def near_ties() -> Tokenizer:
    """Float32 sums, whose order depends on what is before a word, and starts again at 100,000."""
    rng = random.Random(3)
    words = {"\u2581", *"lowerbitsx`'.-"}
    words |= {"\u2581" * (i % 3) + "".join(rng.choices("lower", k=2 + i % 3)) for i in range(200)}
    pieces = [["<unk>", 0.0]]
    pieces += [[word, -20 * len(word) - 1e-5 * rng.randrange(9)] for word in sorted(words)]
    types = [2] + [1] * (len(pieces) - 1)
    options = {"charsmap": b"", "user_defined": [], "add_dummy_prefix": True}
    options |= {"remove_extra_whitespaces": True, "escape_whitespaces": True}
    step = Step("SentencePiece", options | {"treat_whitespace_as_suffix": False})
    return Tokenizer(TokenizerSpec(Unigram(pieces, 0, types=types), normalizers=(step,)))


def check(tokenizer: Tokenizer, texts: list[str]) -> None:
    for _ in range(2):  # met for the first time, and again
        batch = tokenizer.encode_batch(texts)
        for text, ids in zip(texts, batch, strict=True):
            expected = tokenizer.encode(text).ids  # with places, so through all steps
            assert np.array_equal(ids, expected), text
    counts = [len(ids) for ids in batch]
    assert tokenizer.count_batch(texts, add_special_tokens=True).tolist() == counts


@pytest.mark.parametrize("make", [bert, spaced, near_ties])
def test_ids(make):
    check(make(), texts_of(0, 300))


def test_spellings_that_depend_on_the_words_before():
    rng = random.Random(5)
    words = ["".join(rng.choices("lower", k=rng.randrange(1, 12))) for _ in range(400)]
    check(near_ties(), [" ".join(rng.choices(words, k=count)) for count in (9, 99, 999, 9999)])


def test_word_across_blocks_of_every_length():
    for size in range(60, 70):
        check(bert(), ["x " * (size // 2) + "lower" * 30 + ".", "." * size + "low", "y" * size])


@pytest.mark.parametrize(
    "name", ["bert-base-uncased/tokenizer.json", "xlnet/tokenizer.json", "t5-nai/nai-t5.model"]
)
def test_ids_of_real_vocabularies(name: str, shared_data):
    text = (shared_data / "corpora/udhr_mix_a.txt").read_text(encoding="utf-8")
    pieces = [text[i : i + 500] for i in range(0, 40_000, 500)]
    check(Tokenizer.from_file(shared_data / "tokenizers" / name), pieces + texts_of(1, 300))


def test_normalized_added_tokens_are_found_in_the_normalized_text():
    tokenizer = bert()
    before = tokenizer.encode_batch(["low LOWER"]).ids.tolist()
    tokenizer = tokenizer.add_tokens(["lower"])
    after = tokenizer.encode_batch(["low LOWER"]).ids.tolist()
    assert after != before
    check(tokenizer, texts_of(2, 50))
