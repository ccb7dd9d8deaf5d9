"""`lowbit quantize` and `lowbit inspect` on a tiny model."""

import json
from pathlib import Path

import numpy as np
import pytest

from cli_runs import refused
from gguf_writer import gguf_bytes
from lowbit.cli import main
from lowbit.files import write_safetensors
from lowbit.models import Classifier, Encoder
from lowbit.models.layers import weight_format
from tiny_model import reviews, write_tiny_model


@pytest.fixture
def folder(here) -> Path:
    return write_tiny_model(here / "model")


@pytest.fixture
def texts(here) -> Path:
    (here / "texts.txt").write_text("\n".join(reviews(80)[0]))
    return here / "texts.txt"


def document(capsys, *words: object) -> dict:
    """What a command prints with --json."""
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_quantize_writes_a_folder_that_is_read_again(folder, texts, capsys, here):
    report = document(
        capsys, "quantize", folder, "-o", "small", "--group-size", "16", "--calibrate", texts,
        "--check", texts, "--texts", 30,
    )  # fmt: skip
    assert report["model"]["format"] == report["embeddings"] == "nf4"
    assert report["calibration_texts"] == report["drift"]["texts"] == 27  # every third of 80
    assert report["model"]["bytes"] < report["bytes_fp32"] / 3
    for layer in report["layers"]:
        assert 0 < layer["error"] < 0.3
        calibrated = layer["name"].startswith("encoder.")
        assert (layer["output_error"] is not None) == calibrated
    saved = Encoder.from_pretrained(here / "small")
    sample = reviews(80)[0][::3]
    cosines = (saved.embed(sample) * Encoder.from_pretrained(folder).embed(sample)).sum(axis=1)
    assert report["drift"]["mean"] == pytest.approx(cosines.mean(), abs=1e-6)
    assert saved.nbytes == report["model"]["bytes"]


def test_quantize_takes_a_method_and_corrects_biases(folder, texts, capsys, here):
    report = document(
        capsys, "quantize", folder, "-o", "small", "--group-size", "16", "--format", "int4",
        "--calibrate", texts, "--method", "awq", "--bias-correction", "--check", texts,
    )  # fmt: skip
    assert report["method"] == "awq" and report["bias_correction"] is True
    for layer in report[
        "layers"
    ]:  # of the weight as the layer uses it, whatever its columns' scale
        assert 0 < layer["error"] < 0.2
    saved = Encoder.from_pretrained(here / "small")
    assert all(
        (linear.input_scale is None) == (name == "pooler.dense")
        for name, linear in saved.linears().items()
    )
    sample = reviews(80)[0]
    cosines = (saved.embed(sample) * Encoder.from_pretrained(folder).embed(sample)).sum(axis=1)
    assert report["drift"]["mean"] == pytest.approx(cosines.mean(), abs=1e-6)
    words = ["quantize", folder, "-o", "other", "--format", "nf4", "--method"]
    assert main([*map(str, words), "hqq", "--no-plot"]) == 0
    assert "rounding" in (out := capsys.readouterr().out) and "hqq" in out


def test_quantize_stores_scales_as_asked_for(folder, texts, capsys, here):
    words = ["quantize", folder, "-o", "small", "--format", "int4", "--group-size", 16]
    words += ["--scale-dtype", "fp16", "--asymmetric", "--calibrate", texts]
    report = document(capsys, *words)
    by_name = {layer["name"]: layer for layer in report["layers"]}
    query = by_name["encoder.layer.0.attention.self.query"]
    asked = {"group_size": 16, "double_quant": False, "scale_dtype": "fp16", "symmetric": False}
    assert query.items() >= (asked | {"format": "int4"}).items()
    assert 0 < query["output_error"] < query["error"] < 0.1
    assert by_name["embeddings.word_embeddings"]["symmetric"] is True
    shown = {tensor["name"]: tensor for tensor in document(capsys, "inspect", "small")["tensors"]}
    tensor = shown["encoder.layer.0.attention.self.query.weight"]
    assert tensor.items() >= (asked | {"type": "int4"}).items()
    assert "group_size" not in shown["embeddings.LayerNorm.bias"]
    assert main(["inspect", "small"]) == 0
    assert "int4 g16 fp16 scales asymmetric" in capsys.readouterr().out


