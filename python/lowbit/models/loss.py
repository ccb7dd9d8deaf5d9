"""From logits to probabilities and to the loss."""

from __future__ import annotations

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities [B, classes] of logits [B, classes]: each row sums to 1.

    Examples
    --------
    >>> softmax(np.zeros((1, 2), np.float32)).tolist()
    [[0.5, 0.5]]
    """
    exponent = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponent / exponent.sum(axis=1, keepdims=True)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean cross-entropy and its gradient.

    Parameters
    ----------
    logits
        float32 [B, classes].
    labels
        int64 [B].

    Examples
    --------
    >>> loss, gradient = cross_entropy(np.zeros((1, 2), np.float32), np.array([1]))
    >>> round(loss, 4), gradient.tolist()
    (0.6931, [[0.5, -0.5]])
    """
    rows = np.arange(len(labels))
    shifted = (logits - logits.max(axis=1, keepdims=True)).astype(np.float64)
    log_sum = np.log(np.exp(shifted).sum(axis=1))
    loss = float((log_sum - shifted[rows, labels]).mean())
    gradient = np.exp(shifted - log_sum[:, None])
    gradient[rows, labels] -= 1
    return loss, (gradient / len(labels)).astype(np.float32)
