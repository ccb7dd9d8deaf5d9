"""Folders of static embeddings, as model2vec and sentence-transformers write them.

    config.json        {"model_type": "model2vec", "normalize": true, "max_length": 512, ...}
    model.safetensors  "embeddings" [V, D]: F32, F16, F64 or I8
                       "weights" [V], optional: what the row of each token is multiplied with
                       "mapping" [V], optional: the row of each token
    tokenizer.json
    modules.json       sentence-transformers: a Normalize module says that vectors get length 1

sentence-transformers calls the table "embedding.weight" and may keep it in 0_StaticEmbedding.
Rows in I8 that lowbit writes have their scales in "weights", so that every reader gets them right.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lowbit.errors import FileFormatError
from lowbit.files.safetensors import SafetensorsFile, write_safetensors
from lowbit.files.untrusted import (
    MAX_JSON_BYTES,
    parse_json,
    read_bounded,
    read_json_object,
    shorten,
)

TABLE_NAMES = ("embeddings", "embedding.weight")
TABLE_TYPES = ("F64", "F32", "F16", "BF16", "I8")
NESTED = "0_StaticEmbedding"
DEFAULT_MAX_LENGTH = 512
"""Tokens that model2vec reads of a text where config.json does not say."""


class StaticFolder(NamedTuple):
    """What a folder holds.

    Attributes
    ----------
    rows : ndarray
        [N, D] in float32, float16 or int8.
    weights : ndarray or None
        float32 [V], or [N] without a mapping.
    mapping : ndarray or None
        int64 [V], each below N.
    tokenizer_path : Path
    normalize : bool
    max_length : int or None
    config : dict
        config.json, {} where there is none.
    """

    rows: np.ndarray
    weights: np.ndarray | None
    mapping: np.ndarray | None
    tokenizer_path: Path
    normalize: bool
    max_length: int | None
    config: dict[str, Any]


def is_static_folder(folder: Path) -> bool:
    """Whether the folder says that it holds static embeddings.

    Examples
    --------
    >>> is_static_folder(Path("no such folder"))
    False
    """
    if (folder / NESTED / "model.safetensors").is_file():
        return True
    config = folder / "config.json"
    if config.is_file():
        return read_json_object(config).get("model_type") == "model2vec"
    return "StaticEmbedding" in _module_kinds(folder / "modules.json")


def read_static_folder(folder: Path) -> StaticFolder:
    """Read and check a folder.

    Raises
    ------
    FileNotFoundError
        The folder, its table or its tokenizer.json do not exist.
    FileFormatError
        A file breaks its format, or shapes, types or numbers do not fit.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"model folder {str(folder)!r} does not exist")
    nested = folder / NESTED
    place = nested if (nested / "model.safetensors").is_file() else folder
    for name in ("model.safetensors", "tokenizer.json"):
        if not (place / name).is_file():
            raise FileNotFoundError(f"{place / name} is missing; is this a static model?")
    path = folder / "config.json"
    config = read_json_object(path) if path.is_file() else {}
    normalize = config.get("normalize", "Normalize" in _module_kinds(folder / "modules.json"))
    if not isinstance(normalize, bool):
        raise FileFormatError(f"{path}: normalize must be true or false; got {shorten(normalize)}")
    default = DEFAULT_MAX_LENGTH if config.get("model_type") == "model2vec" else None
    max_length = config.get("max_length", default)
    if max_length is not None and (type(max_length) is not int or max_length < 1):
        raise FileFormatError(
            f"{path}: max_length must be a whole number above 0; got {shorten(max_length)}"
        )
    with SafetensorsFile(place / "model.safetensors") as file:
        rows = _read_rows(file)
        mapping = _read_mapping(file, len(rows))
        weights = _read_weights(file, len(rows) if mapping is None else len(mapping))
    tokenizer_path = place / "tokenizer.json"
    return StaticFolder(rows, weights, mapping, tokenizer_path, normalize, max_length, config)


def write_static_folder(
    folder: Path, tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]
) -> None:
    """Write all files but tokenizer.json into a folder that exists."""
    write_safetensors(folder / "model.safetensors", tensors)
    _write_json(folder / "config.json", dict(config))
    kinds = ["StaticEmbedding", "Normalize"] if config["normalize"] else ["StaticEmbedding"]
    if "weights" not in tensors:  # which sentence-transformers does not know
        modules = [
            {
                "idx": i,
                "name": str(i),
                "path": "." if i == 0 else f"{i}_{kind}",
                "type": f"sentence_transformers.models.{kind}",
            }
            for i, kind in enumerate(kinds)
        ]
        _write_json(folder / "modules.json", modules)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _module_kinds(path: Path) -> list[str]:
    if not path.is_file():
        return []
    modules = parse_json(read_bounded(path, MAX_JSON_BYTES), str(path))
    if not isinstance(modules, list) or not all(isinstance(m, dict) for m in modules):
        raise FileFormatError(f"{path}: a list of modules is expected; got {shorten(modules)}")
    return [str(module.get("type", "")).rpartition(".")[2] for module in modules]


def _read_rows(file: SafetensorsFile) -> np.ndarray:
    found = [name for name in TABLE_NAMES if name in file.tensors]
    if len(found) != 1:
        raise FileFormatError(f"{file.path}: expected one tensor of {' or '.join(TABLE_NAMES)}")
    entry = file.tensors[found[0]]
    if entry.dtype not in TABLE_TYPES or len(entry.shape) != 2 or 0 in entry.shape:
        raise FileFormatError(
            f"{file.path}: tensor {found[0]!r} must be a matrix of {', '.join(TABLE_TYPES)}; got "
            f"{entry.dtype} of shape {shorten(entry.shape)}"
        )
    if entry.dtype == "I8":
        return file.read(found[0])
    rows = file.read(found[0], float32=True)
    if not np.isfinite(rows).all():
        raise FileFormatError(f"{file.path}: tensor {found[0]!r} holds NaN or infinity")
    return rows.astype(np.float16) if entry.dtype == "F16" else rows


def _read_mapping(file: SafetensorsFile, rows: int) -> np.ndarray | None:
    entry = file.tensors.get("mapping")
    if entry is None:
        return None
    mapping = file.read("mapping")
    if mapping.dtype.kind not in "iu" or mapping.ndim != 1:
        raise FileFormatError(f"{file.path}: tensor 'mapping' must be a list of whole numbers")
    if mapping.size == 0 or int(mapping.min()) < 0 or int(mapping.max()) >= rows:
        raise FileFormatError(f"{file.path}: tensor 'mapping' must have numbers below {rows}")
    return mapping.astype(np.int64)


def _read_weights(file: SafetensorsFile, count: int) -> np.ndarray | None:
    if "weights" not in file.tensors:
        return None
    weights = file.read("weights", float32=True)
    if weights.shape != (count,) or not np.isfinite(weights).all():
        raise FileFormatError(
            f"{file.path}: tensor 'weights' must have {count} finite numbers; got shape "
            f"{shorten(weights.shape)}"
        )
    return weights