def test_the_table_shows_how_scales_are_stored(folder, capsys):
    words = ["quantize", str(folder), "--group-size", "16", "--no-plot", "-o"]
    for output, options, label in (
        ("one", [], "nf4 g16 double"),
        ("two", ["--scale-dtype", "bf16"], "nf4 g16 bf16 scales"),
        ("three", ["--format", "int8", "--asymmetric"], "int8 g16 asymmetric"),
    ):
        assert main([*words, output, *options]) == 0
        (line,) = (of for of in capsys.readouterr().out.splitlines() if "0.output.dense" in of)
        assert f"  {label}  " in line


def test_other_commands_take_the_folder_as_it_is(folder, texts, capsys, here):
    assert main(["quantize", str(folder), "-o", "small", "--format", "int4", "--quiet"]) == 0
    capsys.readouterr()
    report = document(capsys, "embed", texts, "--model", "small", "-o", "vectors.npy")
    assert report["model"]["format"] == "int4"
    expected = Encoder.from_pretrained(here / "small").embed(reviews(80)[0])
    np.testing.assert_array_equal(np.load("vectors.npy"), expected)
    said = refused(capsys, "embed", texts, "--model", "small", "--format", "nf4", "-o", "v.npy")
    assert 'stored in "int4"' in said


@pytest.mark.parametrize("format", ["int8", "int4", "nf4"])
def test_quantize_prints_a_table_of_layers(folder, format, capsys):
    assert main(["quantize", str(folder), "-o", "small", "--format", format, "--no-plot"]) == 0
    out = capsys.readouterr().out
    assert "encoder.layer.0.intermediate.dense" in out and "embeddings.word_embeddings" in out
    assert f", {format}\n" in out and "of outputs" in out


def test_quantize_refuses_before_it_works(folder, texts, capsys, here):
    (here / "there").mkdir()
    assert "exists; choose a new folder" in refused(capsys, "quantize", folder, "-o", "there")
    for options in (["--method", "gptq"], ["--method", "awq"], ["--bias-correction"]):
        said = refused(capsys, "quantize", folder, "-o", "new", *options)
        assert "needs inputs of the layers; pass calibrate" in said
    assert "no.txt" in refused(capsys, "quantize", folder, "-o", "new", "--calibrate", "no.txt")
    assert "does not exist" in refused(capsys, "quantize", "nowhere", "-o", "new")
    said = refused(capsys, "quantize", folder, "-o", "new", "--asymmetric")
    assert (
        'format="nf4" has no zero points; use "int8" or "int4", or leave --asymmetric out' in said
    )
    words = ["--format", "mxfp4", "--scale-dtype", "fp16"]
    assert "--scale-dtype" in refused(capsys, "quantize", folder, "-o", "new", *words)
    assert "48" in refused(capsys, "quantize", folder, "-o", "new", "--group-size", 48)
    assert not (here / "new").exists()


def test_inspect_lists_packed_and_plain_tensors(folder, capsys, here):
    Encoder.from_pretrained(folder, format="int4", embeddings="int8").save(here / "small")
    report = document(capsys, "inspect", "small")
    assert report["kind"] == "safetensors" and report["metadata"]["lowbit"] == "1"
    by_name = {tensor["name"]: tensor for tensor in report["tensors"]}
    assert by_name["embeddings.word_embeddings.weight"]["type"] == "int8"
    query = by_name["encoder.layer.0.attention.self.query.weight"]
    assert query["type"] == "int4" and query["shape"] == [32, 32]
    assert by_name["embeddings.LayerNorm.bias"]["type"] == "F32"
    size = (here / "small" / "model.safetensors").stat().st_size
    assert size - 40_000 < sum(tensor["bytes"] for tensor in report["tensors"]) < size


