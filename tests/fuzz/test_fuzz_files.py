"""Mutated files: every reader returns or raises `FileFormatError`, whatever the bytes.

Each case starts from a good file and flips, cuts, repeats or inserts bytes, by a seeded generator,
so a failure repeats: its seed is in the name of the test. `LOWBIT_FUZZ_CASES` asks for more cases
for each reader than the few hundred of a normal run.
"""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from damage import CASES, SECONDS, count_refused

import lowbit as lb
from golden import load
from lowbit.adapters import LoraConfig, load_adapter, save_adapter
from lowbit.adapters.module_pattern import ModulePattern
from lowbit.errors import FileFormatError
from lowbit.files import (
    EncoderConfig,
    GgufFile,
    expected_tensors,
    from_bitsandbytes,
    open_model_folder,
    read_labelled,
    read_safetensors,
    read_texts,
    to_bitsandbytes,
    write_gguf,
    write_safetensors,
)
from lowbit.files.packed_tensors import packed_entries, packed_to_tensors, read_packed
from lowbit.files.safetensors import SafetensorsFile

CONFIG = {
    "model_type": "bert",
    "hidden_size": 4,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 4,
    "vocab_size": 5,
    "max_position_embeddings": 3,
    "id2label": {"0": "bad", "1": "good"},
}


def write_model(folder):
    tensors = {
        name: np.ones(shape, np.float32)
        for name, shape in expected_tensors(EncoderConfig.from_dict(CONFIG)).items()
    }
    for layer in ("attention.self.query", "output.dense"):
        tensors[f"encoder.layer.0.{layer}.input_scale"] = np.ones(4, np.float32)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "vocab.txt").write_text("[PAD]\n")
    write_safetensors(folder / "model.safetensors", tensors)
    modules = [{"type": "a.Transformer", "path": ""}, {"type": "a.Pooling", "path": "1_Pooling"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 3}')


def read_model(folder):
    with open_model_folder(folder) as model:
        for name in model.tensors:
            model.read(name)
            model.read_input_scale(name.removesuffix(".input_scale"))


def write_adapter(folder):
    config = LoraConfig(
        rank=2,
        modules_to_save=["classifier"],
        rank_pattern={"layer.0.key": 1},
        alpha_pattern={r"layer\.[01]\..*": 3},
    )
    tensors = {"classifier.bias": np.ones(2, np.float32)}
    for name, rank in (("layer.0.query", 2), ("layer.0.key", 1)):
        tensors[f"{name}.lora_A.weight"] = np.ones((rank, 3), np.float32)
        tensors[f"{name}.lora_B.weight"] = np.ones((3, rank), np.float32)
    save_adapter(folder, config, tensors)


def write_tensors_of_gguf(folder):
    x = np.random.default_rng(0).standard_normal((2, 256))
    types = {name: name for name in ("F16", "Q4_0", "Q8_0", "Q4_K")}
    write_gguf(folder / "a", dict.fromkeys(types, x), {"general.architecture": "none"}, types)


def read_tensors_of_gguf(folder):
    file = GgufFile(folder / "a")
    for name, tensor in file.tensors.items():
        file.read(name)
        if tensor.type.name in ("Q4_0", "Q8_0"):
            file.read_quantized(name)


def write_bitsandbytes(folder):
    w = np.random.default_rng(0).standard_normal((2, 64)).astype(np.float32)
    four, eight = lb.quantize(w, "nf4", 32, double_quant=True), lb.quantize(w, "int8", None)
    tensors = to_bitsandbytes(four, "four.weight") | to_bitsandbytes(eight, "eight.weight")
    write_safetensors(folder / "a", tensors)


def read_bitsandbytes(folder):
    tensors = read_safetensors(folder / "a")
    for name in tensors:
        if name.endswith(".weight"):
            from_bitsandbytes(tensors, name)


def write_packed(folder):
    w = np.random.default_rng(0).standard_normal((3, 40)).astype(np.float32)
    doubled = lb.quantize(w, "nf4", 16, double_quant=True)
    matrices = {"w": doubled, "v": lb.quantize(w, "int8", None), "m": lb.quantize(w, "mxfp4", 32)}
    matrices["z"] = lb.quantize(w, "int4", 16, scale_dtype="bf16", symmetric=False)
    matrices["t"] = lb.quantize(w, "int8", "tensor", scale_dtype="fp16", symmetric=False)
    x_scales = {"w": "row", "v": lb.quantization.AffineParams(0.5, 3, -127, 127)}
    tensors, metadata = packed_to_tensors(matrices, x_scales)
    write_safetensors(folder / "a", tensors, metadata)


def read_packed_matrices(folder):
    with SafetensorsFile(folder / "a") as file:
        for entry in packed_entries(file).values():
            read_packed(file, entry).dequantize()


def write_static(folder):
    tokenizer = lb.Tokenizer.train(["low bit"], model="word")
    table = lb.Embedding(np.eye(3, 4), "int8")
    lb.models.StaticEncoder(tokenizer, table).save(folder / "m")


def read_static(folder):
    lb.models.StaticEncoder.from_pretrained(folder / "m").embed(["low bit"])


def writes(name, content):
    return lambda folder: (folder / name).write_text(content)


ROTARY = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 500.0,
        "partial_rotary_factor": 0.5,
        "short_factor": [1, 1.5, 2, 3],
        "long_factor": [1, 2, 4, 8],
        "original_max_position_embeddings": 64,
    },
}


