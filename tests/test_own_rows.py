"""Copies of frequent rows that threads of a training have of their own."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit import _core
from lowbit.embeddings import word_training as training
from lowbit.embeddings.word_runs import WordRun
from lowbit.embeddings.word_settings import TrainingSettings


def table_of(rows: int) -> np.ndarray:
    table = training.new_table(rows, 16)
    table[:] = np.arange(rows, dtype=np.float32)[:, None]
    return table


@pytest.mark.parametrize("rising", [False, True])
def test_changes_of_the_most_frequent_rows_are_exchanged(rising: bool) -> None:
    table = table_of(6)
    one, other = (_core.OwnRows(table, 3, rising) for _ in range(2))
    frequent = [5, 4, 3, 2, 1, 0] if rising else [0, 1, 2, 3, 4, 5]
    for row in range(6):
        one.add(row, 10.0)
    changed = table[:, 0] - np.arange(6)
    assert changed[frequent].tolist() == [0, 0, 0, 10, 10, 10]  # others are the table's own
    one.exchange(2, 1.0, 0.5)
    other.add(frequent[0], 100.0)
    other.add(frequent[2], 100.0)
    other.exchange(3, 1.0, 0.5)
    changed = table[:, 0] - np.arange(6)
    assert changed[frequent].tolist() == [110, 10, 100, 10, 10, 10]
    one.exchange(9, 1.0, 0.5)
    assert (table[frequent[2]] == frequent[2] + 110).all()
    one.exchange(3, 1.0, 0.5)  # nothing has changed since
    assert (table[frequent[:3], 3] - frequent[:3]).tolist() == [110, 10, 110]


def test_changes_of_rows_that_are_named_often_count_less() -> None:
    table = table_of(4)
    own = _core.OwnRows(table, 4, False)
    own.note(np.array([0] * 2 + [1] * 5 + [2] * 100, np.int32))
    for _ in range(2):
        for row in range(4):
            own.add(row, 8.0)
        own.exchange(4, 2.5, 0.125)
    # 1, 2.5 / 5 and 1 / 8 of the first change; afterwards nothing was noted.
    assert (table[:, 0] - np.arange(4)).tolist() == [16, 12, 9, 16]


def test_own_rows_of_a_bad_count() -> None:
    with pytest.raises(ValueError, match="count=-1 must not be negative"):
        _core.OwnRows(table_of(2), -1, False)
    with pytest.raises(ValueError, match="row 2 of 2"):
        _core.OwnRows(table_of(2), 1, False).add(2, 1.0)


@pytest.fixture(scope="module")
def large_corpus() -> _core.WordCorpus:
    """3.2 million words, of 40 topics with 50 words each, and of 5 that are everywhere."""
    rng = np.random.default_rng(0)
    topics = rng.integers(0, 40, 160_000)
    words = topics[:, None] * 50 + np.minimum(rng.zipf(1.5, (160_000, 20)), 50) + 4
    everywhere = rng.random(words.shape) < 0.3
    words[everywhere] = rng.integers(0, 5, everywhere.sum())
    builder = _core.WordCorpusBuilder()
    for part in np.array_split(words, 20):
        builder.add_lines("\n".join(" ".join(map(str, line)) for line in part).encode())
    return builder.build(1, 0)


@pytest.mark.parametrize("loss", ["negative_sampling", "hierarchical_softmax"])
@pytest.mark.parametrize("method", ["skipgram", "cbow"])
def test_threads_with_rows_of_their_own_learn_what_one_thread_learns(
    large_corpus: _core.WordCorpus, method: str, loss: str, restore_threads: None
) -> None:
    settings = TrainingSettings(method=method, loss=loss, epochs=1, window=2, negative=2, lr=0.05)
    words = training.decode_words(large_corpus.words)
    topic = np.array([int(word) - 5 for word in words]) // 50
    rare = np.arange(len(words)) >= len(words) // 4
    found = {}
    for threads in (1, 2, 3):
        _core.set_num_threads(threads)
        run = WordRun(large_corpus, words, settings, 16)
        assert run.trainer.own_rows == (0 if threads == 1 else len(words))
        run.run()
        unit = run.inputs / np.linalg.norm(run.inputs, axis=1, keepdims=True)
        scores = unit @ unit.T
        np.fill_diagonal(scores, -1)
        found[threads] = (topic[scores.argmax(1)] == topic)[rare].mean()
    assert found[1] > 0.8
    assert all(abs(found[threads] - found[1]) < 0.05 for threads in (2, 3)), found


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_threads_with_rows_of_their_own_stay_finite(threads: int, restore_threads: None) -> None:
    """All change the same six rows all the time."""
    builder = _core.WordCorpusBuilder()
    rng = np.random.default_rng(1)
    text = rng.integers(0, 6, (1000 * threads + 100, 1000)).astype("U1")
    builder.add_lines("\n".join(" ".join(line) for line in text).encode())
    corpus = builder.build(1, 0)
    _core.set_num_threads(threads)
    settings = TrainingSettings(epochs=1, sample=0.0, lr=0.1, window=1, negative=2)
    run = WordRun(corpus, training.decode_words(corpus.words), settings, 16)
    assert run.trainer.own_rows == 6
    run.run()
    assert np.isfinite(run.inputs).all() and np.abs(run.inputs).max() < 10
    assert np.abs(run.targets).max() < 10
