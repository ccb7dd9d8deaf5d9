"""Encoders whose linear layers are trained while they are rounded.

`train_linears` puts the float weights into `Parameters` and exchanges the linear layers for
`RoundedLinear`; `packed_linears` exchanges them for plain ones with the packed weights that the
last forward pass would use. Both leave the encoder that they are given as it is: what is frozen,
such as word tables and norms, is shared.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from lowbit import _core
from lowbit.models.layers import Linear, Tape, TransformerLayer
from lowbit.models.parameters import Parameters
from lowbit.quantization.matrix import QuantizedMatrix
from lowbit.quantization.qat import QatConfig, WeightRounding

if TYPE_CHECKING:
    from lowbit.models.encoder import Encoder


class RoundedLinear(Linear):
    """A linear layer whose float weight and bias are trained; products are with the rounded weight.

    Parameters
    ----------
    linear
        The layer that is trained; it stays as it is.
    name
        Of the values in `parameters`: `name`.weight [N, K], `name`.bias [N] and, with learned
        steps, `name`.log_step [N, groups].
    rounding
        Of the weight.

    Attributes
    ----------
    weight
        As the last forward pass rounded it.
    """

    def __init__(
        self, linear: Linear, name: str, parameters: Parameters, rounding: WeightRounding
    ) -> None:
        bias = parameters[f"{name}.bias"]
        super().__init__(linear.name, linear.weight, bias, rounding.config.compute)
        self._key = name
        self._parameters = parameters
        self._rounding = rounding
        self._rounded: QuantizedMatrix | np.ndarray = self.round()

    def round(self) -> QuantizedMatrix | np.ndarray:
        """Round the float weight as it is now, into `weight` too."""
        self._rounded = self._rounding.forward(self.float_weight, self._log_step)
        packed = isinstance(self._rounded, QuantizedMatrix)
        self.weight = self._rounded._packed if packed else self._rounded
        return self._rounded

    @property
    def float_weight(self) -> np.ndarray:
        """float32 [N, K]: what the optimizer moves."""
        return self._parameters[f"{self._key}.weight"]

    @property
    def _log_step(self) -> np.ndarray | None:
        return self._parameters.get(f"{self._key}.log_step")

    def __call__(
        self, x: np.ndarray, tape: Tape | None = None, residual: np.ndarray | None = None
    ) -> np.ndarray:
        self.round()
        y = super().__call__(x, tape, residual)
        if tape is not None:
            tape.push(x)
        return y

    def backward(
        self,
        dy: np.ndarray,
        tape: Tape,
        residual: np.ndarray | None = None,
        need_dx: bool = True,
    ) -> np.ndarray | None:
        """Gradient of the input, plus `residual`; the gradients of the parameters are stored."""
        (x,) = tape.pop()
        dw, dstep = self._rounding.backward(
            weight_gradient(dy, x, self.compute), self.float_weight, self._rounded, self._log_step
        )
        store = self._parameters.gradient
        store(f"{self._key}.weight")[...] = dw
        store(f"{self._key}.bias")[...] = dy.sum(axis=0, dtype=np.float64)
        if dstep is not None:
            store(f"{self._key}.log_step")[...] = dstep
        return super().backward(dy, tape, residual, need_dx)


def weight_gradient(dy: np.ndarray, x: np.ndarray, compute: str) -> np.ndarray:
    """dy^T x, float32 [N, K], of dy [M, N] and x [M, K].

    It is the kernel of a linear layer's backward, which multiplies rows with a weight: here the
    rows of dy^T with x. So its bits do not depend on the number of threads.
    """
    if compute == "int8" or (compute == "auto" and _core.active_isa() != "amx"):
        compute = "int16"  # "auto" would take x for a weight in float32, whose products are exact
    rows = np.ascontiguousarray(dy.T)
    product, _, _ = _core.linear_backward(rows, None, None, x, compute=compute)
    return product


def train_linears(
    encoder: Encoder,
    linears: dict[str, Linear],
    config: QatConfig,
    others: dict[str, np.ndarray] | None = None,
) -> tuple[Encoder, Parameters]:
    """The encoder with `linears` trained, by the names of their parameters, and the parameters.

    What other linear layers it has, such as a pooler that nothing goes through, are rounded alike.

    Parameters
    ----------
    linears
        Some of the encoder's, in any format or trained already; adapters are added to the weights.
    others
        What else is trained.
    """
    initial, roundings = {}, {}
    for name, linear in linears.items():
        weight = _float_weight(linear)
        roundings[name] = WeightRounding(config, weight)
        initial |= {f"{name}.weight": weight, f"{name}.bias": linear.bias}
        scales = roundings[name].first_scales
        if scales is not None:
            initial[f"{name}.log_step"] = np.zeros_like(scales)
    parameters = Parameters(initial | (others or {}))
    trained = {
        id(linear): RoundedLinear(linear, name, parameters, roundings[name])
        for name, linear in linears.items()
    }
    return exchange_linears(
        encoder, lambda linear: trained.get(id(linear)) or _rounded(linear, config)
    ), parameters


def _float_weight(linear: Linear) -> np.ndarray:
    if isinstance(linear, RoundedLinear):
        return linear.float_weight
    weight = _core.dequantize(linear.weight)
    if linear.input_scale is not None:
        weight *= linear.input_scale  # it was stored divided by them
    return weight if linear.adapter is None else weight + linear.adapter.delta()


def _rounded(linear: Linear, config: QatConfig) -> Linear:
    weight = _float_weight(linear)
    rounded = WeightRounding(config, weight).forward(weight)
    packed = rounded._packed if isinstance(rounded, QuantizedMatrix) else rounded
    return Linear(linear.name, packed, linear.bias, config.compute)


def packed_linears(encoder: Encoder) -> Encoder:
    """The encoder with every trained linear frozen as it is rounded now."""
    return exchange_linears(encoder, _frozen)


def exchange_linears(encoder: Encoder, exchange: Callable[[Linear], Linear]) -> Encoder:
    """A copy of the encoder with other linear layers; all else is shared."""
    copied = copy.copy(encoder)
    copied.layers = [_with_linears(layer, exchange) for layer in encoder.layers]
    if encoder.pooler is not None:
        copied.pooler = exchange(encoder.pooler)
    return copied


def _with_linears(
    layer: TransformerLayer, exchange: Callable[[Linear], Linear]
) -> TransformerLayer:
    copied = copy.copy(layer)
    for field in fields(layer):
        value = getattr(layer, field.name)
        if isinstance(value, Linear):
            setattr(copied, field.name, exchange(value))
    return copied


def _frozen(linear: Linear) -> Linear:
    if not isinstance(linear, RoundedLinear):
        return linear
    linear.round()
    weight = linear.weight
    if isinstance(weight, np.ndarray):
        weight = weight.copy()  # else it would go on changing with the parameters
    return Linear(linear.name, weight, linear.bias.copy(), linear.compute)
