"""Encoders rounded for the inputs that texts make: by GPTQ, and by every other method."""

from pathlib import Path

import numpy as np
import pytest

from lowbit.data import read_reviews
from lowbit.models import Encoder
from lowbit.models.weight_store import stored_format
from lowbit.quantization import METHODS, Method, QuantizedMatrix, WeightFormat
from tiny_model import reviews, write_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


def drift(folder: Path, texts: list[str], **options) -> float:
    """1 minus the mean cosine between the vectors of a rounded encoder and the exact ones."""
    exact = Encoder.from_pretrained(folder).embed(texts)
    rounded = Encoder.from_pretrained(folder, group_size=16, **options).embed(texts)
    return 1 - float((exact * rounded).sum(axis=1).mean())


@pytest.mark.parametrize("double_quant", [False, True])
@pytest.mark.parametrize("format", ["int4", "nf4"])
def test_calibrated_encoders_stay_nearer_on_texts_that_they_have_not_seen(
    folder, format, double_quant
):
    texts, others = reviews(300, seed=1)[0], reviews(60, seed=2)[0]
    options = {"format": format, "double_quant": double_quant}
    plain = drift(folder, others, **options)
    calibrated = drift(folder, others, calibrate=texts, **options)
    assert calibrated < 0.6 * plain


@pytest.mark.parametrize("name", ["search", "hqq"])
@pytest.mark.parametrize("format", ["int4", "nf4"])
def test_methods_without_texts_change_every_weight_for_the_better(folder, format, name):
    options = {"format": format, "group_size": 16}
    nearest = Encoder.from_pretrained(folder, **options).linears()
    others = Encoder.from_pretrained(folder, **options, method=name).linears()
    exact = Encoder.from_pretrained(folder).linears()
    for layer, linear in exact.items():
        lost = [
            np.abs(QuantizedMatrix(of[layer].weight).dequantize() - linear.weight)
            for of in (others, nearest)
        ]
        power = {"search": 2, "hqq": 0.7}[name]
        assert np.sum(lost[0] ** power) < np.sum(lost[1] ** power)


@pytest.mark.parametrize("name", [*METHODS, "awq and gptq"])
@pytest.mark.parametrize("format", ["int4", "nf4"])
def test_corrected_biases_keep_vectors_nearer(folder, format, name):
    both = Method(METHODS["gptq"].rounding, METHODS["awq"].scaling)
    texts, others = reviews(300, seed=1)[0], reviews(60, seed=2)[0]
    options = {"format": format, "calibrate": texts, "method": METHODS.get(name, both)}
    plain = drift(folder, others, **options)
    corrected = drift(folder, others, **options, bias_correction=True)
    assert corrected < 0.8 * plain
    assert corrected < 0.3 * drift(folder, others, format=format)


SCALES = [
    {"scale_dtype": "fp16"},
    {"symmetric": False},
    {"scale_dtype": "bf16", "symmetric": False},
]


@pytest.mark.parametrize("scales", SCALES)
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("format", ["int4", "int8"])
def test_every_method_stores_what_is_asked_for(folder, tmp_path, format, name, scales):
    texts, others = reviews(60, seed=1)[0], reviews(40, seed=2)[0]
    calibrate = texts if METHODS[name].needs_inputs else None
    options = {"format": format, "method": name, "calibrate": calibrate, "group_size": 16} | scales
    encoder = Encoder.from_pretrained(folder, **options)
    expected = WeightFormat(
        format, 16, False, scales.get("scale_dtype"), scales.get("symmetric", True)
    )
    assert {stored_format(of.weight) for of in encoder.linears().values()} == {expected}
    encoder.save(tmp_path / "saved")
    again = Encoder.from_pretrained(tmp_path / "saved")
    assert {stored_format(of.weight) for of in again.linears().values()} == {expected}
    np.testing.assert_array_equal(again.embed(others), encoder.embed(others))
    plain = drift(folder, others, **{k: options[k] for k in ("format", "method", "calibrate")})
    cosines = (encoder.embed(others) * Encoder.from_pretrained(folder).embed(others)).sum(axis=1)
    assert 1 - cosines.mean() < 1.3 * plain + 1e-4


def test_zero_points_help_gptq_on_every_layer_of_a_real_model(minilm):
    texts = [review.text for review in read_reviews()][:60]
    options = {"format": "int4", "group_size": 32, "calibrate": texts, "symmetric": False}
    gptq, nearest = (
        Encoder.from_pretrained(minilm, method=name, **options).reports
        for name in ("gptq", "nearest")
    )
    lost = [[report.output_error for report in reports] for reports in (gptq, nearest)]
    assert len(lost[0]) == 36 and np.all(np.array(lost[0]) < 0.9 * np.array(lost[1]))
    assert np.mean(lost[0]) < 0.7 * np.mean(lost[1])


