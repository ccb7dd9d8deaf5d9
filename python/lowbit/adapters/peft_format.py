"""Adapters in PEFT's file format: what lowbit saves, PEFT loads, and the other way round.

    adapter_config.json         rank, alpha, dropout, targets ...
    adapter_model.safetensors   base_model.model.<module>.lora_A.weight  [rank, in]
                                base_model.model.<module>.lora_B.weight  [out, rank]
                                base_model.model.<module>.weight, .bias  of modules_to_save
    lowbit_adapter.json         optional notes of lowbit's own (pooling, names of the classes)

Loading is strict. PEFT only warns when keys are missing or unknown, and then computes with a partly
initialised adapter; here every key must be used, every target must have its pair of matrices, and
every setting that would change the result and is not computed here is refused by name.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.adapters.config import LoraConfig
from lowbit.adapters.peft_keys import (
    belongs,
    check_fit,
    check_saved,
    check_stored,
    split_tensors,
)
from lowbit.errors import FileFormatError
from lowbit.files.atomic import replace_folder
from lowbit.files.safetensors import SafetensorsFile, write_safetensors
from lowbit.files.untrusted import MAX_JSON_BYTES, read_json_object, shorten

CONFIG_FILE = "adapter_config.json"
TENSOR_FILE = "adapter_model.safetensors"
NOTES_FILE = "lowbit_adapter.json"
PREFIX = "base_model.model."

# Settings that do not change what a finished adapter computes.
WITHOUT_EFFECT = {
    "auto_mapping",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "inference_mode",
    "layers_pattern",
    "loftq_config",
    "lora_ga_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
}
# PEFT's name -> ours.
TAKEN = {
    "r": "rank",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "target_modules": "target_modules",
    "exclude_modules": "exclude_modules",
    "use_rslora": "use_rslora",
    "bias": "bias",
    "modules_to_save": "modules_to_save",
    "rank_pattern": "rank_pattern",
    "alpha_pattern": "alpha_pattern",
    "layers_to_transform": "layers_to_transform",
    "task_type": "task_type",
    "base_model_name_or_path": "base_model_name",
}
# Ways to start training that leave the base weights alone. The others (PiSSA, OLoRA, CorDA, LoftQ,
# LoRA-GA) also change W, so their adapter is wrong on the published base.
KEEPS_BASE = (True, False, "gaussian", "eva", "orthogonal")


def save_adapter(
    folder: str | os.PathLike,
    config: LoraConfig,
    tensors: Mapping[str, np.ndarray],
    base_model_name: str | None = None,
    *,
    keep_local_path: bool = False,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write an adapter as PEFT does; all files at once or none (see `replace_folder`).

    Parameters
    ----------
    folder : str or PathLike
        Created if need be; files of other names in it stay.
    config : LoraConfig
    tensors : mapping of str to ndarray
        `<module>.lora_A.weight` [rank, in] and `<module>.lora_B.weight` [out, rank] for every
        module with an adapter, and `<module>.weight`, `<module>.bias` of `modules_to_save`.
        Module names are those of the PEFT user's model: "bert.encoder.layer.0 ..." for
        BertForSequenceClassification, "encoder.layer.0 ..." for BertModel. Floats are written as
        float32.
    base_model_name : str, optional
        Public name of the base model; default `config.base_model_name`. What looks like a path on
        this machine is left out, since adapters are published and paths hold names of people.
    keep_local_path : bool
        Write the path all the same.
    notes : mapping, optional
        JSON values for lowbit's own file, which PEFT ignores.

    Raises
    ------
    TypeError, ValueError
        A pair is incomplete, a rank differs from the configuration, a value is not finite, or a
        tensor belongs to nothing.
    OSError
        The files could not be written; older ones are untouched.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> pair = {"dense.lora_A.weight": np.ones((2, 3)), "dense.lora_B.weight": np.zeros((4, 2))}
    >>> save_adapter(folder, LoraConfig(rank=2, alpha=4), pair)
    >>> config, tensors = load_adapter(folder)
    >>> config.target_modules, tensors["dense.lora_B.weight"].shape
    (('dense',), (4, 2))
    """
    arrays = {name: _to_save(name, array) for name, array in tensors.items()}
    pairs, saved = split_tensors({n: a.shape for n, a in arrays.items()}, "save_adapter")
    check_stored(config, pairs, saved, "save_adapter")
    for entry in config.modules_to_save:
        if not any(belongs(name, (entry,)) for name in saved):
            raise ValueError(f"save_adapter: modules_to_save {entry!r} has no tensor")
    name = config.base_model_name if base_model_name is None else base_model_name
    if name is not None and not keep_local_path and _is_local(name):
        name = None
    values = _peft_values(config, sorted(pairs), name)
    texts = {CONFIG_FILE: json.dumps(values, indent=2, sort_keys=True, allow_nan=False)}
    # Notes of an adapter that is replaced must not be left beside the new one.
    if notes is not None or Path(folder, NOTES_FILE).exists():
        texts[NOTES_FILE] = json.dumps(dict(notes or {}), indent=2, allow_nan=False)
    with replace_folder(folder) as staging:
        write_safetensors(staging / TENSOR_FILE, {PREFIX + n: a for n, a in arrays.items()})
        for file, text in texts.items():
            (staging / file).write_text(text + "\n", encoding="utf-8")


