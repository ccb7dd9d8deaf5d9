"""What a tokenizer.json can hold of other formats is saved exactly; the rest is refused by name."""

import base64
import json
import math
import random
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lowbit.files.json_numbers import read_float, write_float
from lowbit.files.tokenizer_conversion import derive_merges
from lowbit.files.tokenizer_json import write_tokenizer
from lowbit.tokenizers import Tokenizer
from lowbit.tokenizers.alphabet import byte_level_text
from lowbit.tokenizers.spec import AddedToken, Bpe, Step, TokenizerSpec, Unigram


def write_ranks(path: Path, tokens: list[bytes]) -> Path:
    singles = [bytes([byte]) for byte in range(256)]
    lines = [
        base64.b64encode(token) + f" {rank}\n".encode()
        for rank, token in enumerate([*singles, *tokens])
    ]
    path.write_bytes(b"".join(lines))
    return path


@pytest.mark.parametrize("tokens", [[b"ab", b"bc", b"abc"], [b"ab", b"cde", b"ab ab", b"ba"]])
@pytest.mark.parametrize("specials", [{}, {"<s>": 280}])
def test_ranks_become_merges(tmp_path, tokens, specials):
    file = write_ranks(tmp_path / "a.tiktoken", tokens)
    ours = Tokenizer.from_file(file, pattern=r"\w+| +", special_tokens=specials)
    if specials and b"cde" in tokens:
        with pytest.raises(ValueError, match="2 tokens that no merges make"):
            ours.save(tmp_path / "tokenizer.json")
        assert not (tmp_path / "tokenizer.json").exists()
        return
    ours.save(tmp_path / "tokenizer.json")
    again = Tokenizer.from_file(tmp_path / "tokenizer.json")
    assert again.spec.model.merges and again.spec.added == ours.spec.added
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcde <s>"), 12)) for _ in range(300)]
    np.testing.assert_array_equal(again.encode_batch(texts).ids, ours.encode_batch(texts).ids)


def test_merges_take_the_order_of_ranks():
    # "bc" comes before "ab", so that "abc" is made of "a" and "bc".
    vocabulary = {"a": 0, "b": 1, "c": 2, "bc": 3, "ab": 4, "abc": 5}
    assert derive_merges(vocabulary) == ([["b", "c"], ["a", "b"], ["a", "bc"]], 0)
    accent = byte_level_text("\u00e9".encode())
    assert derive_merges({accent[0]: 0, accent[1]: 1, accent: 2}) == ([list(accent)], 0)


def test_published_ranks_survive(shared_data, tmp_path):
    ours = Tokenizer.from_file(shared_data / "tokenizers/cl100k/cl100k_base.tiktoken")
    ours.save(tmp_path / "tokenizer.json")
    again = Tokenizer.from_file(tmp_path / "tokenizer.json")
    for name in ("udhr_mix_a.txt", "code_synth_a.txt", "emoji.txt"):
        text = (shared_data / "corpora" / name).read_bytes().decode("utf-8")
        np.testing.assert_array_equal(again.encode_batch([text]).ids, ours.encode_batch([text]).ids)
    special = "a<|endoftext|>  <|endofprompt|>"
    assert again.encode(special).ids.tolist() == ours.encode(special).ids.tolist()


BASE = Tokenizer.train(["low bit"], model="bpe", vocab_size=258).spec
PIECES = [["<unk>", 0.0], ["a", -1.0]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalizers": (Step("SentencePiece"),)}, 'normalizer "SentencePiece"'),
        ({"model": Bpe({"a": 0, "b": 1}, [], scores=(0.0, 1.0))}, "scores of sentencepiece"),
        ({"model": Unigram(PIECES, 0, types=(2, 1)), "added": ()}, "types of sentencepiece"),
        ({"surfaces": {1: ""}}, "texts of tokens"),
        ({"added": (AddedToken("<s>", 700),)}, "'<s>' the id 258, not 700"),
        (
            {"pre_tokenizers": (Step("Split", {"pattern": {"Regex": "a{1,2}+b"}}),)},
            "counted repeat",
        ),
    ],
)
def test_what_the_format_cannot_hold_is_named_and_nothing_written(tmp_path, changes, message):
    file = tmp_path / "tokenizer.json"
    file.write_text("before")
    with pytest.raises(ValueError, match=message):
        write_tokenizer(file, replace(BASE, **changes))
    assert file.read_text() == "before"


