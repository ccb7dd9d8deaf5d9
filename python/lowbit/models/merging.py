"""Adapters of whole models, put into the weights."""

from __future__ import annotations

from lowbit import _core
from lowbit.adapters.lora import MergeReport, merge_delta
from lowbit.models.layers import Linear
from lowbit.quantization.matrix import QuantizedMatrix


def merge_adapters(linears: dict[str, Linear]) -> dict[str, MergeReport]:
    """Add every adapter to its weight, in the weight's own format, and remove it."""
    reports = {}
    for name, linear in linears.items():
        if linear.adapter is None:
            continue
        weight = linear.weight
        if isinstance(weight, _core.PackedMatrix):
            weight = QuantizedMatrix(weight)
        base = _core.dequantize(linear.weight)
        delta = linear.adapter.delta()
        if linear.input_scale is not None:
            delta /= linear.input_scale  # as the weight is stored
        merged, reports[name] = merge_delta(weight, base, delta)
        linear.weight = merged._packed if isinstance(merged, QuantizedMatrix) else merged
        linear.adapter = None
    return reports
