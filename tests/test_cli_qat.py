"""`lowbit finetune --qat` and `lowbit quantize --distill` on a tiny model."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from cli_runs import refused
from lowbit.cli import main
from lowbit.models import Classifier, Encoder
from tiny_model import reviews, write_tiny_model


@pytest.fixture
def folder(here) -> Path:
    return write_tiny_model(here / "tiny")


@pytest.fixture
def table(here) -> Path:
    """320 texts whose class a few words give away."""
    texts, labels = reviews(320)
    rows = [f"{text}\t{('bad', 'good')[label]}" for text, label in zip(texts, labels, strict=True)]
    (here / "reviews.tsv").write_text("\n".join(["review\tsentiment", *rows]) + "\n")
    return here / "reviews.tsv"


def document(capsys, *words: object) -> dict:
    """What a command prints with --json."""
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("format", ["int4", "int8"])
def test_finetune_writes_a_model_in_few_bits(folder, table, capsys, here, format):
    words = ["finetune", "--data", table, "--model", folder, "--qat", format, "--batch-size", 8]
    report = document(capsys, *words, "--lr", 0.002, "--epochs", 4, "--out", "mine")
    assert report["model"]["format"] == format and report["model"]["lora"] is None
    assert report["model"]["trainable_share"] > 0.5
    assert report["model"]["bytes"] < report["model"]["bytes_float32"] / 2
    assert report["training"]["accuracy"]["after"] > 0.9
    saved = report["saved_model"]["folder"]
    model = Classifier.from_pretrained(here / saved)
    assert model.label_names == ["bad", "good"] and model.encoder.format == format
    texts = ["the film was awful", "the room was great, and clean"]
    assert model.predict(texts).tolist() == [0, 1]
    assert not (here / "mine" / "adapter").exists()
    drawn = importlib.util.find_spec("matplotlib") is not None
    assert (here / "mine" / "curves.png").is_file() == drawn


def test_finetune_says_where_the_model_is(folder, table, capsys):
    words = ["finetune", "--data", table, "--model", folder, "--qat", "nf4", "--steps", "3"]
    assert main([*map(str, words), "--no-plot"]) == 0
    shown = capsys.readouterr().out
    assert "best so far, kept" in shown
    assert "whole model" in shown and "lowbit-finetuned/model" in shown and "PEFT" not in shown
    # And it is not written over.
    assert "exists" in refused(capsys, *words)


def test_a_format_of_frozen_weights_is_refused(folder, table, capsys):
    words = ["finetune", "--data", table, "--model", folder, "--qat", "int4", "--format", "nf4"]
    assert "leave it out" in refused(capsys, *words)


def test_quantize_distils(folder, capsys, here):
    (here / "texts.txt").write_text("\n".join(reviews(400, seed=1)[0]))
    (here / "others.txt").write_text("\n".join(reviews(60, seed=2)[0]))
    words = ["--format", "int4", "--group-size", 16, "--check", "others.txt"]
    plain = document(capsys, "quantize", folder, "-o", "plain", *words)
    words += ["--calibrate", "texts.txt", "--distill", 60]
    report = document(capsys, "quantize", folder, "-o", "small", *words)
    assert report["method"] == "distilled"
    assert report["distillation_steps"] == 60 and plain["distillation_steps"] is None
    assert 1 - report["drift"]["mean"] < 0.9 * (1 - plain["drift"]["mean"])
    assert report["model"]["bytes"] == plain["model"]["bytes"]
    half = document(capsys, "quantize", folder, "-o", "half", *words, "--scale-dtype", "fp16")
    assert half["model"]["bytes"] < plain["model"]["bytes"]
    assert half["drift"]["mean"] == pytest.approx(report["drift"]["mean"], abs=2e-3)
    said = refused(capsys, "quantize", folder, "-o", "no", *words, "--asymmetric")
    assert "--distill goes without" in said and "--asymmetric" in said
    texts = reviews(20)[0]
    vectors = [Encoder.from_pretrained(here / name).embed(texts) for name in ("plain", "small")]
    assert not np.array_equal(*vectors)


def test_distilling_without_texts_is_refused(folder, capsys):
    words = ["quantize", folder, "-o", "x", "--distill", 5]
    assert "--calibrate" in refused(capsys, *words)
    words += ["--calibrate", "texts.txt", "--method", "gptq"]
    assert "goes without" in refused(capsys, *words)
