"""Rounding an encoder's layers to few bits so that texts keep their vectors.

Layer after layer, from the first: the hidden states of the texts, computed with the layers that are
already rounded, go into the layer; each of its linears sees what its inputs are, and is rounded by
GPTQ for these inputs. So a layer makes up for some of what the layers before it lost, and only one
layer is ever in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lowbit.models.batching import TokenBatch
from lowbit.models.layers import Linear, TransformerLayer
from lowbit.quantization import QuantizedMatrix, gptq

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
        The same for the outputs, bias aside, over the calibration inputs.
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
    format, group_size, double_quant
        As in `lowbit.quantize`.

    Attributes
    ----------
    reports : list of LinearReport
        One for each linear that was rounded, in their order.
    """

    def __init__(
        self,
        batches: Sequence[TokenBatch],
        hidden: list[np.ndarray],
        format: str,
        group_size: int | None = 64,
        double_quant: bool = False,
    ) -> None:
        self._batches = batches
        self._hidden = hidden
        self._store = (format, group_size, double_quant)
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
            moments = self._second_moments(layer, stage[0])
            for linear in stage:
                self._round(linear, moments)
        self._hidden = self._pass(layer)

    def _pass(self, layer: TransformerLayer) -> list[np.ndarray]:
        states = zip(self._hidden, self._batches, strict=True)
        return [layer(x, batch.indptr) for x, batch in states]

    def _second_moments(self, layer: TransformerLayer, linear: Linear) -> np.ndarray:
        """Sum of x x^T over the inputs of one of the layer's linears, [K, K]."""
        moments = np.zeros((linear.shape[1],) * 2)

        def observe(x: np.ndarray) -> None:
            moments[...] += x.T @ x

        linear.observe = observe
        try:
            self._pass(layer)
        finally:
            linear.observe = None
        return moments

    def _round(self, linear: Linear, moments: np.ndarray) -> None:
        exact = linear.weight
        rounded = gptq(exact, moments, *self._store)
        linear.weight = rounded._packed
        self.reports.append(_report(linear.name, exact, rounded, moments))


def _report(
    name: str, exact: np.ndarray, rounded: QuantizedMatrix, moments: np.ndarray
) -> LinearReport:
    change = rounded.dequantize() - exact

    def norm(w: np.ndarray) -> float:
        """Of the outputs: the square is the sum of w moments w^T over the diagonal."""
        return float(np.sqrt(np.sum((w @ moments) * w)))

    return LinearReport(
        name,
        rounded.shape,
        rounded.format,
        rounded.nbytes,
        float(np.linalg.norm(change) / max(float(np.linalg.norm(exact)), 1e-30)),
        norm(change) / max(norm(exact), 1e-30),
    )
