"""Linear layers whose stored weight is that of scaled inputs: to others, the same layer."""

from pathlib import Path

import numpy as np
import pytest

from lowbit.files import FileFormatError, read_safetensors, write_safetensors
from lowbit.files.safetensors import SafetensorsFile
from lowbit.models import Classifier, Encoder
from lowbit.models.layers import Adapter, Linear, Tape
from lowbit.models.parameters import Parameters
from tiny_model import reviews, write_tiny_model

LAYER = "encoder.layer.0.intermediate.dense"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def saved(folder, tmp_path) -> Path:
    encoder = Encoder.from_pretrained(
        folder, "int4", 16, calibrate=reviews(60)[0], method="awq", compute="fp32"
    )
    encoder.save(tmp_path / "saved")
    return tmp_path / "saved"


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def two_layers(dropout: float = 0.0) -> tuple[Linear, Linear]:
    """The same function twice, the second with a scale of its inputs; both have an adapter."""
    scale = np.exp(normal(40)).astype(np.float32)
    weight, bias = normal(24, 40, seed=1), normal(24, seed=2)
    layers = (
        Linear("layer", weight, bias, "fp32"),
        Linear("layer", (weight / scale).astype(np.float32), bias, "fp32"),
    )
    layers[1].input_scale = scale
    initial = {"layer.lora_A": normal(4, 40, seed=3), "layer.lora_B": normal(24, 4, seed=4)}
    for layer in layers:
        parameters = Parameters({name: array.copy() for name, array in initial.items()})
        layer.adapter = Adapter("layer", parameters, 0.5, dropout)
    return layers


@pytest.mark.parametrize("with_residual", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_outputs_and_all_gradients_are_those_of_the_plain_layer(dropout, with_residual):
    x, dy = normal(30, 40, seed=5), normal(30, 24, seed=6)
    into, back = (normal(30, 24, seed=7), normal(30, 40, seed=8)) if with_residual else (None, None)
    results = []
    for layer in two_layers(dropout):
        tape = Tape(seed=3)
        seen = []
        layer.observe = lambda inputs, seen=seen: seen.append(inputs.copy())
        y = layer(x, tape, into)
        dx = layer.backward(dy, tape, back)
        gradients = [
            layer.adapter.parameters.gradient(f"layer.lora_{side}").copy() for side in "AB"
        ]
        np.testing.assert_array_equal(seen, [x])  # inputs as they come, before any scale
        results.append([y, dx, *gradients])
    for plain, scaled in zip(*results, strict=True):
        np.testing.assert_allclose(scaled, plain, rtol=1e-4, atol=1e-4)


def test_scales_are_saved_and_read_bit_for_bit(folder, saved):
    encoder = Encoder.from_pretrained(
        folder, "int4", 16, calibrate=reviews(60)[0], method="awq", compute="fp32"
    )
    again = Encoder.from_pretrained(saved, compute="fp32")
    texts = reviews(30, seed=5)[0]
    np.testing.assert_array_equal(again.embed(texts), encoder.embed(texts))
    assert again.nbytes == encoder.nbytes
    assert again.nbytes_fp32 == Encoder.from_pretrained(folder).nbytes_fp32
    for name, linear in again.linears().items():
        expected = encoder.linears()[name].input_scale
        if name == "pooler.dense":
            assert linear.input_scale is expected is None
        else:
            np.testing.assert_array_equal(linear.input_scale, expected)


def test_adapters_are_trained_and_merged_on_scaled_inputs(saved):
    texts, labels = reviews(200)
    model = Classifier.from_pretrained(saved, labels=2, compute="fp32")
    assert model.encoder.linears()[LAYER].input_scale is not None
    model.fit(texts, labels, epochs=25, lr=5e-3)
    assert model.score(texts, labels) > 0.9
    linear = model.encoder.linears()[LAYER]
    x = normal(20, linear.shape[1])
    before = linear(x)
    base = linear.shape, linear.input_scale.copy()
    report = model.merge()[f"bert.{LAYER}"]
    assert (linear.shape, linear.adapter) == (base[0], None)
    np.testing.assert_array_equal(linear.input_scale, base[1])
    assert np.linalg.norm(linear(x) - before) < 0.2 * np.linalg.norm(before)
    assert report is not None


def change(folder: Path, edit) -> None:
    path = folder / "model.safetensors"
    tensors = read_safetensors(path)
    with SafetensorsFile(path) as file:
        metadata = dict(file.metadata)
    edit(tensors)
    write_safetensors(path, tensors, metadata)


def test_dense_weights_with_scales_are_multiplied_out(folder, tmp_path):
    Encoder.from_pretrained(folder).save(tmp_path / "dense")

    def edit(tensors):
        scale = np.exp(normal(32)).astype(np.float32)
        tensors[f"{LAYER}.input_scale"] = scale
        tensors[f"{LAYER}.weight"] = tensors[f"{LAYER}.weight"] / scale

    change(tmp_path / "dense", edit)
    read = Encoder.from_pretrained(tmp_path / "dense").linears()[LAYER]
    assert read.input_scale is None
    exact = Encoder.from_pretrained(folder).linears()[LAYER].weight
    np.testing.assert_allclose(read.weight, exact, rtol=1e-6)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.update({f"{LAYER}.input_scale": np.zeros(32, np.float32)}), "above 0"),
        (lambda t: t.update({f"{LAYER}.input_scale": np.full(32, np.nan, np.float32)}), "NaN"),
        (lambda t: t.update({f"{LAYER}.input_scale": np.ones(31, np.float32)}), "expected shape"),
        (lambda t: t.update({f"{LAYER}.input_scale": np.ones(32, np.int32)}), "I32"),
        (
            lambda t: t.update({"encoder.layer.0.input_scale": np.ones(32, np.float32)}),
            "has no place",
        ),
    ],
)
def test_scales_that_lie_raise(saved, edit, message):
    change(saved, edit)
    with pytest.raises(FileFormatError, match=message):
        Encoder.from_pretrained(saved)
