"""Training an embedding table: gradients of the rows that were read, and steps on these alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lowbit import _core

if TYPE_CHECKING:
    from lowbit.embeddings.table import Embedding


class RowGradient(NamedTuple):
    """The gradient of a table of which few rows were read; that of all others is zero.

    Attributes
    ----------
    rows
        Rows of the table, int32 [n], ascending, each once.
    values
        Their gradients, float32 [n, dim].

    Examples
    --------
    >>> RowGradient(np.array([2], np.int32), np.ones((1, 2), np.float32)).dense(3).tolist()
    [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]
    """

    rows: np.ndarray
    values: np.ndarray

    def dense(self, rows: int) -> np.ndarray:
        """The gradient of all rows, float32 [rows, dim]."""
        whole = np.zeros((rows, self.values.shape[1]), np.float32)
        whole[self.rows] = self.values
        return whole


class _RowOptimizer:
    """What the optimizers share: the table, and numbers kept for each of its own."""

    def __init__(self, embedding: Embedding, lr: float) -> None:
        name = type(self).__name__
        if embedding.format != "fp32":
            raise ValueError(
                f'{name}: the table is "{embedding.format}"; train it in "fp32" and round it after'
            )
        self._table = embedding.kernel_table()[0]
        if not self._table.flags.writeable:
            raise ValueError(f"{name}: the table cannot be written to; make it of a copy")
        self.lr = lr

    def _state(self) -> np.ndarray:
        return np.zeros_like(self._table)


class SGD(_RowOptimizer):
    """Gradient descent on the rows of a table.

    Parameters
    ----------
    embedding
        A table in "fp32"; it is changed in place.
    lr
        Learning rate; the attribute may be set between steps.
    momentum
        Each row has a buffer = momentum * buffer + gradient, which is its step. A row without a
        gradient rests: torch.optim.SGD would let it move on.

    Examples
    --------
    >>> from lowbit.embeddings import Embedding
    >>> embedding = Embedding(np.zeros((4, 2), np.float32))
    >>> SGD(embedding, lr=0.5).step(embedding.backward([[1.0, 2.0]], [3]))
    >>> embedding([3]).tolist()
    [[-0.5, -1.0]]
    """

    def __init__(self, embedding: Embedding, lr: float, momentum: float = 0.0) -> None:
        super().__init__(embedding, lr)
        self.momentum = momentum
        self.buffer = self._state() if momentum else None

    def step(self, gradient: RowGradient) -> None:
        """Change the rows that have a gradient."""
        _core.sgd_rows(self._table, *gradient, self.buffer, self.lr, self.momentum)


class Adagrad(_RowOptimizer):
    """Adagrad (Duchi, Hazan and Singer, 2011): frequent rows take smaller steps.

    Parameters
    ----------
    embedding
        A table in "fp32"; it is changed in place.
    lr
        Learning rate; the attribute may be set between steps.
    eps
        Added to the root of the sum of squared gradients.

    Examples
    --------
    >>> from lowbit.embeddings import Embedding
    >>> embedding = Embedding(np.zeros((4, 2), np.float32))
    >>> Adagrad(embedding, lr=0.5).step(embedding.backward([[4.0, -2.0]], [3]))
    >>> embedding([3]).tolist()
    [[-0.5, 0.5]]
    """

    def __init__(self, embedding: Embedding, lr: float = 0.01, eps: float = 1e-10) -> None:
        super().__init__(embedding, lr)
        self.eps = eps
        self.squares = self._state()

    def step(self, gradient: RowGradient) -> None:
        """Change the rows that have a gradient."""
        _core.adagrad_rows(self._table, *gradient, self.squares, self.lr, self.eps)


class SparseAdam(_RowOptimizer):
    """Adam on the rows that have a gradient, as torch.optim.SparseAdam computes it.

    A row that has none keeps its moments as they are; the corrections for the first steps go by the
    number of steps of the table.

    Parameters
    ----------
    embedding
        A table in "fp32"; it is changed in place.
    lr
        Learning rate; the attribute may be set between steps.
    betas, eps
        As of Adam.

    Examples
    --------
    >>> from lowbit.embeddings import Embedding
    >>> embedding = Embedding(np.zeros((4, 2), np.float32))
    >>> SparseAdam(embedding, lr=0.5).step(embedding.backward([[4.0, -2.0]], [3]))
    >>> embedding([3]).round(4).tolist()
    [[-0.5, 0.5]]
    """

    def __init__(
        self,
        embedding: Embedding,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(embedding, lr)
        self.betas, self.eps = betas, eps
        self.m, self.v = self._state(), self._state()
        self.steps = 0

    def step(self, gradient: RowGradient) -> None:
        """Change the rows that have a gradient."""
        options = (self.lr, *self.betas, self.eps, self.steps + 1)
        _core.sparse_adam_rows(self._table, *gradient, self.m, self.v, *options)
        self.steps += 1
