"""Text to ids and back."""

from lowbit.tokenizers.encoding import Batch, Encoding
from lowbit.tokenizers.tokenizer import Tokenizer

__all__ = ["Batch", "Encoding", "Tokenizer"]
