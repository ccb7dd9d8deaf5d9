"""Dense vectors looked up by id."""

from lowbit.embeddings.table import Embedding

__all__ = ["Embedding"]
