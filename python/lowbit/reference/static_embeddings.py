"""Static vectors of sentences, distilled from an encoder (model2vec, van Dongen and Tulkens, 2024).

row of token t = weight(t) * principal components of the encoder's vector of t alone
weight(t)      = a / (a + p(t)),  p(t) by Zipf's law from the place of t in the vocabulary
sentence       = mean of the rows of its tokens that are known, scaled to length 1
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lowbit.reference.layers import l2_normalize


def zipf_weights(count: int, a: float) -> np.ndarray:
    """Weights of smooth inverse frequency (Arora et al., 2017) for ranks 0 to count - 1, [count].

    Vocabularies list frequent tokens first; the token of rank r is taken to be 1 / (r + 2) as
    frequent as that would make the first.

    Examples
    --------
    >>> zipf_weights(2, 0.4).tolist()  # shares are 1/2 and 1/3, divided by 5/6
    [0.4, 0.5]
    """
    inverse = 1 / np.arange(2, count + 2)
    return a / (a + inverse / inverse.sum())


def principal_components(x: np.ndarray, dim: int) -> np.ndarray:
    """The `dim` principal components of the rows of x [N, D], the largest first, [N, dim].

    Signs: the largest magnitude of each component is positive.

    Examples
    --------
    >>> principal_components(np.array([[0.0, 3.0], [0.0, 1.0], [0.0, -7.0]]), 1).round(4).tolist()
    [[-4.0], [-2.0], [6.0]]
    """
    centered = x - x.mean(axis=0)
    _, directions = np.linalg.eigh(centered.T @ centered)
    scores = centered @ directions[:, ::-1][:, :dim]
    largest = scores[np.abs(scores).argmax(axis=0), np.arange(dim)]
    return scores * np.sign(largest)


def static_rows(vectors: np.ndarray, dim: int | None, a: float | None) -> np.ndarray:
    """The table [V, dim] from vectors [V, D] of all tokens; None leaves a step out."""
    rows = vectors if dim is None else principal_components(vectors, dim)
    return rows if a is None else rows * zipf_weights(len(rows), a)[:, None]


def static_vectors(
    rows: np.ndarray, texts: Sequence[Sequence[int]], unknown: int | None
) -> np.ndarray:
    """Vectors [texts, dim] of ids of tokens; a text without known tokens gives zeros.

    Examples
    --------
    >>> rows = np.array([[9.0, 9.0], [1.0, 0.0], [5.0, 8.0]])
    >>> static_vectors(rows, [[1, 0, 2], [0], []], unknown=0).tolist()
    [[0.6, 0.8], [0.0, 0.0], [0.0, 0.0]]
    """
    out = np.zeros((len(texts), rows.shape[1]), rows.dtype)
    for text, ids in enumerate(texts):
        known = [id for id in ids if id != unknown]
        if known:
            out[text] = rows[known].mean(axis=0)
    return l2_normalize(out)
