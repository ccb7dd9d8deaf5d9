"""GloVe: counting, steps and whole runs beside plain NumPy."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

import lowbit as lb
from lowbit import _core
from lowbit.embeddings import GloveOptions
from lowbit.embeddings import glove as training
from lowbit.embeddings.word_training import read_corpus
from lowbit.reference import glove as reference
from test_word_vectors import numeric_gradient, sentences_of, topics
from word_corpora import random_lines


def counted(
    corpus: _core.WordCorpus, window: int = 4, dim: int = 8, **options: object
) -> tuple[dict[tuple[int, int], float], _core.CooccurrenceCounter]:
    """Every pair and its count."""
    with tempfile.TemporaryFile() as file:
        chosen = GloveOptions(**options)
        counter = training.count_pairs(corpus, dim, window, chosen, file.fileno(), False)
        rows, columns, counts = counter.pairs()
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return dict(zip(pairs, counts.tolist(), strict=True)), counter


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("symmetric", [True, False])
def test_counts_are_those_of_the_reference(symmetric: bool, weighted: bool) -> None:
    corpus = read_corpus(random_lines(70, 200), 1, None)
    for window in (1, 4, 40):
        expected = reference.cooccurrences(sentences_of(corpus), window, symmetric, weighted)
        got, _ = counted(corpus, window, symmetric=symmetric, weighted=weighted)
        assert list(got) == sorted(expected)
        np.testing.assert_allclose([got[pair] for pair in expected], list(expected.values()), 1e-8)


def test_counts_depend_on_neither_memory_nor_threads(restore_threads: None) -> None:
    """A word next to each of many others fills the tables: 100,000 pairs are 1.6 MB."""
    corpus = read_corpus(random_lines(1500, 3000), 1, None)
    _core.set_num_threads(1)
    whole, counter = counted(corpus, 15)
    assert counter.spilled == 0 and len(whole) > 100_000
    for threads, memory in [(1, "1MiB"), (3, "1 MiB"), (2, 2_000_000), (7, "4GB")]:
        _core.set_num_threads(threads)
        again, counter = counted(corpus, 15, memory=memory)
        assert again == whole
        assert (counter.spilled > 2) == (memory != "4GB")


def test_a_corpus_without_pairs_trains_nothing() -> None:
    options = GloveOptions(memory="1MiB")
    wv = lb.WordVectors.train([["a"], ["b"]], "glove", dim=3, min_count=1, glove=options)
    assert wv.words == ["a", "b"] and np.isfinite(wv.vectors).all()


def test_reference_gradients_are_derivatives() -> None:
    t = reference.Tables.start(3, 6, seed=1)
    for array in (t.w, t.c, t.w_bias, t.c_bias):
        array += np.random.default_rng(0).standard_normal(array.shape)
    for i, j, count in [(0, 1, 3.0), (2, 2, 40.0), (1, 0, 500.0)]:
        now = partial(reference.loss, t, i, j, count, 100.0, 0.75)  # reads t when it is called
        found = reference.gradients(t, i, j, count, 100.0, 0.75)
        for name, row in [("w", i), ("c", j), ("w_bias", i), ("c_bias", j)]:
            expected = numeric_gradient(now, getattr(t, name))
            np.testing.assert_allclose(found[name], expected[row], atol=1e-7)
            assert not np.delete(expected, row, axis=0).any()


def test_rounds_have_every_pair_of_blocks_once() -> None:
    for blocks in (2, 16, 32):
        rounds = reference.rounds(blocks)
        tiles = [tuple(sorted(tile)) for some in rounds for tile in some]
        assert len(set(tiles)) == len(tiles) == blocks * (blocks + 1) // 2
        for some in rounds:
            assert sorted({block for tile in some for block in tile}) == list(range(blocks))


def kernel_run(
    corpus: _core.WordCorpus, dim: int, epochs: int, seed: int, lr: float = 0.05, **options: object
) -> tuple[np.ndarray, list[float]]:
    """The table [words, 4, stride] after training, and the loss of each epoch."""
    chosen = GloveOptions(**options)
    with tempfile.TemporaryFile() as file:
        counter = training.count_pairs(corpus, dim, 4, chosen, file.fileno(), False)
        table = training.start_table(len(corpus.counts), dim, seed)
        more = (chosen.x_max, chosen.alpha, chosen.grad_clip, chosen.plain_biases, seed)
        trainer = _core.GloveTrainer(counter, table.reshape(len(table), -1), dim, lr, *more)
        assert trainer.in_file == (counter.spilled > 0 and len(corpus.counts) > 1000)
        losses = []
        for epoch in range(epochs):
            middle = trainer.chunks // 3
            parts = [trainer.run(epoch, 0, middle), trainer.run(epoch, middle, trainer.chunks)]
            assert sum(part[0] for part in parts) == trainer.steps
            losses.append(sum(part[1] for part in parts))
    return table, losses


def reference_run(
    corpus: _core.WordCorpus, dim: int, epochs: int, seed: int, symmetric: bool, **settings: object
) -> tuple[reference.Tables, list[float]]:
    counts = reference.cooccurrences(sentences_of(corpus), 4, symmetric)
    t = reference.Tables.start(len(corpus.counts), dim, seed)
    blocks = reference.blocks_of(len(corpus.counts), dim)
    chosen = reference.Steps(**settings)
    losses = []
    for epoch in range(epochs):
        order = reference.pairs_in_order(list(counts), blocks, seed, epoch, symmetric)
        losses.append(
            sum(
                reference.step(
                    t, i, j, counts[min((i, j), (j, i)) if symmetric else (i, j)], chosen
                )
                for i, j in order
            )
        )
    return t, losses


@pytest.mark.parametrize("plain_biases", [False, True])
@pytest.mark.parametrize("symmetric", [True, False])
def test_training_follows_the_reference(symmetric: bool, plain_biases: bool) -> None:
    """Two steps of Newton's leave 5e-6 of a root."""
    corpus = read_corpus(random_lines(60, 100), 1, None)
    for dim, clip, x_max, alpha in [(5, 0.01, 10.0, 0.75), (30, 100.0, 2.0, 1.0), (46, 1, 100, 0)]:
        settings = {"x_max": x_max, "alpha": alpha, "plain_biases": plain_biases, "lr": 0.1}
        t, expected = reference_run(corpus, dim, 2, 7, symmetric, clip=clip, **settings)
        got, losses = kernel_run(corpus, dim, 2, 7, symmetric=symmetric, grad_clip=clip, **settings)
        assert expected[1] < expected[0]
        np.testing.assert_allclose(losses, expected, rtol=1e-4)
        places = {
            "w": (0, slice(dim)),
            "w_bias": (0, dim),
            "c": (1, slice(dim)),
            "c_bias": (1, dim + 1),
        }
        start = reference.Tables.start(len(got), dim, 7)
        for name, (row, columns) in places.items():
            moved = np.abs(getattr(t, name) - getattr(start, name)).max()
            assert moved > 0.01
            np.testing.assert_allclose(got[:, row, columns], getattr(t, name), atol=1e-3 * moved)
            np.testing.assert_allclose(got[:, row + 2, columns], t.sums[name], rtol=1e-3)
        assert (got[:, 0, dim + 1] == 1).all() and (got[:, 1, dim] == 1).all()
        assert (got[:, :2, dim + 2 :] == 0).all() and (got[:, 2:, dim + 2 :] == 1).all()


