"""Word vectors: what is learned, from which examples, in which order.

Mikolov et al., "Distributed representations of words and phrases and their compositionality", 2013.
Every word has two vectors: a row of the table of inputs, which is kept, and one of the table of
targets. A score is the dot product of an input and a target; it should be high for words that stand
near each other (label 1) and low for words drawn at random (label 0). `word_trees` has other
targets than words: hierarchical softmax.

Two differences from the original program, which no result depends on but the bits: the sigmoid is
computed instead of looked up in a table that ends at -6 and 6, and the words of a window share
their negatives (Ji et al., "Parallelizing word2vec in shared and distributed memory", 2016).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lowbit.reference.random import philox, random_words


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def softplus(x: np.ndarray) -> np.ndarray:
    """log(1 + exp(x)) = -log(sigmoid(-x)), without overflow.

    Examples
    --------
    >>> softplus(np.array([0.0, 1000.0])).round(4).tolist()
    [0.6931, 1000.0]
    """
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def pair_loss(x: np.ndarray, y: np.ndarray, labels: np.ndarray, weight: float = 1) -> float:
    """Loss of all inputs x [N, D] with all targets y [T, D], whose labels [T] are 1 or 0.

    Targets of label 0 count `weight` times.

    Examples
    --------
    >>> round(pair_loss(np.ones((1, 4)), np.ones((2, 4)), np.array([1, 0])), 4)
    4.0363
    """
    scores = x @ y.T
    losses = softplus(np.where(labels == 1, -scores, scores))
    return float((losses * np.where(labels == 1, 1, weight)).sum())


def pair_gradients(
    x: np.ndarray, y: np.ndarray, labels: np.ndarray, weight: float = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of `pair_loss` by x [N, D] and y [T, D].

    Examples
    --------
    >>> dx, dy = pair_gradients(np.ones((1, 4)), np.zeros((2, 4)), np.array([1, 0]))
    >>> dx.tolist(), dy.tolist()
    ([[0.0, 0.0, 0.0, 0.0]], [[-0.5, -0.5, -0.5, -0.5], [0.5, 0.5, 0.5, 0.5]])
    """
    g = (sigmoid(x @ y.T) - labels) * np.where(labels == 1, 1, weight)
    return g @ y, g.T @ x


def bag_loss(x: np.ndarray, y: np.ndarray, labels: np.ndarray, shared: bool = True) -> float:
    """`pair_loss` of the mean of x [N, D]; if targets of label 1 have `shared` those of label 0,
    these count as often as there are of them."""
    return pair_loss(x.mean(axis=0, keepdims=True), y, labels, labels.sum() if shared else 1)


