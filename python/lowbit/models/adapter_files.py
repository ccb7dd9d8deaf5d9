"""The adapters and head of a classifier as a PEFT folder, and back.

Modules are named as in transformers' BertForSequenceClassification ("bert.encoder.layer.0 ...",
"classifier"), so PEFT loads the folder onto that model. What PEFT has no place for, the pooling and
the names of the classes, goes into lowbit's own notes beside the two files.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lowbit.adapters.config import LoraConfig
from lowbit.adapters.peft_format import load_adapter, read_adapter_notes, save_adapter
from lowbit.errors import FileFormatError
from lowbit.models.head import TENSORS as TENSORS_OF_HEAD

if TYPE_CHECKING:
    from lowbit.models.classifier import Classifier

HEAD = "classifier"


def save(model: Classifier, folder: str | os.PathLike[str], base_model: str | None) -> None:
    """Write the folder; see `Classifier.save_adapter`."""
    if model.merged:
        raise ValueError(
            "save_adapter: the adapters were merged into the weights; save before merge()"
        )
    if not model.targets:
        raise ValueError("save_adapter: no layer has an adapter; save writes the whole model")
    config = replace(
        model.lora,
        modules_to_save=(HEAD,),
        task_type="SEQ_CLS",
        base_model_name=base_model or model.lora.base_model_name,
    )
    tensors = {name: model.parameters[name] for name in TENSORS_OF_HEAD}
    for module in model.targets:
        for side in ("lora_A", "lora_B"):
            tensors[f"{module}.{side}.weight"] = model.parameters[f"{module}.{side}"]
    notes = {"pooling": model.pooling, "labels": model.label_names}
    save_adapter(folder, config, tensors, notes=notes)


def load(
    model: Classifier, folder: str | os.PathLike[str]
) -> tuple[LoraConfig, dict[str, np.ndarray]]:
    """Read a folder that fits `model`; settings and parameters by our names.

    Raises
    ------
    FileFormatError
        If modules, shapes, number of classes or pooling are not those of `model`.
    """
    notes = read_notes(folder)
    pooling = notes.get("pooling", model.pooling)
    if pooling != model.pooling:
        raise FileFormatError(
            f'{folder}: the adapter was trained with pooling="{pooling}", the model has '
            f'pooling="{model.pooling}"'
        )
    shapes = {name: tuple(linear.shape) for name, linear in model.linears().items()}
    head = {name: model.parameters[name].shape for name in TENSORS_OF_HEAD}
    config, tensors = load_adapter(folder, module_shapes=shapes, saved_shapes=head)
    parameters = {name: tensors.pop(name) for name in TENSORS_OF_HEAD}
    adapters = {name.removesuffix(".weight"): array for name, array in tensors.items()}
    return config, adapters | parameters


def read_notes(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Pooling and names of the classes, where lowbit wrote them.

    Raises
    ------
    FileFormatError
        If they are there but not what `save` writes.
    """
    notes = read_adapter_notes(folder)
    if "pooling" in notes and notes["pooling"] not in ("mean", "cls"):
        raise FileFormatError(f"{folder}: pooling must be mean or cls; got {notes['pooling']!r}")
    labels = notes.get("labels", [])
    if not isinstance(labels, list) or not all(isinstance(name, str) for name in labels):
        raise FileFormatError(f"{folder}: labels must be a list of names")
    return notes
