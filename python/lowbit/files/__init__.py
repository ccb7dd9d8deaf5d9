"""Reading and writing files: untrusted input in, only `FileFormatError` and `OSError` out."""

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

__all__ = [
    "EncoderConfig",
    "FileFormatError",
    "ModelFolder",
    "SafetensorsFile",
    "SentenceConfig",
    "TensorEntry",
    "expected_tensors",
    "find_bundled_model",
    "open_model_folder",
    "read_safetensors",
    "read_sentence_config",
    "replace_file",
    "replace_folder",
    "write_file",
    "write_safetensors",
]