def bag_gradients(
    x: np.ndarray,
    y: np.ndarray,
    labels: np.ndarray,
    mean_gradient: bool = True,
    shared: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of `bag_loss` by x and y.

    Without `mean_gradient` each input gets the whole gradient of the mean instead of 1 / N of it,
    which is no derivative but what word2vec and fastText do.
    """
    weight = labels.sum() if shared else 1
    dmean, dy = pair_gradients(x.mean(axis=0, keepdims=True), y, labels, weight)
    return np.repeat(dmean / (len(x) if mean_gradient else 1), len(x), axis=0), dy


def keep_probability(counts: np.ndarray, sample: float) -> np.ndarray:
    """The share of its occurrences that stays of each word; all of them for sample = 0.

    With f = count / (sample * total) it is min(1, 1 / sqrt(f) + 1 / f).

    Examples
    --------
    >>> keep_probability(np.array([90, 10]), sample=0.1).round(3).tolist()
    [0.444, 1.0]
    """
    if sample == 0:
        return np.ones(len(counts))
    f = counts / (sample * counts.sum())
    return np.minimum(1, 1 / np.sqrt(f) + 1 / f)


def alias_table(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Thresholds (uint32) and second choices of columns of equal width (Vose, 1991).

    Examples
    --------
    >>> thresholds, others = alias_table(np.array([3.0, 1.0]))
    >>> (thresholds / 2**32).tolist(), others.tolist()
    ([0.9999999997671694, 0.5], [0, 0])
    """
    height = weights / weights.sum() * len(weights)
    low = [i for i, h in enumerate(height) if h < 1]
    high = [i for i, h in enumerate(height) if h >= 1]
    thresholds = np.full(len(weights), 2**32 - 1, np.uint32)
    others = np.arange(len(weights))
    while low and high:
        i, source = low.pop(), high[-1]
        thresholds[i], others[i] = min(height[i] * 2**32, 2**32 - 1), source
        height[source] -= 1 - height[i]
        if height[source] < 1:
            low.append(high.pop())
    return thresholds, others


def draw(table: tuple[np.ndarray, np.ndarray], words: np.ndarray) -> np.ndarray:
    """What random words (uint32) choose: their product with the number of columns is a column,
    above the point, and a place in it, below."""
    thresholds, others = table
    product = words.astype(np.uint64) * np.uint64(len(thresholds))
    column = (product >> np.uint64(32)).astype(np.int64)
    place = (product & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    return np.where(place < thresholds[column], column, others[column])


@dataclass(frozen=True)
class Sampling:
    """What an epoch is made of.

    Attributes
    ----------
    window
        Words on either side at most; every centre draws its own reach from 1 to `window`.
    negative
        Words drawn for a centre, in proportion to count ** exponent; those equal to the centre are
        left out.
    sample
        As in `keep_probability`.
    seed
        In [0, 2^64).
    """

    window: int = 5
    negative: int = 5
    sample: float = 1e-3
    exponent: float = 0.75
    seed: int = 0


def stream_key(seed: int, stream: int) -> int:
    """Key of one of the streams of random words of a seed: two for every epoch."""
    low, high = (int(word) for word in philox(seed, np.array(stream, np.uint64))[:2])
    return low | high << 32


def windows(
    sentences: list[np.ndarray], counts: np.ndarray, sampling: Sampling, epoch: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Place, inputs and targets (word numbers) of every example of an epoch; the first target is
    the word at the place, the others are its negatives.

    Parameters
    ----------
    sentences
        Word numbers of each sentence; the place of a word is counted over all of them.
    counts
        How often each word occurs.
    """
    table = alias_table(counts.astype(np.float64) ** sampling.exponent)
    key = stream_key(sampling.seed, 2 * epoch + 1)
    blocks = np.arange(sampling.negative // 4 + 1)
    for place, word, sentence, i in _kept_words(sentences, counts, sampling, epoch):
        random = philox(key, (place * len(blocks) + blocks).astype(np.uint64)).reshape(-1)
        around = _around(sentence, i, int(random[0]), sampling.window)
        drawn = draw(table, random[1 : sampling.negative + 1])
        if len(around):
            yield place, around, np.concatenate([[word], drawn[drawn != word]])


def _kept_words(
    sentences: list[np.ndarray], counts: np.ndarray, sampling: Sampling, epoch: int
) -> Iterator[tuple[int, int, np.ndarray, int]]:
    """Every word that stays: its place, itself, what stays of its sentence, its number in that."""
    keep = (keep_probability(counts, sampling.sample) * 2**32).astype(np.uint64)
    key = stream_key(sampling.seed, 2 * epoch)
    begin = 0
    for sentence in sentences:
        places = begin + np.arange(len(sentence))
        begin += len(sentence)
        kept = random_words(key, places) < keep[sentence]
        places, sentence = places[kept], sentence[kept]
        for i, (word, place) in enumerate(zip(sentence.tolist(), places.tolist(), strict=True)):
            yield place, word, sentence, i


def _around(sentence: np.ndarray, i: int, random: int, window: int) -> np.ndarray:
    """The words around number i, as far as a random word reaches."""
    reach = 1 + (random * window >> 32)
    return np.delete(sentence[max(0, i - reach) : i + reach + 1], min(i, reach))


def ngram_buckets(word: str, shortest: int, longest: int, buckets: int) -> list[int]:
    """Buckets of the character n-grams of a word between < and >, as fastText numbers them; none of
    "</s>", its end of a line.

    The hash is FNV-1a over bytes that are taken with their sign.

    Examples
    --------
    >>> ngram_buckets("go", 3, 4, 2_000_000)  # <go, <go>, go>
    [936865, 1456973, 203055]
    """
    text = f"<{word}>" if word != "</s>" else ""
    found = []
    for i in range(len(text)):
        for n in range(shortest, min(longest, len(text) - i) + 1):
            if n == 1 and i in (0, len(text) - 1):
                continue  # < and > alone
            value = 2166136261
            for byte in text[i : i + n].encode():
                signed = byte if byte < 128 else byte | 0xFFFFFF00
                value = (value ^ signed) * 16777619 & 0xFFFFFFFF
            found.append(value % buckets)
    return found


def subword_windows(
    sentences: list[np.ndarray],
    counts: np.ndarray,
    rows: list[np.ndarray],
    sampling: Sampling,
    epoch: int,
) -> Iterator[tuple[int, np.ndarray, np.ndarray, int]]:
    """Place, inputs, targets and number of right targets of every example of fastText's skip-gram.

    Inputs are the rows of a word and its n-grams, right targets the words around it, which share
    their negatives. fastText's CBOW has the examples of `windows`, with all rows of every input.
    """
    table = alias_table(counts.astype(np.float64) ** sampling.exponent)
    key = stream_key(sampling.seed, 2 * epoch + 1)
    blocks = np.arange(sampling.negative // 4 + 1)
    for place, word, sentence, i in _kept_words(sentences, counts, sampling, epoch):
        random = philox(key, (place * len(blocks) + blocks).astype(np.uint64)).reshape(-1)
        around = _around(sentence, i, int(random[0]), sampling.window)
        drawn = draw(table, random[1 : sampling.negative + 1])
        wrong = drawn[~np.isin(drawn, around)]
        if len(around):
            yield place, rows[word], np.concatenate([around, wrong]), len(around)


def start_vectors(rows: int, dim: int, seed: int) -> np.ndarray:
    """Vectors before training: uniform in +-1 / dim, by place; float32 [rows, dim].

    As fastText and gensim; word2vec's program has half of that, and learns a little later.
    """
    words = random_words(stream_key(seed, 1 << 63), np.arange(rows * dim))
    uniform = (words >> np.uint32(8)) * np.float32(2.0**-23) - np.float32(1)
    return (uniform * np.float32(1 / np.float32(dim))).reshape(rows, dim)


def step(
    x: np.ndarray,
    y: np.ndarray,
    inputs: np.ndarray,
    targets: np.ndarray,
    lr: float,
    method: str,
    mean_gradient: bool = True,
    positives: int = 1,
    shared: bool = True,
) -> float:
    """One step of gradient descent in place; the loss before it.

    method is "skipgram", "cbow", or "fasttext" and "fasttext_cbow", which are CBOW's step with
    other examples and without `mean_gradient`; the first `positives` targets have the label 1.
    `shared` as in `bag_loss`: not in a path of a tree.
    """
    labels = (np.arange(len(targets)) < positives).astype(x.dtype)
    rows, columns = x[inputs], y[targets]
    if method == "skipgram":
        loss = pair_loss(rows, columns, labels)
        dx, dy = pair_gradients(rows, columns, labels)
    else:
        loss = bag_loss(rows, columns, labels, shared)
        dx, dy = bag_gradients(rows, columns, labels, mean_gradient, shared)
    np.add.at(x, inputs, -lr * dx)  # a row that comes twice gets both
    np.add.at(y, targets, -lr * dy)
    return loss
