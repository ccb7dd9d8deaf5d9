"""Text to ids and back."""

from lowbit.tokenizers.encoding import Batch, Encoding
from lowbit.tokenizers.spec import AddedToken
from lowbit.tokenizers.tokenizer import Tokenizer

__all__ = ["AddedToken", "Batch", "Encoding", "Tokenizer"]
