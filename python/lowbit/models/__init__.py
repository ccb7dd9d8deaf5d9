"""Whole models: texts in, vectors or classes out."""

from lowbit.models.batching import TokenBatch, TruncationWarning
from lowbit.models.calibration import LinearReport
from lowbit.models.classifier import Classifier
from lowbit.models.encoder import Encoder
from lowbit.models.training import Checkpoint, Evaluation, History, Step

__all__ = [
    "Checkpoint",
    "Classifier",
    "Encoder",
    "Evaluation",
    "History",
    "LinearReport",
    "Step",
    "TokenBatch",
    "TruncationWarning",
]
