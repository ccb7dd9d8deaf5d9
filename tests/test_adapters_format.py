"""Adapters in PEFT's files: exact when good, refused by name when not."""

import json
import os
import re

import numpy as np
import pytest

from lowbit.adapters.config import LoraConfig
from lowbit.adapters.peft_format import (
    load_adapter,
    read_adapter_notes,
    save_adapter,
)
from lowbit.errors import FileFormatError
from lowbit.files.safetensors import read_safetensors, write_safetensors

SHAPES = {
    f"encoder.layer.{layer}.{name}": shape
    for layer in range(2)
    for name, shape in (
        ("attention.self.query", (8, 8)),
        ("attention.self.value", (8, 8)),
        ("attention.output.dense", (8, 8)),
        ("output.dense", (8, 16)),
    )
}
SAVED = {"classifier.weight": (3, 8), "classifier.bias": (3,)}
QUERY = "encoder.layer.0.attention.self.query"


def adapter_tensors(config, modules=None) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    tensors = {}
    for module in config.find_targets(SHAPES) if modules is None else modules:
        rows, columns = SHAPES[module]
        rank = config.rank_of(module)
        tensors[f"{module}.lora_A.weight"] = generator.standard_normal((rank, columns), np.float32)
        tensors[f"{module}.lora_B.weight"] = generator.standard_normal((rows, rank), np.float32)
    if config.modules_to_save:
        for name, shape in SAVED.items():
            tensors[name] = generator.standard_normal(shape, np.float32)
    return tensors


@pytest.fixture
def adapter(tmp_path):
    """A good adapter folder; tests then break one thing."""
    config = LoraConfig(rank=4, alpha=8, dropout=0.1, modules_to_save=["classifier"])
    save_adapter(tmp_path / "adapter", config, adapter_tensors(config), "org/model")
    return tmp_path / "adapter"


def change_config(folder, **changes):
    path = folder / "adapter_config.json"
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not ...}))


def change_tensors(folder, change):
    path = folder / "adapter_model.safetensors"
    tensors = read_safetensors(path)
    change(tensors)
    write_safetensors(path, tensors)


def test_saved_files_are_those_of_peft(adapter):
    assert sorted(os.listdir(adapter)) == ["adapter_config.json", "adapter_model.safetensors"]
    values = json.loads((adapter / "adapter_config.json").read_text())
    assert values["peft_type"] == "LORA" and values["task_type"] == "SEQ_CLS"
    assert (values["r"], values["lora_alpha"], values["lora_dropout"]) == (4, 8, 0.1)
    assert values["target_modules"] == sorted(SHAPES)
    assert values["modules_to_save"] == ["classifier"]
    assert values["base_model_name_or_path"] == "org/model"
    tensors = read_safetensors(adapter / "adapter_model.safetensors")
    assert tensors[f"base_model.model.{QUERY}.lora_A.weight"].shape == (4, 8)
    assert tensors["base_model.model.classifier.bias"].shape == (3,)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rank": 3, "use_rslora": True, "target_modules": ["query"]},
        {"target_modules": ".*output.*", "rank_pattern": {"attention.output.dense": 2}},
        {"modules_to_save": ["classifier"], "alpha_pattern": {r"layer\.1\..*": 4.5}},
        {"task_type": "FEATURE_EXTRACTION", "layers_to_transform": [0], "alpha": 7.5},
    ],
)
def test_load_returns_what_was_saved(tmp_path, options):
    config = LoraConfig(**options)
    tensors = adapter_tensors(config)
    save_adapter(tmp_path / "a", config, tensors)
    saved = SAVED if config.modules_to_save else {}
    loaded, arrays = load_adapter(tmp_path / "a", SHAPES, saved)
    assert arrays.keys() == tensors.keys()
    for name in tensors:
        np.testing.assert_array_equal(arrays[name], tensors[name])
    for module in config.find_targets(SHAPES):
        assert loaded.scale_of(module) == config.scale_of(module)
    assert loaded.find_targets(SHAPES) == config.find_targets(SHAPES)
    assert loaded.task_type == (options.get("task_type") or ("SEQ_CLS" if saved else None))


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("bert-base-uncased", "bert-base-uncased"),
        ("org/model", "org/model"),
        ("/home/jane/model", None),
        ("~/model", None),
        ("./model", None),
        ("jane/private/model", None),
        (r"C:\Users\jane\model", None),
        (None, None),
    ],
)
def test_local_paths_are_not_published(tmp_path, name, written):
    config = LoraConfig(rank=4)
    save_adapter(tmp_path / "a", config, adapter_tensors(config), name)
    text = (tmp_path / "a" / "adapter_config.json").read_text()
    assert json.loads(text)["base_model_name_or_path"] == written
    save_adapter(tmp_path / "a", config, adapter_tensors(config), name, keep_local_path=True)
    assert load_adapter(tmp_path / "a")[0].base_model_name == name


