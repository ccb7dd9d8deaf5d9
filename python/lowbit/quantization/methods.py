"""The ways to round the weights of a layer, by name: one list for models and the command line.

    nearest      every weight to the nearest value; scales store the extremes
    search       nearest, with the scale of least squared error (`search_scales`)
    hqq          nearest, with the scale that leaves few weights far off (`hqq`)
    gptq         columns make good what those before them lose (`gptq`)
    awq          input columns scaled so that outputs change least (`awq_scales`), then as search
    smoothquant  outliers of the inputs moved into the weights (`smooth_scales`), then nearest

The last three, and `search` at its best, need inputs of the layer. A method is one step that scales
the columns, or none, and one that rounds, so others can be put together:

>>> from lowbit.quantization.gptq import gptq
>>> both = Method(rounding=METHODS["gptq"].rounding, scaling=METHODS["awq"].scaling)
>>> both.needs_inputs
True
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lowbit.quantization.column_scaling import awq_scales, smooth_scales
from lowbit.quantization.gptq import gptq
from lowbit.quantization.hqq import hqq
from lowbit.quantization.input_statistics import InputStatistics
from lowbit.quantization.matrix import QuantizedMatrix, quantize
from lowbit.quantization.moments import Moments
from lowbit.quantization.search import quantize_searched, quantize_to
from lowbit.quantization.weight_format import WeightFormat

Rounding = Callable[[np.ndarray, WeightFormat, Moments | None], QuantizedMatrix]
"""Weights [N, K], their format, and the `Moments` [K, K] of their inputs, or None."""
Scaling = Callable[[Sequence[np.ndarray], WeightFormat, InputStatistics], np.ndarray]
"""Weights of one input, their format, what is known of the input; scales [K]."""


@dataclass(frozen=True)
class Method:
    """A way to round weights.

    Attributes
    ----------
    rounding
        Makes a `QuantizedMatrix` of weights.
    scaling
        Chooses scales of the input columns, or None.
    needs_inputs
        Whether it is nothing without inputs of the layer; so is every method that scales.
    """

    rounding: Rounding
    scaling: Scaling | None = None
    needs_inputs: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "needs_inputs", self.needs_inputs or self.scaling is not None)


def _nearest(w: np.ndarray, store: WeightFormat, moments: Moments | None) -> QuantizedMatrix:
    return quantize(w, *store)


def _search(w: np.ndarray, store: WeightFormat, moments: Moments | None) -> QuantizedMatrix:
    return quantize_searched(w, *store, None if moments is None else moments.diagonal())


def _hqq(w: np.ndarray, store: WeightFormat, moments: Moments | None) -> QuantizedMatrix:
    kind = None if store.symmetric else "codes"
    scales, zeros = hqq(w, store.format, store.group_size, kind)
    return quantize_to(w, scales, *store[:4], zeros)


def _gptq(w: np.ndarray, store: WeightFormat, moments: Moments | None) -> QuantizedMatrix:
    return gptq(w, moments, *store)


def _awq_scaling(
    weights: Sequence[np.ndarray], store: WeightFormat, inputs: InputStatistics
) -> np.ndarray:
    moments, magnitude = inputs.moments, inputs.magnitude
    return awq_scales(weights, moments, magnitude, store.format, store.group_size, store.symmetric)


def smoothing(alpha: float = 0.5) -> Method:
    """SmoothQuant with another share of the range for the weights; see `smooth_scales`.

    Examples
    --------
    >>> smoothing(0.7).needs_inputs
    True
    """

    def scaling(
        weights: Sequence[np.ndarray], store: WeightFormat, inputs: InputStatistics
    ) -> np.ndarray:
        return smooth_scales(weights, inputs.largest, alpha)

    return Method(_nearest, scaling)


METHODS: dict[str, Method] = {
    "nearest": Method(_nearest),
    "search": Method(_search),
    "hqq": Method(_hqq),
    "gptq": Method(_gptq, needs_inputs=True),
    "awq": Method(_search, _awq_scaling),
    "smoothquant": smoothing(),
}


def find_method(method: str | Method, function: str) -> Method:
    """The method of this name.

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> find_method("gptq", "f").needs_inputs
    True
    """
    if isinstance(method, Method):
        return method
    if method not in METHODS:
        known = ", ".join(f'"{name}"' for name in METHODS)
        raise ValueError(f"{function}: method={method!r} is not known; use {known}")
    return METHODS[method]


class Rounded(NamedTuple):
    """Weights that were rounded together.

    Attributes
    ----------
    matrices
        One for each weight: of its columns times `scales`, where these are not None.
    scales
        float32 [K], or None; inputs have to be divided by them.
    """

    matrices: list[QuantizedMatrix]
    scales: np.ndarray | None

    def values(self, index: int) -> np.ndarray:
        """What stands for a weight, float32 [N, K], with the scales taken back."""
        values = self.matrices[index].dequantize()
        return values if self.scales is None else values / self.scales


def round_together(
    weights: Sequence[np.ndarray],
    method: Method,
    store: WeightFormat,
    inputs: InputStatistics,
) -> Rounded:
    """Round weights that have one input.

    Parameters
    ----------
    weights
        float32 [N, K] each.
    inputs
        Of all of them; some rows at least. Centred where `bias_shift` is going to be taken off the
        biases: then only deviations from the mean input count.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, w = (rng.standard_normal((rows, 64)).astype("f4") for rows in (90, 8))
    >>> inputs = InputStatistics(64)
    >>> inputs.observe(x)
    >>> rounded = round_together([w], METHODS["awq"], WeightFormat("int4", 64), inputs)
    >>> rounded.values(0).shape, rounded.scales.shape
    ((8, 64), (64,))
    """
    if method.scaling is None:
        return Rounded([method.rounding(w, store, inputs.moments) for w in weights], None)
    scales = method.scaling(weights, store, inputs)
    scaled = inputs.moments.scaled(scales)
    return Rounded([method.rounding(w * scales, store, scaled) for w in weights], scales)
