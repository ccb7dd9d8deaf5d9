"""Encoders whose linear layers multiply in int8, with scales taken from rows or from texts."""

import json
from pathlib import Path

import numpy as np
import pytest

from cli_runs import refused
from lowbit import _core
from lowbit.cli import arguments, main
from lowbit.files import FileFormatError, read_safetensors, write_safetensors
from lowbit.files.safetensors import SafetensorsFile
from lowbit.models import Classifier, Encoder
from lowbit.models.weight_store import ACTIVATIONS
from lowbit.quantization import AffineParams, fake_quantize
from lowbit.quantization.observers import OBSERVERS
from tiny_model import reviews, write_tiny_model

TEXTS, OTHERS = reviews(60, seed=1)[0], reviews(40, seed=2)[0]
NAME = "encoder.layer.0.attention.self.query.weight"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def static(folder) -> Encoder:
    return Encoder.from_pretrained(
        folder, format="int8", group_size=None, activations="static", calibrate=TEXTS
    )


def drift(folder: Path, encoder: Encoder) -> float:
    """1 minus the mean cosine with the vectors of the exact model."""
    exact = Encoder.from_pretrained(folder).embed(OTHERS)
    return 1 - float((exact * encoder.embed(OTHERS)).sum(axis=1).mean())


@pytest.mark.parametrize("observer", OBSERVERS)
def test_every_linear_gets_a_scale_and_vectors_stay_near(folder, observer):
    encoder = Encoder.from_pretrained(
        folder, format="int8", activations="static", calibrate=TEXTS, observer=observer
    )
    for linear in encoder.linears().values():
        assert isinstance(linear.x_scale, AffineParams) and linear.compute == "int8"
        assert (linear.x_scale.low, linear.x_scale.high) == (-127, 127)
        assert linear.observe is None
    layer = encoder.layers[0]
    assert layer.query.x_scale is layer.key.x_scale is layer.value.x_scale
    # GELU gives -0.17 at least, so nearly all codes are for positive values.
    assert layer.output.x_scale.zero_point < -90
    assert 0 < drift(folder, encoder) < 0.01


def test_products_are_those_of_rounded_inputs(folder, static):
    linear = static.layers[1].output
    x = np.random.default_rng(0).standard_normal((7, linear.shape[1])).astype(np.float32)
    rounded = fake_quantize(x, linear.x_scale).astype(np.float64)
    exact = rounded @ _core.dequantize(linear.weight).T + linear.bias
    np.testing.assert_allclose(linear(x), exact, rtol=1e-5, atol=1e-5 * np.abs(exact).max())
    assert _core.last_kernel().startswith("linear_int8")


def test_min_max_covers_what_the_texts_bring(folder):
    encoder = Encoder.from_pretrained(
        folder, format="int8", activations="static", calibrate=TEXTS, observer="minmax"
    )
    params = encoder.layers[0].query.x_scale
    seen = np.concatenate([encoder._first_states(b).ravel() for b in encoder._batches(TEXTS)])
    ends = (np.array([params.low, params.high]) - params.zero_point) * params.scale
    assert np.abs(ends - [seen.min(), seen.max()]).max() <= 0.51 * params.scale


def test_scales_fit_inputs_whose_outliers_went_into_the_weights(folder, tmp_path):
    encoder = Encoder.from_pretrained(
        folder,
        format="int8",
        activations="static",
        calibrate=TEXTS,
        observer="minmax",
        method="smoothquant",
    )
    layer = encoder.layers[0]
    scale, params = layer.query.input_scale, layer.query.x_scale
    assert scale is not None
    for linear in (layer.key, layer.value):  # they have one input
        assert np.array_equal(linear.input_scale, scale)
    seen = np.concatenate([encoder._first_states(b) for b in encoder._batches(TEXTS)]) * scale
    ends = (np.array([params.low, params.high]) - params.zero_point) * params.scale
    assert np.abs(ends - [seen.min(), seen.max()]).max() <= 0.51 * params.scale
    assert 0 < drift(folder, encoder) < 0.01
    encoder.save(tmp_path / "saved")
    again = Encoder.from_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(again.embed(OTHERS), encoder.embed(OTHERS))


def test_dynamic_is_compute_int8(folder):
    options = {"format": "int4", "group_size": 16}
    dynamic = Encoder.from_pretrained(folder, activations="dynamic", **options)
    expected = Encoder.from_pretrained(folder, compute="int8", **options).embed(OTHERS)
    np.testing.assert_array_equal(dynamic.embed(OTHERS), expected)
    rounded = Encoder.from_pretrained(folder, activations="dynamic", calibrate=TEXTS, **options)
    assert drift(folder, rounded) < drift(folder, dynamic)


@pytest.mark.parametrize("kind", ["static", "dynamic", "row"])
def test_saved_and_read_again_bit_for_bit(folder, static, tmp_path, kind):
    encoder = static
    if kind != "static":
        encoder = Encoder.from_pretrained(folder, format="nf4", activations="dynamic")
    if kind == "row":
        encoder.layers[0].query.x_scale = "row"
    encoder.save(tmp_path / "saved")
    again = Encoder.from_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(again.embed(OTHERS), encoder.embed(OTHERS))
    for name, linear in again.linears().items():
        expected = encoder.linears()[name].x_scale
        assert linear.compute == "int8"
        if kind == "static":
            assert vars(linear.x_scale) == vars(expected)
        else:
            assert linear.x_scale == expected
    # Whoever asks for other products gets them.
    exact = Encoder.from_pretrained(tmp_path / "saved", compute="fp32")
    assert {linear.compute for linear in exact.linears().values()} == {"fp32"}
    assert not np.array_equal(exact.embed(OTHERS), encoder.embed(OTHERS))


