"""Tokenizers: the recorded outputs of the reference, batches, training, files, refusals."""

import contextlib
import copy
import dataclasses
import hashlib
import json
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lowbit as lb
from lowbit.files import FileFormatError
from lowbit.tokenizers import Tokenizer
from tiny_model import VOCABULARY


@pytest.fixture(scope="module")
def vocab(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join([*VOCABULARY, "un", "##aff", "##able", "e", "##s", "!"]) + "\n")
    return path


@pytest.fixture(scope="module")
def bert(shared_data) -> Tokenizer:
    return Tokenizer.from_file(shared_data / "tokenizers/bert-base-uncased/tokenizer.json")


@pytest.fixture(scope="module")
def recorded(shared_data) -> dict:
    return json.loads((shared_data / "refs/bert-base-uncased.json").read_text("utf-8"))


# Against the reference's recorded outputs


def test_samples_equal_the_reference(shared_data, bert, recorded):
    samples = json.loads((shared_data / recorded["samples_file"]).read_text("utf-8"))
    for i, text in enumerate(samples):
        plain, special = bert.encode(text, add_special_tokens=False), bert.encode(text)
        assert plain.ids.tolist() == recorded["ids"][i], text
        assert special.ids.tolist() == recorded["ids_special"][i], text
        assert plain.offsets.tolist() == [list(o) for o in recorded["offsets"][i]], text
        assert bert.decode(plain.ids) == recorded["decoded"][i], text
        assert bert.decode(special.ids, True) == recorded["decoded_special_skip"][i], text


def test_whole_corpora_equal_the_reference(shared_data, bert, recorded):
    for name, expected in recorded["corpora"].items():
        text = (shared_data / "corpora" / name).read_bytes().decode("utf-8")
        ids = bert.encode_batch([text], add_special_tokens=False).ids
        assert len(ids) == expected["n"], name
        assert hashlib.sha256(ids.astype("<u4").tobytes()).hexdigest() == expected["sha256_u32le"]


def test_very_long_runs_equal_the_reference(shared_data, bert, recorded):
    runs = json.loads((shared_data / "corpora/adversarial_repeat.json").read_text("utf-8"))
    runs = runs.items() if isinstance(runs, dict) else ((run["name"], run) for run in runs)
    checked = 0
    for name, run in runs:
        expected = recorded["repeat"].get(name)
        if expected is None:
            continue
        ids = bert.encode(run["unit"] * run["times"], add_special_tokens=False).ids
        assert len(ids) == expected["n"], name
        checked += 1
    assert checked


def test_vocab_txt_and_tokenizer_json_agree(shared_data, bert):
    other = Tokenizer.from_file(shared_data / "tokenizers/bert-base-uncased/vocab.txt")
    texts = ["Unaffable café [SEP] naïve", "東京 tower!", "[mask] [MASK]", ""]
    np.testing.assert_array_equal(bert.encode_batch(texts).ids, other.encode_batch(texts).ids)


# Behaviour


def test_pieces_offsets_and_words(vocab):
    tok = Tokenizer.from_file(vocab)
    encoding = tok.encode("UNaffable É, zzz")
    assert encoding.tokens == ["[CLS]", "un", "##aff", "##able", "e", ",", "[UNK]", "[SEP]"]
    assert encoding.offsets.tolist()[1:-1] == [[0, 2], [2, 5], [5, 9], [10, 11], [11, 12], [13, 16]]
    assert encoding.word_ids == [None, 0, 0, 0, 1, 2, 3, None]
    assert encoding.attention_mask.tolist() == [1] * 8
    assert tok.decode(encoding.ids, skip_special_tokens=True) == "unaffable e,"


def test_pairs_get_types_and_the_longer_text_is_cut_first(vocab):
    tok = Tokenizer.from_file(vocab)
    pair = tok.encode("good bad", "the film was bad")
    assert pair.type_ids.tolist() == [0] * 4 + [1] * 5
    cut = tok.encode("good bad", "the film was bad", max_length=7)
    assert cut.tokens == ["[CLS]", "good", "bad", "[SEP]", "the", "film", "[SEP]"]
    batch = tok.encode_batch(["good bad"], ["the film was bad"], max_length=7)
    np.testing.assert_array_equal(batch[0], cut.ids)
    with pytest.raises(ValueError, match="no room"):
        tok.encode("good", max_length=1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=12), st.integers(2, 9))
def test_a_batch_is_its_texts_one_by_one(tmp_path_factory, texts, limit):
    tok = Tokenizer.from_file(shared_vocab(tmp_path_factory))
    batch, cut = tok.encode_batch(texts), tok.encode_batch(texts, max_length=limit)
    for i, text in enumerate(texts):
        encoding = tok.encode(text)
        np.testing.assert_array_equal(batch[i], encoding.ids)
        np.testing.assert_array_equal(cut[i], tok.encode(text, max_length=limit).ids)
        assert (encoding.offsets <= len(text)).all()
        assert (encoding.offsets[:, 0] <= encoding.offsets[:, 1]).all()
    ids, mask = batch.pad(multiple_of=4)
    assert ids.shape == mask.shape == (len(texts), ids.shape[1])
    np.testing.assert_array_equal(ids[mask.astype(bool)], batch.ids)


