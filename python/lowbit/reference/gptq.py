"""GPTQ as its paper derives it: one column after the other, the inverse hessian made smaller.

After column k is fixed, the best change of the columns that are left is

    W[:, left] -= error / G[k, k] * G[k, left],    G = inverse of the hessian of the columns left

and G loses row and column k by one step of Gaussian elimination. The library takes one Cholesky
factor of the hessian instead, and no inverse.
"""

from __future__ import annotations

import numpy as np


def gptq(
    w: np.ndarray,
    hessian: np.ndarray,
    levels: np.ndarray,
    scales: np.ndarray,
    damping: float = 0.01,
) -> np.ndarray:
    """Values [N, K], each a level times its scale.

    Parameters
    ----------
    w
        Weights [N, K].
    hessian
        [K, K], sum of x x^T; no zero on the diagonal.
    levels
        What codes stand for, before their scale.
    scales
        [N, K]: the scale of each weight.
    damping
        Part of the mean diagonal that is added to the diagonal.

    Examples
    --------
    >>> w, h = np.array([[0.4, 0.4]]), np.array([[1.0, 0.9], [0.9, 1.0]])
    >>> gptq(w, h, np.arange(-1, 2), np.ones((1, 2))).tolist()  # the second makes up for the first
    [[0.0, 1.0]]
    """
    columns = w.shape[1]
    damped = hessian + damping * np.mean(np.diag(hessian)) * np.eye(columns)
    inverse = np.linalg.inv(damped)
    left, out = w.astype(np.float64), np.empty(w.shape)
    for k in np.argsort(-np.diag(hessian), kind="stable"):
        safe = np.where(scales[:, k] == 0, 1, scales[:, k])
        nearest = np.abs(left[:, k, None] / safe[:, None] - levels).argmin(axis=1)
        out[:, k] = levels[nearest] * scales[:, k]
        error = (left[:, k] - out[:, k]) / inverse[k, k]
        left -= np.outer(error, inverse[k])
        inverse = inverse - np.outer(inverse[:, k], inverse[k]) / inverse[k, k]
        inverse[k, :] = inverse[:, k] = 0
    return out
