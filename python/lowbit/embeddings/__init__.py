"""Dense vectors looked up by id or by word."""

from lowbit.embeddings.neighbours import NearestNeighbours
from lowbit.embeddings.table import Embedding
from lowbit.embeddings.word_training import TrainingProgress
from lowbit.embeddings.word_vectors import WordVectors

__all__ = ["Embedding", "NearestNeighbours", "TrainingProgress", "WordVectors"]
