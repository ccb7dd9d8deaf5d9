"""Sums of products of inputs, their norm and their factor, in strips and in place."""

import numpy as np
import pytest

from lowbit.quantization.moments import SecondMoments


def inputs(columns: int, rows: int = 300) -> np.ndarray:
    """Correlated, with columns of many sizes, the second always zero."""
    rng = np.random.default_rng(columns)
    x = rng.standard_normal((rows, columns)) @ rng.standard_normal((columns, columns))
    x *= np.exp(rng.standard_normal(columns))
    x[:, 1:2] = 0
    return x.astype(np.float32)


@pytest.mark.parametrize("columns", [1, 2, 31, 128, 129, 300])
def test_sums_norms_and_factor(columns):
    x = inputs(columns)
    moments = SecondMoments(columns)
    for first in range(0, len(x), 77):
        moments.add(x[first : first + 77])
    exact = x.astype(np.float64).T @ x
    w = np.random.default_rng(0).standard_normal((200, columns)).astype(np.float32)
    norm = np.linalg.norm(x.astype(np.float64) @ w.T)
    scale = max(float(np.abs(exact).max()), 1e-30)

    def holds() -> None:
        np.testing.assert_allclose(moments.matrix(), exact, atol=1e-5 * scale)
        np.testing.assert_allclose(moments.diagonal(), np.diag(exact), atol=1e-5 * scale)
        assert moments.norm(w) == pytest.approx(norm, rel=1e-4)

    holds()
    order, upper = moments.factor(0.01)
    assert (np.diff(moments.diagonal()[order]) >= 0).all()
    damped = exact.copy()
    damped[np.diag(exact) == 0, np.diag(exact) == 0] = max(1.0, np.diag(exact).max())
    damped[np.diag_indices(columns)] += 0.01 * np.mean(np.diag(damped))
    u = np.triu(upper)
    np.testing.assert_allclose(u.T @ u, damped[np.ix_(order, order)], atol=1e-5 * scale)
    holds()  # the sums have survived


def test_the_factor_is_computed_once_and_for_one_damping():
    moments = SecondMoments.of(np.eye(4), 4, "f")
    moments.factor(0.01)
    with pytest.raises(ValueError, match=r"damped by 0.01, not 0.1"):
        moments.factor(0.1)
    with pytest.raises(ValueError, match="nothing can follow"):
        moments.add(np.ones((1, 4), np.float32))


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(3), r"shape \(3, 3\); w has 4 columns"),
        (np.full((4, 4), np.nan), "NaN"),
        (-np.eye(4), "negative square"),
    ],
)
def test_matrices_that_are_no_sums_are_refused(matrix, message):
    with pytest.raises(ValueError, match=message):
        SecondMoments.of(matrix, 4, "f")


def test_sums_that_are_not_positive_are_refused():
    matrix = np.array([[1.0, 5.0], [5.0, 1.0]])
    with pytest.raises(ValueError, match="not positive; use more inputs or damping"):
        SecondMoments.of(matrix, 2, "f").factor(0.01)
