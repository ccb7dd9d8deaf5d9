"""lowbit: text to a fine-tuned low-bit language model on an ordinary CPU."""

from lowbit import _core
from lowbit.errors import FileFormatError
from lowbit.runtime import cpu_info, get_num_threads, set_num_threads, use_isa

__version__ = _core.version

__all__ = [
    "FileFormatError",
    "cpu_info",
    "get_num_threads",
    "set_num_threads",
    "use_isa",
]