def load_adapter(
    folder: str | os.PathLike,
    module_shapes: Mapping[str, tuple[int, int]] | None = None,
    saved_shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> tuple[LoraConfig, dict[str, np.ndarray]]:
    """Read an adapter that PEFT or lowbit saved.

    Parameters
    ----------
    folder : str or PathLike
    module_shapes : mapping of str to (out, in), optional
        All linear layers of the model by full name. With it the adapter must fit the model: same
        modules, same shapes. Without it the files are only checked in themselves.
    saved_shapes : mapping of str to tuple, optional
        Shapes of the tensors of `modules_to_save` ("classifier.weight": (2, 384)); with it exactly
        these must be there.

    Returns
    -------
    config : LoraConfig
    tensors : dict of str to ndarray
        float32, named as for `save_adapter`.

    Raises
    ------
    FileNotFoundError
        The folder or one of its two files does not exist.
    FileFormatError
        A file is broken, an unsupported kind of adapter, a key is missing or unknown, or a shape is
        wrong; names the key, expected and got.
    """
    folder = Path(folder)
    config = read_adapter_config(folder)
    path = folder / TENSOR_FILE
    if not path.exists() and (folder / "adapter_model.bin").exists():
        raise FileFormatError(
            f"{folder}: adapter_model.bin is a pickle, which can run any program, and is not read; "
            f"save the adapter again with PEFT to get {TENSOR_FILE}"
        )
    with SafetensorsFile(path) as file:
        shapes = {}
        for name, entry in file.tensors.items():
            if not name.startswith(PREFIX):
                raise FileFormatError(f"{path}: key {shorten(name)} does not begin with {PREFIX}")
            shapes[name.removeprefix(PREFIX)] = entry.shape
        try:
            pairs, saved = split_tensors(shapes, str(path))
            check_stored(config, pairs, saved, str(path))
            if module_shapes is not None:
                check_fit(config, pairs, module_shapes, str(path))
            if saved_shapes is not None:
                check_saved(saved, saved_shapes, str(path))
        except ValueError as error:
            text = str(error)
            start = "" if text.startswith(str(path)) else f"{path}: "
            raise FileFormatError(start + text) from error
        return config, {name: _finite(file, PREFIX + name) for name in shapes}


def read_adapter_config(folder: str | os.PathLike) -> LoraConfig:
    """Read and check adapter_config.json alone.

    Parameters
    ----------
    folder : str or PathLike

    Raises
    ------
    FileNotFoundError
        There is no such folder or file.
    FileFormatError
        Another kind of adapter, or a value that is wrong or not supported.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> text = '{"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["query"]}'
    >>> _ = (folder / "adapter_config.json").write_text(text)
    >>> read_adapter_config(folder).scale
    2.0
    """
    path = Path(folder, CONFIG_FILE)
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; is {os.fspath(folder)!r} an adapter folder?")
    values = read_json_object(path)
    if values.get("peft_type") != "LORA":
        kind = shorten(values.get("peft_type"))
        raise FileFormatError(f"{path}: peft_type {kind} is not supported; use LORA")
    start = values.get("init_lora_weights", True)
    if not any(
        start is known or (isinstance(start, str) and start == known) for known in KEEPS_BASE
    ):
        raise FileFormatError(
            f"{path}: init_lora_weights {shorten(start)} changes the base weights; save "
            "the adapter in PEFT with path_initial_model_for_weight_conversion"
        )
    for name in ("r", "lora_alpha", "target_modules"):
        if values.get(name) is None:
            raise FileFormatError(f"{path}: {name} is missing")
    known = WITHOUT_EFFECT | TAKEN.keys() | {"peft_type", "init_lora_weights", "megatron_config"}
    for name, value in values.items():
        if (name not in known or name == "megatron_config") and value not in (None, False, {}, []):
            raise FileFormatError(
                f"{path}: {shorten(name)} = {shorten(value)} is not supported; "
                "the adapter would compute something else"
            )
    taken = {
        ours: values[theirs] for theirs, ours in TAKEN.items() if values.get(theirs) is not None
    }
    try:
        return LoraConfig(**taken)
    except (TypeError, ValueError) as error:
        raise FileFormatError(f"{path}: {error}") from error


def read_adapter_notes(folder: str | os.PathLike) -> dict[str, Any]:
    """The notes that `save_adapter` wrote; {} when there are none, as in adapters of PEFT.

    Raises
    ------
    FileFormatError
        The file of the notes is broken.

    Examples
    --------
    >>> read_adapter_notes("no such folder")
    {}
    """
    path = Path(folder, NOTES_FILE)
    return read_json_object(path, MAX_JSON_BYTES) if path.exists() else {}


def _to_save(name: str, array: np.ndarray) -> np.ndarray:
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        raise TypeError(f"save_adapter: {shorten(name)} must be an array of floats")
    array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        raise ValueError(f"save_adapter: {shorten(name)} holds NaN or infinity; nothing was saved")
    return array


def _finite(file: SafetensorsFile, name: str) -> np.ndarray:
    array = file.read(name, float32=True)
    if not np.isfinite(array).all():
        raise FileFormatError(f"{file.path}: tensor {shorten(name)} holds NaN or infinity")
    return array


def _is_local(name: str) -> bool:
    """Public names are `model` or `owner/model`; all else that a path could be is kept private."""
    path_like = name.startswith(("/", "~", ".")) or "\\" in name or ":" in name
    return path_like or name.count("/") > 1 or os.path.exists(name)


def _peft_values(config: LoraConfig, modules: list[str], name: str | None) -> dict[str, Any]:
    """adapter_config.json with the keys that every PEFT since 0.8 knows.

    Keys that only newer versions have are left at their defaults by leaving them out. The targets
    are written as full names: an end such as "dense" could reach more modules in the PEFT user's
    model than were trained here.
    """
    task = config.task_type or ("SEQ_CLS" if config.modules_to_save else None)
    alpha = int(config.alpha) if float(config.alpha).is_integer() else config.alpha
    return {
        "alpha_pattern": dict(config.alpha_pattern),
        "auto_mapping": None,
        "base_model_name_or_path": name,
        "bias": config.bias,
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "layers_pattern": None,
        "layers_to_transform": None,
        "loftq_config": {},
        "lora_alpha": alpha,
        "lora_dropout": config.dropout,
        "modules_to_save": list(config.modules_to_save) or None,
        "peft_type": "LORA",
        "r": config.rank,
        "rank_pattern": dict(config.rank_pattern),
        "revision": None,
        "target_modules": modules,
        "task_type": task,
        "use_rslora": config.use_rslora,
    }
