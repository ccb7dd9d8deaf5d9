"""Low-rank adapters: settings, layers, and files that PEFT reads and writes."""

from lowbit.adapters.batch import LoraBatch
from lowbit.adapters.config import LoraConfig
from lowbit.adapters.lora import LoraLinear, MergeReport
from lowbit.adapters.peft_format import (
    load_adapter,
    read_adapter_config,
    read_adapter_notes,
    save_adapter,
)

__all__ = [
    "LoraBatch",
    "LoraConfig",
    "LoraLinear",
    "MergeReport",
    "load_adapter",
    "read_adapter_config",
    "read_adapter_notes",
    "save_adapter",
]
