"""Nearest rows as faiss's flat indexes find them, where no two scores are nearly equal."""

from __future__ import annotations

import numpy as np
import pytest

import lowbit as lb

faiss = pytest.importorskip("faiss", reason="faiss is not installed")


@pytest.mark.parametrize("count", [1, 50])
@pytest.mark.parametrize("metric", ["dot", "cosine", "euclidean"])
@pytest.mark.parametrize("name", ["fp32", "int8"])
def test_rows_and_scores_are_those_of_faiss(name: str, metric: str, count: int) -> None:
    rng = np.random.default_rng(1)
    table = rng.standard_normal((5000, 40), dtype=np.float32)
    queries = rng.standard_normal((count, 40), dtype=np.float32)
    scores, rows = lb.NearestNeighbours(table, metric, name).search(queries, 8)
    if metric == "cosine":
        faiss.normalize_L2(table)
        faiss.normalize_L2(queries)
    index = (faiss.IndexFlatL2 if metric == "euclidean" else faiss.IndexFlatIP)(40)
    index.add(table)
    expected, found = index.search(queries, 8)
    expected = np.sqrt(expected) if metric == "euclidean" else expected
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    gaps = np.abs(np.diff(expected, axis=1, prepend=np.inf, append=np.inf))
    clear = np.minimum(gaps[:, 1:], gaps[:, :-1]) > 1e-4
    assert clear.mean() > 0.9
    assert (rows == found)[clear].all()