def test_inspect_reads_other_files_and_refuses_what_is_neither(capsys, here):
    write_safetensors("plain.safetensors", {"w": np.zeros((2, 3), np.float16)})
    assert main(["inspect", "plain.safetensors"]) == 0
    out = capsys.readouterr().out
    assert "2x3" in out and "F16" in out and "16.00" in out
    Path("model.bin").write_bytes(gguf_bytes({"name": "x"}, {"t": np.ones((4, 8), np.float32)}))
    report = document(capsys, "inspect", "model.bin")
    assert report["kind"] == "GGUF" and report["metadata"] == {"name": "x"}
    assert report["tensors"] == [{"name": "t", "shape": [4, 8], "type": "F32", "bytes": 128}]
    Path("note.txt").write_text("a text, not a file of tensors")
    assert "reads safetensors and GGUF files" in refused(capsys, "inspect", "note.txt")
    assert "no.gguf" in refused(capsys, "inspect", "no.gguf")


def test_quantize_chooses_formats_for_a_budget(folder, texts, capsys, here):
    report = document(
        capsys, "quantize", folder, "-o", "small", "--format", "auto", "--budget", "34kB",
        "--calibrate", texts, "--texts", 30, "--check", texts,
    )  # fmt: skip
    assert report["file_bytes"] == (here / "small" / "model.safetensors").stat().st_size <= 34_000
    assert report["budget"]["bytes"] == 34_000 and "cosine" in report["budget"]["measure"]
    layers = report["layers"]
    assert len({layer["format"] for layer in layers}) > 1
    assert sum(layer["cost"] for layer in layers) == pytest.approx(report["budget"]["cost"])
    saved = Encoder.from_pretrained(here / "small")
    assert {layer["name"]: layer["format"] for layer in layers} == {
        name: weight_format(linear.weight) for name, linear in saved.linears().items()
    } | {
        "embeddings.word_embeddings": saved.word_embeddings.format,
        "embeddings.position_embeddings": saved.position_embeddings.format,
    }


def test_the_table_and_the_picture_show_the_formats(folder, capsys, here):
    words = ["quantize", str(folder), "-o", "small", "--format", "auto", "--budget", "34kB"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert " cost\n" in out and "squared relative error of the weight" in out
    assert "int8" in out and "nf4" in out
    pytest.importorskip("matplotlib")
    assert (here / "small" / "errors.png").read_bytes().startswith(b"\x89PNG")


def test_a_budget_and_its_options_are_checked(folder, capsys, here):
    quantize = ["quantize", folder, "-o", "new"]
    assert "--budget 20MB" in refused(capsys, *quantize, "--format", "auto")
    assert "has no budget" in refused(capsys, *quantize, "--budget", "1MB")
    auto = [*quantize, "--format", "auto", "--budget"]
    assert "chooses that" in refused(capsys, *auto, "1MB", "--group-size", 32)
    assert "chooses that" in refused(capsys, *auto, "1MB", "--embeddings", "int8")
    assert "chooses that" in refused(capsys, *auto, "1MB", "--scale-dtype", "fp16")
    assert "chooses that" in refused(capsys, *auto, "1MB", "--asymmetric")
    assert "the least that" in refused(capsys, *auto, "1kB")
    with pytest.raises(SystemExit):
        main([*map(str, auto), "little"])
    assert "'little' is no size" in capsys.readouterr().err
    assert not (here / "new").exists()


def test_sentence_models_lose_their_pooler_unless_it_is_kept(folder, capsys, here):
    plain = document(capsys, "quantize", folder, "-o", "plain")
    assert not plain["pooler_left_out"]
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    left = document(capsys, "quantize", folder, "-o", "left")
    kept = document(capsys, "quantize", folder, "-o", "kept", "--keep-pooler")
    assert left["pooler_left_out"] and not kept["pooler_left_out"]
    assert left["model"]["bytes"] < kept["model"]["bytes"] == plain["model"]["bytes"]
    assert Encoder.from_pretrained(here / "left").pooler is None
    text = ["a good film"]
    vectors = [Encoder.from_pretrained(here / name).embed(text) for name in ("left", "kept")]
    np.testing.assert_array_equal(*vectors)
    with pytest.raises(ValueError, match="--keep-pooler"):
        Classifier.from_pretrained(here / "left", pooling="cls")
