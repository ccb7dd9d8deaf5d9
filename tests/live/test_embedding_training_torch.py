"""Bags, their gradients and optimizers of rows beside torch's EmbeddingBag with sparse=True."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lowbit.embeddings import SGD, Adagrad, Embedding, SparseAdam  # noqa: E402

ROWS, DIM, BAGS = 300, 48, 64


def batch(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    indptr = np.concatenate([[0], np.cumsum(rng.integers(0, 9, BAGS))])
    ids = rng.integers(0, ROWS, indptr[-1])
    return ids, indptr, rng.standard_normal((BAGS, DIM)).astype(np.float32)


def bag_of(table: np.ndarray, mode: str) -> torch.nn.EmbeddingBag:
    return torch.nn.EmbeddingBag.from_pretrained(
        torch.from_numpy(table.copy()), freeze=False, mode=mode, sparse=True,
        include_last_offset=True,
    )  # fmt: skip


@pytest.mark.parametrize(("mode", "weighted"), [("sum", False), ("sum", True), ("mean", False)])
def test_bags_and_their_gradients(mode, weighted):
    rng = np.random.default_rng(1)
    table = rng.standard_normal((ROWS, DIM)).astype(np.float32)
    ids, indptr, dout = batch(rng)
    weights = rng.standard_normal(len(ids)).astype(np.float32) if weighted else None
    theirs = bag_of(table, mode)
    given = {} if weights is None else {"per_sample_weights": torch.from_numpy(weights)}
    out = theirs(torch.from_numpy(ids), torch.from_numpy(indptr), **given)
    ours = Embedding(table)
    np.testing.assert_allclose(
        ours.pool(ids, indptr, mode, weights), out.detach().numpy(), rtol=1e-5, atol=1e-5
    )
    out.backward(torch.from_numpy(dout))
    expected = theirs.weight.grad.coalesce()
    gradient = ours.pool_backward(dout, ids, indptr, mode, weights)
    np.testing.assert_array_equal(gradient.rows, expected.indices()[0].numpy())
    np.testing.assert_allclose(gradient.values, expected.values().numpy(), rtol=1e-5, atol=1e-5)


def test_rows_and_their_gradients():
    rng = np.random.default_rng(2)
    table = rng.standard_normal((ROWS, DIM)).astype(np.float32)
    ids = rng.integers(0, ROWS, (7, 50))
    dout = rng.standard_normal((7, 50, DIM)).astype(np.float32)
    theirs = torch.nn.Embedding.from_pretrained(
        torch.from_numpy(table.copy()), freeze=False, sparse=True
    )
    out = theirs(torch.from_numpy(ids))
    np.testing.assert_array_equal(Embedding(table)(ids), out.detach().numpy())
    out.backward(torch.from_numpy(dout))
    expected = theirs.weight.grad.coalesce()
    gradient = Embedding(table).backward(dout, ids)
    np.testing.assert_array_equal(gradient.rows, expected.indices()[0].numpy())
    np.testing.assert_allclose(gradient.values, expected.values().numpy(), rtol=1e-5, atol=1e-5)


PAIRS = {
    "sgd": (lambda e: SGD(e, 0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "adagrad": (lambda e: Adagrad(e, 0.1), lambda p: torch.optim.Adagrad(p, 0.1)),
    "sparse_adam": (
        lambda e: SparseAdam(e, 0.05, (0.8, 0.99), 1e-6),
        lambda p: torch.optim.SparseAdam(p, 0.05, (0.8, 0.99), 1e-6),
    ),
    "sparse_adam, eps that counts": (
        lambda e: SparseAdam(e, 0.05, eps=0.1),
        lambda p: torch.optim.SparseAdam(p, 0.05, eps=0.1),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_tables_after_some_steps(name, mode):
    rng = np.random.default_rng(3)
    table = rng.standard_normal((ROWS, DIM)).astype(np.float32)
    theirs, ours = bag_of(table, mode), Embedding(table.copy())
    make, make_theirs = PAIRS[name]
    optimizer, their_optimizer = make(ours), make_theirs(list(theirs.parameters()))
    for _ in range(10):
        ids, indptr, dout = batch(rng)
        their_optimizer.zero_grad()
        theirs(torch.from_numpy(ids), torch.from_numpy(indptr)).backward(torch.from_numpy(dout))
        with torch.sparse.check_sparse_tensor_invariants():  # else Adagrad warns
            their_optimizer.step()
        optimizer.step(ours.pool_backward(dout, ids, indptr, mode))
    np.testing.assert_allclose(ours.table(), theirs.weight.detach().numpy(), rtol=2e-5, atol=2e-5)


def test_momentum_where_every_row_has_a_gradient():
    """Elsewhere torch moves rows on that have none, and lowbit lets them rest."""
    rng = np.random.default_rng(4)
    table = rng.standard_normal((ROWS, DIM)).astype(np.float32)
    theirs, ours = bag_of(table, "sum"), Embedding(table.copy())
    optimizer = SGD(ours, 0.1, momentum=0.9)
    their_optimizer = torch.optim.SGD(theirs.parameters(), 0.1, momentum=0.9)
    indptr = np.arange(ROWS + 1)
    for _ in range(5):
        ids = rng.permutation(ROWS)
        dout = rng.standard_normal((ROWS, DIM)).astype(np.float32)
        their_optimizer.zero_grad()
        theirs(torch.from_numpy(ids), torch.from_numpy(indptr)).backward(torch.from_numpy(dout))
        their_optimizer.step()
        optimizer.step(ours.pool_backward(dout, ids, indptr, "sum"))
    np.testing.assert_allclose(ours.table(), theirs.weight.detach().numpy(), rtol=1e-5, atol=1e-5)
