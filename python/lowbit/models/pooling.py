"""From the vectors of a text's tokens to one vector, in the ways of sentence-transformers."""

from __future__ import annotations

from typing import get_args

import numpy as np

from lowbit import _core
from lowbit.files.sentence_config import Pooling

POOLINGS = get_args(Pooling)


def pool(x: np.ndarray, indptr: np.ndarray, mode: str) -> np.ndarray:
    """One row for each text.

    Parameters
    ----------
    x
        float32 [M, D], the rows of all tokens.
    indptr
        int64 [B + 1]: text b is rows indptr[b] to indptr[b + 1]. One without rows gives zeros.
    mode
        "mean"; "cls", the first row, and "lasttoken", the last; "max" of each column;
        "mean_sqrt_len_tokens", the sum divided by the root of the number of rows; "weightedmean",
        with weights 1, 2, 3, ... by place.

    Returns
    -------
    numpy.ndarray
        float32 [B, D].

    Raises
    ------
    ValueError
        If the mode is not known.

    Examples
    --------
    >>> x, indptr = np.array([[1, 6], [5, 2], [3, 4]], np.float32), np.array([0, 2, 3])
    >>> pool(x, indptr, "max").tolist(), pool(x, indptr, "cls").tolist()
    ([[5.0, 6.0], [3.0, 4.0]], [[1.0, 6.0], [3.0, 4.0]])
    """
    if mode not in POOLINGS:
        known = ", ".join(f'"{name}"' for name in POOLINGS)
        raise ValueError(f'pool: pooling="{mode}" is not known; use {known}')
    if mode in ("mean", "cls"):
        return _core.pool(x, indptr, mode)
    lengths = np.diff(indptr)
    if mode == "mean_sqrt_len_tokens":
        roots = np.sqrt(np.maximum(lengths, 1)).astype(np.float32)
        return _core.pool(x, indptr, "sum") / roots[:, None]
    if mode == "weightedmean":
        places = np.arange(1, len(x) + 1) - np.repeat(indptr[:-1], lengths)
        totals = np.maximum(lengths * (lengths + 1) // 2, 1).astype(np.float32)
        weighted = x * places.astype(np.float32)[:, None]
        return _core.pool(weighted, indptr, "sum") / totals[:, None]
    out = np.zeros((len(lengths), x.shape[1]), np.float32)
    some = lengths > 0
    if mode == "lasttoken":
        out[some] = x[indptr[1:][some] - 1]
    elif some.any():  # texts without rows have no place in what reduceat divides
        out[some] = np.maximum.reduceat(x, indptr[:-1][some], axis=0)
    return out
