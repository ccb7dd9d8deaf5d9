"""Classifiers and encoders that are trained with rounding, and what they are saved as."""

import json
from pathlib import Path

import numpy as np
import pytest

import lowbit as lb
from lowbit.models import Classifier, Encoder, distill
from lowbit.models.layers import Linear
from lowbit.models.qat import RoundedLinear, weight_gradient
from lowbit.quantization import QatConfig, quantize
from tiny_model import reviews, write_tiny_model

CONFIGS = [
    QatConfig("int4", 16),
    QatConfig("nf4", 16, double_quant=True),
    QatConfig("int8", None),
    QatConfig("int4", 16, learned_step=True),
    QatConfig("int4", 16, bits=2, learned_step=True),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


def classifier(folder: Path, config: QatConfig | None, **options) -> Classifier:
    settings = {"labels": ["bad", "good"], "embeddings": "fp32"} | options
    return Classifier.from_pretrained(folder, qat=config, **settings)


def parts(encoder: Encoder) -> dict[str, np.ndarray]:
    """Every array of every packed linear layer."""
    found = {}
    for name, linear in encoder.linears().items():
        packed = lb.QuantizedMatrix(linear.weight)
        found |= {f"{name}.codes": packed.codes(), f"{name}.scales": packed.scales()}
        found[f"{name}.bias"] = linear.bias
    return found


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert np.array_equal(one[name], other[name]), name


# Gradients


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradients_of_weights_by_finite_differences(folder, pooling, dropout):
    model = classifier(folder, QatConfig("fp32", compute="fp32"), pooling=pooling)
    generator = np.random.default_rng(1)
    values = model.parameters.values
    texts, labels = reviews(6)
    batch = model.tokenize(texts).batch(np.arange(6))
    model.loss_and_gradients(batch, labels, dropout, seed=3)
    gradient = model.parameters.gradients.copy()
    assert np.count_nonzero(gradient) > 0.95 * gradient.size
    for _ in range(4):
        direction = generator.choice([-1.0, 1.0], values.size).astype(np.float32)
        kept, losses = values.copy(), []
        for sign in (1, -1):
            values[:] = kept + sign * 1e-4 * direction
            losses.append(model.loss_and_gradients(batch, labels, dropout, seed=3))
        values[:] = kept
        slope = (losses[0] - losses[1]) / 2e-4
        assert slope == pytest.approx(float(gradient @ direction), rel=2e-2, abs=2e-3)


def test_gradients_are_those_at_the_rounded_weights(folder):
    """Straight through: what a model in float32 has whose weights are the rounded ones."""
    texts, labels = reviews(20)
    rounded = classifier(folder, QatConfig("int4", 16, compute="fp32"))
    exact = classifier(folder, QatConfig("fp32", compute="fp32"))
    weights = {n: w for n, w in rounded.linears().items() if isinstance(w, RoundedLinear)}
    assert len(weights) == 12
    for name, linear in weights.items():
        dense = lb.QuantizedMatrix(linear.weight).dequantize()
        exact.parameters[f"{name}.weight"][...] = dense
    batch = rounded.tokenize(texts).batch(np.arange(20))
    for model in (rounded, exact):
        model.loss_and_gradients(batch, labels)
    cut = 0
    for name in rounded.parameters.names():
        got, want = (model.parameters.gradient(name) for model in (rounded, exact))
        passed = np.ones(got.shape, bool)
        if name.removesuffix(".weight") in weights:
            w = rounded.parameters[name]
            passed = np.abs(w - exact.parameters[name]) < np.abs(w).max() / 10
            scales = np.repeat(quantize(w, "int4", 16).scales(), 16, axis=1)
            passed = np.rint(w / scales) <= 7
            cut += (~passed).sum()
        np.testing.assert_allclose(got, want * passed, rtol=1e-3, atol=1e-6)
    assert cut > 0


def test_weight_gradients_are_products_with_the_same_bits_on_any_threads(same_bits):
    rng = np.random.default_rng(0)
    dy, x = (rng.standard_normal((301, n), dtype=np.float32) for n in (70, 90))
    exact = dy.T.astype(np.float64) @ x
    for compute, bound in (("fp32", 1e-4), ("int16", 2e-2)):
        assert np.abs(weight_gradient(dy, x, compute) - exact).max() < bound
        same_bits(lambda compute=compute: [weight_gradient(dy, x, compute)])


# Training


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads(folder, config, same_bits):
    texts, labels = reviews(64)

    def run() -> list[np.ndarray]:
        model = classifier(folder, config)
        model.fit(texts, labels, epochs=1, dropout=0.2, seed=7, lr=1e-3)
        return [model.parameters.values]

    same_bits(run)


@pytest.mark.parametrize("learned_step", [False, True])
def test_training_recovers_what_rounding_loses(folder, learned_step):
    texts, labels = reviews(400)
    held, held_labels = reviews(200, seed=1)
    model = classifier(folder, QatConfig("fp32"))
    model.fit(texts, labels, epochs=6, lr=3e-3)
    exact, _ = model.evaluate(held, held_labels)
    model.prepare_qat(QatConfig("int4", 16, bits=2, learned_step=learned_step))
    rounded, _ = model.evaluate(held, held_labels)
    model.fit(texts, labels, epochs=6, lr=1e-3)
    trained, accuracy = model.evaluate(held, held_labels)
    assert rounded > exact + (0.03 if learned_step else 0.1)
    assert trained < exact + 0.3 * (rounded - exact) and accuracy > 0.9


def test_learned_steps_and_biases_move(folder):
    texts, labels = reviews(64)
    model = classifier(folder, QatConfig("int4", 16, learned_step=True))
    before = {name: model.parameters[name].copy() for name in model.parameters.names()}
    model.fit(texts, labels, epochs=2, lr=1e-3)
    for name, value in before.items():
        assert not np.array_equal(model.parameters[name], value), name


def test_what_is_shared_stays_as_it_was(folder):
    encoder = Encoder.from_pretrained(folder, format="nf4", group_size=16)
    texts, labels = reviews(40)
    before = encoder.embed(texts)
    model = Classifier(encoder, ["bad", "good"], lb.LoraConfig(rank=2))
    model.prepare_qat(QatConfig("int4", 16))
    model.fit(texts, labels, epochs=1)
    assert np.array_equal(encoder.embed(texts), before)
    assert encoder.format == "nf4"


def test_scaled_inputs_are_part_of_the_float_weights(folder):
    texts, _ = reviews(60)
    options = {"format": "int8", "group_size": None, "method": "smoothquant", "calibrate": texts}
    encoder = Encoder.from_pretrained(folder, **options)
    assert any(linear.input_scale is not None for linear in encoder.linears().values())
    model = Classifier(encoder, ["bad", "good"], lb.LoraConfig(rank=2))
    before = model.predict_proba(texts)
    model.prepare_qat(QatConfig("fp32"))
    np.testing.assert_allclose(model.predict_proba(texts), before, atol=1e-4)


def test_adapters_are_added_to_the_float_weights(folder):
    texts, labels = reviews(64)
    model = classifier(folder, None, format="fp32")
    model.fit(texts, labels, epochs=2, lr=5e-3)
    before = model.predict_proba(texts)
    model.prepare_qat(QatConfig("fp32"))
    np.testing.assert_allclose(model.predict_proba(texts), before, atol=1e-5)
    # And again, from the same float weights, rounded or not.
    values = model.parameters["bert.encoder.layer.0.output.dense.weight"].copy()
    model.prepare_qat(QatConfig("int4", 16))
    model.prepare_qat(QatConfig("int8", None))
    assert np.array_equal(model.parameters["bert.encoder.layer.0.output.dense.weight"], values)


# Files


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_the_packed_model_predicts_what_training_saw(folder, tmp_path, config, pooling):
    texts, labels = reviews(64)
    model = classifier(folder, config, pooling=pooling)
    model.fit(texts, labels, epochs=1, lr=1e-3, evaluation=(texts, labels))
    seen = model.predict_proba(texts)
    packed = model.quantized()
    assert np.array_equal(packed.predict_proba(texts), seen)
    assert packed.encoder.format == config.format
    assert {type(linear) for linear in packed.linears().values()} == {Linear}
    packed.save(tmp_path / "saved")
    again = Classifier.from_pretrained(tmp_path / "saved")
    assert again.label_names == ["bad", "good"] and again.pooling == pooling
    np.testing.assert_allclose(again.predict_proba(texts), seen, rtol=1e-6)
    assert_same(parts(again.encoder), parts(packed.encoder))
    # What was packed stays, whatever becomes of the trained weights.
    model.fit(texts, labels, epochs=1, lr=1e-2)
    assert np.array_equal(packed.predict_proba(texts), seen)
    encoder = Encoder.from_pretrained(tmp_path / "saved")
    assert np.array_equal(encoder.embed(texts), packed.encoder.embed(texts))


def test_the_saved_configuration_is_that_of_a_classifier(folder, tmp_path):
    classifier(folder, QatConfig("int4", 16)).quantized().save(tmp_path / "saved")
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert config["id2label"] == {"0": "bad", "1": "good"}
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["hidden_size"] == 32


def test_a_classifier_without_rounding_is_saved_in_float(folder, tmp_path):
    texts, labels = reviews(40)
    model = classifier(folder, QatConfig("fp32"))
    model.fit(texts, labels, epochs=1, lr=1e-3)
    model.quantized().save(tmp_path / "saved")
    again = Classifier.from_pretrained(tmp_path / "saved", format="fp32", embeddings="fp32")
    np.testing.assert_allclose(again.predict_proba(texts), model.predict_proba(texts), atol=1e-6)


# Distillation


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_distilled_encoders_stay_nearer_on_texts_that_they_have_not_seen(folder, config):
    texts, others = reviews(400, seed=1)[0], reviews(60, seed=2)[0]
    teacher = Encoder.from_pretrained(folder)
    losses = []
    student = distill(
        teacher, teacher, texts, config, epochs=8, lr=1e-3, on_event=lambda e: losses.append(e.loss)
    )
    assert len(losses) == 8 * 13
    assert np.mean(losses[-5:]) < (0.6 if config.format != "int8" else 1.0) * losses[0]
    exact = teacher.embed(others)
    drift = 1 - (student.embed(others) * exact).sum(axis=1).mean()
    assert student.format == config.format
    if config.format == "int4" and config.bits is None:
        plain = Encoder.from_pretrained(folder, format="int4", group_size=16)
        assert drift < 0.6 * (1 - (plain.embed(others) * exact).sum(axis=1).mean())


def test_a_distilled_encoder_is_saved_and_makes_up_for_its_word_table(folder, tmp_path):
    texts = reviews(200)[0]
    teacher = Encoder.from_pretrained(folder)
    student = Encoder.from_pretrained(folder, embeddings="nf4")
    result = distill(student, teacher, texts, QatConfig("int4", 16), steps=5)
    assert result.word_embeddings.format == "nf4" and student.format == "fp32"
    result.save(tmp_path / "saved")
    again = Encoder.from_pretrained(tmp_path / "saved")
    assert np.array_equal(again.embed(texts), result.embed(texts))


# Refusals


def test_what_cannot_be_done_is_said(folder, tmp_path):
    texts, labels = reviews(20)
    adapted = classifier(folder, None)
    adapted.save_adapter(tmp_path / "adapter")
    with pytest.raises(ValueError, match="see prepare_qat"):
        adapted.quantized()
    with pytest.raises(ValueError, match="has an adapter"):
        adapted.save(tmp_path / "x")
    with pytest.raises(ValueError, match="lora or qat"):
        classifier(folder, QatConfig(), lora=lb.LoraConfig())
    model = classifier(folder, QatConfig("int4", 16))
    with pytest.raises(ValueError, match="is being trained; save what quantized"):
        model.save(tmp_path / "x")
    with pytest.raises(ValueError, match="no layer has an adapter"):
        model.save_adapter(tmp_path / "x")
    with pytest.raises(ValueError, match="before prepare_qat"):
        model.load_adapter(tmp_path / "adapter")
    with pytest.raises(ValueError, match="checkpoint is for adapters"):
        model.fit(texts, labels, checkpoint=tmp_path / "x")
    with pytest.raises(ValueError, match="there are no texts"):
        distill(model.encoder, model.encoder, [])
    assert not (tmp_path / "x").exists()


def test_distillation_between_different_models_is_refused(folder, tmp_path):
    other = write_tiny_model(tmp_path / "other", hidden_size=16, intermediate_size=32)
    student, teacher = Encoder.from_pretrained(folder), Encoder.from_pretrained(other)
    with pytest.raises(ValueError, match="must be the same"):
        distill(student, teacher, ["good"])