def test_gptq_is_what_texts_alone_ask_for(folder):
    texts = reviews(50)[0]
    one, two = (
        Encoder.from_pretrained(folder, format="int4", calibrate=texts, **options).embed(texts)
        for options in ({}, {"method": "gptq"})
    )
    np.testing.assert_array_equal(one, two)
    plain, nearest = (
        Encoder.from_pretrained(folder, format="int4", **options).embed(texts)
        for options in ({}, {"method": "nearest"})
    )
    np.testing.assert_array_equal(plain, nearest)


@pytest.mark.parametrize("name", ["gptq", "smoothquant"])
def test_products_in_int8_are_calibrated_too(folder, name):
    texts, others = reviews(100, seed=1)[0], reviews(60, seed=2)[0]
    options = {"format": "int8", "compute": "int8", "calibrate": texts, "method": name}
    encoder = Encoder.from_pretrained(folder, **options)
    assert {linear.compute for linear in encoder.linears().values()} == {"int8"}
    assert drift(folder, others, **options) < 1e-3


def test_methods_that_do_not_fit_are_refused(folder):
    for options, message in (
        ({"method": "gptq"}, "method='gptq' needs inputs of the layers; pass calibrate"),
        ({"method": "awq"}, "method='awq' needs inputs"),
        ({"bias_correction": True}, "bias_correction needs inputs"),
        ({"method": "best"}, "from_pretrained: method='best' is not known; use \"nearest\""),
        ({"method": "hqq", "format": "bf16"}, "method is for packed formats"),
        ({"method": "hqq", "format": None}, "method is for packed formats"),
        ({"format": "nf4", "symmetric": False}, 'quantize: format="nf4" has no zero points'),
        ({"format": "mxfp4", "scale_dtype": "fp16"}, "scale_dtype"),
        (
            {"scale_dtype": "fp16", "double_quant": True},
            "quantize: double_quant=True stores scales",
        ),
        ({"scale_dtype": "fp12"}, "fp12"),
        ({"scale_dtype": "fp16", "format": "bf16"}, "scale_dtype='fp16' is for one packed format"),
        ({"symmetric": False, "format": None}, "symmetric=False is for one packed format"),
        ({"symmetric": False, "format": {"x": ("int8",)}}, "there is one for each weight"),
    ):
        with pytest.raises(ValueError, match=message):
            Encoder.from_pretrained(folder, **({"format": "int4"} | options))


def test_reports_name_every_linear_and_what_rounding_cost(folder):
    done = []
    encoder = Encoder.from_pretrained(
        folder,
        format="nf4",
        group_size=16,
        calibrate=reviews(100)[0],
        progress=lambda i, n: done.append((i, n)),
    )
    named = encoder.linears()
    assert [report.name for report in encoder.reports] == [
        name for name in named if name.startswith("encoder.")
    ]
    count = encoder.config.num_hidden_layers
    assert done == [(i + 1, count) for i in range(count)]
    for report in encoder.reports:
        weight = named[report.name].weight
        assert (report.shape, report.format, report.nbytes) == (weight.shape, "nf4", weight.nbytes)
        # The weight itself changes more than by nearest values, its products less.
        assert 0.05 < report.error < 0.3 and 0 < report.output_error < report.error
        assert named[report.name].observe is None


def test_the_same_texts_give_the_same_bits(folder):
    texts = reviews(50)[0]
    one, two = (
        Encoder.from_pretrained(folder, format="int4", calibrate=texts).embed(texts)
        for _ in range(2)
    )
    np.testing.assert_array_equal(one, two)


def test_dense_formats_have_nothing_to_calibrate(folder):
    with pytest.raises(ValueError, match="calibrate is for packed formats"):
        Encoder.from_pretrained(folder, format="bf16", calibrate=["a text"])
    with pytest.raises(ValueError, match="calibrate has no texts"):
        Encoder.from_pretrained(folder, format="nf4", calibrate=[])


@pytest.mark.parametrize("format", ["nf4", "int4"])
def test_word_tables_in_four_bits_are_an_eighth(folder, format):
    texts = reviews(40)[0]
    exact = Encoder.from_pretrained(folder)
    packed = Encoder.from_pretrained(folder, embeddings=format)
    cosine = (exact.embed(texts) * packed.embed(texts)).sum(axis=1)
    assert cosine.mean() > 0.97
    assert packed.word_embeddings.format == format