def test_training_has_the_same_bits_on_any_number_of_threads(same_bits: Callable) -> None:
    corpus = read_corpus(random_lines(2000, 1500), 1, None)
    same_bits(lambda: list(map(np.asarray, kernel_run(corpus, 20, 2, 3))))


def test_training_has_the_same_bits_in_any_memory() -> None:
    corpus = read_corpus(random_lines(2000, 9000), 1, None)
    whole, losses = kernel_run(corpus, 6, 2, 3)
    again, same = kernel_run(corpus, 6, 2, 3, memory="1MiB")  # asserts that pairs are in the file
    assert again.tobytes() == whole.tobytes() and losses == same


def test_seeds_differ_and_repeat() -> None:
    corpus = read_corpus(random_lines(100, 200), 1, None)
    runs = [kernel_run(corpus, 20, 1, seed)[0] for seed in (1, 1, 2)]
    assert runs[0].tobytes() == runs[1].tobytes()
    assert not np.allclose(runs[0], runs[2])


def mixed_topics() -> list[str]:
    """Sentences with six words of a topic and two of any: pairs that never meet train nothing."""
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(3000):
        chosen = [*[rng.integers(10)] * 6, *rng.integers(0, 10, 2)]
        words = [f"t{topic}_{i}" for topic, i in zip(chosen, rng.integers(0, 10, 8), strict=True)]
        lines.append(" ".join(rng.permutation(words)))
    return lines


def test_words_of_a_topic_come_together(same_bits: Callable) -> None:
    lines = mixed_topics()
    wv = lb.WordVectors.train(lines, "glove", 24, lr=0.1, glove=GloveOptions(x_max=10))
    nearest = [wv.most_similar(word, top=1)[0][0] for word in wv]
    # 9 of 100 by chance
    assert sum(a[:2] == b[:2] for a, b in zip(wv, nearest, strict=True)) >= 95
    assert wv.counts is not None and wv.counts[0] == wv.counts.max()
    same_bits(lambda: [lb.WordVectors.train(lines[:200], "glove", 9, epochs=2).vectors])


