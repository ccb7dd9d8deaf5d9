"""Reading and writing files: untrusted input in, only `FileFormatError` and `OSError` out."""

from lowbit.errors import FileFormatError
from lowbit.files.atomic import replace_file, replace_folder, write_file
from lowbit.files.bitsandbytes_state import from_bitsandbytes, to_bitsandbytes
from lowbit.files.bundled_model import find_bundled_model
from lowbit.files.encoder_config import EncoderConfig
from lowbit.files.gguf import GgufFile
from lowbit.files.gguf_writing import write_gguf
from lowbit.files.gptq_awq import from_awq, from_gptq
from lowbit.files.model_folder import ModelFolder, expected_tensors, open_model_folder
from lowbit.files.onnx_weights import (
    from_matmul_bnb4,
    from_matmul_nbits,
    to_matmul_bnb4,
    to_matmul_nbits,
)
from lowbit.files.safetensors import (
    SafetensorsFile,
    TensorEntry,
    read_safetensors,
    write_safetensors,
)
from lowbit.files.sentence_config import SentenceConfig, read_sentence_config
from lowbit.files.splits import split_train_test
from lowbit.files.tables import LabelledTexts, read_labelled, read_texts

__all__ = [
    "EncoderConfig",
    "FileFormatError",
    "GgufFile",
    "LabelledTexts",
    "ModelFolder",
    "SafetensorsFile",
    "SentenceConfig",
    "TensorEntry",
    "expected_tensors",
    "find_bundled_model",
    "from_awq",
    "from_bitsandbytes",
    "from_gptq",
    "from_matmul_bnb4",
    "from_matmul_nbits",
    "open_model_folder",
    "read_labelled",
    "read_safetensors",
    "read_sentence_config",
    "read_texts",
    "replace_file",
    "replace_folder",
    "split_train_test",
    "to_bitsandbytes",
    "to_matmul_bnb4",
    "to_matmul_nbits",
    "write_file",
    "write_gguf",
    "write_safetensors",
]
