"""Gradients of tables and steps on their rows, against the reference; SIF vectors."""

from __future__ import annotations

import numpy as np
import pytest

import lowbit as lb
from lowbit import FileFormatError, _core
from lowbit.embeddings import SGD, Adagrad, Embedding, RowGradient, SparseAdam
from lowbit.embeddings.table import FORMATS
from lowbit.files.safetensors import write_safetensors
from lowbit.reference import embedding_bags as reference


def some_bags(rng: np.random.Generator, rows: int, bags: int) -> tuple[np.ndarray, np.ndarray]:
    indptr = np.concatenate([[0], np.cumsum(rng.integers(0, 12, bags))])
    return rng.integers(0, rows, indptr[-1]), indptr


@pytest.mark.parametrize("cols", [1, 17, 64])
@pytest.mark.parametrize("rows", [1, 30, 5000, 3_000_000])
def test_gradients_equal_the_reference(isa, cols, rows):
    rng = np.random.default_rng(cols)
    ids, indptr = some_bags(rng, rows, 40)
    dout, weights = rng.standard_normal((40, cols)), rng.standard_normal(len(ids))
    embedding = Embedding(np.broadcast_to(np.float32(0), (rows, 1)).copy()) if cols == 1 else None
    for mode, factors in [("sum", None), ("mean", None), ("sum", weights)]:
        floats = None if factors is None else factors.astype(np.float32)
        got = _core.embed_bag_backward(dout.astype(np.float32), ids, indptr, mode, floats, rows)
        expected = reference.embedding_bag_backward(dout, ids, indptr, mode, factors)
        np.testing.assert_array_equal(got[0], expected[0])
        np.testing.assert_allclose(got[1], expected[1], rtol=1e-5, atol=1e-5)
        if embedding:
            again = embedding.pool_backward(dout, ids, indptr, mode, factors)
            np.testing.assert_array_equal(again.values, got[1])
    each = np.arange(len(ids) + 1)
    dout = rng.standard_normal((len(ids), cols))
    got = _core.embed_backward(dout.astype(np.float32), ids, rows)
    expected = reference.embedding_bag_backward(dout, ids, each, "sum")
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_allclose(got[1], expected[1], rtol=1e-5, atol=1e-5)


def test_no_ids_have_no_gradient():
    gradient = Embedding(np.eye(3)).pool_backward(np.ones((2, 3)), [], [0, 0, 0])
    assert gradient.rows.shape == (0,) and gradient.values.shape == (0, 3)
    assert not gradient.dense(3).any()


@pytest.mark.parametrize("format", FORMATS)
def test_gradients_do_not_ask_for_the_format(format):
    gradient = Embedding(np.eye(4), format).backward(np.ones((2, 4)), [2, 2])
    assert gradient.rows.tolist() == [2] and gradient.values.tolist() == [[2] * 4]


OPTIMIZERS = {
    "sgd": lambda table: SGD(table, 0.1),
    "momentum": lambda table: SGD(table, 0.1, momentum=0.9),
    "adagrad": lambda table: Adagrad(table, 0.1),
    "sparse_adam": lambda table: SparseAdam(table, 0.1, betas=(0.8, 0.99)),
}


def reference_step(name: str, table, gradient, states, step: int) -> None:
    if name in ("sgd", "momentum"):
        momentum = 0.9 if name == "momentum" else 0.0
        reference.sgd_rows(table, *gradient, states[0], 0.1, momentum)
    elif name == "adagrad":
        reference.adagrad_rows(table, *gradient, states[0], 0.1)
    else:
        reference.sparse_adam_rows(table, *gradient, *states, step, 0.1, (0.8, 0.99))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("cols", [1, 17, 100])
