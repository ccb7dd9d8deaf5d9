"""Whole models: texts in, vectors or classes out."""

from lowbit.models.batching import TokenBatch, TruncationWarning
from lowbit.models.calibration import LinearReport
from lowbit.models.classifier import Classifier
from lowbit.models.contextual import ContextualVectors, find_words
from lowbit.models.distillation import distill
from lowbit.models.encoder import Encoder
from lowbit.models.format_choice import FormatPlan, choose_formats
from lowbit.models.senses import SenseReport, compare_senses
from lowbit.models.static import StaticEncoder
from lowbit.models.training import Checkpoint, Evaluation, History, Step
from lowbit.quantization.weight_format import WeightFormat

__all__ = [
    "Checkpoint",
    "Classifier",
    "ContextualVectors",
    "Encoder",
    "Evaluation",
    "FormatPlan",
    "History",
    "LinearReport",
    "SenseReport",
    "StaticEncoder",
    "Step",
    "TokenBatch",
    "TruncationWarning",
    "WeightFormat",
    "choose_formats",
    "compare_senses",
    "distill",
    "find_words",
]
