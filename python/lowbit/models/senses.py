"""How well vectors tell groups apart, such as the senses of a word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lowbit import _core
from lowbit.arrays import as_float32


@dataclass(frozen=True)
class SenseReport:
    """Cosines of pairs of rows.

    Attributes
    ----------
    same, other : float
        Mean cosine of two rows of the same label, and of two labels; NaN where there is no pair.
    nearest : int
        Rows whose nearest other row has their own label.
    count : int
        Rows in all.
    """

    same: float
    other: float
    nearest: int
    count: int


def compare_senses(vectors: Any, labels: Any) -> SenseReport:
    """Cosines within and across labels, and whether the nearest neighbour has the same one.

    Contextual vectors have much in common, so all their cosines are high; subtract their mean first
    (`ContextualVectors.centered`).

    Parameters
    ----------
    vectors
        Floats [N, D].
    labels
        [N], of any kind that can be compared.

    Raises
    ------
    ValueError
        If there are not as many labels as rows, or fewer than two.

    Examples
    --------
    >>> compare_senses([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], ["a", "a", "b"])
    SenseReport(same=1.0, other=0.0, nearest=2, count=3)
    """
    rows = as_float32(vectors, "compare_senses", "vectors", ndim=2)
    own = np.asarray(labels)
    if own.shape != (len(rows),) or len(rows) < 2:
        raise ValueError(
            f"compare_senses: {len(rows)} vectors and labels of shape {own.shape}; there must be a "
            "label for each, and two vectors at least"
        )
    unit = _core.l2_normalize(np.ascontiguousarray(rows)).astype(np.float64)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    nearest = own[cosines.argmax(axis=1)]
    first, second = np.triu_indices(len(rows), k=1)
    alike = own[first] == own[second]
    pairs = cosines[first, second]
    same, other = (float(pairs[w].mean()) if w.any() else np.nan for w in (alike, ~alike))
    return SenseReport(same, other, int((nearest == own).sum()), len(rows))