_VOCAB: list[Path] = []


def shared_vocab(tmp_path_factory) -> Path:
    if not _VOCAB:
        path = tmp_path_factory.mktemp("shared") / "vocab.txt"
        letters = [*"bcdefghijklmnopqrstuvwxyz0123456789", "##a", "##e", "ß", "中"]
        path.write_text("\n".join([*VOCABULARY, *letters]) + "\n", "utf-8")
        _VOCAB.append(path)
    return _VOCAB[0]


def test_results_do_not_depend_on_threads(vocab):
    tok = Tokenizer.from_file(vocab)
    texts = ["good " * (i % 7) + "unaffable!" * (i % 50) for i in range(3000)]
    one, three = (tok.encode_batch(texts, num_threads=n) for n in (1, 3))
    np.testing.assert_array_equal(one.ids, three.ids)
    np.testing.assert_array_equal(one.indptr, three.indptr)
    assert lb.get_num_threads() >= 1


def test_pickled_and_saved_tokenizers_are_the_same(vocab, tmp_path):
    tok = Tokenizer.from_file(vocab)
    tok.save(tmp_path / "tokenizer.json")
    texts = ["Unaffable [SEP] film", "É zzz!"]
    for other in (
        pickle.loads(pickle.dumps(tok)),
        Tokenizer.from_file(tmp_path / "tokenizer.json"),
    ):
        np.testing.assert_array_equal(other.encode_batch(texts).ids, tok.encode_batch(texts).ids)
        assert repr(other) == repr(tok)


# Training


@pytest.mark.parametrize(
    ("model", "text", "tokens"),
    [
        ("word", "The cat, the hat", ["the", "cat", ",", "the", "[UNK]"]),
        ("character", "hat", ["h", "a", "t"]),
    ],
)
def test_trained_tokenizers_number_by_frequency(model, text, tokens, tmp_path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("the cat, the dog\nthe cat\n")
    tok = Tokenizer.train(corpus, model=model, special_tokens=["[UNK]", "[PAD]"])
    assert tok.encode(text).tokens == tokens
    assert tok.token_to_id("[PAD]") == 1
    again = Tokenizer.train(["the cat, the dog", "the cat"], model=model)
    assert again.token_to_id("[UNK]") == 0
    small = Tokenizer.train(["a a a b b c"], model="word", vocab_size=3)
    assert sorted(small.spec.model.vocabulary) == ["[UNK]", "a", "b"]
    tok.save(tmp_path / "t.json")
    assert Tokenizer.from_file(tmp_path / "t.json").encode(text).tokens == tokens


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"corpus": ["a"], "model": "bpx"}, "cannot be trained"),
        ({"corpus": ["a"], "model": "bpe", "lowercase": True}, "lowercase=True is not for"),
        ({"corpus": ["a"], "model": "unigram", "min_count": 2}, "min_count=2 is not for"),
        ({"corpus": ["a"], "model": "bpe", "vocab_size": 200}, "vocab_size"),
        ({"corpus": ["a"], "model": "wordpiece", "special_tokens": ["x"]}, "UNK"),
        ({"corpus": []}, "no words"),
        ({"corpus": ["a"], "vocab_size": 1}, "vocab_size=1"),
        ({"corpus": ["a"], "special_tokens": []}, "special_tokens"),
    ],
)
def test_bad_training_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Tokenizer.train(**arguments)


# Refusals


