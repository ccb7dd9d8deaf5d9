"""Encoders saved in their formats and read again; checkpoints that lie."""

import json
from pathlib import Path

import numpy as np
import pytest

from lowbit.files import FileFormatError, read_safetensors, write_safetensors
from lowbit.files.safetensors import SafetensorsFile
from lowbit.models import Classifier, Encoder
from tiny_model import reviews, write_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.mark.parametrize("embeddings", ["fp32", "bf16", "fp16", "int8", "int4", "nf4"])
@pytest.mark.parametrize(
    ("format", "double_quant"),
    [("fp32", False), ("bf16", False), ("int8", False), ("int4", False), ("nf4", True)],
)
def test_what_was_saved_gives_the_same_bits(folder, tmp_path, format, double_quant, embeddings):
    options = {"group_size": 16, "double_quant": double_quant, "embeddings": embeddings}
    encoder = Encoder.from_pretrained(folder, format=format, compute="fp32", **options)
    encoder.save(tmp_path / "saved")
    again = Encoder.from_pretrained(tmp_path / "saved", compute="fp32")
    texts = reviews(30)[0]
    np.testing.assert_array_equal(again.embed(texts), encoder.embed(texts))
    if format in ("int8", "int4", "nf4"):
        assert again.format == format
        assert again.nbytes <= encoder.nbytes or embeddings in ("bf16", "fp16")
    assert again.sentence == encoder.sentence


def test_a_calibrated_encoder_is_saved_and_trained_on(folder, tmp_path):
    texts, labels = reviews(60)
    encoder = Encoder.from_pretrained(
        folder, format="nf4", group_size=16, embeddings="nf4", calibrate=texts
    )
    encoder.save(tmp_path / "saved")
    model = Classifier.from_pretrained(tmp_path / "saved", labels=2)
    assert model.encoder.format == "nf4"
    weights = [linear.weight for linear in model.encoder.linears().values()]
    expected = [linear.weight for linear in encoder.linears().values()]
    for one, other in zip(weights, expected, strict=True):
        assert np.array_equal(one.parts()["lines"], other.parts()["lines"])
    history = model.fit(texts, labels, epochs=1)
    assert history is not None
    with pytest.raises(ValueError, match="has an adapter"):
        model.encoder.save(tmp_path / "other")


def test_stored_formats_are_not_rounded_again(folder, tmp_path):
    Encoder.from_pretrained(folder, format="int4").save(tmp_path / "saved")
    with pytest.raises(ValueError, match='is stored in "int4" and is not rounded again'):
        Encoder.from_pretrained(tmp_path / "saved", format="nf4")
    with pytest.raises(ValueError, match="is not rounded again"):
        Encoder.from_pretrained(tmp_path / "saved", format="int4", calibrate=["a text"])
    with pytest.raises(FileExistsError, match="choose a new folder"):
        Encoder.from_pretrained(folder).save(tmp_path / "saved")


def broken(saved: Path, change) -> None:
    """The checkpoint with its tensors and metadata changed."""
    path = saved / "model.safetensors"
    tensors = read_safetensors(path)
    with SafetensorsFile(path) as file:
        metadata = dict(file.metadata)
    change(tensors, metadata)
    write_safetensors(path, tensors, metadata)


NAME = "encoder.layer.0.attention.self.query.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, m: m.update(lowbit="7"), "layout '7' of lowbit is not known"),
        (lambda t, m: t.pop(f"{NAME}.lines"), "lines.* is missing"),
        (lambda t, m: t.update({f"{NAME}.lines": t[f"{NAME}.lines"][:-1]}), "lines has"),
        (lambda t, m: t.update({f"{NAME}.scales": t[f"{NAME}.scales"] * np.nan}), "NaN"),
        (lambda t, m: t.update({f"{NAME}.scales": t[f"{NAME}.lines"]}), "scales is uint8"),
        (lambda t, m: m.update({f"lowbit.{NAME}": "[]"}), "is no object"),
        (lambda t, m: m.update({f"lowbit.{NAME}": "{"}), "JSON"),
        (lambda t, m: edit(m, rows=True), "rows must be int"),
        (lambda t, m: edit(m, rows=10**15), "expected shape"),
        (lambda t, m: edit(m, format="int3"), "int3"),
        (lambda t, m: edit(m, group_size=48), "group_size=48"),
        (lambda t, m: edit(m, double_quant=True), "scale_offset must be"),
        (lambda t, m: m.pop(f"lowbit.{NAME}"), "is missing"),
    ],
)
def test_checkpoints_that_lie_raise(folder, tmp_path, change, message):
    Encoder.from_pretrained(folder, format="int4").save(tmp_path / "saved")
    broken(tmp_path / "saved", change)
    with pytest.raises(FileFormatError, match=message):
        Encoder.from_pretrained(tmp_path / "saved")


def edit(metadata: dict[str, str], **fields: object) -> None:
    key = f"lowbit.{NAME}"
    metadata[key] = json.dumps(json.loads(metadata[key]) | fields)
