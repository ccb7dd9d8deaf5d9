"""Static embeddings beside model2vec itself: what each makes, the other reads."""

from __future__ import annotations

import numpy as np
import pytest

import golden
from lowbit.models import Encoder, StaticEncoder
from lowbit.models.static import FORMATS

model2vec = pytest.importorskip("model2vec")
pytestmark = pytest.mark.filterwarnings("ignore")

TEXTS = [
    "a good film, a very good film!",
    "The plot is not bad; the story is long.",
    "something unheard of",
    "",
    "?",
    "film",
    "good film",
]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.from_pretrained(golden.TINY_BERT)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("dim", [None, 12])
def test_model2vec_reads_what_we_save(encoder, tmp_path, format, dim, record_property):
    ours = StaticEncoder.distill(encoder, dim, words=["good film"], format=format)
    ours.save(tmp_path / "m")
    theirs = model2vec.StaticModel.from_pretrained(tmp_path / "m")
    assert theirs.max_length is None and theirs.normalize
    for normalize in (True, False):
        a = ours.embed(TEXTS, normalize=normalize)
        b = theirs.encode(TEXTS, normalize=normalize).astype(np.float32)
        difference = float(np.abs(a - b).max() / np.abs(a).max())
        # model2vec takes means of float16 rows in float16.
        assert difference <= (2e-3 if format == "fp16" else 1e-6)
    record_property("largest difference", difference)


@pytest.mark.parametrize("quantize_to", ["float32", "float16", "int8"])
def test_we_read_what_model2vec_saves(encoder, tmp_path, quantize_to):
    StaticEncoder.distill(encoder, 12, format="fp32").save(tmp_path / "m")
    theirs = model2vec.StaticModel.from_pretrained(tmp_path / "m", quantize_to=quantize_to)
    theirs.save_pretrained(tmp_path / "again")
    ours = StaticEncoder.from_pretrained(tmp_path / "again")
    expected = theirs.encode(TEXTS).astype(np.float32)
    np.testing.assert_allclose(ours.embed(TEXTS), expected, atol=2e-3)
    assert np.array_equal(
        ours.table.table().astype(np.float32), theirs.embedding.astype(np.float32)
    )
