"""Row-wise operations and activations beyond those of a BERT encoder, forward and backward."""

from __future__ import annotations

import math

import numpy as np


def softmax_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """y (dy - sum(dy y)) over the last axis, with y = softmax(x).

    Examples
    --------
    >>> softmax_backward(np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])).tolist()
    [[0.25, -0.25]]
    """
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


def rms_norm(x: np.ndarray, gamma: np.ndarray, eps: float) -> np.ndarray:
    """x / sqrt(mean(x^2) + eps) * gamma over the last axis (Zhang and Sennrich, 2019).

    Examples
    --------
    >>> rms_norm(np.array([[3.0, -4.0, 0.0, 0.0]]), np.ones(4), 0.0).tolist()
    [[1.2, -1.6, 0.0, 0.0]]
    """
    return x / _root_mean_square(x, eps) * gamma


def rms_norm_backward(dy: np.ndarray, x: np.ndarray, gamma: np.ndarray, eps: float) -> np.ndarray:
    """Gradient of x; gamma is frozen.

    With n = x / rms and g = dy gamma: dx = (g - n mean(g n)) / rms.

    Examples
    --------
    >>> rms_norm_backward(np.array([[1.0, 0.0]]), np.array([[1.0, 1.0]]), np.ones(2), 0.0).tolist()
    [[0.5, -0.5]]
    """
    root = _root_mean_square(x, eps)
    g, normal = dy * gamma, x / root
    return (g - normal * (g * normal).mean(axis=-1, keepdims=True)) / root


def _root_mean_square(x: np.ndarray, eps: float) -> np.ndarray:
    return np.sqrt((x * x).mean(axis=-1, keepdims=True) + x.dtype.type(eps))


def silu(x: np.ndarray) -> np.ndarray:
    """x sigmoid(x) (Elfwing et al., 2018).

    Examples
    --------
    >>> silu(np.array([0.0, 1.0])).round(6).tolist()
    [0.0, 0.731059]
    """
    return x * _sigmoid(x)


def silu_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dy s (1 + x (1 - s)) with s = sigmoid(x).

    Examples
    --------
    >>> silu_backward(np.ones(2), np.array([0.0, 1.0])).round(6).tolist()
    [0.5, 0.927671]
    """
    s = _sigmoid(x)
    return dy * s * (1 + x * (1 - s))


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    """x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3).

    Examples
    --------
    >>> gelu_tanh(np.array([-1.0, 0.0, 1.0])).round(6).tolist()
    [-0.158808, 0.0, 0.841192]
    """
    return x * (1 + np.tanh(_cubic(x))) / 2


def gelu_tanh_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dy times the slope of `gelu_tanh`.

    Examples
    --------
    >>> gelu_tanh_backward(np.ones(2), np.array([0.0, 1.0])).round(6).tolist()
    [0.5, 1.082964]
    """
    t = np.tanh(_cubic(x))
    inner = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
    return dy * ((1 + t) / 2 + x * (1 - t * t) / 2 * inner)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1) / (1 + small)


def _cubic(x: np.ndarray) -> np.ndarray:
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
