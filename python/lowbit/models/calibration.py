"""Rounding an encoder's layers to few bits so that texts keep their vectors.

Layer after layer, from the first: the hidden states of the texts, computed with the layers that are
already rounded, go into the layer; each of its linears sees what its inputs are, and is rounded by
the method asked for, such as GPTQ, for these inputs. So a layer makes up for some of what the
layers before it lost, and only one layer is ever in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lowbit import _core
from lowbit.models.layer_inputs import LayerInputs
from lowbit.models.layers import Linear, TransformerLayer
from lowbit.quantization import InputStatistics, Method, WeightFormat, bias_shift
from lowbit.quantization.methods import METHODS, Rounded, round_together
from lowbit.quantization.moments import SecondMoments


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
    """Rounds the linears of one layer after another for the inputs that texts make.

    Parameters
    ----------
    inputs
        The calibration texts, before the first layer.
    format_of
        The format of the linear layer of this name, or None for one that stays as it is.
    method
        How weights are rounded.
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
        inputs: LayerInputs,
        format_of: Callable[[str], WeightFormat | None],
        method: Method = METHODS["gptq"],
        bias_correction: bool = False,
        compute: str = "auto",
    ) -> None:
        self._inputs = inputs
        self._format_of = format_of
        self._method = method
        self._bias_correction = bias_correction
        self._compute = compute
        self.reports: list[LinearReport] = []

    def round_layer(self, layer: TransformerLayer) -> None:
        """Round the layer's linears, and let the texts pass through it."""
        self._inputs.pass_through(layer, self._round)

    def _round(self, linears: list[Linear], inputs: InputStatistics) -> None:
        """Round linears that have one input; those of one format together."""
        if self._bias_correction:
            inputs.centre()
        asked = {linear.name: self._format_of(linear.name) for linear in linears}
        for format in dict.fromkeys(asked.values()):
            if format is not None:
                own = [linear for linear in linears if asked[linear.name] == format]
                self._round_to(format, own, inputs)

    def _round_to(self, store: WeightFormat, own: list[Linear], inputs: InputStatistics) -> None:
        weights = [linear.weight for linear in own]
        rounded = round_together(weights, self._method, store, inputs)
        _core.trim_memory()  # of the work, before the changes are looked at
        for index, linear in enumerate(own):
            change = rounded.values(index)
            change -= linear.weight
            self.reports.append(_report(linear, change, rounded, index, inputs.moments))
            if self._bias_correction:
                linear.bias = linear.bias - bias_shift(change, inputs.mean)
            linear.weight = rounded.matrices[index]._packed
            linear.compute = self._compute
            if rounded.scales is not None:
                linear.input_scale = 1 / rounded.scales


def _report(
    linear: Linear,
    change: np.ndarray,
    rounded: Rounded,
    index: int,
    moments: SecondMoments,
) -> LinearReport:
    exact, matrix = linear.weight, rounded.matrices[index]
    return LinearReport(
        linear.name,
        matrix.shape,
        matrix.format,
        matrix.nbytes,
        float(np.linalg.norm(change) / max(float(np.linalg.norm(exact)), 1e-30)),
        moments.norm(change) / max(moments.norm(exact), 1e-30),
    )
