"""Weights in few bits: quantize, read back, multiply."""

from lowbit.quantization.gptq import gptq
from lowbit.quantization.linear import linear
from lowbit.quantization.matrix import QuantizedMatrix, quantize
from lowbit.quantization.search import quantize_to, search_scales

__all__ = ["QuantizedMatrix", "gptq", "linear", "quantize", "quantize_to", "search_scales"]
