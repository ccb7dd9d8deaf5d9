"""Vocabularies learned from a corpus, against those that other libraries learned from it."""

import json

import numpy as np
import pytest

from lowbit.tokenizers import Tokenizer

TEXT = ["low lower lowest", "new newer newest", "wide wider widest"] * 3


@pytest.mark.parametrize(
    "name", ["hf_bytelevel_bpe_tinyshakespeare_2000", "hf_bytelevel_bpe_udhr_mix_a_4000"]
)
def test_merges_are_those_of_the_tokenizers_library(name, shared_data):
    recorded = json.loads((shared_data / f"bpe_training/{name}.json").read_text("utf-8"))
    text = (shared_data / "corpora" / recorded["corpus"]).read_bytes().decode("utf-8")
    tok = Tokenizer.train(
        text.splitlines(keepends=True),
        model="bpe",
        vocab_size=recorded["vocab_size"],
        special_tokens=["<|endoftext|>"],
        min_count=0,
    )
    expected = [m if isinstance(m, list) else m.split(" ") for m in recorded["merges"]]
    assert tok.spec.model.merges == expected
    assert tok.vocab_size == recorded["vocab_size"]
    assert len(tok.encode_batch([text]).ids) == recorded["n_tokens_on_corpus"]


def test_wordpiece_needs_no_more_tokens_than_the_tokenizers_library(shared_data):
    name = "hf_wordpiece_tinyshakespeare_2000"
    recorded = json.loads((shared_data / f"bpe_training/{name}.json").read_text("utf-8"))
    path = shared_data / "corpora" / recorded["corpus"]
    tok = Tokenizer.train(path, model="wordpiece", vocab_size=recorded["vocab_size"], min_count=0)
    ids = tok.encode_batch([path.read_text("utf-8")], add_special_tokens=False).ids
    assert len(ids) <= recorded["n_tokens_on_corpus"]


@pytest.mark.parametrize("library", ["hf", "sp"])
def test_unigram_needs_no_more_tokens_than_other_libraries(library, shared_data):
    file = shared_data / f"bpe_training/{library}_unigram_botchan_1000.json"
    recorded = json.loads(file.read_text("utf-8"))
    text = (shared_data / "corpora/botchan.txt").read_bytes().decode("utf-8")
    tok = Tokenizer.train(text.splitlines(), model="unigram", vocab_size=1000)
    ids = tok.encode_batch(text.splitlines(), add_special_tokens=False).ids
    assert tok.vocab_size == 1000
    assert len(ids) <= recorded["n_tokens_on_corpus"]


def test_unigram_of_text_without_spaces():
    """The probability of such a word is far below the smallest float64."""
    rng = np.random.default_rng(0)
    syllables = ["".join(pair) for pair in rng.choice(list("abcdefghijklmnop"), (40, 2))]
    lines = ["".join(rng.choice(syllables, 2000)) for _ in range(3)]
    tok = Tokenizer.train(lines, model="unigram", vocab_size=100)
    assert np.isfinite([score for _, score in tok.spec.model.pieces]).all()
    assert tok.count_batch(lines).sum() <= 6000


@pytest.mark.parametrize("model", ["bpe", "wordpiece", "unigram"])
def test_training_is_repeatable_and_saved(model, tmp_path):
    size = 270 if model == "bpe" else 30
    one = Tokenizer.train(TEXT, model=model, vocab_size=size)
    two = Tokenizer.train(TEXT, model=model, vocab_size=size)
    assert one.spec == two.spec
    one.save(tmp_path / "tokenizer.json")
    again = Tokenizer.from_file(tmp_path / "tokenizer.json")
    for text in ("lowest newer", "unseen \u4e2d\U0001f600", ""):
        assert again.encode(text).ids.tolist() == one.encode(text).ids.tolist()


@pytest.mark.parametrize("model", ["bpe", "wordpiece", "unigram"])
def test_the_same_vocabulary_for_any_number_of_threads(model, same_bits):
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefgh"))
    words = ["".join(letters[rng.integers(0, 8, n)]) for n in rng.integers(1, 40, 3000)]
    lines = [" ".join(words[i : i + 10]) for i in range(0, len(words), 10)] * 2

    def train():
        spec = Tokenizer.train(lines, model=model, vocab_size=600).spec
        scores = [score for _, score in spec.model.pieces] if model == "unigram" else []
        tokens = "\n".join(spec.tokens_by_id().values())
        return [np.frombuffer(tokens.encode(), np.uint8), np.array(scores)]

    same_bits(train)


def test_bytes_spell_every_text():
    tok = Tokenizer.train(TEXT, model="bpe", vocab_size=257)
    text = "\u4e2d \U0001f600 caf\u00e9\n\x00"
    assert tok.decode(tok.encode(text).ids) == text


def test_ctrl_c_ends_training(monkeypatch):
    from lowbit.tokenizers import training

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "_reporter", lambda progress: stop)
    with pytest.raises(KeyboardInterrupt):
        Tokenizer.train(TEXT, model="bpe", vocab_size=270)
