"""Positions that are summed with the embeddings: learned rows, and sinusoids."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from lowbit.arrays import as_float32


class Additive(ABC):
    """What `Learned` and `Sinusoidal` share: they have a vector for each position."""

    @abstractmethod
    def rows(self, positions: Any) -> np.ndarray:
        """The vectors of these positions, float32 [..., dim]."""

    def __call__(self, x: Any, positions: Any = None) -> np.ndarray:
        """x [..., T, dim] plus the vectors of `positions` [T] or [..., T]; None counts from 0."""
        name = f"positions.{type(self).__name__}"
        array = as_float32(x, name, "x")
        if array.ndim < 2:
            raise ValueError(f"{name}: x has shape {array.shape}; expected [..., tokens, dim]")
        rows = self.rows(np.arange(array.shape[-2]) if positions is None else positions)
        if rows.shape[-1] != array.shape[-1]:
            raise ValueError(
                f"{name}: x has width {array.shape[-1]}, the positions {rows.shape[-1]}"
            )
        if rows.shape not in (array.shape, array.shape[-2:]):
            raise ValueError(
                f"{name}: positions have shape {rows.shape[:-1]}; x has {array.shape[:-1]} tokens, "
                f"so give them {array.shape[:-1]} or {array.shape[-2:-1]}"
            )
        return array + rows


class Learned(Additive):
    """A trained vector for each position, as in BERT.

    Parameters
    ----------
    table
        Vectors [positions + offset, dim].
    offset
        Rows before that of position 0: 2 in OPT, and one more than the padding id in RoBERTa.
    scale
        The vectors are multiplied by it.

    Examples
    --------
    >>> import numpy as np
    >>> positions = Learned(np.arange(6).reshape(3, 2))
    >>> positions(np.zeros((2, 2))).tolist()
    [[0.0, 1.0], [2.0, 3.0]]
    """

    def __init__(self, table: Any, offset: int = 0, scale: float = 1.0) -> None:
        self.table = as_float32(table, "positions.Learned", "table", ndim=2)
        self.offset, self.scale = int(offset), float(scale)
        if not 0 <= self.offset <= len(self.table):
            raise ValueError(
                f"positions.Learned: offset={offset} is not within the {len(self.table)} rows"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, dim)."""
        return self.table.shape

    def rows(self, positions: Any) -> np.ndarray:
        """The vectors of these positions, float32 [..., dim].

        Raises
        ------
        IndexError
            If a position is beyond the table.
        """
        array = np.asarray(positions) + self.offset
        if array.size and (array.min() < 0 or array.max() >= len(self.table)):
            raise IndexError(
                f"positions.Learned: positions go from {array.min() - self.offset} to "
                f"{array.max() - self.offset}; the table has {len(self.table)} rows, of which "
                f"{self.offset} are before position 0"
            )
        rows = self.table[array]
        return rows if self.scale == 1 else rows * np.float32(self.scale)

    def resize(self, positions: int) -> Learned:
        """The same for another number of positions: rows between the old ones, ends kept.

        Linear interpolation, in double precision; rows before position 0 stay. A model has to be
        trained on before it makes good use of rows that it has not seen.

        Examples
        --------
        >>> Learned([[0.0], [2.0]]).resize(3).table.tolist()
        [[0.0], [1.0], [2.0]]
        """
        head, body = self.table[: self.offset], self.table[self.offset :]
        if positions < 1 or len(body) < 1:
            raise ValueError(f"positions.Learned: cannot resize {len(body)} rows to {positions}")
        places = np.linspace(0, len(body) - 1, positions)
        low = places.astype(np.int64)
        high = np.minimum(low + 1, len(body) - 1)
        share = (places - low)[:, None]
        between = body[low] * (1 - share) + body[high] * share
        return Learned(np.concatenate([head, between]), self.offset, self.scale)


