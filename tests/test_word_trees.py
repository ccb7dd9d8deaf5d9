"""Hierarchical softmax: Huffman's tree, the probabilities that it gives, their derivatives."""

from __future__ import annotations

import heapq

import numpy as np
import pytest

import lowbit as lb
from lowbit import _core
from lowbit.reference.word_trees import huffman_paths, word_probabilities
from lowbit.reference.word_vectors import bag_gradients, pair_gradients


def falling_counts(words: int, seed: int = 0, most: int = 1000) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).integers(1, most, words))[::-1].copy()


@pytest.mark.parametrize(
    "counts",
    [
        [1, 1],
        [7, 7, 7, 7, 7],
        [8, 4, 2, 1, 1],
        [3, 2, 2, 1, 1, 0],  # a word that does not occur
        falling_counts(1000),
        falling_counts(700, most=4),  # hardly anything but ties
        [round(1.618**i) for i in range(40, 0, -1)],  # the deepest of trees
    ],
)
def test_trees_are_those_of_the_reference(counts: list[int]) -> None:
    counts = np.array(counts, np.int64)
    tree = _core.WordTree(counts)
    for word, (nodes, labels) in enumerate(huffman_paths(counts)):
        ones, zeros = tree.ones(word), tree.zeros(word)
        assert [*ones, *zeros] == nodes.tolist()
        assert labels.tolist() == [1.0] * len(ones) + [0.0] * len(zeros)


def test_paths_are_as_short_as_they_can_be() -> None:
    """The sum of all merged counts is the cost of any Huffman tree."""
    counts = falling_counts(500)
    heap = counts.tolist()
    heapq.heapify(heap)
    cost = 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        cost += merged
        heapq.heappush(heap, merged)
    lengths = [len(nodes) for nodes, _ in huffman_paths(counts)]
    assert (counts * lengths).sum() == cost
    assert lengths == sorted(lengths)


def test_probabilities_add_up_to_one_and_gradients_are_derivatives() -> None:
    rng = np.random.default_rng(0)
    paths = huffman_paths(falling_counts(9))
    x, y = rng.standard_normal(6), rng.standard_normal((8, 6))
    assert word_probabilities(x, y, paths).sum() == pytest.approx(1, abs=1e-12)
    for word, (nodes, labels) in enumerate(paths):

        def loss(x: np.ndarray, y: np.ndarray, word: int = word) -> float:
            return -np.log(word_probabilities(x, y, paths)[word])

        dx, dy = pair_gradients(x[None], y[nodes], labels)
        all_dy = np.zeros_like(y)
        all_dy[nodes] = dy
        for i in range(6):
            step = np.eye(6)[i] * 1e-5
            assert dx[0, i] == pytest.approx((loss(x + step, y) - loss(x - step, y)) / 2e-5)
            for node in range(8):
                change = np.zeros_like(y)
                change[node] = step
                numeric = (loss(x, y + change) - loss(x, y - change)) / 2e-5
                assert all_dy[node, i] == pytest.approx(numeric, abs=1e-8)
        # CBOW: the mean of one input is that input, and zeros are not shared.
        np.testing.assert_allclose(bag_gradients(x[None], y[nodes], labels, True, False)[0], dx)


def test_training_gives_words_that_follow_high_probabilities() -> None:
    """Of words in a circle, the neighbours on either side."""
    names = [f"w{i}" for i in range(12)]
    rng = np.random.default_rng(0)
    lines = []
    for first in rng.integers(0, 12, 2000):
        lines.append([names[first], names[(first + 1) % 12]])
    wv = lb.WordVectors.train(
        lines, loss="hierarchical_softmax", dim=24, sample=0, epochs=20, lr=0.1, seed=1
    )
    paths = huffman_paths(wv.training.tree_counts)
    for word in names:
        y = wv.training.targets.astype(np.float64)
        likely = word_probabilities(wv[word].astype(np.float64), y, paths)
        best = {wv.words[i] for i in np.argsort(-likely)[:2]}
        number = int(word[1:])
        assert best == {names[(number + 1) % 12], names[number - 1]}
        assert likely.sum() == pytest.approx(1) and np.sort(likely)[-2:].sum() > 0.8


def test_trees_of_less_than_two_words_are_refused() -> None:
    with pytest.raises(ValueError, match="needs a vocabulary of 2 words at least, got 1"):
        lb.WordVectors.train(["a a a"] * 10, loss="hierarchical_softmax")


@pytest.mark.parametrize("counts", [[1, 2], [2, -1], [1 << 62, 1]])
def test_counts_that_make_no_tree_are_refused(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="must not rise, be below 0, or add up to"):
        _core.WordTree(np.array(counts, np.int64))
