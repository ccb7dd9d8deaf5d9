"""Adapters across the border: what lowbit saves, PEFT loads, and the other way round."""

import warnings

import numpy as np
import pytest

from lowbit.adapters import LoraConfig, load_adapter, save_adapter
from lowbit.errors import FileFormatError
from lowbit.files import EncoderConfig, expected_tensors, open_model_folder

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

LINEARS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
SAVED = {"classifier.weight": (3, 16), "classifier.bias": (3,)}
IDS = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])


@pytest.fixture(autouse=True)
def quiet():
    """The libraries' own warnings are no failures of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def tiny_model():
    """A BertForSequenceClassification with the same random weights every time."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=11,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=8,
        num_labels=3,
    )
    return transformers.BertForSequenceClassification(config).eval()


def linear_shapes(model) -> dict[str, tuple[int, int]]:
    """The linear layers of the encoder and the pooler, as the adapters name them."""
    return {
        name: (module.out_features, module.in_features)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name != "classifier"
    }


def encoder_modules() -> list[str]:
    return [f"bert.encoder.layer.{i}.{name}" for i in range(2) for name in LINEARS]


def adapter_tensors(config, model) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    shapes = linear_shapes(model)
    tensors = {}
    for module in encoder_modules():
        rank = config.rank_of(module)
        rows, columns = shapes[module]
        for half, shape in (("A", (rank, columns)), ("B", (rows, rank))):
            array = generator.standard_normal(shape, np.float32)
            tensors[f"{module}.lora_{half}.weight"] = array
    for name, shape in SAVED.items():
        tensors[name] = generator.standard_normal(shape, np.float32)
    return tensors


def merged_by_hand(config, tensors):
    """The tiny model with W + scale B A written into its weights, without PEFT."""
    model = tiny_model()
    state = model.state_dict()
    with torch.no_grad():
        for module in encoder_modules():
            a = torch.from_numpy(tensors[f"{module}.lora_A.weight"])
            b = torch.from_numpy(tensors[f"{module}.lora_B.weight"])
            state[f"{module}.weight"] += config.scale_of(module) * (b @ a)
        for name in SAVED:
            state[name].copy_(torch.from_numpy(tensors[name]))
    return model


OPTIONS = [
    {"rank": 4, "alpha": 8},
    {"rank": 4, "alpha": 8, "use_rslora": True},
    {"rank": 2, "alpha": 3.5, "rank_pattern": {"attention.output.dense": 6}},
    {"rank": 2, "alpha": 4, "alpha_pattern": {r"layer\.1\..*": 10}},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_peft_loads_what_we_save(tmp_path, options):
    config = LoraConfig(**options, modules_to_save=["classifier"])
    model = tiny_model()
    tensors = adapter_tensors(config, model)
    save_adapter(tmp_path, config, tensors)
    wrapped = peft.PeftModel.from_pretrained(model, tmp_path).eval()
    state = peft.get_peft_model_state_dict(wrapped)
    assert {name.removeprefix("base_model.model.") for name in state} == set(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(state[f"base_model.model.{name}"].numpy(), array)
    with torch.no_grad():
        got = wrapped(input_ids=IDS, attention_mask=MASK).logits
        expected = merged_by_hand(config, tensors)(input_ids=IDS, attention_mask=MASK).logits
    assert (got - expected).abs().max() <= 1e-4


@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": "all-linear"},
        {"target_modules": ["query", "value"], "use_rslora": True},
        {"target_modules": r".*\.layer\.1\..*\.(query|dense)"},
        {"target_modules": ["dense"], "exclude_modules": ["pooler.dense"]},
        {"target_modules": ["key"], "layers_to_transform": [1]},
        {
            "target_modules": ["query", "key"],
            "rank_pattern": {"key": 7},
            "alpha_pattern": {"key": 9},
        },
    ],
)
def test_we_load_what_peft_saves(tmp_path, options):
    model = tiny_model()
    shapes = linear_shapes(model)
    settings = peft.LoraConfig(task_type="SEQ_CLS", r=4, lora_alpha=8, **options)
    wrapped = peft.get_peft_model(model, settings)
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.normal_()
    wrapped.save_pretrained(tmp_path)
    config, tensors = load_adapter(tmp_path, shapes, SAVED)
    state = peft.get_peft_model_state_dict(wrapped)
    assert {name.removeprefix("base_model.model.") for name in state} == set(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(state[f"base_model.model.{name}"].numpy(), array)
    for name, module in wrapped.base_model.model.named_modules():
        if hasattr(module, "lora_A"):
            assert config.scale_of(name) == pytest.approx(module.scaling["default"])
            assert config.rank_of(name) == module.r["default"]


@pytest.mark.parametrize(
    "options",
    [
        {"use_dora": True},
        {"bias": "lora_only"},
        {"lora_bias": True},
        {"init_lora_weights": "pissa"},
        {"target_modules": ["word_embeddings"]},
    ],
)
def test_we_refuse_what_would_compute_something_else(tmp_path, options):
    options = {"target_modules": ["query"], **options}
    settings = peft.LoraConfig(task_type="SEQ_CLS", r=4, **options)
    peft.get_peft_model(tiny_model(), settings).save_pretrained(tmp_path)
    with pytest.raises(FileFormatError, match=r"not supported|changes the base"):
        load_adapter(tmp_path)


def test_other_peft_methods_are_refused(tmp_path):
    settings = peft.VeraConfig(task_type="SEQ_CLS", r=4, target_modules=["query"])
    peft.get_peft_model(tiny_model(), settings).save_pretrained(tmp_path)
    with pytest.raises(FileFormatError, match="peft_type 'VERA' is not supported"):
        load_adapter(tmp_path)


@pytest.mark.parametrize("shard", ["10GB", "2KB"])
def test_model_folder_that_transformers_saved_opens(tmp_path, shard):
    model = tiny_model()
    model.save_pretrained(tmp_path, max_shard_size=shard)
    (tmp_path / "vocab.txt").write_text("[PAD]\n")
    assert (tmp_path / "model.safetensors").exists() == (shard == "10GB")
    with open_model_folder(tmp_path) as folder:
        assert folder.config.label_names == ("LABEL_0", "LABEL_1", "LABEL_2")
        assert set(expected_tensors(folder.config)) < set(folder.tensors)
        assert folder.unused == ()
        state = model.state_dict()
        for name in folder.tensors:
            full = name if name in state else f"bert.{name}"
            np.testing.assert_array_equal(folder.read(name), state[full].numpy())


def test_transformers_reads_our_config():
    config = EncoderConfig.from_dict(tiny_model().config.to_dict())
    theirs = transformers.BertConfig.from_dict(config.to_dict())
    for name in ("hidden_size", "layer_norm_eps", "hidden_act", "num_labels", "vocab_size"):
        assert getattr(theirs, name) == getattr(tiny_model().config, name)
