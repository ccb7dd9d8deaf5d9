"""One linear layer with a low-rank adapter: forward, backward, merge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lowbit import _core
from lowbit.arrays import (
    as_float32,
    as_rows,
    bf16_to_float32,
    float32_to_bf16,
    float32_to_fp16,
)
from lowbit.quantization.linear import kernel_weight
from lowbit.quantization.matrix import QuantizedMatrix


@dataclass(frozen=True)
class MergeReport:
    """What merging an adapter into its base kept and lost.

    Attributes
    ----------
    delta_norm
        Frobenius norm of the adapter's weight change, scale * B A.
    error_norm
        Frobenius norm of merged - (base + change): what rounding to the base's format took away.
    kept
        Share of the change that survived: <merged - base, change> / <change, change>. Near 1 for
        float weights; changes much smaller than a quantization step fall towards 0.
    """

    delta_norm: float
    error_norm: float
    kept: float

    @property
    def relative_error(self) -> float:
        """error_norm / delta_norm; 0 when the adapter changes nothing."""
        return self.error_norm / self.delta_norm if self.delta_norm else 0.0

    @classmethod
    def compare(cls, base: np.ndarray, delta: np.ndarray, merged: np.ndarray) -> MergeReport:
        """Measure a merge from the matrices before and after, in double precision."""
        change = delta.astype(np.float64)
        kept = merged.astype(np.float64) - base
        square = float(np.vdot(change, change))
        return cls(
            delta_norm=float(np.sqrt(square)),
            error_norm=float(np.linalg.norm(kept - change)),
            kept=float(np.vdot(kept, change)) / square if square else 1.0,
        )


class LoraLinear:
    """y = x W^T + bias + (alpha / rank) (x A^T) B^T with W frozen and A, B trained.

    Parameters
    ----------
    weight
        W [N, K] as `linear` takes it. Never changed.
    rank, alpha
        Size of the adapter and its strength; the product is scaled by alpha / rank.
    bias
        [N], frozen, or None.
    dropout
        Probability of dropping an input of A while training.
    seed
        For A, which starts uniform in +-1/sqrt(K) as in PEFT; B starts at zero.

    Attributes
    ----------
    a, b
        float32 [rank, K] and [N, rank].
    grad_a, grad_b
        Gradients of the last `backward`, same shapes; None before.

    Examples
    --------
    >>> import numpy as np, lowbit as lb
    >>> w = np.random.default_rng(0).standard_normal((48, 32)).astype(np.float32)
    >>> layer = LoraLinear(lb.quantize(w, "nf4", group_size=32), rank=4, alpha=8)
    >>> y = layer(np.ones((3, 32)))
    >>> dx = layer.backward(np.ones((3, 48)))
    >>> y.shape, dx.shape, layer.grad_a.shape, layer.grad_b.shape
    ((3, 48), (3, 32), (4, 32), (48, 4))
    """

    def __init__(
        self,
        weight: Any,
        rank: int = 8,
        alpha: float = 16.0,
        bias: Any = None,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        if not 1 <= rank <= 1024:
            raise ValueError(f"LoraLinear: rank={rank} is not between 1 and 1024")
        self.weight = weight
        self._kernel_weight = kernel_weight(weight, "LoraLinear")
        self.bias = None if bias is None else as_float32(bias, "LoraLinear", "bias", ndim=1)
        rows, cols = self._kernel_weight.shape
        bound = 1.0 / np.sqrt(max(1, cols))
        generator = np.random.default_rng(seed)
        self.a = generator.uniform(-bound, bound, (rank, cols)).astype(np.float32)
        self.b = np.zeros((rows, rank), np.float32)
        self.scale = float(alpha) / rank
        self.dropout = float(dropout)
        self.grad_a: np.ndarray | None = None
        self.grad_b: np.ndarray | None = None
        self._saved: tuple[Any, ...] | None = None

    def __call__(self, x: Any, seed: int = 0, counter: int = 0, train: bool = False) -> np.ndarray:
        """y [..., N] for x [..., K], in x's dtype as `linear`; keeps what `backward` needs.

        With `train`, dropout is drawn from (seed, counter): the same pair gives the same mask.
        """
        rows, kind = as_rows(x, "LoraLinear", "x")
        mask = (self.dropout if train else 0.0, seed, counter)
        y, xa = _core.linear_forward(
            rows, self._kernel_weight, self.bias, None, self.a, self.b, self.scale, *mask
        )
        self._saved = (rows, xa, mask)
        return kind.restore(y)

    def backward(self, dy: Any, need_dx: bool = True) -> np.ndarray | None:
        """Gradient of the input [..., K] for dy [..., N], in dy's dtype; sets grad_a and grad_b.

        Raises
        ------
        RuntimeError
            If the layer has not been called before.
        """
        if self._saved is None:
            raise RuntimeError("LoraLinear.backward: call the layer on an input first")
        rows, xa, mask = self._saved
        dy_rows, kind = as_rows(dy, "LoraLinear.backward", "dy")
        dx, self.grad_a, self.grad_b = _core.linear_backward(
            dy_rows,
            rows,
            xa,
            self._kernel_weight,
            self.a,
            self.b,
            self.scale,
            need_dx,
            None,
            *mask,
        )
        return None if dx is None else kind.restore(dx)

    def merge(self) -> tuple[Any, MergeReport]:
        """W + scale * B A in the format of W, and a report of what rounding lost.

        The layer itself is left as it is. A float32 base keeps everything; for a 4-bit base read
        `report.kept` before you throw the adapter away.
        """
        base = _core.dequantize(self._kernel_weight)
        delta = self.scale * (self.b @ self.a)
        return merge_delta(self.weight, base, delta)


def merge_delta(weight: Any, base: np.ndarray, delta: np.ndarray) -> tuple[Any, MergeReport]:
    """base + delta stored as `weight` is stored, with the report of the loss.

    Parameters
    ----------
    weight
        The stored form of `base`: a `QuantizedMatrix` is quantized again with the same settings.
    base, delta
        float32 [N, K].
    """
    total = base + delta
    if isinstance(weight, QuantizedMatrix):
        merged: Any = weight.requantize(total)
        values = merged.dequantize()
    elif (stored := np.asarray(weight)).dtype.name in ("uint16", "bfloat16"):
        words = float32_to_bf16(total)
        merged, values = words.view(stored.dtype), bf16_to_float32(words)
    elif stored.dtype == np.float16:
        merged = float32_to_fp16(total)
        values = merged.astype(np.float32)
    else:
        merged = values = total
    return merged, MergeReport.compare(base, delta, values)
