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
    zero_points: np.ndarray | None = None,
) -> np.ndarray:
    """Values [N, K], each a level, less its zero point, times its scale.

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
    zero_points
        [N, K]: the level that stands for zero, of each weight; None: 0.

    Examples
    --------
    >>> w, h = np.array([[0.4, 0.4]]), np.array([[1.0, 0.9], [0.9, 1.0]])
    >>> gptq(w, h, np.arange(-1, 2), np.ones((1, 2))).tolist()  # the second makes up for the first
    [[0.0, 1.0]]
    """
    columns = w.shape[1]
    damped = hessian + damping * np.mean(np.diag(hessian)) * np.eye(columns)
    inverse = np.linalg.inv(damped)
    zeros = np.zeros(w.shape) if zero_points is None else zero_points
    left, out = w.astype(np.float64), np.empty(w.shape)
    for k in np.argsort(-np.diag(hessian), kind="stable"):
        safe = np.where(scales[:, k] == 0, 1, scales[:, k])
        distances = np.abs((left[:, k] / safe + zeros[:, k])[:, None] - levels)
        out[:, k] = (levels[distances.argmin(axis=1)] - zeros[:, k]) * scales[:, k]
        error = (left[:, k] - out[:, k]) / inverse[k, k]
        left -= np.outer(error, inverse[k])
        inverse = inverse - np.outer(inverse[:, k], inverse[k]) / inverse[k, k]
        inverse[k, :] = inverse[:, k] = 0
    return out
