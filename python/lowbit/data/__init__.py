"""The demo's data set: short reviews written for this project, in `reviews.tsv`.

One review a line, `split<TAB>label<TAB>topic<TAB>text`, UTF-8, no quoting. docs/data.md says how
the set was made and what an accuracy on it can and cannot show.
"""

from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LABEL_NAMES = ("negative", "positive")

__all__ = ["LABEL_NAMES", "Review", "load_reviews", "read_reviews"]


class Review(NamedTuple):
    """One line of the file, as written there."""

    split: str
    """`"train"` or `"test"`."""
    label: str
    """`"negative"` or `"positive"`."""
    topic: str
    """What is reviewed: `"films"`, `"books"`, ..."""
    text: str
    """The review, on one line."""


def read_reviews() -> list[Review]:
    """All reviews with split and topic, in the order of the file.

    Returns
    -------
    list of Review
        Each part of the split is in an order drawn once at random, so that any first few lines
        mix labels and topics.

    Examples
    --------
    >>> from lowbit.data import read_reviews
    >>> sorted({review.split for review in read_reviews()})
    ['test', 'train']
    """
    text = files(__name__).joinpath("reviews.tsv").read_text(encoding="utf-8")
    # Not splitlines(): it would also break a line at the rarer Unicode separators.
    _header, *lines = text.removesuffix("\n").split("\n")
    return [Review(*line.split("\t")) for line in lines]


def load_reviews() -> tuple[
    list[str], NDArray[np.int64], list[str], NDArray[np.int64], tuple[str, ...]
]:
    """The reviews as a classifier wants them: texts and label ids, split in train and test.

    Returns
    -------
    train_texts : list of str
    train_labels : int64 [len(train_texts)]
        Indices into `label_names`.
    test_texts : list of str
    test_labels : int64 [len(test_texts)]
    label_names : tuple of str
        `("negative", "positive")`.

    Examples
    --------
    >>> from lowbit.data import load_reviews
    >>> train_texts, train_labels, test_texts, test_labels, label_names = load_reviews()
    >>> label_names, len(train_texts) == len(train_labels)
    (('negative', 'positive'), True)
    """
    reviews = read_reviews()

    def part(split: str) -> tuple[list[str], NDArray[np.int64]]:
        chosen = [review for review in reviews if review.split == split]
        labels = [LABEL_NAMES.index(review.label) for review in chosen]
        return [review.text for review in chosen], np.array(labels, dtype=np.int64)

    return *part("train"), *part("test"), LABEL_NAMES