def test_steps_equal_the_reference(isa, name, cols):
    rng = np.random.default_rng(cols)
    exact = rng.standard_normal((60, cols)).astype(np.float32).astype(np.float64)
    embedding = Embedding(exact)
    optimizer, states = OPTIMIZERS[name](embedding), [np.zeros((60, cols)), np.zeros((60, cols))]
    before = embedding.table().copy()
    touched = np.zeros(60, bool)
    for step in range(1, 6):
        ids, indptr = some_bags(rng, 50, 5)
        dout = rng.standard_normal((5, cols))
        optimizer.step(embedding.pool_backward(dout, ids, indptr))
        gradient = reference.embedding_bag_backward(dout, ids, indptr)
        reference_step(name, exact, gradient, states, step)
        touched[ids] = True
    np.testing.assert_allclose(embedding.table(), exact, rtol=1e-5, atol=2e-5)
    assert 0 < touched.sum() < 60
    np.testing.assert_array_equal(embedding.table()[~touched], before[~touched])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_threads_make_no_difference(name, restore_threads):
    rng = np.random.default_rng(5)
    start, found = rng.standard_normal((3000, 40)).astype(np.float32), []
    ids, indptr = some_bags(rng, 3000, 900)
    dout = rng.standard_normal((900, 40))
    for threads in (1, 2, 5):
        _core.set_num_threads(threads)
        embedding = Embedding(start.copy())
        optimizer = OPTIMIZERS[name](embedding)
        for _ in range(3):
            optimizer.step(embedding.pool_backward(dout, ids, indptr))
        found.append(embedding.table().tobytes())
    assert found[0] == found[1] == found[2] != start.tobytes()


def test_the_array_that_was_given_is_trained():
    table = np.zeros((3, 2), np.float32)
    SGD(Embedding(table), lr=1).step(RowGradient(np.array([1], np.int32), np.ones((1, 2), "f4")))
    assert table.tolist() == [[0, 0], [-1, -1], [0, 0]]


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(ValueError, match='SGD: the table is "int8"; train it in "fp32"'):
        SGD(Embedding(np.eye(2), "int8"), 0.1)
    fixed = np.eye(2, dtype=np.float32)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="Adagrad: the table cannot be written to"):
        Adagrad(Embedding(fixed))


