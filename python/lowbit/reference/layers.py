"""The parts of a transformer that work row by row, forward and backward, over packed tokens.

A batch is M tokens in one array [M, D]; text b is the rows indptr[b] to indptr[b + 1]. So there is
no padding and no mask. Each backward takes dy = dL/dy and what its forward took.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

_erf = np.vectorize(math.erf, otypes=[np.float64])


def layer_norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float) -> np.ndarray:
    """(x - mean) / sqrt(variance + eps) * gamma + beta, over the last axis (Ba et al., 2016).

    Parameters
    ----------
    x
        Floats [M, D].
    gamma, beta
        [D].
    eps
        Added to the variance, which divides by D.

    Returns
    -------
    numpy.ndarray
        [M, D].

    Examples
    --------
    >>> layer_norm(np.array([[1.0, 3.0]]), np.array([2.0, 2.0]), np.zeros(2), 0.0).tolist()
    [[-2.0, 2.0]]
    """
    normal, _ = _normalize(x, eps)
    return normal * gamma + beta


def layer_norm_backward(dy: np.ndarray, x: np.ndarray, gamma: np.ndarray, eps: float) -> np.ndarray:
    """Gradient of x [M, D]; gamma and beta are frozen.

    With n = (x - mean) / deviation and g = dy gamma: dx = (g - mean(g) - n mean(g n)) / deviation.

    Examples
    --------
    >>> x, dy = np.array([[1.0, 3.0, 5.0]]), np.array([[1.0, 0.0, 0.0]])
    >>> layer_norm_backward(dy, x, np.ones(3), 0.0).round(4).tolist()
    [[0.1021, -0.2041, 0.1021]]
    """
    normal, deviation = _normalize(x, eps)
    g = dy * gamma
    along = (g * normal).mean(axis=-1, keepdims=True)
    return (g - g.mean(axis=-1, keepdims=True) - normal * along) / deviation


def _normalize(x: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray]:
    centred = x - x.mean(axis=-1, keepdims=True)
    deviation = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + x.dtype.type(eps))
    return centred / deviation, deviation


def erf(x: np.ndarray) -> np.ndarray:
    """The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x.

    Examples
    --------
    >>> erf(np.array([0.0, 1.0])).round(6).tolist()
    [0.0, 0.842701]
    """
    return _erf(x).astype(x.dtype)


def gelu(x: np.ndarray) -> np.ndarray:
    """x Phi(x) with the normal distribution function Phi, exact (Hendrycks and Gimpel, 2016).

    Examples
    --------
    >>> gelu(np.array([-1.0, 0.0, 1.0])).round(6).tolist()
    [-0.158655, 0.0, 0.841345]
    """
    return x * (1 + erf(x * x.dtype.type(math.sqrt(0.5)))) * x.dtype.type(0.5)


def gelu_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dy (Phi(x) + x phi(x)) with the normal density phi.

    Examples
    --------
    >>> gelu_backward(np.ones(3), np.array([-9.0, 0.0, 9.0])).round(6).tolist()
    [-0.0, 0.5, 1.0]
    """
    distribution = (1 + erf(x * x.dtype.type(math.sqrt(0.5)))) * x.dtype.type(0.5)
    density = np.exp(x * x * x.dtype.type(-0.5)) * x.dtype.type(1 / math.sqrt(2 * math.pi))
    return dy * (distribution + x * density)


def softmax(x: np.ndarray) -> np.ndarray:
    """exp(x) / sum(exp(x)) over the last axis.

    Examples
    --------
    >>> softmax(np.array([1000.0, 1000.0])).tolist()
    [0.5, 0.5]
    """
    exponent = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponent / exponent.sum(axis=-1, keepdims=True)


def pool(x: np.ndarray, indptr: np.ndarray, mode: str = "mean") -> np.ndarray:
    """One vector for each text.

    Parameters
    ----------
    x
        Floats [M, D].
    indptr
        Integers [B + 1]; a text without tokens gives zeros.
    mode
        "mean", "sum" or "max" of its tokens; "cls", its first token, or "lasttoken"; or
        sentence-transformers' "mean_sqrt_len_tokens", the sum by the root of their number, and
        "weightedmean", with weights 1, 2, 3, ...

    Returns
    -------
    numpy.ndarray
        [B, D].

    Examples
    --------
    >>> x, indptr = np.array([[1.0], [3.0], [9.0]]), np.array([0, 2, 3])
    >>> [pool(x, indptr, mode).tolist() for mode in ("mean", "sum", "cls")]
    [[[2.0], [9.0]], [[4.0], [9.0]], [[1.0], [9.0]]]
    """
    out = np.zeros((len(indptr) - 1, x.shape[1]), x.dtype)
    for text, (begin, end) in enumerate(itertools.pairwise(indptr)):
        if begin < end:
            rows = x[begin:end]
            weights = np.arange(1, len(rows) + 1)
            choices = {
                "mean": rows.mean(axis=0),
                "sum": rows.sum(axis=0),
                "max": rows.max(axis=0),
                "cls": rows[0],
                "lasttoken": rows[-1],
                "mean_sqrt_len_tokens": rows.sum(axis=0) / np.sqrt(len(rows)),
                "weightedmean": weights @ rows / weights.sum(),
            }
            out[text] = choices[mode]
    return out


def pool_backward(dy: np.ndarray, indptr: np.ndarray, mode: str = "mean") -> np.ndarray:
    """Gradient of x [M, D] from that of the vectors [B, D].

    Examples
    --------
    >>> dy, indptr = np.array([[1.0], [5.0]]), np.array([0, 2, 3])
    >>> [pool_backward(dy, indptr, mode).tolist() for mode in ("mean", "cls")]
    [[[0.5], [0.5], [5.0]], [[1.0], [0.0], [5.0]]]
    """
    dx = np.zeros((indptr[-1], dy.shape[1]), dy.dtype)
    for text, (begin, end) in enumerate(itertools.pairwise(indptr)):
        if begin == end:
            continue
        if mode == "cls":
            dx[begin] = dy[text]
        else:
            dx[begin:end] = dy[text] / (end - begin if mode == "mean" else 1)
    return dx


def l2_normalize(x: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; a row of zeros stays as it is.

    Examples
    --------
    >>> l2_normalize(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    length = np.sqrt((x * x).sum(axis=-1, keepdims=True))
    return x / np.where(length == 0, 1, length)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean of -log(softmax(logits)[label]) over the batch, and its gradient.

    Parameters
    ----------
    logits
        Floats [B, classes].
    labels
        Integers [B].

    Returns
    -------
    loss, dlogits
        A float, and [B, classes].

    Examples
    --------
    >>> loss, dlogits = cross_entropy(np.zeros((1, 2)), np.array([1]))
    >>> round(loss, 4), dlogits.tolist()
    (0.6931, [[0.5, -0.5]])
    """
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(axis=1))
    loss = float((log_total - shifted[rows, labels]).mean())
    dlogits = softmax(logits)
    dlogits[rows, labels] -= 1
    return loss, dlogits / len(labels)
