"""A BERT folder small enough to write in every test, with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from lowbit.files import write_safetensors
from lowbit.files.encoder_config import EncoderConfig
from lowbit.files.model_folder import expected_tensors

WORDS = [
    "good",
    "great",
    "fine",
    "happy",
    "warm",
    "bright",
    "kind",
    "clean",
    "bad",
    "awful",
    "poor",
    "sad",
    "cold",
    "dark",
    "rude",
    "dirty",
    "the",
    "a",
    "was",
    "and",
    "very",
    "film",
    "food",
    "room",
    "service",
    "not",
    "is",
    "it",
    "this",
]
GOOD, BAD = WORDS[:8], WORDS[8:16]
FILL = WORDS[16:]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, ".", ","]
CONFIG = {
    "model_type": "bert",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": len(VOCABULARY),
    "max_position_embeddings": 40,
    "type_vocab_size": 2,
}


def write_tiny_model(folder: Path, seed: int = 0, **changes: object) -> Path:
    """config.json, model.safetensors and vocab.txt of a random model; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    config = CONFIG | changes
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    sizes = {key: value for key, value in config.items() if key != "model_type"}
    hidden = int(config["hidden_size"])
    shapes = expected_tensors(EncoderConfig(**sizes))
    shapes |= {"pooler.dense.weight": (hidden, hidden), "pooler.dense.bias": (hidden,)}
    generator = np.random.default_rng(seed)
    tensors = {}
    for name, shape in shapes.items():
        array = generator.normal(0, 0.15, shape)
        if name.endswith("LayerNorm.weight"):
            array += 1
        tensors[name] = array.astype(np.float32)
    write_safetensors(folder / "model.safetensors", tensors)
    return folder


def reviews(count: int, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Texts with more good or more bad words, and which of the two."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count)
    texts = []
    for label in labels:
        words = list(generator.choice(FILL, generator.integers(2, 9)))
        words += list(generator.choice(GOOD if label else BAD, generator.integers(1, 4)))
        generator.shuffle(words)
        texts.append(" ".join(words) + ".")
    return texts, labels.astype(np.int64)
