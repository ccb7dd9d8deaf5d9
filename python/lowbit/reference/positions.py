"""Positions that are added to the embeddings."""

from __future__ import annotations

import numpy as np


def sinusoidal(positions: np.ndarray, dim: int, base: float = 10000.0) -> np.ndarray:
    """Sines and cosines of geometric wavelengths (Vaswani et al., 2017, section 3.5).

        column 2i     = sin(position / base^(2i / dim))
        column 2i + 1 = cos(position / base^(2i / dim))

    Parameters
    ----------
    positions
        Numbers [...].
    dim
        Width; an odd one ends with a sine.
    base
        The longest wavelength is 2 pi base.

    Returns
    -------
    numpy.ndarray
        float64 [..., dim].

    Examples
    --------
    >>> sinusoidal(np.array([0, 1]), 4).round(4).tolist()
    [[0.0, 1.0, 0.0, 1.0], [0.8415, 0.5403, 0.01, 1.0]]
    """
    positions = np.asarray(positions, np.float64)
    out = np.empty((*positions.shape, dim))
    for column in range(dim):
        angle = positions / base ** (column // 2 * 2 / dim)
        out[..., column] = np.cos(angle) if column % 2 else np.sin(angle)
    return out


def learned(table: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """A trained vector for each position, as BERT has them.

    Parameters
    ----------
    table
        Floats [P, dim].
    positions
        Integers [...] in [0, P).

    Returns
    -------
    numpy.ndarray
        [..., dim].

    Raises
    ------
    IndexError
        If a position is not a row of the table.

    Examples
    --------
    >>> learned(np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([1, 0])).tolist()
    [[2.0, 3.0], [0.0, 1.0]]
    """
    positions = np.asarray(positions)
    if positions.size and (positions.min() < 0 or positions.max() >= len(table)):
        raise IndexError(
            f"learned: positions go from {positions.min()} to {positions.max()}; the table has "
            f"{len(table)} rows"
        )
    return table[positions]
