"""Positions that are summed with the embeddings: learned rows, and sinusoids."""

from __future__ import annotations

from typing import Any

import numpy as np

from lowbit.arrays import as_float32


class Learned:
    """A trained vector for each position, as in BERT.

    Parameters
    ----------
    table
        Vectors [positions, dim].

    Examples
    --------
    >>> import numpy as np
    >>> positions = Learned(np.arange(6).reshape(3, 2))
    >>> positions(np.zeros((2, 2))).tolist()
    [[0.0, 1.0], [2.0, 3.0]]
    """

    def __init__(self, table: Any) -> None:
        self.table = as_float32(table, "positions.Learned", "table", ndim=2)

    @property
    def shape(self) -> tuple[int, int]:
        """(positions, dim)."""
        return self.table.shape

    def rows(self, positions: Any) -> np.ndarray:
        """The vectors of these positions, float32 [..., dim].

        Raises
        ------
        IndexError
            If a position is beyond the table.
        """
        array = np.asarray(positions)
        if array.size and (array.min() < 0 or array.max() >= len(self.table)):
            raise IndexError(
                f"positions.Learned: positions go from {array.min()} to {array.max()}; the table "
                f"has {len(self.table)} rows"
            )
        return self.table[array]

    def __call__(self, x: Any, positions: Any = None) -> np.ndarray:
        """x [..., T, dim] plus the vectors of `positions` [T]; None counts from 0."""
        return _add(x, self, positions)


class Sinusoidal:
    """Sines and cosines of geometric wavelengths (Vaswani et al., 2017, section 3.5).

    Column 2i of position p is sin(p / base^(2i / dim)), column 2i + 1 the cosine. Angles are
    computed in double precision, so even position 1,000,000 is exact to float32.

    Parameters
    ----------
    dim
        Width of the vectors; an odd width ends with a sine.
    base
        The longest wavelength is 2 pi base.

    Examples
    --------
    >>> Sinusoidal(4).rows([0, 1]).round(3).tolist()[0]
    [0.0, 1.0, 0.0, 1.0]
    """

    def __init__(self, dim: int, base: float = 10000.0) -> None:
        if dim < 1:
            raise ValueError(f"positions.Sinusoidal: dim={dim} must be at least 1")
        if not 1 < base < np.inf:
            raise ValueError(f"positions.Sinusoidal: base={base} must be above 1")
        self.dim = int(dim)
        self.base = float(base)
        self._frequencies = self.base ** (-np.arange(0, self.dim, 2) / self.dim)

    def rows(self, positions: Any) -> np.ndarray:
        """The vectors of these positions, float32 [..., dim].

        Raises
        ------
        IndexError
            If a position is negative.
        """
        array = np.asarray(positions, np.float64)
        if array.size and array.min() < 0:
            raise IndexError(f"positions.Sinusoidal: position {array.min():g} is negative")
        angles = array[..., None] * self._frequencies
        out = np.empty((*array.shape, self.dim), np.float32)
        out[..., 0::2] = np.sin(angles)
        out[..., 1::2] = np.cos(angles[..., : self.dim // 2])
        return out

    def __call__(self, x: Any, positions: Any = None) -> np.ndarray:
        """x [..., T, dim] plus the vectors of `positions` [T]; None counts from 0."""
        return _add(x, self, positions)


def _add(x: Any, encoding: Learned | Sinusoidal, positions: Any) -> np.ndarray:
    name = f"positions.{type(encoding).__name__}"
    array = as_float32(x, name, "x")
    if array.ndim < 2:
        raise ValueError(f"{name}: x has shape {array.shape}; expected [..., tokens, dim]")
    rows = encoding.rows(np.arange(array.shape[-2]) if positions is None else positions)
    if rows.shape[-1] != array.shape[-1]:
        raise ValueError(f"{name}: x has width {array.shape[-1]}, the positions {rows.shape[-1]}")
    return array + rows