def test_existing_folder_name_is_not_published(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    config = LoraConfig(rank=4)
    save_adapter(tmp_path / "a", config, adapter_tensors(config), "mine")
    assert load_adapter(tmp_path / "a")[0].base_model_name is None


def test_notes_are_kept_and_replaced(tmp_path, adapter):
    config = LoraConfig(rank=4)
    assert read_adapter_notes(adapter) == {}
    save_adapter(adapter, config, adapter_tensors(config), notes={"pooling": "mean"})
    assert read_adapter_notes(adapter) == {"pooling": "mean"}
    save_adapter(adapter, config, adapter_tensors(config))
    assert read_adapter_notes(adapter) == {}


def drop_half(tensors):
    del tensors[f"{QUERY}.lora_B.weight"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (drop_half, ValueError, "lora_B.weight' is missing"),
        (lambda t: t.clear(), ValueError, "no LoRA matrices"),
        (lambda t: t.update(stray=np.ones(3)), ValueError, "neither a LoRA matrix nor in"),
        (lambda t: t.pop("classifier.weight") is t.pop("classifier.bias"), ValueError, "no tensor"),
        (
            lambda t: t.update({f"{QUERY}.lora_A.weight": np.ones((5, 8))}),
            ValueError,
            "expected rank 4 on axis 0",
        ),
        (
            lambda t: t.update({f"{QUERY}.lora_A.weight": np.ones(8)}),
            ValueError,
            "must be a matrix",
        ),
        (
            lambda t: t.update({f"{QUERY}.lora_A.weight": np.full((4, 8), np.nan)}),
            ValueError,
            "NaN or infinity",
        ),
        (
            lambda t: t.update({f"{QUERY}.lora_A.weight": np.ones((4, 8), int)}),
            TypeError,
            "array of floats",
        ),
    ],
)
def test_save_refuses_and_keeps_the_old_adapter(adapter, change, error, message):
    before = {p.name: p.read_bytes() for p in adapter.iterdir()}
    config = LoraConfig(rank=4, modules_to_save=["classifier"])
    tensors = adapter_tensors(config)
    change(tensors)
    with pytest.raises(error, match=re.escape(message)):
        save_adapter(adapter, config, tensors)
    assert {p.name: p.read_bytes() for p in adapter.iterdir()} == before


BAD_CONFIGS = [
    ({"peft_type": "VERA"}, "peft_type 'VERA' is not supported; use LORA"),
    ({"peft_type": ["LORA"]}, "peft_type ['LORA'] is not supported"),
    ({"r": ...}, "r is missing"),
    ({"target_modules": None}, "target_modules is missing"),
    ({"r": "8"}, "rank must be a whole number; got '8'"),
    ({"r": 10**9}, "rank must be 1 to 1024"),
    ({"r": 8}, "expected rank 8 on axis 0; got shape (4, 8)"),
    ({"lora_alpha": 0}, "alpha must be above 0"),
    ({"lora_dropout": 7.0}, "dropout must be in [0, 1)"),
    ({"bias": "lora_only"}, "bias='lora_only' is not supported"),
    ({"use_dora": True}, "'use_dora' = True is not supported"),
    ({"lora_bias": True}, "'lora_bias' = True is not supported"),
    ({"fan_in_fan_out": True}, "'fan_in_fan_out' = True is not supported"),
    ({"use_qalora": True}, "'use_qalora'"),
    ({"target_parameters": ["w"]}, "'target_parameters'"),
    ({"layer_replication": [[0, 2]]}, "'layer_replication'"),
    ({"alora_invocation_tokens": [1]}, "'alora_invocation_tokens'"),
    ({"megatron_config": {"a": 1}}, "'megatron_config'"),
    ({"invented_later": 3}, "'invented_later' = 3 is not supported"),
    ({"init_lora_weights": "pissa"}, "'pissa' changes the base weights"),
    ({"init_lora_weights": {"a": 1}}, "changes the base weights"),
    ({"target_modules": ["query", "misspelt"]}, "entry 'misspelt' reaches no module"),
    ({"target_modules": ["query"]}, "has matrices but is not in target_modules"),
    ({"target_modules": "(.+.?)+!"}, "reaches none of the 8 modules"),
    ({"target_modules": r"(?<=x)query"}, "pattern '(?<=x)query' uses (?...)"),
    ({"rank_pattern": {"query": 5}}, "expected rank 5"),
    ({"modules_to_save": None}, "neither a LoRA matrix nor in modules_to_save"),
]


