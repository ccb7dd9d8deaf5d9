"""The layers of a BERT encoder over packed tokens: forward, and backward to adapters only.

The base is frozen. A layer called with a tape pushes what its backward needs; backward pops it, so
one tape belongs to one forward pass and layers themselves hold no state of a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lowbit import _core
from lowbit.models.parameters import Parameters
from lowbit.quantization.affine import AffineParams
from lowbit.quantization.linear import kernel_scale

NO_DROPOUT = (0.0, 0, 0)


@dataclass
class Tape:
    """What a forward pass keeps for its backward, and the random numbers it uses.

    Attributes
    ----------
    dropout
        Probability of dropping a value of the hidden states and attention weights.
    seed
        Of the dropout masks; a step of training has its own.
    """

    dropout: float = 0.0
    seed: int = 0
    counter: int = 0
    _saved: list[Any] = field(default_factory=list)

    def push(self, *values: Any) -> None:
        self._saved.append(values)

    def pop(self) -> tuple[Any, ...]:
        return self._saved.pop()

    def mask(self, count: int, probability: float) -> tuple[float, int, int]:
        """(probability, seed, counter) of a fresh dropout mask for `count` values."""
        if probability == 0:
            return NO_DROPOUT
        counter = self.counter
        self.counter += -(-count // 4) * 4
        return probability, self.seed, counter


@dataclass
class Adapter:
    """The low-rank pair of one linear layer, inside `Parameters` under `name`.lora_A / .lora_B."""

    name: str
    parameters: Parameters
    scale: float
    dropout: float

    @property
    def a(self) -> np.ndarray:
        return self.parameters[f"{self.name}.lora_A"]

    @property
    def b(self) -> np.ndarray:
        return self.parameters[f"{self.name}.lora_B"]

    def delta(self) -> np.ndarray:
        """The change of the weight, float32 [N, K]."""
        return self.scale * (self.b @ self.a)


def weight_format(weight: Any) -> str:
    """Name of the format in which a linear layer keeps its weight."""
    if isinstance(weight, _core.PackedMatrix):
        return weight.format
    return {"float32": "fp32", "float16": "fp16", "uint16": "bf16"}[weight.dtype.name]


class Linear:
    """y = x W^T + bias (+ adapter) (+ residual), W [N, K] frozen in any format.

    Where `input_scale` [K] is there, the weight is stored divided by it, column by column, and
    inputs are multiplied with it: to others it is the same layer.
    """

    def __init__(
        self,
        name: str,
        weight: Any,
        bias: np.ndarray,
        compute: str = "auto",
        x_scale: str | AffineParams = "block",
    ) -> None:
        self.name = name
        self.weight = weight
        self.bias = bias
        self.compute = compute
        self.x_scale = x_scale  # as in lowbit.linear
        self.adapter: Adapter | None = None
        self.observe: Callable[[np.ndarray], None] | None = None  # is shown every input
        self.input_scale: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.weight.shape

    def __call__(
        self, x: np.ndarray, tape: Tape | None = None, residual: np.ndarray | None = None
    ) -> np.ndarray:
        if self.observe is not None:
            self.observe(x)
        if self.input_scale is not None:
            x = x * self.input_scale
        adapter, mask = self.adapter, NO_DROPOUT
        if adapter is not None and tape is not None:
            mask = tape.mask(x.size, adapter.dropout)
        y, xa = _core.linear_forward(
            x,
            self.weight,
            self.bias,
            residual,
            *self._lora(),
            *mask,
            self.compute,
            kernel_scale(self.x_scale, "Linear"),
        )
        if tape is not None:
            tape.push(x if adapter else None, xa, mask)
        return y

    def backward(
        self,
        dy: np.ndarray,
        tape: Tape,
        residual: np.ndarray | None = None,
        need_dx: bool = True,
    ) -> np.ndarray | None:
        """Gradient of the input, plus `residual`; the adapter's gradients are stored."""
        x, xa, mask = tape.pop()
        adapter, scale = self.adapter, self.input_scale
        dx, da, db = _core.linear_backward(
            dy,
            x,
            xa,
            self.weight,
            *self._lora(),
            need_dx,
            residual if need_dx and scale is None else None,
            *mask,
            self.compute,
        )
        if scale is not None and need_dx:
            dx = dx * scale if residual is None else dx * scale + residual
        if adapter is not None:
            da = da if scale is None else da / scale
            adapter.parameters.gradient(f"{adapter.name}.lora_A")[...] = da
            adapter.parameters.gradient(f"{adapter.name}.lora_B")[...] = db
        return dx

    def _lora(self) -> tuple[Any, ...]:
        """A, B and scale of the adapter, for inputs that are multiplied with `input_scale`."""
        adapter = self.adapter
        if adapter is None:
            return None, None, 1.0
        a = adapter.a if self.input_scale is None else adapter.a / self.input_scale
        return a, adapter.b, adapter.scale