def test_vectors_are_the_sum_or_the_words() -> None:
    lines = random_lines(50, 100)
    both = lb.WordVectors.train(lines, "glove", 7, min_count=1, epochs=2, window=4, seed=5)
    options = GloveOptions(vectors="word")
    word = lb.WordVectors.train(
        lines, "glove", 7, min_count=1, epochs=2, window=4, seed=5, glove=options
    )
    table, _ = kernel_run(read_corpus(lines, 1, None), 7, 2, 5)
    assert (word.vectors == table[:, 0, :7]).all()
    assert (both.vectors == table[:, 0, :7] + table[:, 1, :7]).all()


def test_progress_is_told_and_its_errors_end_the_training() -> None:
    seen: list[lb.embeddings.TrainingProgress] = []
    lb.WordVectors.train(topics(), "glove", 16, epochs=4, progress=seen.append)
    assert seen[-1].words == seen[-1].total_words > 0 and seen[-1].epoch == seen[-1].epochs == 4
    assert all(b.words > a.words for a, b in pairwise(seen))
    assert 0 < seen[-1].loss < next(at for at in reversed(seen) if at.epoch == 1).loss

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lb.WordVectors.train(topics(), "glove", progress=stop)


def test_progress_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    lb.WordVectors.train(topics()[:50], "glove", 4, epochs=2, progress=True)
    printed = capsys.readouterr().err
    assert "counting: 100%" in printed and "pairs/s" in printed and "epoch 2 of 2: 100%" in printed


def test_products_that_are_not_finite_end_the_training() -> None:
    corpus = read_corpus(random_lines(20, 50), 1, None)
    with tempfile.TemporaryFile() as file:
        counter = training.count_pairs(corpus, 4, 4, GloveOptions(), file.fileno(), False)
        table = training.start_table(len(corpus.counts), 4, 0)
        table[3, 0, 1] = np.inf
        table[5, 1, 2] = np.nan
        before = table.copy()
        trainer = _core.GloveTrainer(
            counter, table.reshape(len(table), -1), 4, 0.05, 100.0, 0.75, 100.0, False, 0
        )
        with pytest.raises(ValueError, match="pairs of vectors are not finite; lower lr="):
            trainer.run(0, 0, trainer.chunks)
    # They have left the rows beside them alone.
    assert np.isfinite(np.delete(table, [3, 5], axis=0)).all()
    np.testing.assert_array_equal(table[3, 0], before[3, 0])
    np.testing.assert_array_equal(table[5, 1], before[5, 1])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"window": 0}, "window=0 must be between 1 and 1000"),
        ({"window": 1001}, "window=1001 must be between 1 and 1000"),
        ({"epochs": 0}, "epochs=0 must be between 1 and 1000000"),
        ({"lr": 0}, "lr=0 must be above 0 and at most 10"),
        ({"lr": float("nan")}, "lr=nan must be above 0 and at most 10"),
        ({"dim": 0}, "dim=0 must be between 1 and 65536"),
        ({"seed": -1}, "seed=-1 must be between 0 and 2"),
        ({"x_max": 0.0}, "x_max=0 must be above 0"),
        ({"x_max": float("inf")}, "x_max=inf must be above 0"),
        ({"alpha": -0.1}, "alpha=-0.1 must be between 0 and 10"),
        ({"grad_clip": 0.0}, "grad_clip=0 must be above 0"),
        ({"memory": 1000}, "memory=1000 bytes must be at least 1 MiB"),
        ({"memory": "much"}, "memory='much' is no size; use bytes"),
        ({"memory": float("nan")}, "memory=nan is no size"),
        ({"vectors": "both"}, 'vectors="both" is not known; use "sum" or "word"'),
    ],
)
def test_wrong_options_are_refused(changed: dict, message: str) -> None:
    names = GloveOptions.__dataclass_fields__
    own = {name: value for name, value in changed.items() if name in names}
    others = {name: value for name, value in changed.items() if name not in names}
    with pytest.raises(ValueError, match=message):
        lb.WordVectors.train(["a b c"] * 10, "glove", glove=GloveOptions(**own), **others)


def test_a_file_that_cannot_be_written_is_reported() -> None:
    corpus = read_corpus(random_lines(1500, 3000), 1, None)
    with open("/dev/null", "rb") as file, pytest.raises(OSError, match="temporary file"):
        training.count_pairs(corpus, 4, 15, GloveOptions(memory="1MiB"), file.fileno(), False)
    options = GloveOptions(folder="/nowhere/at/all")
    with pytest.raises(FileNotFoundError):
        lb.WordVectors.train(topics(), "glove", glove=options)