def test_packed_weights_get_scales_without_being_rounded_again(folder, tmp_path):
    plain = Encoder.from_pretrained(folder, format="int8")
    plain.save(tmp_path / "saved")
    static = Encoder.from_pretrained(tmp_path / "saved", activations="static", calibrate=TEXTS)
    for name, linear in static.linears().items():
        stored = plain.linears()[name].weight.parts()["lines"]
        assert np.array_equal(linear.weight.parts()["lines"], stored)
        assert isinstance(linear.x_scale, AffineParams)
    assert static.reports == []
    static.save(tmp_path / "static")
    dynamic = Encoder.from_pretrained(tmp_path / "static", activations="dynamic")
    assert {linear.x_scale for linear in dynamic.linears().values()} == {"block"}


def test_a_classifier_is_trained_on_rounded_inputs(static, tmp_path):
    static.save(tmp_path / "saved")
    texts, labels = reviews(60)
    model = Classifier.from_pretrained(tmp_path / "saved", labels=2)
    assert {linear.compute for linear in model.encoder.linears().values()} == {"int8"}
    history = model.fit(texts, labels, epochs=2, lr=5e-3)
    assert history is not None and np.isfinite(model.encoder.embed(OTHERS)).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"activations": "static"}, "needs calibrate"),
        ({"activations": "half"}, 'activations="half" is not known'),
        ({"activations": "dynamic", "compute": "bf16"}, 'compute="bf16" does not'),
        ({"activations": "dynamic", "format": "bf16"}, r"needs a format of .*query is in bf16"),
        ({"activations": "dynamic", "format": None}, r"needs a format of .*query is in fp32"),
        (
            {"activations": "static", "format": None, "calibrate": TEXTS},
            r"needs a format of .*query is in fp32",
        ),
        ({"activations": "static", "calibrate": []}, "calibrate has no texts"),
        (
            {"activations": "static", "calibrate": TEXTS, "observer": "best"},
            'observer="best" is not known',
        ),
    ],
)
def test_options_that_do_not_fit_together(folder, options, words):
    with pytest.raises(ValueError, match=f"from_pretrained: .*{words}"):
        Encoder.from_pretrained(folder, **{"format": "int8"} | options)


GOOD = {"scale": 0.5, "zero_point": 3, "low": -127, "high": 127}


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        ("column", "x_scale must be"),
        (5, "x_scale must be"),
        ([], "x_scale must be"),
        ({}, "x_scale must be"),
        (GOOD | {"more": 1}, "x_scale must be"),
        (GOOD | {"scale": 1}, "x_scale must be"),
        (GOOD | {"low": True}, "x_scale must be"),
        (GOOD | {"scale": 0.0}, "must be finite"),
        (GOOD | {"scale": 1e300}, "must be finite"),
        (GOOD | {"zero_point": 128}, "zero points must be whole"),
        (GOOD | {"zero_point": 10**30}, "codes of 16 bits"),
        (GOOD | {"low": -(10**30)}, "codes of 16 bits"),
        (GOOD | {"scale": 1e-44}, "every scale must be finite"),
        (GOOD | {"low": 128}, "they must rise"),
        (GOOD | {"high": 128}, "more than the 255 codes"),
    ],
)
def test_files_that_lie_about_scales_raise(static, tmp_path, scale, words):
    static.save(tmp_path / "saved")
    path = tmp_path / "saved" / "model.safetensors"
    tensors = read_safetensors(path)
    with SafetensorsFile(path) as file:
        metadata = dict(file.metadata)
    described = json.loads(metadata[f"lowbit.{NAME}"])
    assert set(described["x_scale"]) == set(GOOD)
    metadata[f"lowbit.{NAME}"] = json.dumps(described | {"x_scale": scale})
    write_safetensors(path, tensors, metadata)
    with pytest.raises(FileFormatError, match=words):
        Encoder.from_pretrained(tmp_path / "saved")


def test_the_command_knows_the_names():
    """It has them without loading what they name."""
    assert list(OBSERVERS) == arguments.OBSERVERS
    assert list(ACTIVATIONS) == arguments.ACTIVATIONS


def test_the_command_quantizes_activations_and_inspect_shows_them(folder, here, capsys):
    Path("texts.txt").write_text("\n".join(TEXTS))
    words = ["quantize", str(folder), "-o", "small", "--format", "int8", "--activations", "static"]
    assert "needs calibrate" in refused(capsys, *words)
    words += ["--calibrate", "texts.txt", "--observer", "percentile", "--no-plot"]
    assert main(words) == 0
    assert "int8, static, scales by percentile" in capsys.readouterr().out
    assert main(["inspect", "small"]) == 0
    params = Encoder.from_pretrained("small").layers[0].query.x_scale
    shown = capsys.readouterr().out
    assert f"scale {params.scale:.4g}, zero {params.zero_point}" in shown
    assert main(["inspect", "small", "--json"]) == 0
    tensors = json.loads(capsys.readouterr().out)["tensors"]
    (query,) = (tensor for tensor in tensors if tensor["name"] == NAME)
    assert query["x_scale"] == {
        "scale": float(params.scale), "zero_point": int(params.zero_point), "low": -127, "high": 127
    }  # fmt: skip
    assert main([*words[:3], "dynamic", *words[4:7], "dynamic", "--no-plot", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["activations"], report["observer"]) == ("dynamic", None)
    assert main(["inspect", "dynamic"]) == 0
    assert "scale a block" in capsys.readouterr().out