def test_steps_refuse_what_does_not_fit():
    embedding = Embedding(np.zeros((4, 2)))
    for rows, shape, error, message in [
        ([1, 4], (2, 2), IndexError, "row 4 at position 1 is not between 0 and 3"),
        ([-1], (1, 2), IndexError, "row -1 at position 0 is not between 0 and 3"),
        ([2, 1], (2, 2), ValueError, "rows must ascend, each once; at position 1 is 1"),
        ([1, 1], (2, 2), ValueError, "rows must ascend, each once; at position 1 is 1"),
        ([1], (2, 2), ValueError, r"gradients has shape \(2, 2\), expected \(1, 2\)"),
        ([1], (1, 3), ValueError, r"gradients has shape \(1, 3\), expected \(1, 2\)"),
    ]:
        gradient = RowGradient(np.array(rows, np.int32), np.ones(shape, np.float32))
        for make in OPTIMIZERS.values():
            with pytest.raises(error, match=message):
                make(embedding).step(gradient)
    assert not embedding.table().any()
    good = embedding.backward(np.ones((1, 2)), [0])
    for optimizer, message in [
        (SGD(embedding, -1), "sgd: lr=-1 must be finite and at least 0"),
        (SGD(embedding, 1, momentum=1), r"sgd: momentum=1 must be in \[0, 1\)"),
        (Adagrad(embedding, float("nan")), "adagrad: lr=nan must be finite"),
        (Adagrad(embedding, 1, -1), "adagrad: eps=-1 must be finite and at least 0"),
        (SparseAdam(embedding, 1, (1, 0.9)), r"sparse_adam: beta1=1 must be in \[0, 1\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            optimizer.step(good)


# SIF


def texts(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A table, counts, and bags with frequent ids, one of them empty."""
    table = rng.standard_normal((200, 30)) + rng.standard_normal(30)
    indptr = np.concatenate([[0, 0], np.cumsum(rng.integers(1, 20, 99))])
    ids = rng.zipf(1.3, indptr[-1]) % 200
    return table, np.bincount(ids, minlength=200), ids, indptr


@pytest.mark.parametrize("components", [0, 1, 10])
@pytest.mark.parametrize("a", [1e-3, 0.5])
def test_sif_equals_the_reference(components, a):
    table, counts, ids, indptr = texts(np.random.default_rng(6))
    sif = lb.SifPooling.fit(table, counts, ids, indptr, a=a, components=components)
    weights = reference.sif_weights(counts, a)
    np.testing.assert_allclose(sif.weights, weights, rtol=1e-6)
    expected = reference.sif_vectors(table, weights, ids, indptr, components)
    got = sif(ids, indptr)
    assert np.linalg.norm(got - expected) < 3e-6 * np.linalg.norm(table[ids[:100]])
    assert not got[0].any()
    # The parts that were removed are gone, and what is orthogonal to them is as it was.
    np.testing.assert_allclose(got @ sif.components.T, 0, atol=2e-6 * np.abs(table).max())


def test_sif_of_many_bags_is_fitted_in_parts(monkeypatch):
    table, counts, ids, indptr = texts(np.random.default_rng(7))
    whole = lb.SifPooling.fit(table, counts, ids, indptr, components=2)
    monkeypatch.setattr("lowbit.embeddings.sif.BAGS_AT_ONCE", 7)
    parts = lb.SifPooling.fit(table, counts, ids, indptr, components=2)
    np.testing.assert_allclose(
        parts.components.T @ parts.components, whole.components.T @ whole.components, atol=1e-5
    )


@pytest.mark.parametrize("format", ["int8", "int4"])
def test_sif_of_a_rounded_table_is_near(format):
    table, counts, ids, indptr = texts(np.random.default_rng(8))
    exact = lb.SifPooling.fit(table, counts, ids, indptr)(ids, indptr)[1:]
    rounded = lb.SifPooling.fit(Embedding(table, format), counts, ids, indptr)(ids, indptr)[1:]
    cosines = (exact * rounded).sum(1) / np.linalg.norm(exact, axis=1)
    cosines /= np.linalg.norm(rounded, axis=1)
    assert cosines.mean() > (0.999 if format == "int8" else 0.98)


def test_sif_comes_back_from_its_file(tmp_path):
    table, counts, ids, indptr = texts(np.random.default_rng(9))
    sif = lb.SifPooling.fit(table, counts, ids, indptr, components=3)
    sif.save(tmp_path / "sif.safetensors")
    again = lb.SifPooling.load(tmp_path / "sif.safetensors", table)
    np.testing.assert_array_equal(again(ids, indptr), sif(ids, indptr))
    with pytest.raises(ValueError, match="200 weights and components of 30 columns do not fit"):
        lb.SifPooling.load(tmp_path / "sif.safetensors", table[:5])
    for tensors in (
        {"weights": sif.weights},
        {"weights": sif.weights[:, None], "components": sif.components},
        {"weights": sif.weights.astype("f8"), "components": sif.components},
    ):
        write_safetensors(tmp_path / "other.safetensors", tensors)
        with pytest.raises(FileFormatError, match="needs a"):
            lb.SifPooling.load(tmp_path / "other.safetensors", table)


def test_sif_refuses_what_does_not_fit():
    table = np.eye(3)
    for arguments, options, message in [
        (([1, 2],), {"components": 0}, "2 weights and components of 3 columns do not fit"),
        (([1, -2, 3],), {}, "counts must be finite numbers"),
        (([0, 0, 0],), {}, "counts are all 0"),
        (([1, 2, 3],), {"a": 0}, "a=0 must be above 0"),
        (([1, 2, 3],), {}, "components=1 must be between 0 and .* columns, 3, and of bags .* 0"),
        (([1, 2, 3], [0], [0, 1]), {"components": 2}, "of bags that are not empty, 1"),
        (([1, 2, 3], [0], [0, 1]), {"components": -1}, "components=-1 must be between 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            lb.SifPooling.fit(table, *arguments, **options)
    sif = lb.SifPooling.fit(table, [1, 2, 3], components=0)
    for bad in (-1, 3):
        with pytest.raises(IndexError, match=f"id {bad} at position 1 is not between 0 and 2"):
            sif([0, bad], [0, 2])
    with pytest.raises(TypeError, match="pass integers"):
        sif([0.5], [0, 1])
    assert sif([], [0, 0]).tolist() == [[0, 0, 0]]
