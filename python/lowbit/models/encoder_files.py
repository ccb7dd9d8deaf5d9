"""An encoder as a model folder: weights in their formats, and the small files of its source."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lowbit import _core
from lowbit.files.atomic import replace_folder
from lowbit.files.packed_tensors import packed_to_tensors
from lowbit.files.safetensors import write_safetensors
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


def save(encoder: Encoder, folder: str | os.PathLike[str]) -> None:
    """Write the folder; see `Encoder.save`."""
    adapted = [name for name, linear in encoder.linears().items() if linear.adapter is not None]
    if adapted:
        raise ValueError(
            f"save: {adapted[0]} has an adapter; write it with save_adapter, or merge it first"
        )
    target = Path(folder)
    if target.exists():
        raise FileExistsError(f"save: {target} exists; choose a new folder")
    packed, dense = _weights(encoder)
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
        write_safetensors(staging / "model.safetensors", tensors | dense, metadata, bfloat16)


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
