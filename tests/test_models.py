"""Encoder and Classifier on a tiny random model: batches, training, adapters, refusals."""

import itertools
import warnings
from pathlib import Path

import numpy as np
import pytest

import lowbit as lb
from lowbit.files import FileFormatError
from lowbit.models import Classifier, Encoder, TokenBatch, TruncationWarning
from lowbit.models.training import Checkpoint, Evaluation, Step, TrainingOptions
from tiny_model import reviews, write_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


def classifier(folder: Path, **options) -> Classifier:
    settings = {"format": "fp32", "embeddings": "fp32", "labels": ["bad", "good"]} | options
    return Classifier.from_pretrained(folder, **settings)


# Encoder


def test_texts_in_a_batch_do_not_see_each_other(folder):
    encoder = Encoder.from_pretrained(folder)
    texts, _ = reviews(20)
    together = encoder.embed(texts, batch_size=20)
    alone = np.concatenate([encoder.embed([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-6)


def test_a_padded_batch_gives_the_states_of_its_real_tokens(folder):
    encoder = Encoder.from_pretrained(folder)
    batch = encoder.tokenizer.encode_batch(reviews(5)[0])
    packed = encoder(TokenBatch.from_ids(batch.ids, batch.indptr))
    ids, mask = batch.pad(multiple_of=8)
    padded = encoder.hidden_states(ids, mask)
    np.testing.assert_array_equal(padded[mask.astype(bool)], packed)
    assert not padded[~mask.astype(bool)].any()
    # Padding on the left moves the positions, as it does in transformers.
    moved = encoder.hidden_states(ids[:, ::-1], mask[:, ::-1])
    assert np.abs(moved[:, ::-1][mask.astype(bool)] - packed).max() > 1e-3


@pytest.mark.parametrize("format", ["bf16", "int8", "int4", "nf4"])
def test_low_bit_encoders_stay_near_the_float_one(folder, format):
    texts, _ = reviews(40)
    exact = Encoder.from_pretrained(folder).embed(texts)
    model = Encoder.from_pretrained(folder, format=format, group_size=16, embeddings="int8")
    cosine = (model.embed(texts) * exact).sum(axis=1)
    assert cosine.mean() > (0.999 if format in ("bf16", "int8") else 0.9)
    assert model.nbytes < model.nbytes_fp32


def test_embed_of_nothing_and_of_empty_texts(folder):
    encoder = Encoder.from_pretrained(folder)
    assert encoder.embed([]).shape == (0, 32)
    assert np.isfinite(encoder.embed(["", " "])).all()


def test_long_texts_are_cut_with_a_warning(folder):
    encoder = Encoder.from_pretrained(folder)
    long = "good " * 100
    with pytest.warns(TruncationWarning, match="1 of 2 texts have more than 40 tokens"):
        vectors = encoder.embed([long, "good"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = encoder.embed(["good " * 38])
    np.testing.assert_allclose(vectors[0], kept[0], atol=1e-6)


def test_positions_beyond_the_table_are_an_error_not_a_crash(folder):
    encoder = Encoder.from_pretrained(folder)
    batch = TokenBatch.from_ids(np.full(41, 5), np.array([0, 41]))
    with pytest.raises(IndexError, match="position id 40"):
        encoder(batch)


@pytest.mark.parametrize("texts", ["one string", ["fine", 3], [None]])
def test_what_is_no_list_of_strings_is_refused(folder, texts):
    with pytest.raises(TypeError, match=r"string|texts\["):
        Encoder.from_pretrained(folder).embed(texts)


# Gradients


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradients_by_finite_differences(folder, pooling, dropout):
    model = classifier(folder, pooling=pooling, lora=lb.LoraConfig(rank=2, alpha=4, dropout=0.2))
    generator = np.random.default_rng(1)
    values = model.parameters.values
    values += generator.normal(0, 0.1, values.size).astype(np.float32)
    texts, labels = reviews(6)
    batch = model.tokenize(texts).batch(np.arange(6))
    model.loss_and_gradients(batch, labels, dropout, seed=3)
    gradient = model.parameters.gradients.copy()
    # Along random directions: one number checks all gradients at once.
    for _ in range(4):
        direction = generator.choice([-1.0, 1.0], values.size).astype(np.float32)
        kept, losses = values.copy(), []
        for sign in (1, -1):
            values[:] = kept + sign * 1e-3 * direction
            losses.append(model.loss_and_gradients(batch, labels, dropout, seed=3))
        values[:] = kept
        slope = (losses[0] - losses[1]) / 2e-3
        assert slope == pytest.approx(float(gradient @ direction), rel=2e-2, abs=2e-3)


# Training


def test_training_learns_and_keeps_the_best_state(folder, tmp_path):
    texts, labels = reviews(200)
    held, held_labels = reviews(80, seed=1)
    model = classifier(folder, format="nf4", embeddings="int8", group_size=16)
    before = model.score(held, held_labels)
    events = []
    history = model.fit(
        texts,
        labels,
        epochs=10,
        lr=2e-2,
        evaluation=(held, held_labels),
        checkpoint=tmp_path / "adapter",
        on_event=events.append,
    )
    after = model.score(held, held_labels)
    assert after > max(0.8, before)
    assert after == max(evaluation.accuracy for evaluation in history.evaluations)
    assert len(history.steps) == 10 * 7
    assert {type(event) for event in events} == {Step, Evaluation, Checkpoint}
    assert history.examples_per_second > 0
    again = classifier(
        folder, format="nf4", embeddings="int8", group_size=16, adapter=tmp_path / "adapter"
    )
    np.testing.assert_array_equal(again.predict_proba(held), model.predict_proba(held))
    assert again.label_names == ["bad", "good"]


def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads(folder):
    texts, labels = reviews(64)
    before, results = lb.get_num_threads(), []
    try:
        for threads, seed in ((1, 7), (2, 7), (3, 7), (1, 8)):
            lb.set_num_threads(threads)
            model = classifier(folder, lora=lb.LoraConfig(rank=4, alpha=8, dropout=0.1))
            model.fit(texts, labels, epochs=2, dropout=0.2, seed=seed)
            results.append(model.parameters.values.copy())
    finally:
        lb.set_num_threads(before)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    assert not np.array_equal(results[0], results[3])


def test_ctrl_c_leaves_a_valid_checkpoint(folder, tmp_path):
    texts, labels = reviews(64)
    model = classifier(folder)

    def stop(event):
        if isinstance(event, Step) and event.step == 3:
            raise KeyboardInterrupt

    history = model.fit(texts, labels, epochs=5, checkpoint=tmp_path / "a", on_event=stop)
    assert history.interrupted
    assert len(history.steps) == 3
    again = classifier(folder, adapter=tmp_path / "a")
    np.testing.assert_array_equal(again.predict_proba(texts), model.predict_proba(texts))


def test_a_failed_save_leaves_the_old_adapter_and_the_training_says_so(
    folder, tmp_path, monkeypatch
):
    texts, labels = reviews(40)
    model = classifier(folder)
    target = tmp_path / "adapter"
    model.save_adapter(target)
    old = (target / "adapter_model.safetensors").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lowbit.adapters.peft_format.write_safetensors", full)
    with pytest.raises(OSError, match="No space left"):
        model.fit(texts, labels, epochs=1, checkpoint=target)
    assert (target / "adapter_model.safetensors").read_bytes() == old
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter"]


def test_gradients_that_are_no_numbers_stop_training(folder):
    texts, labels = reviews(40)
    model = classifier(folder)
    model.parameters["classifier.weight"][:] = np.nan
    kept = model.parameters["classifier.bias"].copy()
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        model.fit(texts, labels, epochs=1)
    np.testing.assert_array_equal(model.parameters["classifier.bias"], kept)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [0] * 10}, "every label is 0"),
        ({"labels": [0, 1] * 4 + [0, 2]}, r"labels\[9\] is 2"),
        ({"labels": [0, 1] * 4 + [0, -1]}, r"labels\[9\] is -1"),
        ({"labels": [0, 1]}, "10 texts but labels of shape"),
        ({"labels": [0.5] * 10}, "dtype"),
        ({"epochs": 0}, "epochs=0"),
        ({"lr": -1.0}, "lr=-1.0"),
        ({"lr": float("nan")}, "lr=nan"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_bad_training_arguments_are_named(folder, change, message):
    arguments = {"texts": reviews(10)[0], "labels": [0, 1] * 5} | change
    with pytest.raises(ValueError, match=message):
        classifier(folder).fit(**arguments)


def test_schedule_warms_up_and_decays():
    options = TrainingOptions(lr=1.0)
    rates = [options.learning_rate(step, 100) for step in range(100)]
    assert rates[0] == 0
    assert max(rates) == rates[10] == 1
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(1 / 90)


# Adapters and merging


def test_an_adapter_that_does_not_fit_changes_nothing(folder, tmp_path):
    other = write_tiny_model(tmp_path / "other", hidden_size=16, intermediate_size=32)
    classifier(other).save_adapter(tmp_path / "adapter")
    model = classifier(folder)
    kept = model.parameters.values.copy()
    with pytest.raises(FileFormatError):
        model.load_adapter(tmp_path / "adapter")
    np.testing.assert_array_equal(model.parameters.values, kept)
    classifier(folder, pooling="cls").save_adapter(tmp_path / "cls")
    with pytest.raises(FileFormatError, match="pooling"):
        model.load_adapter(tmp_path / "cls")


def test_merging_into_float_weights_keeps_the_logits(folder):
    texts, labels = reviews(64)
    model = classifier(folder)
    model.fit(texts, labels, epochs=2, lr=5e-3)
    before = model.predict_proba(texts)
    reports = model.merge()
    np.testing.assert_allclose(model.predict_proba(texts), before, atol=1e-5)
    assert len(reports) == 12
    assert all(0.999 < report.kept < 1.001 for report in reports.values())
    assert model.merge() == {}
    with pytest.raises(ValueError, match="merged"):
        model.save_adapter("nowhere")


def test_merging_into_four_bits_reports_a_loss(folder):
    texts, labels = reviews(64)
    model = classifier(folder, format="nf4", group_size=16)
    model.fit(texts, labels, epochs=1, lr=1e-4)
    reports = model.merge()
    assert all(report.relative_error > 0.2 for report in reports.values())


def test_targets_and_ranks_can_differ_by_module(folder):
    lora = lb.LoraConfig(
        rank=2, alpha=4, target_modules=["query", "value"], rank_pattern={"value": 3}
    )
    model = classifier(folder, lora=lora)
    assert len(model.targets) == 4
    assert model.trainable_parameters == 2 * (2 * 64 + 3 * 64) + 2 * 32 + 2
    texts, labels = reviews(40)
    model.fit(texts, labels, epochs=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "int3"}, 'format="int3"'),
        ({"embeddings": "int3"}, 'format="int3"'),
        ({"pooling": "max"}, 'pooling="max"'),
        ({"labels": ["one"]}, "at least two"),
        ({"lora": lb.LoraConfig(target_modules=["queries"])}, "queries"),
    ],
)
def test_bad_model_arguments_are_named(folder, options, message):
    with pytest.raises(ValueError, match=message):
        classifier(folder, **options)
