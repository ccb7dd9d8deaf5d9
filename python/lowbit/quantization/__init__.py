"""Numbers in few bits: weights that are quantized and multiplied, codes for activations."""

from lowbit.quantization.affine import (
    AffineParams,
    dequantize_linear,
    fake_quantize,
    fake_quantize_backward,
    learned_step_backward,
    quantize_linear,
)
from lowbit.quantization.gptq import gptq
from lowbit.quantization.linear import linear
from lowbit.quantization.matrix import QuantizedMatrix, quantize
from lowbit.quantization.observers import (
    EntropyObserver,
    MeanSquaredErrorObserver,
    MinMaxObserver,
    MovingAverageObserver,
    PercentileObserver,
)
from lowbit.quantization.search import quantize_to, search_scales

__all__ = [
    "AffineParams",
    "EntropyObserver",
    "MeanSquaredErrorObserver",
    "MinMaxObserver",
    "MovingAverageObserver",
    "PercentileObserver",
    "QuantizedMatrix",
    "dequantize_linear",
    "fake_quantize",
    "fake_quantize_backward",
    "gptq",
    "learned_step_backward",
    "linear",
    "quantize",
    "quantize_linear",
    "quantize_to",
    "search_scales",
]
