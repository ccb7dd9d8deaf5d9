"""Batches whose rows belong to different adapters: many users served, or many adapters trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lowbit import _core
from lowbit.arrays import as_float32, as_rows


class LoraBatch:
    """Low-rank adapters of one weight, and which row of the input belongs to which.

    The product with the weight is one for all rows; each adapter then sees its own rows alone, so
    sixteen adapters cost little more than one, and ranks need not agree (S-LoRA, Sheng et al. 2023,
    does the same on GPUs).

    Parameters
    ----------
    adapters
        (A [r, K], B [N, r], scale) of each, in PEFT's orientation.
    rows
        Integers [M]: the adapter of each row, or -1 for none.

    Attributes
    ----------
    gradients
        [(grad_a [r, K], grad_b [N, r]), ...] of the last `backward`; None before. They are zero for
        an adapter without rows.

    Examples
    --------
    >>> import numpy as np, lowbit as lb
    >>> w = lb.quantize(np.eye(32, dtype=np.float32), "int8", group_size=None)
    >>> ones = (np.ones((1, 32)), np.ones((32, 1)), 1.0)
    >>> twos = (np.ones((2, 32)), np.ones((32, 2)), 1.0)
    >>> batch = lb.LoraBatch([ones, twos], rows=[1, -1, 0])
    >>> y = lb.linear(np.ones((3, 32)), w, lora=batch)
    >>> y[:, 0].tolist()
    [65.0, 1.0, 33.0]
    >>> dx = batch.backward(np.ones((3, 32)))
    >>> dx.shape, [b.shape for _, b in batch.gradients]
    ((3, 32), [(32, 1), (32, 2)])
    """

    def __init__(self, adapters: Sequence[tuple[Any, Any, float]], rows: Any) -> None:
        self.adapters = [
            (
                as_float32(a, "LoraBatch", f"A of adapter {i}", ndim=2),
                as_float32(b, "LoraBatch", f"B of adapter {i}", ndim=2),
                float(scale),
            )
            for i, (a, b, scale) in enumerate(adapters)
        ]
        indices = np.asarray(rows)
        if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "iu"):
            raise ValueError(
                f"LoraBatch: rows must be integers [M], one adapter a row; got an array of shape "
                f"{indices.shape} and type {indices.dtype}"
            )
        if indices.size and not -1 <= int(indices.min()) <= int(indices.max()) < 2**31:
            raise ValueError(
                f"LoraBatch: rows has the adapter {int(indices.min())}; use -1 for none"
            )
        self.rows = np.ascontiguousarray(indices, np.int32)
        self.gradients: list[tuple[np.ndarray, np.ndarray]] | None = None
        self._saved: tuple[Any, ...] | None = None

    def _forward(
        self, x: np.ndarray, weight: Any, bias: np.ndarray | None, compute: str, x_scale: Any
    ) -> np.ndarray:
        """y [M, N]; keeps what `backward` needs."""
        y, xa = _core.linear_batch_forward(
            x, weight, bias, None, self.adapters, self.rows, compute, x_scale
        )
        self._saved = (x, xa, weight, compute)
        return y

    def backward(self, dy: Any, need_dx: bool = True) -> np.ndarray | None:
        """Gradient of the input [..., K] of the last `linear` with this batch; sets `gradients`.

        Raises
        ------
        RuntimeError
            If `linear` has not been called with this batch before.
        """
        if self._saved is None:
            raise RuntimeError("LoraBatch.backward: call linear(x, weight, lora=batch) first")
        x, xa, weight, compute = self._saved
        dy_rows, kind = as_rows(dy, "LoraBatch.backward", "dy")
        dx, da, db = _core.linear_batch_backward(
            dy_rows, x, xa, weight, self.adapters, self.rows, need_dx, compute
        )
        self.gradients = list(zip(da, db, strict=True))
        return None if dx is None else kind.restore(dx)
