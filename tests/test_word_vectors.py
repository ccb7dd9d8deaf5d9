"""Training of word vectors: gradients, examples, steps and whole runs beside plain NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

import lowbit as lb
from lowbit import _core
from lowbit.embeddings import word_training as training
from lowbit.embeddings.word_runs import WordRun
from lowbit.embeddings.word_settings import TrainingSettings
from lowbit.reference import word_vectors as reference
from lowbit.reference.word_trees import huffman_paths
from word_corpora import random_lines

OPTIONS = {"window": 3, "sample": 1e-2, "cbow_gradient": "mean", "lr": 0.05, "min_lr": 0.001}


def read(lines: list, min_count: int = 1, max_vocab: int | None = None) -> _core.WordCorpus:
    return training.read_corpus(lines, min_count, max_vocab)


def sentences_of(corpus: _core.WordCorpus) -> list[np.ndarray]:
    begin = corpus.sentence_begin
    return [corpus.tokens[a:b] for a, b in pairwise(begin)]


def numeric_gradient(loss: Callable[[], float], x: np.ndarray) -> np.ndarray:
    """Central differences of `loss`, which reads x."""
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept + 1e-5
        above = loss()
        x[i] = kept - 1e-5
        gradient[i] = (above - loss()) / 2e-5
        x[i] = kept
    return gradient


@pytest.mark.parametrize(
    ("loss", "gradients"),
    [
        (reference.pair_loss, reference.pair_gradients),
        (reference.bag_loss, reference.bag_gradients),
        (
            partial(reference.bag_loss, shared=False),
            partial(reference.bag_gradients, shared=False),
        ),
    ],
)
def test_reference_gradients_are_derivatives(loss, gradients) -> None:
    rng = np.random.default_rng(0)
    for inputs, targets in [(1, 1), (4, 3), (3, 7)]:
        x, y = rng.standard_normal((inputs, 6)), rng.standard_normal((targets, 6))
        labels = (np.arange(targets) < (targets + 1) // 2).astype(float)
        dx, dy = gradients(x, y, labels)
        now = partial(loss, x, y, labels)  # reads x and y when it is called
        np.testing.assert_allclose(dx, numeric_gradient(now, x), atol=1e-8)
        np.testing.assert_allclose(dy, numeric_gradient(now, y), atol=1e-8)


def settings_of(**changed: object) -> TrainingSettings:
    return TrainingSettings(**(OPTIONS | changed))


def reference_run(
    corpus: _core.WordCorpus, dim: int, settings: TrainingSettings
) -> tuple[np.ndarray, np.ndarray]:
    """All steps one after the other, in double precision."""
    o = settings
    x = reference.start_vectors(len(corpus.counts), dim, o.seed).astype(np.float64)
    y = np.zeros((len(x) - o.has_tree, dim))
    paths = huffman_paths(corpus.counts) if o.has_tree else None
    drawn = 0 if o.has_tree else o.negative
    sampling = reference.Sampling(o.window, drawn, o.sample, o.ns_exponent, o.seed)
    sentences = sentences_of(corpus)
    # The learning rate changes with every chunk of whole sentences, 1,000 words or more.
    begins = [0]
    for end in corpus.sentence_begin[1:].tolist():
        if end - begins[-1] >= 1000:
            begins.append(end)
    for epoch in range(o.epochs):
        for place, inputs, targets in reference.windows(sentences, corpus.counts, sampling, epoch):
            chunk = max(begin for begin in begins if begin <= place) / len(corpus.tokens)
            lr = o.lr + (o.min_lr - o.lr) * (epoch + chunk) / o.epochs
            positives = 1
            if paths:
                targets, labels = paths[targets[0]]
                positives = int(labels.sum())
            mean = o.cbow_gradient == "mean"
            reference.step(x, y, inputs, targets, lr, o.method, mean, positives, not paths)
    return x, y


def kernel_run(
    corpus: _core.WordCorpus, dim: int, settings: TrainingSettings
) -> tuple[np.ndarray, np.ndarray]:
    run = WordRun(corpus, training.decode_words(corpus.words), settings, dim)
    run.run()
    for table in (run.inputs, run.targets):
        assert (table[:, dim:] == 0).all()
    return run.inputs[:, :dim].copy(), run.targets[:, :dim].copy()


LOSSES = ["negative_sampling", "hierarchical_softmax"]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("method", "gradient"), [("skipgram", "word2vec"), ("cbow", "word2vec"), ("cbow", "mean")]
)
def test_training_follows_the_reference(
    method: str, gradient: str, loss: str, restore_threads: None
) -> None:
    """On one thread; tests/test_isa.py compares the instruction sets."""
    _core.set_num_threads(1)
    corpus = read(random_lines(60, 150))
    assert len(corpus.tokens) > 1500  # several chunks
    for dim, changed in [(5, {}), (32, {"negative": 9, "window": 8}), (17, {"negative": 1})]:
        settings = settings_of(
            method=method,
            loss=loss,
            cbow_gradient=gradient,
            lr=0.05 if method == "skipgram" else 0.3,
            epochs=2,
            seed=7,
            **changed,
        )
        expected = reference_run(corpus, dim, settings)
        assert np.abs(expected[1]).max() > 0.02  # which began as zeros
        got = kernel_run(corpus, dim, settings)
        for one, other in zip(got, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=2e-4 * np.abs(other).max())


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("method", ["skipgram", "cbow"])
def test_deterministic_training_has_the_same_bits_on_any_number_of_threads(
    method: str, loss: str, same_bits: Callable
) -> None:
    corpus = read(random_lines(300, 1200))
    assert len(corpus.tokens) > 9000  # shards with and without a chunk
    settings = settings_of(method=method, loss=loss, epochs=2, seed=3, deterministic=True)
    same_bits(lambda: kernel_run(corpus, 20, settings))


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("method", ["skipgram", "cbow"])
def test_one_thread_repeats_itself_and_another_seed_does_not(
    method: str, deterministic: bool, restore_threads: None
) -> None:
    _core.set_num_threads(1)
    corpus = read(random_lines(100, 200))
    settings = settings_of(method=method, epochs=1, deterministic=deterministic)
    runs = [kernel_run(corpus, 20, replace(settings, seed=seed))[0] for seed in (1, 1, 2)]
    assert runs[0].tobytes() == runs[1].tobytes()
    assert not np.allclose(runs[0], runs[2])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("words", [2, 6])
def test_deterministic_training_of_few_frequent_words_stays_finite(words: int, loss: str) -> None:
    """Every shard changes every row; their sum would diverge."""
    corpus = read(random_lines(words, 2000))
    settings = settings_of(loss=loss, deterministic=True, sample=0.0, lr=0.1)
    x, y = kernel_run(corpus, 16, settings)
    assert np.isfinite(x).all() and np.abs(x).max() < 10 and np.abs(y).max() < 10


def topics(seed: int = 0) -> list[str]:
    """Sentences of one of ten topics, each with ten words of its own and some of all."""
    rng = np.random.default_rng(seed)
    lines = []
    for _ in range(3000):
        topic = rng.integers(10)
        own = [f"t{topic}_{i}" for i in rng.integers(0, 10, 6)]
        lines.append(" ".join([*own, *(f"all_{i}" for i in rng.integers(0, 5, 2))]))
    return lines


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("skipgram", {}),
        ("skipgram", {"loss": "hierarchical_softmax"}),
        ("cbow", {}),
        ("cbow", {"cbow_gradient": "mean"}),
        ("cbow", {"loss": "hierarchical_softmax"}),
    ],
)
def test_words_of_a_topic_come_together(method: str, more: dict, deterministic: bool) -> None:
    wv = lb.WordVectors.train(
        topics(), method, 24, epochs=10, lr=0.1, deterministic=deterministic, **more
    )
    own = [word for word in wv if word.startswith("t")]
    x = wv[own] / np.linalg.norm(wv[own], axis=1, keepdims=True)
    cosine = x @ x.T - 2 * np.eye(len(own))
    nearest = [own[i] for i in cosine.argmax(axis=1)]
    # 9 of 100 by chance
    assert sum(a[:2] == b[:2] for a, b in zip(own, nearest, strict=True)) >= 90


def test_loss_falls_and_progress_is_told() -> None:
    seen: list[lb.embeddings.TrainingProgress] = []
    lb.WordVectors.train(topics(), dim=16, epochs=5, lr=0.1, progress=seen.append)
    assert seen[-1].words == seen[-1].total_words > 0 and seen[-1].epoch == seen[-1].epochs == 5
    assert all(b.words > a.words for a, b in pairwise(seen))
    assert seen[-1].words_per_second > 0
    first = next(at for at in reversed(seen) if at.epoch == 1)
    assert seen[-1].loss < first.loss < 0.7


def test_what_the_progress_callback_raises_ends_the_training() -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lb.WordVectors.train(topics(), progress=stop)


def test_negatives_follow_the_counts() -> None:
    """A chi-square of the reference's draws, which the kernels' draws equal."""
    counts = np.array([1000, 500, 100, 10, 1])
    weights = counts**0.75
    words = np.random.default_rng(0).integers(0, 1 << 32, 200_000, dtype=np.uint32)
    drawn = np.bincount(reference.draw(reference.alias_table(weights), words), minlength=5)
    expected = weights / weights.sum() * len(words)
    assert ((drawn - expected) ** 2 / expected).sum() < 20  # 1 in 2,000 with 4 degrees of freedom


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"method": "lsa"}, 'method="lsa" is not known; use "skipgram", "cbow", "fasttext"'),
        ({"loss": "hs"}, 'loss="hs" is not known; use "negative_sampling", "hierarchical_softmax"'),
        ({"checkpoint_seconds": -1}, "checkpoint_seconds=-1 must not be negative"),
        ({"dim": 0}, "dim=0 must be between 1 and 65536"),
        ({"window": 0}, "window=0 must be between 1 and 1000"),
        ({"negative": 0}, "negative=0 must be between 1 and 1000"),
        ({"sample": -1}, "sample=-1 must be between 0 and 1"),
        ({"epochs": 0}, "epochs=0 must be between 1 and 1e"),
        ({"min_count": 0}, "min_count=0 must be at least 1"),
        ({"max_vocab": 0}, "max_vocab=0 must be at least 1"),
        ({"min_count": 99}, "no word of the corpus occurs 99 times; lower min_count"),
        ({"lr": 0.01, "min_lr": 0.02}, "min_lr=0.02 must be between 0 and 0.01"),
        ({"lr": float("nan")}, "lr=nan must be between 0 and 10"),
        ({"seed": -1}, "seed=-1 must be between 0 and 2"),
        ({"cbow_gradient": "sum"}, 'cbow_gradient="sum" is not known; use "mean", "word2vec"'),
    ],
)
def test_wrong_options_are_refused(changed: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("^", r"\^")):
        lb.WordVectors.train(["a b c"] * 10, **changed)


def test_ngrams_are_those_of_the_reference() -> None:
    rng = np.random.default_rng(0)
    words = ["go", "x", "", "</s>", "h\u00e9llo", "\u4f60\u597d\u5417", "\U0001f600ab", "a" * 40]
    words += ["".join(map(chr, rng.integers(1, 0xD7FF, 9))) for _ in range(20)]
    for word in words:
        for shortest, longest, buckets in [(3, 6, 2_000_000), (1, 3, 1000), (2, 2, 7), (5, 50, 99)]:
            expected = reference.ngram_buckets(word, shortest, longest, buckets)
            got = _core.ngram_buckets(word, shortest, longest, buckets)
            assert got.tolist() == expected


def fasttext_examples(corpus: _core.WordCorpus, rows: list[np.ndarray], o: TrainingSettings):
    """Epoch, inputs, targets and number of right ones of every example, in one chunk."""
    sentences = sentences_of(corpus)
    paths = huffman_paths(corpus.counts)
    drawn = 0 if o.has_tree else o.negative
    sampling = reference.Sampling(o.window, drawn, o.sample, o.ns_exponent, o.seed)
    for epoch in range(o.epochs):
        if o.method == "fasttext":
            examples = reference.subword_windows(sentences, corpus.counts, rows, sampling, epoch)
        else:
            windows = reference.windows(sentences, corpus.counts, sampling, epoch)
            examples = (
                (place, np.concatenate([rows[word] for word in around]), targets, 1)
                for place, around, targets in windows
            )
        for _, inputs, targets, positives in examples:
            if o.has_tree:  # the paths of all right words
                some = [paths[word] for word in targets]
                targets = np.concatenate([nodes for nodes, _ in some])
                labels = np.concatenate([labels for _, labels in some])
                targets = targets[np.argsort(-labels, kind="stable")]
                positives = int(labels.sum())
            yield epoch, inputs, targets, positives


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("method", ["fasttext", "fasttext_cbow"])
def test_fasttext_follows_the_reference(method: str, loss: str, restore_threads: None) -> None:
    _core.set_num_threads(1)
    corpus = read(random_lines(40, 60))
    words = training.decode_words(corpus.words)
    assert len(corpus.tokens) < 1000  # one chunk, one learning rate an epoch
    for shortest, longest, count in [(2, 3, 1000), (1, 2, 5)]:
        settings = settings_of(
            method=method, loss=loss, epochs=2, seed=3, ngrams=(shortest, longest), buckets=count
        )
        run = WordRun(corpus, words, settings, 9)
        rows = np.split(run.subwords.rows, run.subwords.begin[1:-1])
        for word, some in zip(words, rows, strict=True):
            buckets = reference.ngram_buckets(word, shortest, longest, count)
            assert run.subwords.buckets[some[1:] - len(words)].tolist() == buckets
        x = reference.start_vectors(len(run.inputs), 9, 3).astype(np.float64)
        y = np.zeros((len(run.targets), 9))
        run.run()
        for epoch, inputs, targets, positives in fasttext_examples(corpus, rows, settings):
            lr = 0.05 + (0.001 - 0.05) * epoch / 2
            shared = not settings.has_tree
            reference.step(x, y, inputs, targets, lr, method, False, positives, shared)
        for one, other in zip((run.inputs, run.targets), (x, y), strict=True):
            assert np.abs(other).max() > 0.05
            np.testing.assert_allclose(one[:, :9], other, atol=2e-4 * np.abs(other).max())


@pytest.mark.parametrize("method", ["fasttext", "fasttext_cbow"])
def test_fasttext_gives_unknown_words_vectors(method: str, same_bits: Callable) -> None:
    lines = [line.replace("t", "topic") for line in topics()]
    wv = lb.WordVectors.train(lines, method, 24, epochs=5, lr=0.1, ngrams=(3, 8))
    own = [word for word in wv if word.startswith("topic")]
    near = [wv.most_similar(word, top=1, among=own)[0][0] for word in own]
    assert sum(a[:6] == b[:6] for a, b in zip(own, near, strict=True)) >= 80
    unknown = "topic3_x"
    assert unknown not in wv and wv[unknown].shape == (24,)
    assert wv.most_similar(unknown, top=1, among=own)[0][0].startswith("topic3")
    # The vector of a word is the mean of its row and its n-grams'.
    parts = wv.subwords
    found = _core.ngram_buckets(own[0], 3, 8, 2_000_000)
    rows = parts.ngram_rows[np.searchsorted(parts.buckets, found)]
    mean = np.vstack([parts.word_rows[wv.index(own[0])], rows]).mean(axis=0)
    np.testing.assert_allclose(wv[own[0]], mean, atol=1e-6)
    with pytest.raises(KeyError, match="and so are its n-grams"):
        wv["\u4f60\u597d"]
    assert wv.get("\u4f60\u597d") is None
    same_bits(lambda: [lb.WordVectors.train(lines[:300], method, 8, deterministic=True).vectors])


@pytest.mark.parametrize("ngrams", [(0, 3), (4, 3), (3, 101)])
def test_wrong_ngrams_are_refused(ngrams: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="must be lengths from 1 to 100, the shorter first"):
        lb.WordVectors.train(["a b c"] * 10, "fasttext", ngrams=ngrams)