def test_scripts_cut_texts(tmp_path):
    words = {word: id for id, word in enumerate(("?", "ab ", "\u4e2d\u30ab\u3072", "\u0436 ", "1"))}
    model = {"type": "WordLevel", "vocab": words, "unk_token": "?"}
    values = {"model": model, "pre_tokenizer": {"type": "UnicodeScripts"}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    tokenizer = Tokenizer.from_file(tmp_path / "tokenizer.json")
    encoding = tokenizer.encode("  ab \u4e2d\u30ab\u3072\u0436 1")
    assert encoding.ids.tolist() == [1, 2, 3, 4]  # Han and kana are one; spaces join what is before
    assert encoding.offsets.tolist() == [[2, 5], [5, 8], [8, 10], [10, 11]]


def test_bad_texts_are_named(vocab):
    tok = Tokenizer.from_file(vocab)
    with pytest.raises(ValueError, match=r"texts\[1\] holds a lone surrogate"):
        tok.encode_batch(["fine", "\ud800"])
    with pytest.raises(TypeError, match=r"texts\[1\] is not a string"):
        tok.encode_batch(["fine", 3])
    with pytest.raises(TypeError, match="one string"):
        tok.encode_batch("fine")
    with pytest.raises(IndexError, match="id 9999"):
        tok.decode([9999])


def tokenizer_json() -> dict:
    return {
        "added_tokens": [{"id": 0, "content": "[UNK]", "special": True, "normalized": False}],
        "normalizer": {"type": "BertNormalizer"},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "a": 1}},
    }


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["model", "type"], "BPX", "model 'BPX' is not supported"),
        (["model", "type"], "BPE", "model.merges must be a list"),
        (["model", "type"], "Unigram", "model.vocab must be a list"),
        (["normalizer"], {"type": "NFKE"}, "normalizer 'NFKE' is not supported"),
        (["normalizer"], {"type": "Replace", "content": ""}, "Replace: pattern is missing"),
        (["pre_tokenizer"], {"type": "UnicodeScript"}, "pre_tokenizer 'UnicodeScript'"),
        (["pre_tokenizer"], {"type": "Metaspace", "prepend_scheme": "last"}, "prepend_scheme"),
        (["decoder"], {"type": "Strip", "content": "ab"}, "Strip: content must be one character"),
        (["post_processor"], {"type": "RobertaProcessing"}, "cls"),
        (["post_processor"], {"type": "Other"}, "post_processor 'Other' is not supported"),
        (["model", "vocab"], ["a"], "the vocabulary must be an object"),
        (["model", "vocab"], {"[UNK]": 0, "a": 0}, "id 0 belongs"),
        (["model", "vocab"], {"[UNK]": 0, "a": -4}, "has id -4"),
        (["model", "vocab"], {"[UNK]": 0, "a": 1 << 40}, "has id"),
        (["model", "vocab"], {"a": 1}, "unknown token"),
        (["model", "unk_token"], 7, "unk_token"),
        (["model", "max_input_chars_per_word"], "x", "max_input_chars_per_word"),
        (["added_tokens"], [{"id": 0}], "content"),
        (["added_tokens"], [{"id": 5, "content": "x", "normalized": 1}], "normalized"),
        (["normalizer", "lowercase"], "yes", "lowercase"),
        (["truncation"], [], "truncation must be an object"),
        (["truncation"], {"strategy": "LongestFirst"}, "truncation.max_length"),
        (["truncation"], {"max_length": 8, "strategy": "OnlyThird"}, "strategy 'OnlyThird'"),
        (["truncation"], {"max_length": 8, "direction": "Up"}, "truncation.direction"),
        (["truncation"], {"max_length": 8, "stride": -1}, "truncation.stride"),
        (["padding"], "yes", "padding must be an object"),
        (["padding"], {"strategy": {"Fixed": 1.5}}, "padding.strategy.Fixed"),
        (["padding"], {"strategy": "Longest"}, "padding.strategy must be"),
        (["padding"], {"direction": "Up"}, "padding.direction"),
        (["padding"], {"pad_id": 1 << 32}, "padding.pad_id"),
        (["padding"], {"pad_token": 7}, "padding.pad_token"),
        (["post_processor"], {"type": "TemplateProcessing", "single": []}, "pair"),
    ],
)
def test_hostile_tokenizer_json_is_refused_by_name(tmp_path, path, value, message):
    values = tokenizer_json()
    target = values
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(values))
    with pytest.raises(FileFormatError, match=message) as error:
        Tokenizer.from_file(file)
    assert str(file) in str(error.value)


def test_damaged_files_only_raise(tmp_path):
    whole = json.dumps(tokenizer_json()).encode()
    file = tmp_path / "tokenizer.json"
    generator = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(whole[: generator.integers(1, len(whole) + 1)])
        for place in generator.integers(0, len(data), 3):
            data[place] = generator.integers(0, 256)
        file.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with contextlib.suppress(FileFormatError):
                Tokenizer.from_file(file).encode("a b [UNK]")
    file.write_bytes(b'{"model":' + b"[" * 100_000)
    with pytest.raises(FileFormatError):
        Tokenizer.from_file(file)
    with pytest.raises(FileNotFoundError):
        Tokenizer.from_file(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [("[UNK]\n[CLS]\n[SEP]\na\na\n", "line 5 repeats"), ("a\nb\n", r"\[UNK\] is missing")],
)
def test_broken_vocab_txt_is_refused(tmp_path, text, message):
    (tmp_path / "vocab.txt").write_text(text)
    with pytest.raises(FileFormatError, match=message):
        Tokenizer.from_file(tmp_path / "vocab.txt")
    (tmp_path / "vocab.txt").write_bytes(b"[UNK]\n\xff\n")
    with pytest.raises(FileFormatError, match="not UTF-8"):
        Tokenizer.from_file(tmp_path / "vocab.txt")


def test_an_encoding_that_is_made_later_is_an_encoding():
    tok = Tokenizer.train(["low bit"], model="word")
    later, whole = tok.encode("low bit"), tok.encode("low bit", max_length=9)
    assert later.ids.tolist() == whole.ids.tolist() and later.overflowing == ()
    changed = dataclasses.replace(tok.encode("low bit"), tokens=["a", "b"])
    assert changed.tokens == ["a", "b"] and changed.offsets.tolist() == whole.offsets.tolist()
    for again in (pickle.loads(pickle.dumps(tok.encode("low bit"))), copy.copy(later)):
        for field in dataclasses.fields(whole):
            one, other = getattr(again, field.name), getattr(whole, field.name)
            assert np.array_equal(one, other)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = later.nothing
    with pytest.raises(dataclasses.FrozenInstanceError):
        later.ids = whole.ids
