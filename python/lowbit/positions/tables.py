"""Cosines and sines of positions times frequencies."""

from __future__ import annotations

import numpy as np

from lowbit import _core
from lowbit.files.untrusted import shorten

_FINE = 256  # positions whose angles are computed one by one; others are sums of two


class RotaryTable:
    """Cosines and sines of the tokens of a batch, made once and read by every layer.

    Attributes
    ----------
    cos, sin
        float32 [tokens, pairs], multiplied by the attention factor; all batches one after another.
    shape
        (tokens,), or (batches, tokens).
    """

    def __init__(self, cos: np.ndarray, sin: np.ndarray, shape: tuple[int, ...]) -> None:
        self.cos, self.sin, self.shape = cos, sin, shape
        self._rounded: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def rounded(self, format: str) -> tuple[np.ndarray, np.ndarray]:
        """Both rounded to a 16-bit format, as libraries do that keep them in the model's type."""
        if format == "fp32":
            return self.cos, self.sin
        if format not in self._rounded:
            pair = (_core.from_float32(part, format) for part in (self.cos, self.sin))
            cos, sin = (_core.to_float32(words, format) for words in pair)
            self._rounded[format] = (cos, sin)
        return self._rounded[format]


class Turns:
    """exp(i n theta) in double precision.

    A position is a multiple of 256 and a rest: few cosines are computed, the others come from one
    complex product each, within 1e-15 or so.

    Examples
    --------
    >>> Turns(np.array([1.0]))(np.array([0, 300, -1])).real.round(4).tolist()
    [[1.0], [-0.0221], [0.5403]]
    """

    def __init__(self, inv_freq: np.ndarray) -> None:
        self._inv_freq = inv_freq.astype(np.float64)
        self._fine = np.exp(1j * np.arange(_FINE)[:, None] * self._inv_freq)

    def __call__(self, ids: np.ndarray, axes: np.ndarray | None = None) -> np.ndarray:
        """complex128 [N, pairs] of ids [N], or [coordinates, N] with a coordinate for each pair."""
        if axes is not None:
            every = np.stack([self(coordinate) for coordinate in ids])
            return every[axes, :, np.arange(len(axes))].T
        coarse, place = np.unique(ids // _FINE, return_inverse=True)
        far = np.exp(1j * (coarse * _FINE)[:, None] * self._inv_freq)
        return far[place.reshape(-1)] * self._fine[ids % _FINE]


def rounded_turns(
    ids: np.ndarray, inv_freq: np.ndarray, factor: float, axes: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """float32 cosines and sines of angles that are rounded to float32, as transformers has them.

    Examples
    --------
    >>> cos, _ = rounded_turns(np.array([10**6]), np.array([1 / 3], np.float32), 1.0, None)
    >>> bool(abs(cos[0, 0] - np.cos(1e6 / 3)) > 1e-3)
    True
    """
    of_pairs = ids[:, None] if axes is None else ids[axes].T
    angles = (of_pairs.astype(np.float32) * inv_freq).astype(np.float64)
    cos, sin = (f(angles).astype(np.float32) * np.float32(factor) for f in (np.cos, np.sin))
    return cos, sin


def axes_of_pairs(sections: list[int], order: str, pairs: int) -> np.ndarray:
    """Which coordinate turns each pair."""
    counts = np.asarray(sections)
    if order not in ("blocks", "interleaved"):
        raise ValueError(
            f'positions.Rotary: section_order={order!r} is not known; use "blocks" or "interleaved"'
        )
    good = counts.ndim == 1 and len(counts) > 1 and counts.dtype.kind in "iu"
    if not good or (counts < 0).any() or (counts > pairs).any() or counts.sum() != pairs:
        raise ValueError(
            f"positions.Rotary: sections={shorten(sections)} must be two or more numbers whose sum "
            f"is the {pairs} pairs"
        )
    if order == "blocks":
        return np.repeat(np.arange(len(counts)), counts)
    turn, axis = np.divmod(np.arange(pairs), len(counts))
    return np.where(turn < counts[axis], axis, 0)
