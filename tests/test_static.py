"""Static embeddings: distilled as the reference and model2vec do, read, written, refused."""

from __future__ import annotations

import json
import shutil
import warnings

import numpy as np
import pytest

import golden
import lowbit as lb
from lowbit.files import FileFormatError, write_safetensors
from lowbit.models import Encoder, StaticEncoder, TruncationWarning
from lowbit.models.static import FORMATS
from lowbit.models.static_distillation import small_vocabulary
from lowbit.reference import static_embeddings as reference
from tiny_model import VOCABULARY, write_tiny_model

MODEL2VEC = golden.DATA / "model2vec"
TEXTS = ["the film was good, very good.", "a cold room", "something unheard of", "", "?", "good"]


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    with np.load(MODEL2VEC / "vectors.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Encoder:
    return Encoder.from_pretrained(write_tiny_model(tmp_path_factory.mktemp("static") / "model"))


@pytest.fixture(scope="module")
def static(encoder) -> StaticEncoder:
    return StaticEncoder.distill(encoder, dim=8, format="fp32")


def alone(encoder: Encoder, tokens: list[str]) -> np.ndarray:
    """Vectors of texts of one token, straight from the encoder."""
    return encoder.embed(tokens, normalize=False, pooling="mean").astype(np.float64)


# Distilling


@pytest.mark.parametrize("dim", [None, 1, 8, 32])
@pytest.mark.parametrize("sif", [None, 1e-4, 0.3])
def test_the_table_is_that_of_the_reference(encoder, dim, sif):
    model = StaticEncoder.distill(encoder, dim, sif=sif, format="fp32")
    kept = [t for t in VOCABULARY if t not in ("[CLS]", "[SEP]", "[MASK]")]
    assert [model.tokenizer.id_to_token(i) for i in range(model.tokenizer.vocab_size)] == kept
    assert model.unknown_id == 1
    rows = reference.static_rows(alone(encoder, kept), dim, sif)
    scale = np.abs(rows).max()
    np.testing.assert_allclose(model.table.table(), rows, atol=2e-5 * scale)
    ids = [model.tokenizer.encode(text).ids.tolist() for text in TEXTS]
    vectors = reference.static_vectors(model.table.table().astype(float), ids, 1)
    np.testing.assert_allclose(model.embed(TEXTS), vectors, atol=1e-6)


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_the_table_is_that_of_model2vec(kind):
    """From the same tiny model; see tools/make_static_goldens.py."""
    encoder = Encoder.from_pretrained(golden.TINY_BERT)
    theirs = StaticEncoder.from_pretrained(MODEL2VEC / kind)
    dim = None if kind == "float16" else 8
    ours = StaticEncoder.distill(encoder, dim, format="fp16" if kind == "float16" else "fp32")
    assert ours.tokenizer.spec.tokens_by_id() == theirs.tokenizer.spec.tokens_by_id()
    assert ours.format == theirs.format
    a, b = ours.table.table(), theirs.table.table()
    np.testing.assert_allclose(a, b, atol=(2e-3 if dim is None else 2e-5) * np.abs(b).max())


@pytest.mark.parametrize("kind", ["float32", "float16", "int8", "clusters"])
def test_folders_of_model2vec_give_its_vectors(expected, kind):
    model = StaticEncoder.from_pretrained(MODEL2VEC / kind)
    texts = expected["texts"].tolist()
    assert model.normalize and model.max_length == 512
    atol = 2e-3 if kind == "float16" else 1e-6  # where model2vec computes in float16
    np.testing.assert_allclose(model.embed(texts), expected[kind].astype(float), atol=atol)
    assert model.format == {"float16": "fp16", "int8": "int8"}.get(kind, "fp32")


def test_rounded_tables_stay_near(encoder, static):
    exact = static.embed(TEXTS)
    some = np.linalg.norm(exact, axis=1) > 0
    for format, lowest in (("fp16", 0.999999), ("int8", 0.999)):
        model = StaticEncoder.distill(encoder, dim=8, format=format)
        assert ((model.embed(TEXTS) * exact).sum(axis=1)[some] > lowest).all()
        assert model.nbytes < static.nbytes


def test_words_get_rows_of_their_own(encoder):
    words = ["Good Film", "very cold room", "film", "", "good film", "xylophone"]
    with pytest.warns(UserWarning, match="1 words, such as 'xylophone', cannot be spelled"):
        model = StaticEncoder.distill(encoder, None, words=words, sif=None, format="fp32")
    assert model.tokenizer.vocab_size == len(VOCABULARY) - 3 + 2
    found = model.tokenizer.encode("a GOOD film, a good films and a very cold room")
    kept = [token for token in found.tokens if " " in token]
    assert kept == ["good film", "very cold room"]
    rows = alone(encoder, ["good film", "very cold room"])
    np.testing.assert_allclose(model.table.table()[-2:], rows, atol=1e-5)
    np.testing.assert_allclose(
        model.embed(["good film"])[0], rows[0] / np.linalg.norm(rows[0]), atol=1e-6
    )


def test_progress_counts_tokens(encoder):
    told: list[tuple[int, int]] = []
    StaticEncoder.distill(encoder, dim=2, progress=lambda *n: told.append(n))
    assert told == [(len(VOCABULARY) - 3, len(VOCABULARY) - 3)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dim": 0}, "dim=0 must be from 1 to 32, or None"),
        ({"dim": 33}, "dim=33 must be from 1 to 32"),
        ({"sif": 0}, "sif=0 must be above 0 and below 1"),
        ({"sif": 1.0}, "sif=1.0 must be"),
        ({"format": "nf4"}, 'format="nf4" is not known'),
        ({"pooling": "sum"}, 'pooling="sum" is not known'),
    ],
)
def test_options_out_of_range_are_refused(encoder, options, message):
    with pytest.raises(ValueError, match=message):
        StaticEncoder.distill(encoder, **({"dim": 8} | options))


