"""Hierarchical softmax: words as paths through a binary tree (Morin and Bengio, 2005).

The softmax over a vocabulary of V words takes V dot products. A tree with the words as leaves takes
as many as its path is long: each inner node has a row of the table of targets, and from it the walk
goes to the child of label 1 with the probability sigmoid(x . y), to the other with the rest. The
probability of a word is the product along its path, and all of them add up to 1. Huffman's tree
(1952), as Mikolov et al. (2013) use it, has the shortest mean path.
"""

from __future__ import annotations

import heapq

import numpy as np

from lowbit.reference.word_vectors import sigmoid

Paths = list[tuple[np.ndarray, np.ndarray]]


def huffman_paths(counts: np.ndarray) -> Paths:
    """Inner nodes and labels on the path to every word, those of label 1 first.

    Again and again the two rarest of what has no parent get one, whose label 1 is the rarer of
    them. Of equals inner nodes come first, the older before the younger, then words, the last
    before the first. Inner nodes are numbered in the order of their making: the root is the last.

    Examples
    --------
    >>> for nodes, labels in huffman_paths(np.array([4, 2, 1])):
    ...     print(nodes.tolist(), labels.tolist())
    [1] [0.0]
    [1, 0] [1.0, 0.0]
    [1, 0] [1.0, 1.0]
    """
    words = len(counts)
    waiting = [(int(count), 1, -i, i) for i, count in enumerate(counts)]
    heapq.heapify(waiting)
    above: dict[int, tuple[int, int]] = {}  # of words, and of node n at words + n
    for made in range(words - 1):
        total = 0
        for label in (1, 0):
            count, _, _, child = heapq.heappop(waiting)
            above[child] = (made, label)
            total += count
        heapq.heappush(waiting, (total, 0, made, words + made))
    paths = []
    for word in range(words):
        path = []
        at = word
        while at in above:
            node, label = above[at]
            path.append((1 - label, len(path), node, label))
            at = words + node
        # From the root downwards, label 1 first.
        path.sort(key=lambda step: (step[0], -step[1]))
        paths.append((np.array([s[2] for s in path]), np.array([float(s[3]) for s in path])))
    return paths


def word_probabilities(x: np.ndarray, y: np.ndarray, paths: Paths) -> np.ndarray:
    """Probability of every word behind an input x [D], with the inner nodes' rows y [nodes, D].

    The loss that is trained is -log of the right one: `pair_loss` of x with the rows of its path.

    Examples
    --------
    >>> paths = huffman_paths(np.array([4, 2, 1]))
    >>> word_probabilities(np.ones(5), np.zeros((2, 5)), paths).tolist()
    [0.5, 0.25, 0.25]
    """
    one = sigmoid(y @ x)
    return np.array([np.where(labels == 1, one[n], 1 - one[n]).prod() for n, labels in paths])
