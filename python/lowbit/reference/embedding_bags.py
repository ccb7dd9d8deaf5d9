"""Sums and means of rows of an embedding table, their gradients, steps on rows, SIF vectors."""

from __future__ import annotations

import numpy as np


def embedding_bag(
    table: np.ndarray,
    ids: np.ndarray,
    indptr: np.ndarray,
    mode: str = "mean",
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """The sum or mean of table[ids] over each bag, with a weight for each id or without.

    Parameters
    ----------
    table
        Floats [rows, dim].
    ids, indptr
        Bag b is ids[indptr[b]:indptr[b + 1]]; an empty one gives zeros.
    mode
        "sum" or "mean".
    weights
        [ids], or None.

    Examples
    --------
    >>> embedding_bag(np.eye(3), np.array([0, 1, 1]), np.array([0, 2, 2, 3])).tolist()
    [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    out = np.zeros((len(indptr) - 1, table.shape[1]), table.dtype)
    factors = id_factors(indptr, mode, weights, table.dtype)
    for b in range(len(out)):
        for i in range(indptr[b], indptr[b + 1]):
            out[b] += factors[i] * table[ids[i]]
    return out


def id_factors(
    indptr: np.ndarray, mode: str, weights: np.ndarray | None, dtype: np.dtype = np.float64
) -> np.ndarray:
    """What each id's row is multiplied by: its weight, or one over the length of its bag.

    Examples
    --------
    >>> id_factors(np.array([0, 2, 3]), "mean", None).tolist()
    [0.5, 0.5, 1.0]
    """
    lengths = np.diff(indptr)
    ones = np.ones(indptr[-1], dtype) if weights is None else weights.astype(dtype)
    return ones / np.repeat(lengths, lengths) if mode == "mean" else ones


def embedding_bag_backward(
    dout: np.ndarray,
    ids: np.ndarray,
    indptr: np.ndarray,
    mode: str = "mean",
    weights: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The rows that were read, ascending, and the gradient of each.

    Parameters
    ----------
    dout
        Gradients of the bags [bags, dim].

    Returns
    -------
    rows : [n]
    values : [n, dim]

    Examples
    --------
    >>> rows, values = embedding_bag_backward(np.eye(2), np.array([4, 1, 4]), np.array([0, 2, 3]))
    >>> rows.tolist(), values.tolist()
    ([1, 4], [[0.5, 0.0], [0.5, 1.0]])
    """
    rows, place = np.unique(ids, return_inverse=True)
    values = np.zeros((len(rows), dout.shape[1]), dout.dtype)
    factors = id_factors(indptr, mode, weights, dout.dtype)
    for b in range(len(dout)):
        for i in range(indptr[b], indptr[b + 1]):
            values[place[i]] += factors[i] * dout[b]
    return rows, values


def sgd_rows(
    table: np.ndarray,
    rows: np.ndarray,
    gradients: np.ndarray,
    buffer: np.ndarray,
    lr: float,
    momentum: float = 0.0,
) -> None:
    """One step of gradient descent on some rows, in place; the others rest, and their buffers.

    Examples
    --------
    >>> table, buffer = np.zeros((2, 1)), np.ones((2, 1))
    >>> sgd_rows(table, np.array([1]), np.array([[2.0]]), buffer, 0.5, 0.5)
    >>> table.tolist(), buffer.tolist()
    ([[0.0], [-1.25]], [[1.0], [2.5]])
    """
    buffer[rows] = momentum * buffer[rows] + gradients
    table[rows] -= lr * buffer[rows]


def adagrad_rows(
    table: np.ndarray,
    rows: np.ndarray,
    gradients: np.ndarray,
    squares: np.ndarray,
    lr: float,
    eps: float = 1e-10,
) -> None:
    """One step of Adagrad on some rows, in place.

    Examples
    --------
    >>> table, squares = np.zeros((2, 1)), np.full((2, 1), 9.0)
    >>> adagrad_rows(table, np.array([1]), np.array([[4.0]]), squares, 0.5)
    >>> table.round(3).tolist(), squares.tolist()
    ([[0.0], [-0.4]], [[9.0], [25.0]])
    """
    squares[rows] += gradients**2
    table[rows] -= lr * gradients / (np.sqrt(squares[rows]) + eps)


def sparse_adam_rows(
    table: np.ndarray,
    rows: np.ndarray,
    gradients: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    step: int,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> None:
    """One step of torch.optim.SparseAdam on some rows, in place; `step` counts from 1.

    Unlike Adam's, eps is added to a root that is not corrected yet.

    Examples
    --------
    >>> table, m, v = np.zeros((2, 1)), np.zeros((2, 1)), np.zeros((2, 1))
    >>> sparse_adam_rows(table, np.array([1]), np.array([[4.0]]), m, v, 1, 0.5)
    >>> table.round(3).tolist()
    [[0.0], [-0.5]]
    """
    beta1, beta2 = betas
    m[rows] = beta1 * m[rows] + (1 - beta1) * gradients
    v[rows] = beta2 * v[rows] + (1 - beta2) * gradients**2
    step_size = lr * np.sqrt(1 - beta2**step) / (1 - beta1**step)
    table[rows] -= step_size * m[rows] / (np.sqrt(v[rows]) + eps)


def sif_weights(counts: np.ndarray, a: float) -> np.ndarray:
    """a / (a + p) with p = counts / sum(counts) (Arora, Liang and Ma, 2017).

    Examples
    --------
    >>> sif_weights(np.array([9, 1]), 0.1).round(3).tolist()
    [0.1, 0.5]
    """
    return a / (a + counts / counts.sum())


def sif_vectors(
    table: np.ndarray,
    weights: np.ndarray,
    ids: np.ndarray,
    indptr: np.ndarray,
    components: np.ndarray | int,
) -> np.ndarray:
    """Weighted means of bags without their parts along some directions.

    Parameters
    ----------
    weights
        Of each row of the table.
    components
        [n, dim], or a number: so many right singular vectors of these bags' own means.

    Examples
    --------
    >>> table = np.array([[3.0, 0.0], [2.0, 1.0]])
    >>> ids, indptr = np.array([0, 1]), np.array([0, 1, 2])
    >>> sif_vectors(table, np.ones(2), ids, indptr, np.eye(2)[:1]).tolist()
    [[0.0, 0.0], [0.0, 1.0]]
    """
    means = embedding_bag(table * weights[:, None], ids, indptr, "mean")
    if isinstance(components, int):
        components = np.linalg.svd(means, full_matrices=False)[2][:components]
    return means - means @ components.T @ components
