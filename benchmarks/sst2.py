"""The sentences that the benchmarks share, and which of them nobody may train on.

The file has lines "sentence TAB label", label 0 or 1, such as the training part of SST-2 (Socher et
al., 2013). Nothing here needs more than NumPy, so a rival's process can use it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

WITHHELD = 910  # sentences in dev, and as many in test


@dataclass(frozen=True)
class Sst2:
    """Sentences, labels and a split.

    Attributes
    ----------
    texts
        Every sentence once.
    labels
        int64 [n], 0 negative, 1 positive.
    train, dev, test
        int64 indices, sorted and disjoint.
    """

    texts: list[str]
    labels: np.ndarray
    train: np.ndarray
    dev: np.ndarray
    test: np.ndarray

    def part(self, indices: np.ndarray) -> tuple[list[str], np.ndarray]:
        """Sentences and labels at these indices."""
        return [self.texts[i] for i in indices], self.labels[indices]


def load(path: str | Path, seed: int = 0) -> Sst2:
    """Read the file and split it; the same seed gives the same split with every NumPy.

    Parameters
    ----------
    path
        The file, UTF-8.
    seed
        Of the split, in [0, 2^64).

    Raises
    ------
    ValueError
        If a line is not "sentence TAB 0 or 1", or fewer than four times `WITHHELD` sentences
        are there.
    """
    labels_by_text: dict[str, int] = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        text, tab, label = line.partition("\t")
        if not tab or label not in ("0", "1"):
            raise ValueError(f"load: {path}:{number} is not a sentence, a tab, and 0 or 1")
        labels_by_text.setdefault(text, int(label))  # a repeated sentence must not be on two sides
    count = len(labels_by_text)
    if count < 4 * WITHHELD:
        raise ValueError(f"load: {path} has {count} sentences; at least {4 * WITHHELD} are needed")
    order = np.argsort(np.random.Philox(key=seed).random_raw(count), kind="stable")
    test, dev, train = np.split(order, [WITHHELD, 2 * WITHHELD])
    labels = np.array(list(labels_by_text.values()), np.int64)
    return Sst2(list(labels_by_text), labels, np.sort(train), np.sort(dev), np.sort(test))


def length_grouped_batches(
    lengths: np.ndarray, batch_size: int, seed: int, epoch: int
) -> list[np.ndarray]:
    """Batches of one epoch: random, but alike in length inside a batch, so that padding is short.

    A random permutation is cut into runs of 8 batches; each run is sorted by length and cut into
    batches, and all batches are then shuffled. lowbit trains in this order.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    batches = []
    for begin in range(0, len(order), 8 * batch_size):
        run = order[begin : begin + 8 * batch_size]
        run = run[np.argsort(lengths[run], kind="stable")]
        batches += [run[i : i + batch_size] for i in range(0, len(run), batch_size)]
    generator.shuffle(batches)
    return batches


def random_batches(count: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Batches of one epoch in random order, whatever their lengths."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return [order[i : i + batch_size] for i in range(0, count, batch_size)]
