"""Positions as vectors that are added to the embeddings, and as numbers added to the scores.

Positions that turn queries and keys are in `rotary`.
"""

from __future__ import annotations

import math

import numpy as np


def sinusoidal(
    positions: np.ndarray,
    dim: int,
    base: float = 10000.0,
    layout: str = "interleaved",
    frequencies: str = "paper",
) -> np.ndarray:
    """Sines and cosines of geometric wavelengths (Vaswani et al., 2017, section 3.5).

        frequency of pair i    base^(-2i / dim)               "paper"
                               base^(-i / (dim // 2 - 1))     "tensor2tensor"
        columns 2i and 2i + 1  sine and cosine of pair i      "interleaved"
        columns i and n + i    the same, n pairs in a row     "half"

    Parameters
    ----------
    positions
        Numbers [...].
    dim
        Width. An odd one has one more sine than cosines ("paper"), or ends with a zero
        ("tensor2tensor").
    base
        The longest wavelength is about 2 pi base.

    Returns
    -------
    numpy.ndarray
        float64 [..., dim].

    Examples
    --------
    >>> sinusoidal(np.array([0, 1]), 4).round(4).tolist()
    [[0.0, 1.0, 0.0, 1.0], [0.8415, 0.5403, 0.01, 1.0]]
    >>> sinusoidal(np.array([1]), 4, layout="half", frequencies="tensor2tensor").round(4).tolist()
    [[0.8415, 0.0001, 0.5403, 1.0]]
    """
    positions = np.asarray(positions, np.float64)
    out = np.zeros((*positions.shape, dim))
    paper = frequencies == "paper"
    sines = (dim + 1) // 2 if paper else dim // 2
    for i in range(sines):
        exponent = 2 * i / dim if paper else i / (dim // 2 - 1)
        angle = positions / base**exponent
        sine, cosine = (2 * i, 2 * i + 1) if layout == "interleaved" else (i, sines + i)
        out[..., sine] = np.sin(angle)
        if cosine < dim:
            out[..., cosine] = np.cos(angle)
    return out


def learned(table: np.ndarray, positions: np.ndarray, offset: int = 0) -> np.ndarray:
    """A trained vector for each position, as BERT has them; position p has the row p + offset.

    Parameters
    ----------
    table
        Floats [P, dim].
    positions
        Integers [...] in [-offset, P - offset).
    offset
        Rows before that of position 0, as OPT and RoBERTa have.

    Returns
    -------
    numpy.ndarray
        [..., dim].

    Raises
    ------
    IndexError
        If a position is not a row of the table.

    Examples
    --------
    >>> learned(np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([1, 0])).tolist()
    [[2.0, 3.0], [0.0, 1.0]]
    """
    positions = np.asarray(positions) + offset
    if positions.size and (positions.min() < 0 or positions.max() >= len(table)):
        raise IndexError(
            f"learned: positions go from {positions.min()} to {positions.max()}; the table has "
            f"{len(table)} rows"
        )
    return table[positions]


def alibi_slopes(heads: int, bias_max: float = 8.0) -> np.ndarray:
    """How much a token of distance costs each head (Press et al., 2022), float64 [heads].

    For a power of two, head h has 2^(-bias_max (h + 1) / heads). Other counts begin with the slopes
    of the next smaller power and go on with every second slope of the next larger one.

    Examples
    --------
    >>> alibi_slopes(4).tolist(), alibi_slopes(3).tolist()
    ([0.25, 0.0625, 0.015625, 0.00390625], [0.0625, 0.00390625, 0.25])
    """

    def of_power(count: int) -> list[float]:
        return [2.0 ** (-bias_max * (h + 1) / count) for h in range(count)]

    power = 2 ** math.floor(math.log2(heads))
    return np.array((of_power(power) + of_power(2 * power)[::2])[:heads])


def alibi(queries: np.ndarray, keys: np.ndarray, heads: int, bias_max: float = 8.0) -> np.ndarray:
    """-slope |i - j| for the query at position i and the key at position j, [heads, Q, K].

    Examples
    --------
    >>> alibi(np.array([0, 1]), np.array([0, 1, 2]), 1).tolist()
    [[[-0.0, -0.00390625, -0.0078125], [-0.00390625, -0.0, -0.00390625]]]
    """
    distance = np.abs(np.subtract.outer(queries, keys)).astype(np.float64)
    return -alibi_slopes(heads, bias_max)[:, None, None] * distance


def relative_bucket(
    offset: int, bidirectional: bool = True, buckets: int = 32, max_distance: int = 128
) -> int:
    """T5's bucket of a key `offset` tokens behind the query, or before it when negative.

    Half of the buckets are for single distances; the others grow with the logarithm of the distance
    up to max_distance, where the last one begins (Raffel et al., 2020, section 2.1). Both ways have
    buckets of their own; one way only, all keys behind the query share bucket 0. Where a bucket
    begins is decided in integers, so that rounding has no say.

    Examples
    --------
    >>> [relative_bucket(n) for n in (0, -1, 1, -7, -8, -12, -1000)]
    [0, 1, 17, 7, 8, 9, 15]
    """
    first, distance = 0, max(-offset, 0)
    if bidirectional:
        buckets //= 2
        first, distance = (buckets if offset > 0 else 0), abs(offset)
    exact = buckets // 2
    if distance < exact:
        return first + distance
    wide, bucket = buckets - exact, exact
    # distance >= exact (max_distance / exact)^(k / wide), raised to the power `wide`.
    while (
        bucket < buckets - 1
        and distance**wide * exact ** (bucket + 1 - exact)
        >= max_distance ** (bucket + 1 - exact) * exact**wide
    ):
        bucket += 1
    return first + bucket


def relative_bias(
    queries: np.ndarray,
    keys: np.ndarray,
    table: np.ndarray,
    bidirectional: bool = True,
    max_distance: int = 128,
) -> np.ndarray:
    """What T5 adds to the scores: table [buckets, heads] at the bucket of j - i, [heads, Q, K].

    Examples
    --------
    >>> relative_bias(np.arange(2), np.arange(2), np.arange(8.0)[:, None]).tolist()
    [[[0.0, 5.0], [1.0, 0.0]]]
    """
    out = np.empty((table.shape[1], len(queries), len(keys)), table.dtype)
    for q, i in enumerate(queries):
        for k, j in enumerate(keys):
            bucket = relative_bucket(int(j) - int(i), bidirectional, len(table), max_distance)
            out[:, q, k] = table[bucket]
    return out


def kerple(
    queries: np.ndarray, keys: np.ndarray, p: np.ndarray, a: np.ndarray, kind: str = "log"
) -> np.ndarray:
    """-p ln(1 + a |i - j|), or -a |i - j|^p with kind "power" (Chi et al., 2022), [heads, Q, K].

    Examples
    --------
    >>> kerple(np.array([2]), np.arange(3), np.array([1.0]), np.array([1.0])).round(3).tolist()
    [[[-1.099, -0.693, -0.0]]]
    """
    distance = np.abs(np.subtract.outer(queries, keys)).astype(np.float64)
    p, a = p[:, None, None], a[:, None, None]
    return -p * np.log1p(a * distance) if kind == "log" else -a * distance**p


def fire(
    queries: np.ndarray,
    keys: np.ndarray,
    layers: list[tuple[np.ndarray, np.ndarray]],
    c: float = 0.1,
    threshold: float = 512.0,
    eps: float = 1e-6,
) -> np.ndarray:
    """A small network of the distance relative to the query's position (Li et al., 2024).

        x = ln(c |i - j| + 1) / (ln(c max(i, threshold) + 1) + eps)
        bias = W2 relu(W1 x + b1) + b2

    Parameters
    ----------
    layers
        (W1 [width, 1], b1 [width]) and (W2 [heads, width], b2 [heads]).

    Returns
    -------
    numpy.ndarray
        [heads, Q, K].

    Examples
    --------
    >>> layers = [(np.ones((1, 1)), np.zeros(1)), (-np.ones((1, 1)), np.zeros(1))]
    >>> fire(np.array([10]), np.array([0, 10]), layers).round(3).tolist()
    [[[-0.175, 0.0]]]
    """
    (w1, b1), (w2, b2) = layers
    out = np.empty((len(b2), len(queries), len(keys)))
    for q, i in enumerate(queries):
        scale = math.log(c * max(float(i), threshold) + 1) + eps
        for k, j in enumerate(keys):
            x = math.log(c * abs(float(i) - float(j)) + 1) / scale
            out[:, q, k] = w2 @ np.maximum(w1[:, 0] * x + b1, 0) + b2
    return out
