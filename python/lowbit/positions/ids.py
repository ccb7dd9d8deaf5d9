"""Positions of the tokens of a batch, where they do not simply count from 0."""

from __future__ import annotations

from typing import Any

import numpy as np


def from_mask(mask: Any, masked: int = 0) -> np.ndarray:
    """Positions of padded texts: the kept tokens of a row count from 0, on whichever side it is
    padded.

    Parameters
    ----------
    mask
        [batches, tokens] or [tokens], nonzero where a token is.
    masked
        What padding gets. -1 suits `Learned` and `Sinusoidal` with an offset, whose row before that
        of position 0 is the padding's.

    Returns
    -------
    numpy.ndarray
        int32, the shape of the mask.

    Examples
    --------
    >>> from_mask([[0, 0, 1, 1], [1, 1, 1, 0]]).tolist()
    [[0, 0, 0, 1], [0, 1, 2, 0]]
    """
    kept = np.asarray(mask) != 0
    return np.where(kept, np.cumsum(kept, axis=-1) - 1, masked).astype(np.int32)


def from_indptr(indptr: Any) -> np.ndarray:
    """Positions of packed texts, each counting from 0.

    Parameters
    ----------
    indptr
        [texts + 1]: text t is the tokens indptr[t] to indptr[t + 1].

    Returns
    -------
    numpy.ndarray
        int32 [tokens].

    Raises
    ------
    ValueError
        If indptr does not start at 0, or falls.

    Examples
    --------
    >>> from_indptr([0, 2, 2, 5]).tolist()
    [0, 1, 0, 1, 2]
    """
    ends = np.asarray(indptr)
    if ends.ndim != 1 or ends.size < 1 or ends[0] != 0 or (np.diff(ends) < 0).any():
        raise ValueError("positions.from_indptr: indptr must start with 0 and never fall")
    starts = np.repeat(ends[:-1], np.diff(ends))
    return (np.arange(ends[-1]) - starts).astype(np.int32)
