"""Reading and writing files: untrusted input in, only `FileFormatError` and `OSError` out."""

import importlib
from typing import Any

from lowbit.errors import FileFormatError
from lowbit.files.atomic import replace_file, replace_folder, write_file
from lowbit.files.bundled_model import find_bundled_model
from lowbit.files.encoder_config import EncoderConfig
from lowbit.files.model_folder import ModelFolder, expected_tensors, open_model_folder
from lowbit.files.safetensors import (
    SafetensorsFile,
    TensorEntry,
    read_safetensors,
    write_safetensors,
)
from lowbit.files.sentence_config import SentenceConfig, read_sentence_config
from lowbit.files.splits import split_train_test
from lowbit.files.tables import LabelledTexts, read_labelled, read_texts

# Weights of other tools: where their functions live, which are loaded when they are first used.
_LATER = {
    "GgufFile": "gguf",
    "from_awq": "gptq_awq",
    "from_bitsandbytes": "bitsandbytes_state",
    "from_gptq": "gptq_awq",
    "from_matmul_bnb4": "onnx_weights",
    "from_matmul_nbits": "onnx_weights",
    "to_bitsandbytes": "bitsandbytes_state",
    "to_matmul_bnb4": "onnx_weights",
    "to_matmul_nbits": "onnx_weights",
    "write_gguf": "gguf_writing",
}

__all__ = [
    "EncoderConfig",
    "FileFormatError",
    "LabelledTexts",
    "ModelFolder",
    "SafetensorsFile",
    "SentenceConfig",
    "TensorEntry",
    "expected_tensors",
    "find_bundled_model",
    "open_model_folder",
    "read_labelled",
    "read_safetensors",
    "read_sentence_config",
    "read_texts",
    "replace_file",
    "replace_folder",
    "split_train_test",
    "write_file",
    "write_safetensors",
    *_LATER,
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'lowbit.files' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"lowbit.files.{_LATER[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