def test_vocabularies_of_other_models_keep_their_ids():
    tok = lb.Tokenizer.train(["low lower lowest"], model="bpe", vocab_size=260)
    small, ids = small_vocabulary(tok)
    assert ids.tolist() == list(range(tok.vocab_size))
    assert small.encode("lowest").tokens == tok.encode("lowest").tokens


# Vectors


def test_texts_without_known_tokens_give_zeros(static):
    vectors = static.embed(["", "?", "unheard", "good"])
    assert not vectors[:3].any() and np.linalg.norm(vectors[3]) == pytest.approx(1)
    assert static.embed([]).shape == (0, 8)
    raw = static.embed(TEXTS, normalize=False)
    assert np.isfinite(raw).all() and not np.allclose(np.linalg.norm(raw[0]), 1)
    with pytest.raises(TypeError, match="one string"):
        static.embed("good")


def test_unknown_tokens_count_for_nothing(static):
    a, b = static.embed(["the good film", "the xylophone good qqq film"])
    np.testing.assert_array_equal(a, b)


def test_batches_and_threads_change_no_bit(static, same_bits):
    texts = TEXTS * 50
    one = static.embed(texts, batch_size=1)
    told: list[tuple[int, int]] = []
    assert np.array_equal(one, static.embed(texts, progress=lambda *n: told.append(n)))
    assert told == [(128, 300), (256, 300), (300, 300)]
    same_bits(lambda: [static.embed(texts)])


def test_long_texts_are_read_whole_or_cut_with_a_warning(static):
    text = "good " * 1000 + "bad"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = static.embed([text])
    short = StaticEncoder(static.tokenizer, static.table, max_length=10)
    with pytest.warns(TruncationWarning, match="1 of 1 texts have more than 10 tokens"):
        cut = short.embed([text])
    np.testing.assert_allclose(cut, static.embed(["good"]), atol=1e-6)
    assert np.abs(whole - cut).max() > 1e-5


# Files


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_saved_is_read_bit_for_bit(encoder, tmp_path, format):
    model = StaticEncoder.distill(encoder, dim=8, words=["good film"], format=format)
    model.save(tmp_path / "m")
    again = StaticEncoder.from_pretrained(tmp_path / "m")
    assert again.format == format and again.normalize and again.max_length is None
    assert np.array_equal(again.table.table(), model.table.table())
    assert np.array_equal(again.embed(TEXTS), model.embed(TEXTS))
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert (config["model_type"], config["hidden_dim"]) == ("model2vec", 8)
    assert (config["apply_pca"], config["sif_coefficient"]) == (8, 1e-4)
    assert (tmp_path / "m" / "modules.json").exists() == (format != "int8")
    again.save(tmp_path / "again")
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "m" / name).read_bytes()
    with pytest.raises(FileExistsError, match="exists; choose a new folder"):
        model.save(tmp_path / "m")
    rounded = StaticEncoder(model.tokenizer, lb.Embedding(model.table.table(), "nf4"))
    with pytest.raises(ValueError, match="a table in nf4"):
        rounded.save(tmp_path / "nf4")
    assert not (tmp_path / "nf4").exists()


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("normalize", [True, False])
def test_folders_of_sentence_transformers(static, tmp_path, nested, normalize):
    static.save(tmp_path / "m")
    place = tmp_path / "s" / "0_StaticEmbedding" if nested else tmp_path / "s"
    place.mkdir(parents=True)
    shutil.copy(tmp_path / "m" / "tokenizer.json", place)
    rows = static.table.table()
    write_safetensors(place / "model.safetensors", {"embedding.weight": rows})
    kinds = ["StaticEmbedding", "Normalize"] if normalize else ["StaticEmbedding"]
    modules = [{"type": f"sentence_transformers.models.{kind}"} for kind in kinds]
    (tmp_path / "s" / "modules.json").write_text(json.dumps(modules))
    again = StaticEncoder.from_pretrained(tmp_path / "s")
    assert again.normalize is normalize and again.max_length is None
    assert np.array_equal(again.embed(TEXTS), static.embed(TEXTS, normalize=normalize))