@pytest.mark.parametrize(("change", "message"), BAD_CONFIGS)
def test_load_refuses_config(adapter, change, message):
    change_config(adapter, **change)
    with pytest.raises(FileFormatError, match=re.escape(message)) as caught:
        load_adapter(adapter)
    assert str(adapter) in str(caught.value) and len(str(caught.value)) < 800


def test_load_accepts_settings_without_effect(adapter):
    change_config(
        adapter,
        peft_version="0.21.2",
        loftq_config={"bits": 4},
        qalora_group_size=16,
        megatron_core="megatron.core",
        use_dora=False,
        eva_config=None,
        invented_later=None,
        init_lora_weights="gaussian",
    )
    assert load_adapter(adapter, SHAPES, SAVED)[0].rank == 4


KEY = "base_model.model." + QUERY
BAD_TENSORS = [
    (lambda t: t.pop(f"{KEY}.lora_A.weight"), "lora_A.weight' is missing"),
    (lambda t: t.pop(f"{KEY}.lora_A.weight") is t.pop(f"{KEY}.lora_B.weight"), "reaches no module"),
    (lambda t: t.update({"other.lora_A.weight": np.ones((4, 8))}), "does not begin with base_mod"),
    (lambda t: t.update({f"{KEY}.lora_magnitude_vector": np.ones(8)}), "DoRA is not supported"),
    (
        lambda t: t.update({"base_model.model.e.lora_embedding_A": np.ones((4, 9))}),
        "adapters of embedding tables is not supported",
    ),
    (lambda t: t.update({f"{KEY}.base_layer.bias": np.ones(8)}), "trained biases"),
    (
        lambda t: t.update({f"{KEY}.lora_A.weight": np.ones((4, 9), np.float32)}),
        "expected shape (4, 8); got (4, 9)",
    ),
    (
        lambda t: t.update({f"{KEY}.lora_B.weight": np.ones((9, 4), np.float32)}),
        "expected shape (8, 4); got (9, 4)",
    ),
    (lambda t: t.update({f"{KEY}.lora_A.weight": np.ones((4, 8), np.int8)}), "got I8"),
    (
        lambda t: t.update({f"{KEY}.lora_A.weight": np.full((4, 8), np.inf, np.float32)}),
        "NaN or infinity",
    ),
    (lambda t: t.pop("base_model.model.classifier.bias"), "'classifier.bias' is missing"),
    (
        lambda t: t.update({"base_model.model.classifier.more": np.ones(2)}),
        "the model has no tensor 'classifier.more'",
    ),
    (
        lambda t: t.update({"base_model.model.classifier.bias": np.ones(2)}),
        "expected shape (3,); got (2,)",
    ),
]


@pytest.mark.parametrize(("change", "message"), BAD_TENSORS)
def test_load_refuses_tensors(adapter, change, message):
    change_tensors(adapter, change)
    with pytest.raises(FileFormatError, match=re.escape(message)) as caught:
        load_adapter(adapter, SHAPES, SAVED)
    assert "adapter_model.safetensors" in str(caught.value)


def test_load_refuses_adapter_of_another_model(adapter):
    with pytest.raises(FileFormatError, match=r"the model has no module 'encoder.*called 'bert"):
        load_adapter(adapter, {f"bert.{name}": shape for name, shape in SHAPES.items()})


def test_load_refuses_adapter_that_lacks_a_target(tmp_path):
    config = LoraConfig(rank=4, target_modules=["query"])
    save_adapter(tmp_path / "a", config, adapter_tensors(config, [QUERY]))
    change_config(tmp_path / "a", target_modules=["query"])
    load_adapter(tmp_path / "a")
    with pytest.raises(FileFormatError, match=r"layer\.1\.attention\.self\.query.*is missing"):
        load_adapter(tmp_path / "a", SHAPES)


def test_load_refuses_pickle_and_missing_files(adapter):
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(FileFormatError, match="pickle"):
        load_adapter(adapter)
    (adapter / "adapter_model.bin").unlink()
    with pytest.raises(FileNotFoundError):
        load_adapter(adapter)
    with pytest.raises(FileNotFoundError, match=r"adapter_config\.json is missing"):
        load_adapter(adapter / "absent")


def test_load_converts_half_precision(adapter):
    change_tensors(adapter, lambda t: t.update({k: v.astype(np.float16) for k, v in t.items()}))
    _, tensors = load_adapter(adapter, SHAPES, SAVED)
    assert {array.dtype for array in tensors.values()} == {np.dtype(np.float32)}
