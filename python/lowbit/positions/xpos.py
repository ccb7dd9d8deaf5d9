"""xPos: rotary positions whose scores fade with distance; and no positions at all."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowbit.positions.heads import heads_of
from lowbit.positions.rotary import Rotary
from lowbit.positions.tables import RotaryTable


class XPos(Rotary):
    """Rotary positions with a length for each pair (Sun et al., 2023).

    A query at position n is also multiplied by zeta_i^((n - center) / scale_base), a key divided by
    it, with zeta_i = (2i / rotary_dim + 0.4) / 1.4. Queries have to stand behind their keys. Only
    distances matter to scores, but numbers grow with |n - center|: what float32 cannot hold well is
    refused.

    Parameters
    ----------
    scale_base
        Positions over which pair i changes by the factor zeta_i.
    center
        The position without a factor; the same for all that meet in attention, cached keys too.
    others
        As for `Rotary`; the layout is "interleaved" here when nothing is said.

    Examples
    --------
    >>> xpos = XPos(head_dim=2)
    >>> q, k = np.ones((1, 1, 2), np.float32), np.ones((1, 1, 2), np.float32)
    >>> xpos.rotate_(q, k, positions=[512])
    >>> float((q * k).sum()), (q**2).sum().round(3).item()
    (2.0, 0.16300000250339508)
    """

    def __init__(
        self,
        head_dim: int,
        base: float = 10000.0,
        *,
        scale_base: float = 512.0,
        center: int = 0,
        **others: Any,
    ) -> None:
        others.setdefault("layout", "interleaved")
        super().__init__(head_dim, base, **others)
        if self.sections is not None or self.compat or not 0 < scale_base < np.inf:
            raise ValueError(
                "positions.XPos: scale_base must be above 0, and sections and compat are not for it"
            )
        self.scale_base, self.center = float(scale_base), int(center)
        self._zeta = (np.arange(0, self.rotary_dim, 2) / self.rotary_dim + 0.4) / 1.4

    def _arguments(self) -> dict[str, Any]:
        own = {"scale_base": self.scale_base, "center": self.center, "layout": self.layout}
        return super()._arguments() | own

    def _scaled(self, table: RotaryTable, positions: Any, sign: int) -> RotaryTable:
        """The table times zeta^(sign (n - center) / scale_base)."""
        distance = (np.asarray(positions).reshape(-1, 1) - self.center) / self.scale_base
        powers = sign * distance * np.log(self._zeta)
        if powers.size and np.abs(powers).max() > 60:
            raise ValueError(
                f"positions.XPos: at position {int(np.max(np.abs(positions)))} queries and keys "
                f"would differ by more than float32 holds; choose a center nearer to it, or a "
                f"larger scale_base than {self.scale_base:g}"
            )
        scale = np.exp(powers).astype(np.float32)
        return RotaryTable(table.cos * scale, table.sin * scale, table.shape)

    def _both(self, q: Any, k: Any, positions: Any, signs: tuple[int, int], back: bool) -> None:
        if isinstance(positions, RotaryTable):
            raise TypeError(
                "positions.XPos: pass positions; queries and keys have tables of their own"
            )
        if positions is None:
            positions = np.arange(heads_of(q, self.head_dim, "XPos", "q")[0].shape[1])
        table = self.table(positions)
        for x, sign in zip((q, k), signs, strict=True):
            if x is not None:
                self._turn("XPos.rotate_", (x,), self._scaled(table, positions, sign), back)

    def rotate_(self, q: np.ndarray, k: np.ndarray | None = None, positions: Any = None) -> None:
        """Turn and scale queries, and keys with them, in place; see `Rotary.rotate_`."""
        self._both(q, k, positions, (1, -1), back=False)

    def unrotate_(self, q: np.ndarray, k: np.ndarray | None = None, positions: Any = None) -> None:
        """Undo `rotate_`, but for rounding."""
        self._both(q, k, positions, (-1, 1), back=True)

    def backward_(
        self, dq: np.ndarray, dk: np.ndarray | None = None, positions: Any = None
    ) -> None:
        """Gradients behind `rotate_` to gradients before it, in place."""
        self._both(dq, dk, positions, (1, -1), back=True)

    def shift_(self, k: np.ndarray, delta: Any) -> None:
        """Move keys that are turned already by `delta` positions; see `Rotary.shift_`."""
        moves = np.asarray(delta)
        if moves.ndim == 0:
            moves = np.full(heads_of(k, self.head_dim, "XPos.shift_", "k")[0].shape[1], moves)
        unit = self._unit()
        table = self._scaled(unit.table(moves), moves + self.center, -1)
        unit._turn("XPos.shift_", (k,), table, back=False)


class NoPE:
    """No positions: what layers without any have (Kazemnejad et al., 2023), and no special case.

    Examples
    --------
    >>> x = np.ones((2, 4), np.float32)
    >>> NoPE()(x).tolist() == x.tolist()
    True
    """

    def __call__(self, x: Any, positions: Any = None) -> np.ndarray:
        """x as it is."""
        return np.asarray(x)

    def rotate_(self, q: np.ndarray, k: np.ndarray | None = None, positions: Any = None) -> None:
        """Leave both as they are."""

    unrotate_ = backward_ = rotate_

    def shift_(self, k: np.ndarray, delta: Any) -> None:
        """Leave them as they are: these keys have no place."""
