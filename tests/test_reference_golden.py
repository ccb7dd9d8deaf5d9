"""The NumPy reference against what torch, transformers, PEFT and bitsandbytes computed."""

import dataclasses

import numpy as np
import pytest

import golden
from lowbit.reference import layers, optimizer, quantization
from lowbit.reference.encoder import Batch, Encoder


def relative(got: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference over the largest expected magnitude."""
    assert got.shape == expected.shape
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def test_hidden_states_without_adapters():
    model, batch, expected = golden.tiny_case("mean")
    hidden = dataclasses.replace(model, lora={}).hidden_states(batch)
    assert relative(hidden, expected["base_hidden"][expected["mask"] == 1]) < 1e-12


def test_hidden_states_pooled_vectors_and_logits_of_the_mean_case():
    model, batch, expected = golden.tiny_case("mean")
    hidden = model.hidden_states(batch)
    assert relative(hidden, expected["hidden"][expected["mask"] == 1]) < 1e-12
    assert relative(layers.pool(hidden, batch.indptr, "mean"), expected["pooled"]) < 1e-12
    assert relative(model.logits(batch), expected["logits"]) < 1e-12


def test_logits_of_the_cls_case():
    model, batch, expected = golden.tiny_case("cls")
    assert relative(model.logits(batch), expected["logits"]) < 1e-12


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_loss_and_every_gradient(pooling):
    model, batch, expected = golden.tiny_case(pooling)
    loss, gradients = model.loss_and_gradients(batch, expected["labels"])
    assert loss == pytest.approx(float(expected["loss"]), rel=1e-12)
    wanted = golden.under(expected, "grad")
    assert gradients.keys() == wanted.keys()
    for name, gradient in gradients.items():
        assert relative(gradient, wanted[name]) < 1e-10, name


def test_five_steps_of_training():
    model, batch, expected = golden.tiny_case("mean")
    values = golden.under(expected, "init")
    moments = {name: (np.zeros_like(v), np.zeros_like(v)) for name, v in values.items()}
    for step in range(5):
        current = dataclasses.replace(model, weights=model.weights | values, lora=values)
        loss, gradients = current.loss_and_gradients(batch, expected["labels"])
        assert loss == pytest.approx(expected["step_losses"][step], rel=1e-9)
        clipped, norm = optimizer.clip_by_norm(list(gradients.values()), 0.5)
        assert norm == pytest.approx(expected["step_norms"][step], rel=1e-9)
        rate = optimizer.learning_rate(step, total=5, peak=1e-2, warmup=2)
        for name, gradient in zip(gradients, clipped, strict=True):
            values[name], *moments[name] = optimizer.adamw(
                values[name], gradient, *moments[name], step + 1, rate, weight_decay=0.1
            )
    final = golden.under(expected, "final")
    assert values.keys() == final.keys()
    for name, value in values.items():
        assert relative(value, final[name]) < 1e-8, name


def test_nf4_codes_and_scales_are_those_of_bitsandbytes():
    expected = golden.load("bitsandbytes_nf4")
    got = quantization.quantize(expected["w"].astype(np.float32), "nf4", 64)
    packed = got.codes.reshape(-1, 2)
    assert ((packed[:, 0] << 4 | packed[:, 1]) == expected["packed"]).all()
    assert (got.scales.reshape(-1) == expected["absmax"]).all()
    assert (got.dequantize() == expected["dequantized"]).all()


def test_dynamic_map_is_that_of_bitsandbytes():
    assert (quantization.dynamic_map() == golden.load("bitsandbytes_nf4")["dynamic_map"]).all()


def test_double_quantization_is_that_of_bitsandbytes():
    expected = golden.load("bitsandbytes_nf4")
    got = quantization.quantize(expected["w"].astype(np.float32), "nf4", 64, double_quant=True)
    double = got.double
    assert double is not None
    assert double.offset == pytest.approx(expected["double_offset"], rel=1e-6)
    np.testing.assert_allclose(double.block_scales, expected["double_block_scales"], rtol=1e-6)
    # bitsandbytes looks values up in 65536 bins, so one beside a border may go to the next level.
    other = double.codes != expected["double_codes"]
    assert other.mean() < 0.02
    levels, codes = quantization.dynamic_map().astype(float), expected["double_codes"][other]
    blocks = double.block_scales[np.flatnonzero(other) // 256]
    exact = quantization.quantize(expected["w"].astype(np.float32), "nf4", 64).scales
    normal = (exact.reshape(-1)[other] - double.offset) / blocks
    ours = np.abs(levels[double.codes[other]] - normal)
    assert (np.abs(levels[codes] - normal) - ours < 2**-15).all()
    rows = ~other.reshape(got.scales.shape).any(axis=1)
    difference = np.abs(got.dequantize() - expected["double_dequantized"])[rows]
    assert difference.max() < 1e-6


def test_minilm_sentences(minilm):
    expected = golden.load("minilm_sentences")
    model = Encoder(golden.read_weights(minilm), layer_count=6, heads=12)
    batch = Batch.from_padded(expected["ids"], expected["mask"])
    hidden = model.hidden_states(batch)
    assert np.abs(hidden[batch.indptr[:-1]] - expected["first_hidden"]).max() < 2e-5
    assert np.abs(hidden[batch.indptr[1:] - 1] - expected["last_hidden"]).max() < 2e-5
    vectors = layers.l2_normalize(layers.pool(hidden, batch.indptr, "mean"))
    assert np.abs(vectors - expected["embeddings"]).max() < 2e-6