def write_vectors(suffix):
    words = ["up", "d\u00fcwn", "left", "right"]
    vectors = np.arange(12, dtype=np.float32).reshape(4, 3) / 7
    return lambda folder: lb.WordVectors(words, vectors, [4, 3, 2, 1]).save(folder / f"a{suffix}")


def write_fasttext(folder):
    lines = ["lowest lower slow slowly"] * 9
    wv = lb.WordVectors.train(lines, "fasttext", 2, ngrams=(3, 3), buckets=9, epochs=1)
    wv.save(folder / "a.bin", "fasttext")


def write_gensim(name):
    files = list((Path(__file__).parent.parent / "data" / "gensim").glob(f"{name}*"))
    return lambda folder: [shutil.copy(file, folder) for file in files]


def write_quantized_fasttext(folder):
    (folder / "a.ftz").write_bytes(load("fasttext_quantized")["pruned/file"].tobytes())


def write_training(folder):
    lines = ["lowest lower slow slowly"] * 9
    settings = {"ngrams": (3, 3), "buckets": 9, "epochs": 1, "loss": "hierarchical_softmax"}
    wv = lb.WordVectors.train(lines, "fasttext", 2, **settings)
    wv.save(folder / "a.safetensors", training=True)


def write_glove_training(folder):
    wv = lb.WordVectors.train(["up down up left"] * 9, "glove", 2, epochs=1)
    wv.save(folder / "a.safetensors", training=True)