class Sinusoidal(Additive):
    """Sines and cosines of geometric wavelengths (Vaswani et al., 2017, section 3.5).

    Column 2i of position p is sin(p / base^(2i / dim)), column 2i + 1 the cosine. Angles are
    computed in double precision, so even position 1,000,000 is exact to float32.

    Parameters
    ----------
    dim
        Width of the vectors; an odd width ends with a sine, or with a zero for "tensor2tensor".
    base
        The longest wavelength is about 2 pi base.
    layout
        "interleaved", or "half": all sines, then all cosines (Marian, fairseq, Whisper).
    frequencies
        "paper": base^(-2i / dim). "tensor2tensor": base^(-i / (dim / 2 - 1)), down to 1 / base
        (fairseq, M2M-100, Whisper).
    offset
        Added to positions: one more than the padding id in fairseq and M2M-100.
    padding
        Position, after the offset, whose vector is zero; None: no such.
    scale
        The vectors are multiplied by it.
    compat
        Round frequencies and angles to float32, as transformers does for M2M-100 and Whisper.

    Examples
    --------
    >>> Sinusoidal(4).rows([0, 1]).round(3).tolist()[0]
    [0.0, 1.0, 0.0, 1.0]
    >>> whisper = Sinusoidal(4, layout="half", frequencies="tensor2tensor")
    >>> whisper.rows([1]).round(4).tolist()
    [[0.8414999842643738, 9.999999747378752e-05, 0.5403000116348267, 1.0]]
    """

    def __init__(
        self,
        dim: int,
        base: float = 10000.0,
        *,
        layout: str = "interleaved",
        frequencies: str = "paper",
        offset: int = 0,
        padding: int | None = None,
        scale: float = 1.0,
        compat: bool = False,
    ) -> None:
        if dim < 1:
            raise ValueError(f"positions.Sinusoidal: dim={dim} must be at least 1")
        if not 1 < base < np.inf:
            raise ValueError(f"positions.Sinusoidal: base={base} must be above 1")
        if layout not in ("interleaved", "half"):
            raise ValueError(
                f'positions.Sinusoidal: layout={layout!r} is not known; use "interleaved" or "half"'
            )
        if frequencies not in ("paper", "tensor2tensor"):
            raise ValueError(
                f"positions.Sinusoidal: frequencies={frequencies!r} is not known; use "
                f'"paper" or "tensor2tensor"'
            )
        if frequencies == "tensor2tensor" and dim < 4:
            raise ValueError(f"positions.Sinusoidal: dim={dim} must be at least 4")
        self.dim, self.base, self.layout = int(dim), float(base), layout
        self.offset, self.padding, self.scale = int(offset), padding, float(scale)
        self.compat = bool(compat)
        paper = frequencies == "paper"
        self._sines = (self.dim + 1) // 2 if paper else self.dim // 2
        self._frequencies = self._paper() if paper else self._tensor2tensor()

    def _paper(self) -> np.ndarray:
        exact = self.base ** (-np.arange(0, self.dim, 2) / self.dim)
        return exact.astype(np.float32) if self.compat else exact

    def _tensor2tensor(self) -> np.ndarray:
        step = math.log(self.base) / (self._sines - 1)
        if not self.compat:
            return np.exp(np.arange(self._sines) * -step)
        logarithms = np.arange(self._sines, dtype=np.float32) * np.float32(-step)
        return np.exp(logarithms.astype(np.float64)).astype(np.float32)

    def rows(self, positions: Any) -> np.ndarray:
        """The vectors of these positions, float32 [..., dim].

        Raises
        ------
        IndexError
            If a position is negative.
        """
        array = np.asarray(positions, np.float64) + self.offset
        if array.size and array.min() < 0:
            raise IndexError(
                f"positions.Sinusoidal: position {array.min() - self.offset:g} is negative"
            )
        if self.compat:
            angles = array.astype(np.float32)[..., None] * self._frequencies
            angles = angles.astype(np.float64)
        else:
            angles = array[..., None] * self._frequencies
        sines, cosines = self._places()
        out = np.zeros((*array.shape, self.dim), np.float32)
        out[..., sines] = np.sin(angles)
        out[..., cosines] = np.cos(angles[..., : len(range(*cosines.indices(self.dim)))])
        if self.padding is not None:
            out[array == self.padding] = 0
        return out if self.scale == 1 else out * np.float32(self.scale)

    def _places(self) -> tuple[slice, slice]:
        """Columns of sines and of cosines."""
        if self.layout == "interleaved":
            return slice(0, 2 * self._sines, 2), slice(1, 2 * self._sines, 2)
        return slice(0, self._sines), slice(self._sines, 2 * self._sines)
