"""lowbit: text to a fine-tuned low-bit language model on an ordinary CPU.

Names are loaded when they are first used, so `import lowbit` costs little more than NumPy.
"""

from __future__ import annotations

import importlib
from typing import Any

from lowbit import _core
from lowbit.errors import FileFormatError
from lowbit.runtime import cpu_info, get_num_threads, set_num_threads, use_isa

__version__ = _core.version

# Where each public name lives; a module that is public itself stands for itself.
_PUBLIC = {
    "Embedding": "lowbit.embeddings",
    "LoraBatch": "lowbit.adapters",
    "LoraConfig": "lowbit.adapters",
    "LoraLinear": "lowbit.adapters",
    "MergeReport": "lowbit.adapters",
    "NearestNeighbours": "lowbit.embeddings",
    "QuantizedMatrix": "lowbit.quantization",
    "SifPooling": "lowbit.embeddings",
    "Tokenizer": "lowbit.tokenizers",
    "WordVectors": "lowbit.embeddings",
    "linear": "lowbit.quantization",
    "quantize": "lowbit.quantization",
}
_MODULES = (
    "adapters",
    "data",
    "embeddings",
    "files",
    "functional",
    "models",
    "positions",
    "quantization",
    "reference",
    "tokenizers",
)

__all__ = [
    "FileFormatError",
    "cpu_info",
    "get_num_threads",
    "set_num_threads",
    "use_isa",
    *_PUBLIC,
    *_MODULES,
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(importlib.import_module(_PUBLIC[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"lowbit.{name}")
    else:
        raise AttributeError(f"module 'lowbit' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