JSONL = '{"text": "a good film", "label": 1}\n{"text": "d\\u00fcll", "label": 0}\n'
CSV = 'id,text,label\n1,"a ""good"", film",1\n2,"two\nlines",0\n'
ARRAYS = {"w": np.ones((2, 3), np.float32), "b": np.ones(3, np.float16), "i": np.arange(4)}
# reader: (makes the good files, the file to damage, reads them)
READERS = {
    "safetensors": (
        lambda folder: write_safetensors(folder / "a", ARRAYS, {"format": "pt"}),
        "a",
        lambda folder: read_safetensors(folder / "a"),
    ),
    "packed": (write_packed, "a", read_packed_matrices),
    "bitsandbytes": (write_bitsandbytes, "a", read_bitsandbytes),
    "gguf": (write_tensors_of_gguf, "a", read_tensors_of_gguf),
    "model config": (write_model, "config.json", read_model),
    "model weights": (write_model, "model.safetensors", read_model),
    "modules": (write_model, "modules.json", read_model),
    "pooling": (write_model, "1_Pooling/config.json", read_model),
    "sentence config": (write_model, "sentence_bert_config.json", read_model),
    "adapter config": (write_adapter, "adapter_config.json", load_adapter),
    "adapter weights": (write_adapter, "adapter_model.safetensors", load_adapter),
    "static config": (write_static, "m/config.json", read_static),
    "static table": (write_static, "m/model.safetensors", read_static),
    "static tokenizer": (write_static, "m/tokenizer.json", read_static),
    "rotary config": (
        writes("config.json", json.dumps(ROTARY)),
        "config.json",
        lambda folder: lb.positions.Rotary.from_config(folder).table([0, 63]),
    ),
    "tsv": (
        writes("a.tsv", "a good film\t1\nd\u00fcll\t0\n"),
        "a.tsv",
        lambda folder: read_labelled(folder / "a.tsv"),
    ),
    "csv": (writes("a.csv", CSV), "a.csv", lambda folder: read_labelled(folder / "a.csv")),
    "jsonl": (
        writes("a.jsonl", JSONL),
        "a.jsonl",
        lambda folder: read_labelled(folder / "a.jsonl"),
    ),
    "vectors": (
        write_vectors(".safetensors"),
        "a.safetensors",
        lambda folder: lb.WordVectors.load(folder / "a.safetensors"),
    ),
    "vectors text": (
        write_vectors(".txt"),
        "a.txt",
        lambda folder: lb.WordVectors.load(folder / "a.txt"),
    ),
    "vectors binary": (
        write_vectors(".bin"),
        "a.bin",
        lambda folder: lb.WordVectors.load(folder / "a.bin"),
    ),
    "fasttext": (
        write_fasttext,
        "a.bin",
        lambda folder: lb.WordVectors.load(folder / "a.bin").get("lowly"),
    ),
    **{
        f"gensim {name}": (
            write_gensim(source),
            name,
            lambda folder, source=source: lb.WordVectors.load(folder / source, "gensim"),
        )
        for name, source in (
            ("keyed2", "keyed2"),
            ("keyed4", "keyed4"),
            ("keyed5", "keyed5"),
            ("fasttext", "fasttext"),
            ("model", "model"),
            ("apart.wv.vectors.npy", "apart"),
        )
    },
    "fasttext quantized": (
        write_quantized_fasttext,
        "a.ftz",
        lambda folder: lb.WordVectors.load(folder / "a.ftz").get("lowly"),
    ),
    "training of vectors": (
        write_training,
        "a.safetensors",
        lambda folder: lb.WordVectors.load(folder / "a.safetensors"),
    ),
    "training by GloVe": (
        write_glove_training,
        "a.safetensors",
        lambda folder: lb.WordVectors.load(folder / "a.safetensors"),
    ),
    "texts": (writes("a.jsonl", JSONL), "a.jsonl", lambda folder: read_texts(folder / "a.jsonl")),
}
# Damaged tables are often still tables; all other formats must notice most damages.
MOSTLY_NOTICED = {"safetensors", "model weights", "adapter weights", "static table"}


@pytest.mark.parametrize("reader", READERS)
def test_damaged_file_only_raises_format_errors(tmp_path, alarm, reader):
    write, name, read = READERS[reader]
    write(tmp_path)
    read(tmp_path)
    refused = count_refused(reader, tmp_path / name, lambda: read(tmp_path), alarm, CASES)
    assert refused > (CASES // 2 if reader in MOSTLY_NOTICED else CASES // 20)


def test_random_bytes_are_refused_everywhere(tmp_path, alarm):
    for reader, (write, name, read) in READERS.items():
        folder = tmp_path / reader
        folder.mkdir()
        write(folder)
        for seed in range(CASES // 10):
            generator = random.Random(seed)
            (folder / name).write_bytes(b"\xff" + generator.randbytes(generator.randrange(1, 200)))
            alarm(SECONDS)
            with pytest.raises(FileFormatError):
                read(folder)
            alarm(0)


def test_random_patterns_compile_or_raise_value_error(alarm):
    names = ["encoder.layer.0.attention.self.query", "a" * 512]
    for seed in range(CASES * 3):
        generator = random.Random(seed)
        alphabet = "ab.*+?()[]{}|\\dw0,:^$-é"
        text = "".join(generator.choice(alphabet) for _ in range(generator.randrange(30)))
        alarm(SECONDS)
        try:
            pattern = ModulePattern(text)
            for name in names:
                pattern.matches(name)
        except ValueError as error:
            assert str(error).startswith("pattern "), f"seed {seed}"
        finally:
            alarm(0)
