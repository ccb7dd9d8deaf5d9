"""Nearest rows: the definition in NumPy, bit for bit, whatever the format, tiles and threads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lowbit as lb
from lowbit import _core
from lowbit.reference import neighbours as reference

METRICS = ("cosine", "dot", "euclidean")
FORMATS = ("fp32", "int8")


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def assert_exact(table: np.ndarray, queries: np.ndarray, k: int, metric: str) -> None:
    """Both formats give what the definition says, all bits of it."""
    scores, rows = reference.nearest(table, queries, k, metric)
    for name in FORMATS:
        found = lb.NearestNeighbours(table, metric, name).search(queries, k)
        np.testing.assert_array_equal(found[1], rows, err_msg=name)
        assert found[0].tobytes() == scores.tobytes(), name
        assert (found[0].dtype, found[1].dtype) == (np.float32, np.int64)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("rows", "dim", "queries", "k"),
    [
        (1, 1, 1, 1),
        (15, 3, 2, 15),
        (64, 16, 4, 5),
        (65, 17, 5, 64),
        (700, 100, 40, 10),  # queries enough to round rows as they come
        (300, 400, 33, 3),  # the same, more columns
        (77, 1091, 6, 3),  # the same, in several stretches of columns
        (9000, 20, 2, 7),  # several tiles
        (500, 1500, 3, 4),  # two blocks of int8
        (3000, 24, 300, 2),  # two stretches of queries
        (100, 512, 12, 100),  # rows that are copied, and all of them are answers
    ],
)
def test_equals_the_definition(rows: int, dim: int, queries: int, k: int, metric: str) -> None:
    assert_exact(normal(rows, rows, dim), normal(dim, queries, dim), k, metric)


def hard_tables() -> Iterator[tuple[str, np.ndarray]]:
    """Tables on which a bound that is a little too tight goes wrong."""
    rng = np.random.default_rng(5)
    base = rng.standard_normal((600, 48), dtype=np.float32)
    yield "equal rows", np.repeat(base[:20], 30, axis=0)
    yield "near ties", base[0] + np.float32(1e-6) * base
    yield "one ulp apart", np.nextafter(np.repeat(base[:60], 10, axis=0), np.float32(np.inf))
    yield "zero rows", base * (rng.random((600, 1)) < 0.3)
    yield "all zero", np.zeros((600, 48), np.float32)
    yield "one large value", np.where(np.arange(48) == 7, np.float32(1e4), base)
    yield "far from zero", base + np.float32(1000)
    sizes = np.float32(10) ** rng.integers(-18, 15, (600, 1)).astype(np.float32)
    yield "sizes from tiny to huge", base * sizes
    yield "one huge row", np.where(np.arange(600)[:, None] == 9, base * np.float32(1e12), base)
    yield "tiny", base * np.float32(1e-30)
    yield "denormal", base * np.float32(1e-42)
    yield "huge", base * np.float32(1e15)
    yield "integers", rng.integers(-2, 3, (600, 48)).astype(np.float32)
    halves = rng.integers(-127, 127, (600, 48)) + 0.5
    yield "halfway between codes", (halves / 127).astype(np.float32)


HARD = dict(hard_tables())


@pytest.mark.parametrize("count", [3, 40])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", HARD)
def test_hard_tables(name: str, metric: str, count: int) -> None:
    table = HARD[name]
    queries = np.concatenate([table[:: len(table) // count], normal(1, 3, 48), np.zeros((1, 48))])
    assert_exact(table, queries.astype(np.float32), 11, metric)


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    rows, dim, count = draw(st.integers(1, 400)), draw(st.integers(1, 70)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    distinct = draw(st.integers(1, rows))
    table = rng.standard_normal((distinct, dim), dtype=np.float32)
    spread = draw(st.sampled_from([0, 3, 8, 14]))
    table *= np.float32(10) ** rng.integers(-spread, spread + 1, (distinct, 1)).astype(np.float32)
    table = table[rng.integers(0, distinct, rows)]
    if draw(st.booleans()):  # few values, so that many scores are equal
        table = np.sign(table) * np.float32(draw(st.sampled_from([1, 1e-20, 1e12])))
    apart = np.float32(draw(st.sampled_from([0, 1e-7, 1e-3, 1])))
    near = table[rng.integers(0, rows, count)]
    queries = near + apart * np.abs(near).max() * rng.standard_normal(near.shape, dtype=np.float32)
    return table, queries, draw(st.integers(1, rows))


@settings(max_examples=150, deadline=None)
@given(problem=problems(), metric=st.sampled_from(METRICS))
def test_any_table(problem: tuple[np.ndarray, np.ndarray, int], metric: str) -> None:
    assert_exact(*problem, metric)


@settings(max_examples=100, deadline=None)
@given(problem=problems())
def test_bound_of_int8_holds(problem: tuple[np.ndarray, np.ndarray, int]) -> None:
    table, queries, _ = problem
    products, bound = reference.int8_bound(table, queries[0])
    true = table.astype(np.float64) @ queries[0].astype(np.float64)
    rounding = 1e-12 * np.linalg.norm(table, axis=1) * np.linalg.norm(queries[0])
    assert (np.abs(true - products) <= bound + rounding).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", FORMATS)
def test_threads_instruction_sets_and_batches_change_nothing(name: str, metric: str) -> None:
    table, queries = HARD["near ties"].copy(), normal(3, 70, 48)
    table[100:400] = normal(4, 300, 48)
    expected = reference.nearest(table, queries, 9, metric)
    threads, isa = lb.get_num_threads(), _core.active_isa()
    try:
        for name_of_isa in _core.isas():
            _core.use_isa(name_of_isa)
            neighbours = lb.NearestNeighbours(table, metric, name)
            for count in (1, 2, 3, 8):
                lb.set_num_threads(count)
                together = neighbours.search(queries, 9)
                alone = [neighbours.search(query, 9) for query in queries[:10]]
                for i in range(2):
                    assert together[i].tobytes() == expected[i].tobytes()
                    one_by_one = np.stack([one[i] for one in alone])
                    assert one_by_one.tobytes() == expected[i][:10].tobytes()
    finally:
        lb.set_num_threads(threads)
        _core.use_isa(isa)


def test_few_rows_are_scored() -> None:
    """Rows are left out: else the answer would be as exact, but not found faster."""
    table, queries = normal(1, 20000, 128), normal(2, 40, 128)
    for name in FORMATS:
        neighbours = lb.NearestNeighbours(table, "cosine", name)
        neighbours.search(queries, 10)
        assert len(queries) * 10 <= neighbours.scored_rows < len(queries) * 1000
    assert lb.NearestNeighbours(table, format="int8").nbytes < 0.35 * table.nbytes


@pytest.mark.parametrize("dim", [1, 63, 128, 700])
def test_rows_are_rounded_alike_when_the_table_is_made_and_asked(dim: int) -> None:
    """Else the distances that are kept are not those of what is multiplied.

    So few rows that both formats take the same of them at a time.
    """
    table, queries = normal(1, 192, dim), normal(2, 300, dim)
    for metric in METRICS:
        counts = []
        for name in FORMATS:
            neighbours = lb.NearestNeighbours(table, metric, name)
            neighbours.search(queries, 5)
            counts.append(neighbours.scored_rows)
        assert counts[0] == counts[1]


def test_limit_asks_the_first_rows_only() -> None:
    table, queries = normal(1, 500, 30), normal(2, 3, 30)
    for name in FORMATS:
        neighbours = lb.NearestNeighbours(table, "dot", name)
        for limit in (5, 16, 77, 500):
            scores, rows = neighbours.search(queries, 5, limit=limit)
            expected = reference.nearest(table[:limit], queries, 5, "dot")
            assert scores.tobytes() == expected[0].tobytes()
            assert rows.tobytes() == expected[1].tobytes()


def test_tables_mapped_from_a_file(tmp_path: Path) -> None:
    table = normal(6, 1000, 33)
    np.save(tmp_path / "table.npy", table)
    mapped = np.load(tmp_path / "table.npy", mmap_mode="r")
    for name in FORMATS:
        scores, rows = lb.NearestNeighbours(mapped, "euclidean", name).search(table[5], 4)
        expected = reference.nearest(table, table[5:6], 4, "euclidean")
        assert scores.tobytes() == expected[0].tobytes()
        assert rows.tobytes() == expected[1].tobytes()


def test_a_row_is_nearest_to_itself() -> None:
    table = normal(7, 300, 21)
    for metric, best in (("cosine", 1.0), ("euclidean", 0.0)):
        scores, rows = lb.NearestNeighbours(table, metric, "int8").search(table, 1)
        assert (rows[:, 0] == np.arange(300)).all()
        assert (scores == best).all()  # exactly: no cosine is beyond 1


def test_other_dtypes_and_no_queries() -> None:
    table = normal(8, 50, 6)
    half = table.astype(np.float16)
    found = lb.NearestNeighbours(half).search(half[3].astype(np.float64), 2)
    assert found[1][0] == 3
    scores, rows = lb.NearestNeighbours(table).search(np.empty((0, 6)), 4)
    assert scores.shape == rows.shape == (0, 4)


@pytest.mark.parametrize(
    ("table", "options", "match"),
    [
        (np.zeros(3), {}, "table has shape"),
        (np.zeros((3, 0)), {}, "table has 0 columns"),
        (np.zeros((3, 2)), {"metric": "l3"}, 'metric="l3" is not known; use "cosine"'),
        (np.zeros((3, 2)), {"format": "nf4"}, 'format="nf4" is not known; use "fp32"'),
        ([[1, 2], [3, np.nan]], {}, r"table\[1, 1\] is nan"),
        ([[1, np.inf]], {"format": "int8"}, r"table\[0, 1\] is inf"),
    ],
)
def test_tables_that_are_refused(table: object, options: dict[str, str], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        lb.NearestNeighbours(table, **options)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("queries", "options", "match"),
    [
        (np.zeros((2, 3)), {}, "queries have 3 columns, the table has 4"),
        (np.zeros((2, 2, 4)), {}, "queries has 3 dimensions"),
        (np.zeros(4), {"k": 0}, "k=0 is not between 1 and the 20 rows"),
        (np.zeros(4), {"k": -1}, "k=-1 is not"),
        (np.zeros(4), {"k": 21}, "k=21 is not between 1 and the 20 rows"),
        (np.zeros(4), {"k": 6, "limit": 5}, "k=6 is not between 1 and the 5 rows"),
        (np.zeros(4), {"limit": 21}, "limit=21 is not one of the table's 20 rows"),
        (np.zeros(4), {"limit": -1}, "limit=-1"),
        ([[0, 0, 0, 0], [0, np.nan, 0, 0]], {}, r"queries\[1, 1\] is nan"),
        ([0, 0, -np.inf, 0], {}, r"queries\[0, 2\] is -inf"),
    ],
)
def test_queries_that_are_refused(
    queries: object, options: dict[str, int], match: str, name: str
) -> None:
    neighbours = lb.NearestNeighbours(np.ones((20, 4)), format=name)
    with pytest.raises(ValueError, match=match):
        neighbours.search(queries, **options)


def test_scores_beyond_float32_are_refused() -> None:
    table = np.full((20, 4), 1e30)
    with pytest.raises(ValueError, match="may exceed float32; scale them down"):
        lb.NearestNeighbours(table, "dot").search(np.full(4, 1e10), 1)
    with pytest.raises(ValueError, match="may exceed float32"):
        lb.NearestNeighbours(table, "euclidean").search(np.full(4, 2e38), 1)
    assert lb.NearestNeighbours(table, "cosine").search(np.full(4, 2e38), 1)[0] == 1


def test_an_empty_table_has_no_neighbours() -> None:
    with pytest.raises(ValueError, match="k=1 is not between 1 and the 0 rows"):
        lb.NearestNeighbours(np.empty((0, 4))).search(np.zeros(4), 1)
