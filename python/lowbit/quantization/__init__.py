"""Numbers in few bits: weights that are quantized and multiplied, codes for activations."""

from lowbit.quantization.affine import (
    AffineParams,
    dequantize_linear,
    fake_quantize,
    fake_quantize_backward,
    learned_step_backward,
    quantize_linear,
)
from lowbit.quantization.column_scaling import awq_scales, bias_shift, smooth_scales
from lowbit.quantization.gptq import gptq
from lowbit.quantization.hqq import hqq
from lowbit.quantization.input_statistics import InputStatistics
from lowbit.quantization.linear import linear
from lowbit.quantization.matrix import QuantizedMatrix, quantize
from lowbit.quantization.methods import METHODS, Method, smoothing
from lowbit.quantization.observers import (
    EntropyObserver,
    MeanSquaredErrorObserver,
    MinMaxObserver,
    MovingAverageObserver,
    PercentileObserver,
)
from lowbit.quantization.qat import QatConfig
from lowbit.quantization.search import quantize_to, search_ranges, search_scales
from lowbit.quantization.weight_format import WeightFormat

__all__ = [
    "METHODS",
    "AffineParams",
    "EntropyObserver",
    "InputStatistics",
    "MeanSquaredErrorObserver",
    "Method",
    "MinMaxObserver",
    "MovingAverageObserver",
    "WeightFormat",
    "PercentileObserver",
    "QatConfig",
    "QuantizedMatrix",
    "awq_scales",
    "bias_shift",
    "dequantize_linear",
    "fake_quantize",
    "fake_quantize_backward",
    "gptq",
    "hqq",
    "learned_step_backward",
    "linear",
    "quantize",
    "quantize_linear",
    "quantize_to",
    "search_ranges",
    "search_scales",
    "smooth_scales",
    "smoothing",
]
