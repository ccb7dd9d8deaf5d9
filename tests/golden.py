"""Reading the golden files of tests/data, which tools/make_goldens.py wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lowbit.files import open_model_folder
from lowbit.reference.encoder import Batch, Encoder

DATA = Path(__file__).resolve().parent / "data"
TINY_BERT = DATA / "tiny_bert"
TINY_ADAPTER = DATA / "tiny_bert_adapter"
LORA_SCALE = 6 / 4  # alpha / rank of both tiny cases


def load(name: str) -> dict[str, np.ndarray]:
    """All arrays of one golden file."""
    with np.load(DATA / f"{name}.npz") as arrays:
        return dict(arrays)


def under(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names start with "prefix/", by the rest of their names."""
    return {k.removeprefix(f"{prefix}/"): v for k, v in arrays.items() if k.startswith(prefix)}


def read_weights(folder: Path) -> dict[str, np.ndarray]:
    """Every float tensor of a model folder in float64."""
    with open_model_folder(folder) as opened:
        names = [name for name, t in opened.tensors.items() if t.dtype.startswith("F")]
        return {name: opened.read(name).astype(np.float64) for name in names}


def tiny_case(pooling: str) -> tuple[Encoder, Batch, dict[str, np.ndarray]]:
    """Reference model, batch and golden arrays of the tiny BERT; pooling "mean" or "cls"."""
    golden = load(f"tiny_bert_{pooling}")
    padded = load("tiny_bert_mean")
    initial = under(golden, "init")
    adapters = {name: array for name, array in initial.items() if "lora" in name}
    head = {name: array for name, array in initial.items() if "classifier" in name}
    model = Encoder(
        read_weights(TINY_BERT) | head,
        layer_count=2,
        heads=4,
        lora=adapters,
        scale=LORA_SCALE,
        pooling=pooling,
    )
    return model, Batch.from_padded(padded["ids"], padded["mask"]), golden
