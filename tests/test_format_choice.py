"""Formats chosen for a size: they fit, they lose less than one format for all, errors are plain."""

from pathlib import Path

import numpy as np
import pytest

from lowbit.models import Encoder, WeightFormat, choose_formats
from lowbit.models.weight_store import POSITIONS, WORDS
from tiny_model import reviews, write_tiny_model

QUERY = "encoder.layer.0.attention.self.query"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model", intermediate_size=128)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return reviews(60, seed=1)[0]


def file_size(encoder: Encoder, folder: Path) -> int:
    encoder.save(folder)
    return (folder / "model.safetensors").stat().st_size


def drift(encoder: Encoder, folder: Path) -> float:
    others = reviews(60, seed=2)[0]
    exact = Encoder.from_pretrained(folder).embed(others)
    return 1 - float((encoder.embed(others) * exact).sum(axis=1).mean())


def smallest(folder: Path) -> int:
    with pytest.raises(ValueError, match="the least that") as caught:
        choose_formats(folder, 1)
    return int(str(caught.value).rpartition(" ")[2])


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.4, 2.0])
def test_the_file_fits_and_more_bytes_lose_less(folder, texts, tmp_path, share, calibrated):
    least = smallest(folder)
    budget = least + int(share * (Encoder.from_pretrained(folder).nbytes - least))
    plan = choose_formats(folder, budget, texts if calibrated else None)
    assert plan.nbytes <= budget and plan.measure.startswith("1 - cosine" * calibrated)
    encoder = Encoder.from_pretrained(
        folder, format=plan.formats, calibrate=texts if calibrated else None
    )
    size = file_size(encoder, tmp_path / "small")
    assert size <= plan.nbytes <= budget
    # What the plan says of each weight is what is there, and what a saved model keeps.
    assert set(plan.formats) == {WORDS, POSITIONS, *encoder.linears()} == set(plan.options)
    assert encoder.word_embeddings.format == plan.formats[WORDS].format
    again = Encoder.from_pretrained(tmp_path / "small")
    if "fp16" not in str(plan.formats):  # which comes back as float32
        assert again.nbytes == encoder.nbytes
    np.testing.assert_allclose(again.embed(texts), encoder.embed(texts), atol=2e-3)
    if share == 0:
        assert plan.formats[QUERY] == WeightFormat("nf4", 64, True)
    if share == 2:
        assert plan.loss == 0 and {format.format for format in plan.formats.values()} == {"fp32"}


def test_measured_costs_foretell_the_drift_and_beat_one_format_for_all(folder, texts):
    """With bytes for half of the weights in 8 bits."""
    least = smallest(folder)
    int8 = Encoder.from_pretrained(folder, "int8", None, False, "int8").nbytes
    budget = (least + int8) // 2
    plan = choose_formats(folder, budget, texts)
    auto = Encoder.from_pretrained(folder, format="auto", budget=budget, calibrate=texts)
    assert auto.format.count("+") >= 1
    lost = drift(auto, folder)
    assert plan.loss / 4 < lost < 4 * plan.loss
    uniform = Encoder.from_pretrained(folder, "nf4", 32, True, "nf4", calibrate=texts)
    assert lost < drift(uniform, folder)


def test_weights_that_no_vector_depends_on_get_what_is_left(folder, texts):
    plan = choose_formats(folder, smallest(folder) + 5000, texts)
    assert plan.formats["pooler.dense"] == WeightFormat("nf4", 64, True)
    assert all(option.loss < 1e-6 for option in plan.options["pooler.dense"])
    without = choose_formats(folder, "1MB", texts, pooler=False)
    assert "pooler.dense" not in without.formats and without.loss == 0


def test_measuring_twice_gives_the_same(folder, texts):
    one, two = (choose_formats(folder, smallest(folder) + 4000, texts) for _ in range(2))
    assert one == two


def test_what_cannot_be_is_refused(folder, texts, tmp_path):
    least = smallest(folder)
    assert choose_formats(folder, least).nbytes <= least
    with pytest.raises(ValueError, match=f"{least - 1} bytes; the least that .* is {least}"):
        choose_formats(folder, least - 1)
    with pytest.raises(ValueError, match="belong together"):
        Encoder.from_pretrained(folder, format="auto")
    with pytest.raises(ValueError, match="belong together"):
        Encoder.from_pretrained(folder, format="nf4", budget="20MB")
    with pytest.raises(ValueError, match="is no size"):
        choose_formats(folder, "much")
    with pytest.raises(ValueError, match="no texts"):
        choose_formats(folder, "20MB", [])
    formats = choose_formats(folder, least).formats
    with pytest.raises(ValueError, match="says nothing of encoder"):
        Encoder.from_pretrained(folder, format={n: f for n, f in formats.items() if n != QUERY})
    with pytest.raises(ValueError, match="beside a format for each weight"):
        Encoder.from_pretrained(folder, format=formats, embeddings="int8")
    with pytest.raises(ValueError, match='"int5" is not known'):
        Encoder.from_pretrained(folder, format=formats | {QUERY: WeightFormat("int5")})
    Encoder.from_pretrained(folder, "nf4", embeddings="int8").save(tmp_path / "packed")
    with pytest.raises(ValueError, match="in few bits already"):
        choose_formats(tmp_path / "packed", "20MB")
