"""Vectors of texts, tokens and words from any layer: against the reference, and by definition."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

import golden
from lowbit.models import ContextualVectors, Encoder, TokenBatch, TruncationWarning, find_words
from lowbit.models.pooling import POOLINGS, pool
from lowbit.reference import layers as reference_layers
from lowbit.reference.encoder import Batch
from lowbit.reference.encoder import Encoder as ReferenceEncoder
from tiny_model import write_tiny_model

TEXTS = [
    "the film was good, and the food was bad.",
    "awful",
    "it is not warm and not cold. the room was clean",
    "",
    "this service, this room, this film: very kind",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("contextual") / "model", num_hidden_layers=3)


@pytest.fixture(scope="module")
def encoder(folder) -> Encoder:
    return Encoder.from_pretrained(folder)


@pytest.fixture(scope="module")
def exact(folder, encoder) -> list[np.ndarray]:
    """States of all layers of all tokens by the reference, in double precision."""
    weights = {name: array.astype(float) for name, array in golden.read_weights(folder).items()}
    batch = encoder.tokenizer.encode_batch(TEXTS)
    tokens = TokenBatch.from_ids(batch.ids, batch.indptr)
    reference = ReferenceEncoder(weights, layer_count=3, heads=4)
    return reference.layer_states(
        Batch(tokens.ids, tokens.positions, tokens.type_ids, tokens.indptr)
    )


# Pooling


@pytest.mark.parametrize("mode", POOLINGS)
def test_pooling_is_that_of_the_reference(mode):
    x = np.random.default_rng(0).standard_normal((11, 17)).astype(np.float32)
    for ends in ([0, 4, 5, 11], [0, 0, 3, 3, 11, 11], [0, 11], [0, 0], [0]):
        rows, indptr = x[: ends[-1]], np.array(ends, np.int64)
        expected = reference_layers.pool(rows.astype(float), indptr, mode)
        got = pool(rows, indptr, mode)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_pooling_of_the_unknown_kind_is_refused(encoder):
    with pytest.raises(ValueError, match='pooling="median" is not known; use "mean", "cls", "max"'):
        pool(np.ones((1, 1), np.float32), np.array([0, 1]), "median")
    with pytest.raises(ValueError, match='embed: pooling="median"'):
        encoder.embed([], pooling="median")


# Layers


def test_every_layer_is_that_of_the_reference(encoder, exact):
    batch = encoder.tokenizer.encode_batch(TEXTS)
    tokens = TokenBatch.from_ids(batch.ids, batch.indptr)
    for layer in range(4):
        states = encoder.layer_states(tokens, layer)
        np.testing.assert_allclose(states, exact[layer], atol=2e-5)
        assert np.array_equal(states, encoder.layer_states(tokens, layer - 4))
    assert np.array_equal(encoder.layer_states(tokens), encoder(tokens))
    mean = encoder.layer_states(tokens, [1, 2, 3])
    np.testing.assert_allclose(mean, (exact[1] + exact[2] + exact[3]) / 3, atol=2e-5)
    wide = encoder.layer_states(tokens, (-1, 0), combine="concat")
    np.testing.assert_allclose(wide, np.concatenate([exact[3], exact[0]], axis=1), atol=2e-5)


def test_layers_behind_the_last_one_asked_for_are_not_computed(folder):
    encoder = Encoder.from_pretrained(folder)
    expected = encoder.embed(TEXTS, layer=[0, 2])
    encoder.layers[2] = None  # would fail if it were called
    assert np.array_equal(encoder.embed(TEXTS, layer=[0, 2]), expected)
    with pytest.raises(TypeError):
        encoder.embed(TEXTS, layer=3)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"layer": 4}, ValueError, "layer=4 is not in a model of 3 layers; use 0"),
        ({"layer": -5}, ValueError, "layer=-5"),
        ({"layer": []}, ValueError, "layer is empty"),
        ({"layer": 1.0}, TypeError, "must be a whole number"),
        ({"layer": [1, 2], "combine": "sum"}, ValueError, 'combine="sum" is not known'),
    ],
)
def test_layers_that_are_not_there_are_refused(encoder, options, error, message):
    for method in (encoder.embed, encoder.embed_tokens, encoder.embed_words):
        with pytest.raises(error, match=message):
            method([], **options)


def test_a_padded_batch_gives_any_layer(encoder, exact):
    ids, mask = encoder.tokenizer.encode_batch(TEXTS).pad(multiple_of=8)
    states = encoder.hidden_states(ids, mask, layer=2)
    np.testing.assert_allclose(states[mask.astype(bool)], exact[2], atol=2e-5)
    assert not states[~mask.astype(bool)].any()
    assert encoder.hidden_states(ids, mask, layer=[1, 2], combine="concat").shape[2] == 64


# Texts and tokens


@pytest.mark.parametrize("pooling", POOLINGS)
def test_vectors_of_texts_are_pooled_states_of_the_reference(encoder, exact, pooling):
    indptr = encoder.tokenizer.encode_batch(TEXTS).indptr
    expected = reference_layers.pool(exact[2], indptr, pooling)
    got = encoder.embed(TEXTS, batch_size=2, normalize=False, pooling=pooling, layer=2)
    np.testing.assert_allclose(got, expected, atol=2e-5)
    unit = encoder.embed(TEXTS, batch_size=2, pooling=pooling, layer=2)
    np.testing.assert_allclose(unit, reference_layers.l2_normalize(expected), atol=2e-5)


def test_the_folder_says_how_texts_are_pooled(folder, tmp_path):
    model = write_tiny_model(tmp_path / "model", num_hidden_layers=3)
    (model / "1_Pooling").mkdir()
    for key, pooling in (("max_tokens", "max"), ("weightedmean_tokens", "weightedmean")):
        values = {f"pooling_mode_{key}": True, "pooling_mode_mean_tokens": False}
        (model / "1_Pooling" / "config.json").write_text(json.dumps(values))
        found = Encoder.from_pretrained(model).embed(TEXTS)
        expected = Encoder.from_pretrained(folder).embed(TEXTS, pooling=pooling)
        assert np.array_equal(found, expected)


def test_vectors_of_tokens_come_with_names_and_places(encoder, exact):
    found = encoder.embed_tokens(TEXTS, batch_size=2, layer=1)
    np.testing.assert_allclose(found.vectors, exact[1], atol=2e-5)
    assert len(found) == len(TEXTS) and not found.cut.any()
    for i, text in enumerate(TEXTS):
        encoding = encoder.tokenizer.encode(text)
        rows = slice(*found.indptr[i : i + 2])
        assert found.names[rows] == encoding.tokens
        assert np.array_equal(found.spans[rows], encoding.offsets)
        assert np.array_equal(found[i], found.vectors[rows])
        assert (found.text_ids[rows] == i).all()
    with pytest.raises(IndexError):
        found[5]
    unit = encoder.embed_tokens(TEXTS, normalize=True).vectors
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)


def test_nothing_gives_nothing(encoder):
    assert encoder.embed_tokens([]).vectors.shape == (0, 32)
    assert encoder.embed_words([], layer=[0, 1], combine="concat").vectors.shape == (0, 64)
    assert encoder.embed_words([""]).indptr.tolist() == [0, 0]
    assert encoder.embed_words(["a film"], "room").centered().vectors.shape == (0, 32)


# Words


def expected_words(states, indptr, groups, first=False):
    """Means of groups of tokens, given as (text, places)."""
    rows = [states[indptr[text] + np.array(places)] for text, places in groups]
    return np.stack([row[0] if first else row.mean(axis=0) for row in rows])


@pytest.mark.parametrize("pieces", ["mean", "first"])
def test_vectors_of_words_are_those_of_their_pieces(encoder, exact, pieces):
    indptr = encoder.tokenizer.encode_batch(TEXTS).indptr
    found = encoder.embed_words(TEXTS, layer=2, pieces=pieces, batch_size=2)
    groups = []
    for i, text in enumerate(TEXTS):
        words: dict[int, list[int]] = {}
        for place, word in enumerate(encoder.tokenizer.encode(text).word_ids):
            if word is not None:
                words.setdefault(word, []).append(place)
        groups += [(i, places) for places in words.values()]
    expected = expected_words(exact[2], indptr, groups, pieces == "first")
    np.testing.assert_allclose(found.vectors, expected, atol=2e-5)
    assert found.names[:6] == ["the", "film", "was", "good", ",", "and"]
    texts = [TEXTS[i] for i in found.text_ids]
    places = zip(texts, found.spans.tolist(), strict=True)
    assert [text[begin:end] for text, (begin, end) in places] == found.names


def test_spans_take_every_token_they_touch(encoder, exact):
    indptr = encoder.tokenizer.encode_batch(TEXTS).indptr
    spans = [[(4, 18), (6, 7)], [], [(6, 15)], [], [(0, 4)]]
    found = encoder.embed_words(TEXTS, spans=spans, layer=3)
    groups = [(0, [2, 3, 4, 5]), (0, [2]), (2, [3, 4]), (4, [1])]  # [CLS] is token 0
    assert found.names[0] == "film was good," and found.indptr.tolist() == [0, 2, 2, 3, 3, 4]
    np.testing.assert_allclose(found.vectors, expected_words(exact[3], indptr, groups), atol=2e-5)
    first = encoder.embed_words(TEXTS, spans=spans, layer=3, pieces="first").vectors
    assert np.array_equal(
        first, encoder.embed_tokens(TEXTS).vectors[indptr[[0, 0, 2, 4]] + [2, 2, 3, 1]]
    )


def test_words_are_found_whole_and_in_any_case(encoder):
    texts = ["The FILM was a film.", "filmed, not film", "room"]
    assert find_words(texts, ["film", "a film"]) == [[(4, 8), (13, 19)], [(12, 16)], []]
    found = encoder.embed_words(texts, "film")
    assert found.names == ["FILM", "film", "film"] and found.indptr.tolist() == [0, 2, 3, 3]
    for wrong in ("", [], ["film", " "]):
        with pytest.raises(ValueError, match="find_words: words must be"):
            encoder.embed_words(texts, wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spans": [[(0, 3)]]}, "spans has 1 lists for 2 texts"),
        ({"spans": [[], [(5, 5)]]}, r"texts\[1\]: no token has any of the characters 5 to 5"),
        ({"spans": [[(3, 4)], []]}, r"texts\[0\]: no token has any of the characters 3 to 4, ' '"),
        ({"spans": [[], []], "words": "a"}, "words or spans, not both"),
        ({"pieces": "last"}, 'pieces="last" is not known'),
    ],
)
def test_words_that_are_not_there_are_refused(encoder, options, message):
    with pytest.raises(ValueError, match=message):
        encoder.embed_words(["the film", "was good"], **options)


def test_words_behind_the_last_token_are_told_not_dropped(encoder):
    long = "good " * 37 + "film, food"  # 40 tokens are read, [CLS] and [SEP] among them
    texts = ["the room", long]
    with pytest.warns(TruncationWarning) as caught:
        found = encoder.embed_words(texts, normalize=True)
    messages = [str(warning.message) for warning in caught]
    assert any("1 of 2 texts have more than 40 tokens" in message for message in messages)
    assert any("2 of 42 words have no vector" in m and "such as ','" in m for m in messages)
    assert found.names[-3:] == ["film", ",", "food"]
    assert found.cut.tolist() == [False] * 40 + [True] * 2
    assert np.isnan(found.vectors[found.cut]).all()
    assert np.isfinite(found.vectors[~found.cut]).all()
    assert np.isfinite(found.centered().vectors[~found.cut]).all()
    with pytest.warns(TruncationWarning):
        half = encoder.embed_words(texts, spans=[[], [(180, 195), (185, 189)]])
    assert half.names == ["good film, food", "film"] and half.cut.tolist() == [True, False]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.embed_words(["good " * 37 + "film"])


def test_batches_change_nothing_and_progress_is_told(encoder):
    told: list[tuple[int, int]] = []
    one = encoder.embed_words(TEXTS, batch_size=1, progress=lambda *n: told.append(n))
    assert told == [(i, 5) for i in range(1, 6)]
    np.testing.assert_allclose(one.vectors, encoder.embed_words(TEXTS).vectors, atol=1e-6)


@pytest.mark.parametrize("format", ["int8", "nf4"])
def test_low_bit_encoders_give_words_too(folder, encoder, format):
    rounded = Encoder.from_pretrained(folder, format=format, group_size=16, embeddings="int8")
    a = encoder.embed_words(TEXTS, layer=2, normalize=True).vectors
    b = rounded.embed_words(TEXTS, layer=2, normalize=True).vectors
    assert (a * b).sum(axis=1).min() > (0.995 if format == "int8" else 0.8)
    batch = rounded.tokenizer.encode_batch(TEXTS)
    states = rounded(TokenBatch.from_ids(batch.ids, batch.indptr))
    assert np.array_equal(rounded.embed_tokens(TEXTS, batch_size=5).indptr, batch.indptr)
    np.testing.assert_allclose(rounded.embed_tokens(TEXTS).vectors, states, atol=1e-5)


def test_results_have_the_same_bits_on_any_number_of_threads(encoder, same_bits):
    same_bits(
        lambda: [
            encoder.embed_words(TEXTS, layer=[1, 2]).vectors,
            encoder.embed(TEXTS, pooling="max"),
            encoder.embed(TEXTS, pooling="weightedmean"),
        ]
    )


def test_centered_vectors_have_no_mean():
    rows = np.array([[1.0, 2.0], [3.0, 6.0], [np.nan, np.nan]], np.float32)
    cut = np.array([False, False, True])
    words = ContextualVectors(rows, np.array([0, 3]), list("abc"), np.zeros((3, 2), np.int32), cut)
    assert words.centered().vectors[:2].tolist() == [[-1, -2], [1, 2]]
    assert np.isnan(words.centered().vectors[2]).all()


@pytest.mark.model
def test_states_of_the_real_model_are_those_of_the_reference(minilm):
    texts = ["The bank raised its rate.", "We sat on the bank of the unbelievably wide river."]
    encoder = Encoder.from_pretrained(minilm)
    batch = encoder.tokenizer.encode_batch(texts)
    tokens = TokenBatch.from_ids(batch.ids, batch.indptr)
    reference = ReferenceEncoder(golden.read_weights(minilm), layer_count=6, heads=12)
    exact = reference.layer_states(
        Batch(tokens.ids, tokens.positions, tokens.type_ids, tokens.indptr)
    )
    for layer in range(7):
        states = encoder.embed_tokens(texts, layer=layer).vectors
        np.testing.assert_allclose(states, exact[layer], atol=2e-5)
    word = encoder.embed_words(texts, "unbelievably", layer=4)
    pieces = [i for i, w in enumerate(encoder.tokenizer.encode(texts[1]).word_ids) if w == 7]
    expected = exact[4][batch.indptr[1] + np.array(pieces)].mean(axis=0)
    assert len(pieces) > 1
    np.testing.assert_allclose(word.vectors[0], expected, atol=2e-5)