class LayerNorm:
    """(h - mean) / sqrt(variance + eps) * gamma + beta with h = x + residual; all frozen."""

    def __init__(self, gamma: np.ndarray, beta: np.ndarray, eps: float) -> None:
        self.gamma, self.beta, self.eps = gamma, beta, eps

    def __call__(
        self, x: np.ndarray, tape: Tape | None = None, residual: np.ndarray | None = None
    ) -> np.ndarray:
        y, h, mean, rstd = _core.layer_norm(x, residual, self.gamma, self.beta, self.eps)
        if tape is not None:
            tape.push(h, mean, rstd)
        return y

    def backward(self, dy: np.ndarray, tape: Tape) -> np.ndarray:
        """Gradient of h."""
        return _core.layer_norm_backward(dy, *tape.pop(), self.gamma)


def add_and_norm(
    linear: Linear, norm: LayerNorm, x: np.ndarray, residual: np.ndarray, tape: Tape | None
) -> np.ndarray:
    """norm(dropout(linear(x)) + residual). Without dropout the sum is the linear's epilogue."""
    if tape is None or tape.dropout == 0:
        return norm(linear(x, tape, residual), tape)
    y = linear(x, tape)
    mask = tape.mask(y.size, tape.dropout)
    tape.push(mask)
    return norm(_core.dropout(y, *mask), tape, residual)


def add_and_norm_backward(
    linear: Linear, norm: LayerNorm, dy: np.ndarray, tape: Tape
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of x and of the residual."""
    dh = norm.backward(dy, tape)
    inner = dh
    if tape.dropout != 0:
        (mask,) = tape.pop()
        inner = _core.dropout(dh, *mask)
    dx = linear.backward(inner, tape)
    assert dx is not None
    return dx, dh


@dataclass
class TransformerLayer:
    """One layer of BERT: self-attention and feed-forward, each followed by add and norm."""

    query: Linear
    key: Linear
    value: Linear
    attention_output: Linear
    attention_norm: LayerNorm
    intermediate: Linear
    output: Linear
    output_norm: LayerNorm
    heads: int

    def linears(self) -> list[Linear]:
        """The six linear layers, in the order of the forward pass."""
        return [
            self.query,
            self.key,
            self.value,
            self.attention_output,
            self.intermediate,
            self.output,
        ]

    def __call__(self, x: np.ndarray, indptr: np.ndarray, tape: Tape | None = None) -> np.ndarray:
        attended = self.attended(self.context(x, indptr, tape), x, tape)
        return self.fed_forward(self.inner(attended, tape), attended, tape)

    # The forward pass in the parts between which linears see their inputs

    def context(self, x: np.ndarray, indptr: np.ndarray, tape: Tape | None = None) -> np.ndarray:
        """What attention gathers: the input of `attention_output`."""
        q, k, v = (linear(x, tape) for linear in (self.query, self.key, self.value))
        mask = NO_DROPOUT
        if tape is not None and tape.dropout:
            longest = -(-int(np.diff(indptr).max(initial=0)) // 4) * 4
            mask = tape.mask(len(x) * self.heads * longest, tape.dropout)
        context, lse = _core.attention(q, k, v, self.heads, indptr, *mask)
        if tape is not None:
            tape.push(q, k, v, context, lse, indptr, mask)
        return context

    def attended(self, context: np.ndarray, x: np.ndarray, tape: Tape | None = None) -> np.ndarray:
        """The input of `intermediate`."""
        return add_and_norm(self.attention_output, self.attention_norm, context, x, tape)

    def inner(self, attended: np.ndarray, tape: Tape | None = None) -> np.ndarray:
        """The input of `output`."""
        inner = self.intermediate(attended, tape)
        if tape is not None:
            tape.push(inner)
        return _core.activation(inner)

    def fed_forward(
        self, inner: np.ndarray, attended: np.ndarray, tape: Tape | None = None
    ) -> np.ndarray:
        """The output of the layer."""
        return add_and_norm(self.output, self.output_norm, inner, attended, tape)

    def backward(self, dy: np.ndarray, tape: Tape, need_dx: bool = True) -> np.ndarray | None:
        """Gradient of the layer's input, or None when nothing below it is trained."""
        dgelu, side = add_and_norm_backward(self.output, self.output_norm, dy, tape)
        (inner,) = tape.pop()
        dinner = _core.activation_backward(dgelu, inner)
        dattended = self.intermediate.backward(dinner, tape, side)
        assert dattended is not None
        dcontext, side = add_and_norm_backward(
            self.attention_output, self.attention_norm, dattended, tape
        )
        q, k, v, context, lse, indptr, mask = tape.pop()
        dq, dk, dv = _core.attention_backward(
            dcontext, q, k, v, context, lse, self.heads, indptr, *mask
        )
        dx: np.ndarray | None = side
        for linear, gradient in ((self.value, dv), (self.key, dk), (self.query, dq)):
            dx = linear.backward(gradient, tape, dx, need_dx)
        return dx
