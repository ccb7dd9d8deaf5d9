"""Weights in few bits: quantize, read back, multiply."""

from lowbit.quantization.linear import linear
from lowbit.quantization.matrix import QuantizedMatrix, quantize

__all__ = ["QuantizedMatrix", "linear", "quantize"]
