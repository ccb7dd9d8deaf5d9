"""GloVe: what is counted, what is learned from it, and in which order.

Pennington et al., "GloVe: global vectors for word representation", 2014. A word has a vector w, a
context vector c, and a bias for each. For words i and j that stand near each other X times,
w_i . c_j and their biases should add up to log X. Steps are AdaGrad's (Duchi et al., "Adaptive
subgradient methods for online learning and stochastic optimization", 2011).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lowbit.reference.random import random_words
from lowbit.reference.word_vectors import start_vectors, stream_key


def cooccurrences(
    sentences: list[np.ndarray],
    window: int,
    symmetric: bool = True,
    weighted: bool = True,
) -> dict[tuple[int, int], float]:
    """How often word i stands before word j, at most `window` words away, for each (i, j).

    Two words at distance d count 1 / d, or 1 without `weighted`. Symmetric counts have both orders
    together, and (i, j) only for i <= j: (j, i) has the same.

    Examples
    --------
    >>> cooccurrences([np.array([0, 1, 0])], window=2)
    {(0, 1): 2.0, (0, 0): 1.0}
    >>> cooccurrences([np.array([0, 1, 0])], window=2, symmetric=False)
    {(0, 1): 1.0, (1, 0): 1.0, (0, 0): 0.5}
    """
    counts: dict[tuple[int, int], float] = {}
    for sentence in sentences:
        for p, right in enumerate(sentence.tolist()):
            for d in range(1, min(window, p) + 1):
                left = int(sentence[p - d])
                pair, count = (left, right), 1 / d if weighted else 1.0
                if symmetric:
                    pair = (min(pair), max(pair))
                    count *= 2 if left == right else 1  # each is near the other
                counts[pair] = counts.get(pair, 0.0) + count
    return counts


def weight(count: float, x_max: float = 100.0, alpha: float = 0.75) -> float:
    """How much the error of a pair counts.

    Examples
    --------
    >>> weight(50.0, 100.0, 1.0), weight(1000.0)
    (0.5, 1.0)
    """
    return min(1.0, (count / x_max) ** alpha)


@dataclass
class Tables:
    """Parameters, and for each the sum of the squares of its steps before they are scaled.

    Attributes
    ----------
    w, c : float64 [words, dim]
    w_bias, c_bias : float64 [words]
    sums : dict of the four names to arrays of the same shape, which begin as ones
    """

    w: np.ndarray
    c: np.ndarray
    w_bias: np.ndarray
    c_bias: np.ndarray
    sums: dict[str, np.ndarray]

    @classmethod
    def start(cls, words: int, dim: int, seed: int) -> Tables:
        """Before training: uniform in +-0.5 / (dim + 1), biases too."""
        both = start_vectors(2 * words, dim + 1, seed).astype(np.float64) / 2
        w, c = both[:words], both[words:]
        parts = {"w": w[:, :dim], "c": c[:, :dim], "w_bias": w[:, dim], "c_bias": c[:, dim]}
        parts = {name: part.copy() for name, part in parts.items()}
        return cls(**parts, sums={name: np.ones_like(part) for name, part in parts.items()})


def difference(t: Tables, i: int, j: int, count: float) -> float:
    """What the model says of a pair, less the logarithm of its count."""
    return float(t.w[i] @ t.c[j] + t.w_bias[i] + t.c_bias[j] - np.log(count))


def loss(t: Tables, i: int, j: int, count: float, x_max: float, alpha: float) -> float:
    """Of a pair: half of its squared difference, times its weight."""
    return 0.5 * weight(count, x_max, alpha) * difference(t, i, j, count) ** 2


def gradients(
    t: Tables, i: int, j: int, count: float, x_max: float, alpha: float
) -> dict[str, np.ndarray | float]:
    """Derivatives of `loss` by w[i], c[j], w_bias[i] and c_bias[j]."""
    slope = weight(count, x_max, alpha) * difference(t, i, j, count)
    return {"w": slope * t.c[j], "c": slope * t.w[i], "w_bias": slope, "c_bias": slope}


@dataclass(frozen=True)
class Steps:
    """Settings of `step`.

    Attributes
    ----------
    lr
        Learning rate.
    x_max, alpha
        As in `weight`.
    clip
        Elements of gradients are cut to this magnitude.
    plain_biases
        Gradients of biases are neither cut nor multiplied by lr, as in GloVe's own program.
    """

    lr: float = 0.05
    x_max: float = 100.0
    alpha: float = 0.75
    clip: float = 100.0
    plain_biases: bool = True


def step(t: Tables, i: int, j: int, count: float, settings: Steps) -> float:
    """One step in place: by lr times the gradient over the root of the sum; the loss before it."""
    before = loss(t, i, j, count, settings.x_max, settings.alpha)
    found = gradients(t, i, j, count, settings.x_max, settings.alpha)
    for name, gradient in found.items():
        row = i if name.startswith("w") else j
        if settings.plain_biases and name.endswith("bias"):
            move = gradient
        else:
            move = settings.lr * np.clip(gradient, -settings.clip, settings.clip)
        table, sums = getattr(t, name), t.sums[name]
        table[row] -= move / np.sqrt(sums[row])
        sums[row] += move**2
    return before


def blocks_of(words: int, dim: int) -> int:
    """Word w is in block w mod blocks, a power of two from 16 to 512, so that two blocks of
    words, which have four rows of dim + 2 floats, filled up to 16, take 2 MiB at most."""
    word_bytes = 16 * (-(-(dim + 2) // 16) * 16)
    blocks = 16
    while blocks < 512 and 2 * (words // blocks) * word_bytes > 2 << 20:
        blocks *= 2
    return blocks


def rounds(blocks: int) -> list[list[tuple[int, int]]]:
    """A tournament: each round has every block once, so that its tiles share no word. The last
    round has the pairs within a block.

    Examples
    --------
    >>> rounds(4)
    [[(3, 0), (1, 2)], [(3, 1), (2, 0)], [(3, 2), (0, 1)], [(0, 0), (1, 1), (2, 2), (3, 3)]]
    """
    circle = blocks - 1
    found = [
        [(circle, r)]
        + [((r + k) % circle, (r + circle - k) % circle) for k in range(1, blocks // 2)]
        for r in range(circle)
    ]
    return [*found, [(a, a) for a in range(blocks)]]


def shuffled(items: list, key: int) -> list:
    """By Fisher and Yates: from the last on, each changes places with one at or before it."""
    items = list(items)
    words = random_words(key, np.arange(max(len(items) - 1, 0)))
    for word, i in zip(words.tolist(), range(len(items), 1, -1), strict=True):
        other = word * i >> 32
        items[i - 1], items[other] = items[other], items[i - 1]
    return items


def pairs_in_order(
    pairs: list[tuple[int, int]], blocks: int, seed: int, epoch: int, symmetric: bool = True
) -> Iterator[tuple[int, int]]:
    """Every step of an epoch: rounds, and pairs within a tile, are shuffled. A symmetric pair of
    different words is two steps."""
    all_rounds = rounds(blocks)
    tiles = [tile for some in all_rounds for tile in some]
    number = {frozenset(tile): n for n, tile in enumerate(tiles)}
    content: list[list[tuple[int, int]]] = [[] for _ in tiles]
    for i, j in sorted(pairs):
        content[number[frozenset((i % blocks, j % blocks))]].append((i, j))
    content = [shuffled(some, stream_key(seed, (1 << 61) + n)) for n, some in enumerate(content)]
    for r in shuffled(range(blocks), stream_key(seed, (1 << 62) + epoch)):
        for tile in all_rounds[r]:
            for i, j in content[number[frozenset(tile)]]:
                yield i, j
                if symmetric and i != j:
                    yield j, i
