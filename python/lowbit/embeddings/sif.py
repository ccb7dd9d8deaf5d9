"""Sentence vectors from word vectors: rare words count more, and what all share is removed."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from lowbit.arrays import as_float32
from lowbit.embeddings.table import Embedding
from lowbit.errors import FileFormatError
from lowbit.files.safetensors import SafetensorsFile, write_safetensors

BAGS_AT_ONCE = 4096


class SifPooling:
    """Smooth inverse frequency (Arora, Liang and Ma, 2017): "a simple but tough-to-beat baseline".

    The vector of a bag is sum(a / (a + p(id)) * row(id)) / len(bag), p being how often an id comes;
    then its parts along the first principal components of some texts' vectors are taken away. As in
    the paper's code, the components are those of vectors whose mean was not subtracted.

    Parameters
    ----------
    table
        `Embedding`, or an array [rows, dim].
    weights
        Factor of each row, [rows].
    components
        Directions that are removed, orthonormal, [n, dim]; n may be 0.

    Examples
    --------
    >>> table = Embedding(np.array([[4.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    >>> sif = SifPooling.fit(table, counts=[2, 1, 1], ids=[0, 1, 0, 2], indptr=[0, 2, 4], a=0.25)
    >>> sif.weights[1:].tolist()
    [0.5, 0.5]
    >>> np.abs(sif([0, 1], [0, 2])).round(3).tolist()  # the column that both bags have is gone
    [[0.0, 0.25]]
    """

    def __init__(self, table: Any, weights: Any, components: Any) -> None:
        self.table = table if isinstance(table, Embedding) else Embedding(table)
        self.weights = as_float32(weights, "SifPooling", "weights", ndim=1)
        self.components = as_float32(components, "SifPooling", "components", ndim=2)
        rows, dim = self.table.shape
        if len(self.weights) != rows or self.components.shape[1] != dim:
            raise ValueError(
                f"SifPooling: {len(self.weights)} weights and components of "
                f"{self.components.shape[1]} columns do not fit a table of shape ({rows}, {dim})"
            )

    @classmethod
    def fit(
        cls,
        table: Any,
        counts: Any,
        ids: Any = (),
        indptr: Any = (0,),
        *,
        a: float = 1e-3,
        components: int = 1,
    ) -> SifPooling:
        """Weights from counts, and components from the bags of some texts.

        Parameters
        ----------
        table
            `Embedding`, or an array [rows, dim].
        counts
            How often each id comes in a corpus, [rows], in any unit: they are divided by their sum.
        ids, indptr
            Bags as in `Embedding.pool`; those of the texts to be compared will do. Empty ones do
            not count.
        a
            Words of this frequency count half. The paper takes 1e-3 for 1e-4 <= a <= 1e-2.
        components
            How many are removed; 0 needs no bags.

        Raises
        ------
        ValueError
            If counts do not fit the table, are negative or all zero, a is not above 0, or there are
            fewer bags, or columns, than components.
        """
        pooling = cls._weighted(table, counts, a)
        pooling.components = pooling._principal(ids, indptr, components)
        return pooling

    @classmethod
    def _weighted(cls, table: Any, counts: Any, a: float) -> SifPooling:
        numbers = np.asarray(counts, np.float64)
        if numbers.ndim != 1 or not np.isfinite(numbers).all() or (numbers < 0).any():
            raise ValueError("SifPooling.fit: counts must be finite numbers [rows] of at least 0")
        if not a > 0:
            raise ValueError(f"SifPooling.fit: a={a} must be above 0")
        total = numbers.sum()
        if not total > 0:
            raise ValueError("SifPooling.fit: counts are all 0; pass those of a corpus")
        embedding = table if isinstance(table, Embedding) else Embedding(table)
        return cls(embedding, a / (a + numbers / total), np.empty((0, embedding.shape[1])))

    def _principal(self, ids: Any, indptr: Any, count: int) -> np.ndarray:
        """The first eigenvectors of the sum of outer products of all vectors, [count, dim]."""
        dim = self.table.shape[1]
        if count == 0:
            return np.empty((0, dim), np.float32)
        flat, bounds = np.asarray(ids).reshape(-1), np.asarray(indptr)
        filled = np.count_nonzero(np.diff(bounds))
        if not 0 < count <= min(dim, filled):
            raise ValueError(
                f"SifPooling.fit: components={count} must be between 0 and the number of columns, "
                f"{dim}, and of bags that are not empty, {filled}"
            )
        products = np.zeros((dim, dim))
        for first in range(0, len(bounds) - 1, BAGS_AT_ONCE):
            part = bounds[first : first + BAGS_AT_ONCE + 1]
            vectors = self._weigh(flat[part[0] : part[-1]], part - part[0]).astype(np.float64)
            products += vectors.T @ vectors
        return np.linalg.eigh(products)[1][:, ::-1][:, :count].T.astype(np.float32)

    def _weigh(self, ids: Any, indptr: Any) -> np.ndarray:
        flat, bounds = np.asarray(ids).reshape(-1), np.asarray(indptr)
        if not flat.size:
            flat = flat.astype(np.int64)
        # Not before the table has checked them: an id of -1 would be taken from the end.
        wrong = flat.dtype.kind not in "iu" or ((flat < 0) | (flat >= len(self.weights))).any()
        if wrong:
            self.table(flat)  # raises
        lengths = np.maximum(1, np.diff(bounds))
        sums = self.table.pool(flat, bounds, "sum", self.weights[flat])
        return sums / lengths[:, None].astype(np.float32)

    def __call__(self, ids: Any, indptr: Any) -> np.ndarray:
        """One vector per bag, float32 [bags, dim]; `ids` and `indptr` as in `Embedding.pool`.

        Raises
        ------
        TypeError, IndexError, ValueError
            As in `Embedding.pool`.
        """
        vectors = self._weigh(ids, indptr)
        return vectors - (vectors @ self.components.T) @ self.components

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights and components as safetensors, atomically; the table is not in the file.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "sif.safetensors"
        >>> SifPooling.fit(np.eye(3), [1, 2, 3], components=0).save(path)
        >>> SifPooling.load(path, np.eye(3)).weights.shape
        (3,)
        """
        tensors = {"weights": self.weights, "components": self.components}
        write_safetensors(path, tensors, {"format": "lowbit sif"})

    @classmethod
    def load(cls, path: str | os.PathLike[str], table: Any) -> SifPooling:
        """Read what `save` wrote, for the table it was fitted to.

        Raises
        ------
        FileFormatError
            If the file is not such a one.
        ValueError
            If it does not fit the table.
        """
        with SafetensorsFile(path) as file:
            for name, dims in (("weights", 1), ("components", 2)):
                entry = file.tensors.get(name)
                if entry is None or entry.dtype != "F32" or len(entry.shape) != dims:
                    raise FileFormatError(f"{path}: needs a {dims}-dimensional {name!r} of F32")
            weights, components = file.read("weights"), file.read("components")
        return cls(table, weights, components)