ROWS = np.ones((34, 4), np.float32)


@pytest.mark.parametrize(
    ("tensors", "config", "message"),
    [
        ({"table": ROWS}, {}, "expected one tensor of embeddings or embedding.weight"),
        ({"embeddings": ROWS, "embedding.weight": ROWS}, {}, "expected one tensor"),
        ({"embeddings": ROWS[0]}, {}, "must be a matrix"),
        ({"embeddings": ROWS.astype(np.int32)}, {}, "must be a matrix of F64"),
        ({"embeddings": ROWS[:9]}, {}, "has 9 rows, the tokenizer has ids up to"),
        ({"embeddings": ROWS * np.nan}, {}, "holds NaN or infinity"),
        ({"embeddings": ROWS, "weights": ROWS[0]}, {}, "'weights' must have 34 finite"),
        ({"embeddings": ROWS, "weights": ROWS[:, 0] * np.inf}, {}, "'weights' must have"),
        ({"embeddings": ROWS, "mapping": ROWS[0]}, {}, "'mapping' must be a list of whole"),
        ({"embeddings": ROWS, "mapping": np.array([0, 34])}, {}, "numbers below 34"),
        ({"embeddings": ROWS, "mapping": np.array([-1, 3])}, {}, "numbers below 34"),
        ({"embeddings": ROWS, "mapping": np.array([0, 3])}, {}, "has 2 rows, the tokenizer"),
        ({"embeddings": ROWS}, {"normalize": 1}, "normalize must be true or false"),
        ({"embeddings": ROWS}, {"max_length": 0}, "max_length must be a whole number"),
        ({"embeddings": ROWS}, {"max_length": "9"}, "max_length must be a whole number"),
    ],
)
def test_broken_folders_are_refused(static, tmp_path, tensors, config, message):
    static.save(tmp_path / "m")
    write_safetensors(tmp_path / "m" / "model.safetensors", tensors)
    (tmp_path / "m" / "config.json").write_text(json.dumps({"model_type": "model2vec"} | config))
    with pytest.raises(FileFormatError, match=message):
        StaticEncoder.from_pretrained(tmp_path / "m")


def test_missing_folders_and_files_are_named(static, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        StaticEncoder.from_pretrained(tmp_path / "none")
    static.save(tmp_path / "m")
    (tmp_path / "m" / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json is missing"):
        StaticEncoder.from_pretrained(tmp_path / "m")


def test_int8_rows_with_the_lowest_code_are_read(static, tmp_path):
    static.save(tmp_path / "m")
    codes = np.random.default_rng(0).integers(-128, 128, static.table.shape).astype(np.int8)
    codes[0, 0] = -128
    write_safetensors(tmp_path / "m" / "model.safetensors", {"embeddings": codes})
    assert np.array_equal(StaticEncoder.from_pretrained(tmp_path / "m").table.table(), codes)


@pytest.mark.model
def test_the_real_model_keeps_most_of_its_meaning(minilm):
    """A small vocabulary of the real model's words: distilling all takes a while."""
    encoder = Encoder.from_pretrained(minilm)
    small, ids = small_vocabulary(encoder.tokenizer)
    assert (small.vocab_size, len(ids)) == (29525, 29525)
    assert [small.id_to_token(i) for i in (0, 1, 2)] == ["[PAD]", "[UNK]", "!"]
    text = "Naïve unbelievability, 2.5 times!"
    ours, theirs = small.encode(text), encoder.tokenizer.encode(text)
    assert ours.tokens == theirs.tokens[1:-1]
    assert ids[ours.ids].tolist() == theirs.ids[1:-1].tolist()
