"""An encoder as a model folder: weights in their formats, and the small files of its source."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lowbit import _core
from lowbit.files.atomic import replace_folder
from lowbit.files.packed_tensors import packed_to_tensors
from lowbit.files.safetensors import write_safetensors
from lowbit.files.untrusted import read_json_object
from lowbit.models.qat import RoundedLinear
from lowbit.quantization.matrix import QuantizedMatrix

if TYPE_CHECKING:
    from lowbit.models.encoder import Encoder

COPIED = (
    "config.json",
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
    "LICENSE",
)


def save(
    encoder: Encoder,
    folder: str | os.PathLike[str],
    head: dict[str, np.ndarray] | None = None,
    label_names: Sequence[str] = (),
    pooling: str | None = None,
) -> None:
    """Write the folder; see `Encoder.save`, and `Classifier.save` for the rest."""
    for name, linear in encoder.linears().items():
        if linear.adapter is not None:
            raise ValueError(
                f"save: {name} has an adapter; write it with save_adapter, or merge it first"
            )
        if isinstance(linear, RoundedLinear):
            raise ValueError(f"save: {name} is being trained; save what quantized() gives")
    target = Path(folder)
    if target.exists():
        raise FileExistsError(f"save: {target} exists; choose a new folder")
    packed, dense = _weights(encoder)
    dense |= head or {}
    in_int8 = {
        f"{name}.weight": linear.x_scale
        for name, linear in encoder.linears().items()
        if linear.compute == "int8"
    }
    tensors, metadata = packed_to_tensors(packed, in_int8)
    bfloat16 = [name for name, array in dense.items() if array.dtype == np.uint16]
    with replace_folder(target) as staging:
        for name in COPIED:
            if (encoder.source / name).is_file():
                (staging / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(encoder.source / name, staging / name)
        if head is not None:
            _describe_head(staging / "config.json", label_names, pooling)
        write_safetensors(staging / "model.safetensors", tensors | dense, metadata, bfloat16)


def _describe_head(path: Path, label_names: Sequence[str], pooling: str | None) -> None:
    """Put what a classifier needs into its config.json, under the names transformers uses."""
    config = read_json_object(path) | {
        "architectures": ["BertForSequenceClassification"],
        "id2label": {str(i): name for i, name in enumerate(label_names)},
        "label2id": {name: i for i, name in enumerate(label_names)},
        "classifier_pooling": pooling,
    }
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _weights(encoder: Encoder) -> tuple[dict[str, QuantizedMatrix], dict[str, np.ndarray]]:
    """The packed and the other weights by the names of `expected_tensors`."""
    stored: dict[str, Any] = {
        "embeddings.word_embeddings.weight": encoder.word_embeddings.stored(),
        "embeddings.position_embeddings.weight": encoder.position_embeddings.stored(),
        "embeddings.token_type_embeddings.weight": encoder.token_type_embeddings,
    }
    norms = {"embeddings.LayerNorm": encoder.embedding_norm}
    for i, layer in enumerate(encoder.layers):
        norms[f"encoder.layer.{i}.attention.output.LayerNorm"] = layer.attention_norm
        norms[f"encoder.layer.{i}.output.LayerNorm"] = layer.output_norm
    for name, norm in norms.items():
        stored |= {f"{name}.weight": norm.gamma, f"{name}.bias": norm.beta}
    for name, linear in encoder.linears().items():
        stored |= {f"{name}.weight": linear.weight, f"{name}.bias": linear.bias}
        if linear.input_scale is not None:
            stored[f"{name}.input_scale"] = linear.input_scale
    packed = {}
    for name, weight in list(stored.items()):
        if isinstance(weight, _core.PackedMatrix):
            packed[name] = QuantizedMatrix(stored.pop(name))
    return packed, stored
