"""Scaled dot-product attention over packed tokens, forward and backward.

A batch is M tokens in one array [M, D]; text b is the rows indptr[b] to indptr[b + 1]. Here every
text has its whole matrix of weights; the kernels never hold more than a block of one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from lowbit.reference.layers import softmax
from lowbit.reference.random import keep_mask, keep_scale


def attention(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    heads: int,
    indptr: np.ndarray,
    p: float = 0.0,
    seed: int = 0,
    counter: int = 0,
    causal: bool = False,
) -> np.ndarray:
    """Scaled dot-product attention (Vaswani et al., 2017); a token sees all tokens of its text.

    For every text and head: out = drop(softmax(q k^T / sqrt(d))) v, with d = D / heads columns.

    Parameters
    ----------
    q, k, v
        Floats [M, D]; head h owns the columns h d to (h + 1) d.
    heads
        Divides D.
    indptr
        Integers [B + 1].
    p, seed, counter
        Dropout of the weights; `reference.random` says which element a weight is.
    causal
        A token sees itself and the tokens before it, and none after it.

    Returns
    -------
    numpy.ndarray
        [M, D].

    Examples
    --------
    >>> zeros, v = np.zeros((3, 1)), np.array([[1.0], [3.0], [9.0]])
    >>> attention(zeros, zeros, v, heads=1, indptr=np.array([0, 2, 3])).tolist()
    [[2.0], [2.0], [9.0]]
    >>> attention(zeros, zeros, v, heads=1, indptr=np.array([0, 2, 3]), causal=True).tolist()
    [[1.0], [2.0], [9.0]]
    """
    out = np.zeros_like(v)
    for rows, columns, head in _each_head(q, heads, indptr):
        weights = _weights(q[rows, columns], k[rows, columns], causal)
        factor = _dropout_factor(p, seed, counter, rows, head, heads, indptr)
        out[rows, columns] = (weights * factor.astype(q.dtype)) @ v[rows, columns]
    return out


def attention_backward(
    dout: np.ndarray,
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    heads: int,
    indptr: np.ndarray,
    p: float = 0.0,
    seed: int = 0,
    counter: int = 0,
    causal: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of q, k and v, each [M, D].

    With weights w and dropout's factors f: dv = (w f)^T dout, dw = f (dout v^T),
    ds = w (dw - rowsum(w dw)) / sqrt(d), dq = ds k, dk = ds^T q.

    Examples
    --------
    >>> one, v = np.ones((2, 1)), np.array([[0.0], [4.0]])
    >>> [d.tolist() for d in attention_backward(one, one, one, v, 1, np.array([0, 2]))]
    [[[0.0], [0.0]], [[-2.0], [2.0]], [[1.0], [1.0]]]
    """
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for rows, columns, head in _each_head(q, heads, indptr):
        here = rows, columns
        weights = _weights(q[here], k[here], causal)
        factor = _dropout_factor(p, seed, counter, rows, head, heads, indptr).astype(q.dtype)
        dv[here] = (weights * factor).T @ dout[here]
        dweights = factor * (dout[here] @ v[here].T)
        along = (weights * dweights).sum(axis=-1, keepdims=True)
        dscores = weights * (dweights - along) / q.dtype.type(math.sqrt(q.shape[1] // heads))
        dq[here] = dscores @ k[here]
        dk[here] = dscores.T @ q[here]
    return dq, dk, dv


def _each_head(q: np.ndarray, heads: int, indptr: np.ndarray) -> Iterator[tuple[slice, slice, int]]:
    """Rows and columns of every text and head, and the head's number."""
    width = q.shape[1] // heads
    for begin, end in itertools.pairwise(indptr):
        for head in range(heads):
            yield slice(begin, end), slice(head * width, (head + 1) * width), head


def _weights(q: np.ndarray, k: np.ndarray, causal: bool) -> np.ndarray:
    if len(q) == 0:
        return np.zeros((0, 0), q.dtype)
    scores = q @ k.T / q.dtype.type(math.sqrt(q.shape[1]))
    if causal:
        scores[np.triu_indices(len(q), 1)] = -np.inf
    return softmax(scores)


def _dropout_factor(
    p: float, seed: int, counter: int, rows: slice, head: int, heads: int, indptr: np.ndarray
) -> np.ndarray:
    """0 or 1 / (1 - p) for every weight [T, T] of one text and head."""
    length = rows.stop - rows.start
    if p == 0:
        return np.ones((length, length))
    longest = -(-int(np.diff(indptr).max()) // 4) * 4
    row = np.arange(rows.start, rows.stop)[:, None]
    positions = counter + (row * heads + head) * longest + np.arange(length)
    return keep_mask(p, seed, positions) * keep_scale(p)
