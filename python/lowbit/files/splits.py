"""Splitting labelled examples into a part to train on and a part to test on."""

from collections.abc import Sequence

import numpy as np


def split_train_test(
    labels: Sequence[int] | np.ndarray, fraction: float = 0.2, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Choose test examples at random, with every class in both parts in its own proportion.

    The choice depends on labels, fraction and seed only; it is the same with every numpy version,
    since it is made from the bit stream of Philox, which numpy promises not to change.

    Parameters
    ----------
    labels : array_like
        Integers [n], the class of each example.
    fraction : float
        Share of the examples that go to the test part, in (0, 1). Each class gives this share,
        rounded, but keeps at least one example in each part; a class of one stays in training.
    seed : int
        In [0, 2^64).

    Returns
    -------
    train, test : ndarray
        int64, sorted, disjoint; together 0 ... n-1.

    Raises
    ------
    ValueError
        `labels` is not one-dimensional integers, `fraction` or `seed` is out of range, or no class
        has two examples.

    Examples
    --------
    >>> train, test = split_train_test([0, 0, 0, 0, 1, 1, 1, 1], fraction=0.25, seed=0)
    >>> len(train), len(test)
    (6, 2)
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(
            "split_train_test: labels must be integers in one dimension; "
            f"got {labels.dtype} with shape {labels.shape}"
        )
    if not 0.0 < fraction < 1.0:
        raise ValueError(f"split_train_test: fraction must be between 0 and 1; got {fraction!r}")
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"split_train_test: seed must be in [0, 2^64); got {seed!r}")
    keys = np.random.Philox(key=seed).random_raw(len(labels))
    test = [np.empty(0, np.int64)]
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        test.append(members[np.argsort(keys[members], kind="stable")[:count]])
    chosen = np.sort(np.concatenate(test))
    if not len(chosen):
        raise ValueError(
            f"split_train_test: no class has two examples ({len(labels)} labels); "
            "nothing can be set apart"
        )
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen
