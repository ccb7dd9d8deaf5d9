"""The real all-MiniLM-L6-v2 beside torch, transformers and PEFT: states, gradients, adapters."""

from __future__ import annotations

import numpy as np
import pytest

import lowbit as lb
from lowbit.models import Classifier, Encoder

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
pytestmark = [pytest.mark.model, pytest.mark.filterwarnings("ignore")]

TEXTS = [
    "This film is a joy.",
    "A dull, overlong mess with nothing to say about its own premise, and no jokes either.",
    "ok",
    "Not bad at all: I liked the soup, my sister liked the cake, and the bill was fair.",
    "Never again.",
    "the cat sat on the mat " * 8,
]
LABELS = np.array([1, 0, 1, 1, 0, 0])


@pytest.fixture(scope="module")
def batch(minilm):
    tokenizer = lb.Tokenizer.from_file(minilm / "tokenizer.json")
    return tokenizer.encode_batch(TEXTS).pad()


def torch_inputs(batch) -> dict:
    ids, mask = (torch.tensor(array.astype(np.int64)) for array in batch)
    return {"input_ids": ids, "attention_mask": mask}


@pytest.fixture(scope="module")
def states(minilm, batch) -> np.ndarray:
    model = transformers.BertModel.from_pretrained(minilm).eval()
    with torch.no_grad():
        return model(**torch_inputs(batch)).last_hidden_state.numpy()


def vectors_of(states: np.ndarray, mask: np.ndarray) -> np.ndarray:
    mean = (states * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


# record_property writes what was found beside its limit: pytest tests/live --junitxml=found.xml
def test_hidden_states_equal_those_of_transformers(minilm, batch, states, record_property):
    ours = Encoder.from_pretrained(minilm).hidden_states(*batch)
    mask = batch[1].astype(bool)
    difference = np.abs(ours[mask] - states[mask]).max()
    record_property("largest difference", float(difference))
    assert difference <= 2e-5


@pytest.mark.parametrize(
    ("format", "embeddings", "least"),
    [("fp32", "fp32", 0.99999), ("bf16", "bf16", 0.9999), ("int8", "fp32", 0.999)],
)
def test_sentence_vectors_are_those_of_transformers(
    minilm, batch, states, format, embeddings, least, record_property
):
    model = Encoder.from_pretrained(minilm, format=format, embeddings=embeddings)
    cosine = (model.embed(TEXTS) * vectors_of(states, batch[1])).sum(axis=1)
    record_property("lowest cosine", float(cosine.min()))
    assert cosine.min() >= least


def torch_logits(model, pooling: str, batch):
    """Logits of BertForSequenceClassification, or of its parts with mean pooling."""
    inputs = torch_inputs(batch)
    if pooling == "cls":
        return model(**inputs).logits
    parts = model.base_model.model
    states = parts.bert(**inputs).last_hidden_state
    mask = inputs["attention_mask"][..., None].float()
    return parts.classifier((states * mask).sum(1) / mask.sum(1))


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_peft_loads_our_adapter_with_equal_logits_and_gradients(
    minilm, batch, pooling, tmp_path, record_property
):
    ours = Classifier.from_pretrained(
        minilm, format="fp32", embeddings="fp32", pooling=pooling, seed=1
    )
    generator = np.random.default_rng(5)
    for name in ours.parameters.names():
        if name.endswith("lora_B"):
            array = ours.parameters[name]
            array[:] = generator.normal(0, 0.02, array.shape)
    ours.save_adapter(tmp_path / "adapter")

    base = transformers.BertForSequenceClassification.from_pretrained(minilm, num_labels=2)
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter", is_trainable=True)
    for module in theirs.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    logits = torch_logits(theirs, pooling, batch)
    tokens = ours.tokenize(TEXTS).batch(np.arange(len(TEXTS)))
    difference = np.abs(ours.logits(tokens) - logits.detach().numpy()).max()
    record_property("largest difference of logits", float(difference))
    assert difference <= 1e-4

    torch.nn.functional.cross_entropy(logits, torch.tensor(LABELS)).backward()
    ours.loss_and_gradients(tokens, LABELS)
    errors = {}
    for name, parameter in theirs.named_parameters():
        name = name.removeprefix("base_model.model.").replace("modules_to_save.default.", "")
        name = name.removesuffix(".weight").removesuffix(".default")
        name = f"{name}.weight" if name == "classifier" else name
        if parameter.grad is not None and name in ours.parameters:
            expected = parameter.grad.numpy()
            difference = np.linalg.norm(ours.parameters.gradient(name) - expected)
            errors[name] = float(difference / np.linalg.norm(expected))
    record_property("largest relative error of a gradient", max(errors.values()))
    assert len(errors) == len(ours.parameters.names())
    assert max(errors.values()) <= 1e-4


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_we_load_an_adapter_of_peft_with_equal_logits(
    minilm, batch, pooling, tmp_path, record_property
):
    base = transformers.BertForSequenceClassification.from_pretrained(minilm, num_labels=2)
    config = peft.LoraConfig(
        task_type="SEQ_CLS",
        r=4,
        lora_alpha=12,
        lora_dropout=0.1,
        target_modules=["query", "value", "attention.output.dense"],
    )
    theirs = peft.get_peft_model(base, config).eval()
    for name, parameter in theirs.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    theirs.save_pretrained(tmp_path)
    ours = Classifier.from_pretrained(
        minilm, format="fp32", embeddings="fp32", pooling=pooling, adapter=tmp_path
    )
    tokens = ours.tokenize(TEXTS).batch(np.arange(len(TEXTS)))
    with torch.no_grad():
        expected = torch_logits(theirs, pooling, batch).numpy()
    difference = np.abs(ours.logits(tokens) - expected).max()
    record_property("largest difference of logits", float(difference))
    assert difference <= 1e-4
