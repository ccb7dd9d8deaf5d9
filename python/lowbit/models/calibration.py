"""Rounding an encoder's layers to few bits so that texts keep their vectors.

Layer after layer, from the first: the hidden states of the texts, computed with the layers that are
already rounded, go into the layer; each of its linears sees what its inputs are, and is rounded by
the method asked for, such as GPTQ, for these inputs. So a layer makes up for some of what the
layers before it lost, and only one layer is ever in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lowbit.models.batching import TokenBatch
from lowbit.models.layers import Linear, TransformerLayer
from lowbit.quantization import InputStatistics, Method, PackedFormat, bias_shift
from lowbit.quantization.methods import METHODS, Rounded, round_together

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LinearReport:
    """What rounding cost one linear layer.

    Attributes
    ----------
    name, shape, format, nbytes
        Of the rounded weight.
    error
        Euclidean norm of the change of the weight, as a part of the weight's.
    output_error
        The same for the outputs, bias aside, over the calibration inputs; where the bias was
        corrected, without their mean change.
    """

    name: str
    shape: tuple[int, int]
    format: str
    nbytes: int
    error: float
    output_error: float


class Calibration:
    """The texts on their way through the layers.

    Parameters
    ----------
    batches
        The calibration texts.
    hidden
        What goes into the first layer, float32 [tokens, hidden_size] for each batch.
    store
        How weights are stored.
    method
        How they are rounded.
    bias_correction
        Whether biases give back what rounding adds to the mean of the outputs.
    compute
        Of the products with rounded weights, as in `lowbit.linear`.

    Attributes
    ----------
    reports : list of LinearReport
        One for each linear that was rounded, in their order.
    """

    def __init__(
        self,
        batches: Sequence[TokenBatch],
        hidden: list[np.ndarray],
        store: PackedFormat,
        method: Method = METHODS["gptq"],
        bias_correction: bool = False,
        compute: str = "auto",
    ) -> None:
        self._batches = batches
        self._hidden = hidden
        self._store = store
        self._method = method
        self._bias_correction = bias_correction
        self._compute = compute
        self.reports: list[LinearReport] = []

    def round_layer(self, layer: TransformerLayer) -> None:
        """Round the layer's linears, and let the texts pass through it."""
        stages = (
            (layer.query, layer.key, layer.value),  # these have one input
            (layer.attention_output,),
            (layer.intermediate,),
            (layer.output,),
        )
        for stage in stages:
            self._round(stage, self._inputs(layer, stage[0]))
        self._hidden = self._pass(layer)

    def _pass(self, layer: TransformerLayer) -> list[np.ndarray]:
        states = zip(self._hidden, self._batches, strict=True)
        return [layer(x, batch.indptr) for x, batch in states]

    def _inputs(self, layer: TransformerLayer, linear: Linear) -> InputStatistics:
        """Of one of the layer's linears, over all texts."""
        inputs = InputStatistics(linear.shape[1])
        linear.observe = inputs.observe
        try:
            self._pass(layer)
        finally:
            linear.observe = None
        return inputs

    def _round(self, stage: Sequence[Linear], inputs: InputStatistics) -> None:
        """Round linears that have one input."""
        weights = [linear.weight for linear in stage]
        moments = inputs.hessian(self._bias_correction)
        rounded = round_together(weights, self._method, self._store, inputs, moments)
        for index, linear in enumerate(stage):
            values = rounded.values(index)
            self.reports.append(_report(linear, values, rounded, index, moments))
            if self._bias_correction:
                linear.bias = linear.bias - bias_shift(linear.weight, values, inputs.mean)
            linear.weight = rounded.matrices[index]._packed
            linear.compute = self._compute
            if rounded.scales is not None:
                linear.input_scale = 1 / rounded.scales


def _report(
    linear: Linear, values: np.ndarray, rounded: Rounded, index: int, moments: np.ndarray
) -> LinearReport:
    exact, matrix = linear.weight, rounded.matrices[index]
    change = values - exact

    def norm(w: np.ndarray) -> float:
        """Of the outputs: the square is the sum of w moments w^T over the diagonal."""
        return float(np.sqrt(np.sum((w @ moments) * w)))

    return LinearReport(
        linear.name,
        matrix.shape,
        matrix.format,
        matrix.nbytes,
        float(np.linalg.norm(change) / max(float(np.linalg.norm(exact)), 1e-30)),
        norm(change) / max(norm(exact), 1e-30),
    )
