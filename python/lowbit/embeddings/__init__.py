"""Dense vectors looked up by id or by word."""

from lowbit.embeddings.glove_settings import GloveOptions
from lowbit.embeddings.neighbours import NearestNeighbours
from lowbit.embeddings.row_training import SGD, Adagrad, RowGradient, SparseAdam
from lowbit.embeddings.sif import SifPooling
from lowbit.embeddings.table import Embedding
from lowbit.embeddings.word_training import TrainingProgress
from lowbit.embeddings.word_vectors import WordVectors

__all__ = [
    "SGD",
    "Adagrad",
    "Embedding",
    "GloveOptions",
    "NearestNeighbours",
    "RowGradient",
    "SifPooling",
    "SparseAdam",
    "TrainingProgress",
    "WordVectors",
]