@pytest.mark.parametrize("name", ["llama2/tokenizer.model", "t5-nai/nai-t5.model"])
def test_sentencepiece_is_refused(shared_data, tmp_path, name):
    with pytest.raises(ValueError, match='cannot hold the normalizer "SentencePiece"'):
        Tokenizer.from_file(shared_data / "tokenizers" / name).save(tmp_path / "tokenizer.json")
    assert not list(tmp_path.iterdir())


# Scores of Unigram models


def scores_of(count: int) -> list[float]:
    chance = random.Random(7)
    return [-chance.uniform(1, 18) for _ in range(count)]


def test_nearly_all_numbers_have_a_text_that_reads_back():
    chance = random.Random(5)
    bits = (struct.unpack("d", chance.randbytes(8))[0] for _ in range(5000))
    numbers = [*scores_of(5000), *(x for x in bits if math.isfinite(x)), 0.0, -0.0, 1e300, 5e-324]
    wrong = [x for x in numbers if read_float(write_float(x)) != x]
    assert len(wrong) < 0.004 * len(numbers)
    for x in wrong:  # a neighbour then
        assert math.isclose(read_float(write_float(x)), x, rel_tol=4e-16)
    assert sum(read_float(repr(x)) != x for x in numbers) > 0.1 * len(numbers)
    for x in numbers:
        assert json.loads(write_float(x)) == pytest.approx(x, rel=1e-15)


def test_numbers_that_were_read_have_a_text_that_reads_back():
    for x in scores_of(20000):
        read = read_float(repr(x))
        assert read_float(write_float(read)) == read


def test_saved_scores_read_back_bit_by_bit(tmp_path: Path):
    scores = [x for x in scores_of(3000) if read_float(write_float(x)) == x]
    pieces = [["<unk>", 0.0], *([f'p"{i}\n', score] for i, score in enumerate(scores))]
    write_tokenizer(tmp_path / "one.json", TokenizerSpec(Unigram(pieces, 0)))
    again = Tokenizer.from_file(tmp_path / "one.json")
    assert list(again.spec.model.pieces) == pieces
    again.save(tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_the_library_reads_the_saved_scores_alike(tmp_path: Path):
    tokenizers = pytest.importorskip("tokenizers")
    scores = [x for x in scores_of(1000) if read_float(write_float(x)) == x]
    pieces = [["<unk>", 0.0], *([f"p{i}", score] for i, score in enumerate(scores))]
    write_tokenizer(tmp_path / "tokenizer.json", TokenizerSpec(Unigram(pieces, 0)))
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert json.loads(theirs.to_str())["model"]["vocab"] == pieces


def test_a_published_file_is_saved_with_its_scores(shared_data: Path, tmp_path: Path):
    ours = Tokenizer.from_file(shared_data / "tokenizers/xlnet/tokenizer.json")
    ours.save(tmp_path / "one.json")
    again = Tokenizer.from_file(tmp_path / "one.json")
    assert list(again.spec.model.pieces) == list(ours.spec.model.pieces)
    again.save(tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_the_scores_of_a_sentencepiece_file_have_texts(shared_data: Path):
    model = Tokenizer.from_file(shared_data / "tokenizers/t5-nai/nai-t5.model").spec.model
    scores = [float(score) for _, score in model.pieces]
    wrong = [x for x in scores if read_float(write_float(x)) != x]
    assert len(wrong) < 0.004 * len(scores)
