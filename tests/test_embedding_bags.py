"""Rows looked up and summed in bags, in every format; ids that are no rows."""

from __future__ import annotations

import numpy as np
import pytest

from lowbit import _core, quantize
from lowbit.embeddings import Embedding
from lowbit.embeddings.table import FORMATS
from lowbit.reference import embedding_bags as reference

COLUMNS = (1, 15, 16, 17, 63, 130, 384)
LENGTHS = (3, 0, 1, 2, 4, 5, 0, 9, 40, 0)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def bags(rows: int, dtype: type = np.int64) -> tuple[np.ndarray, np.ndarray]:
    """Ids of bags of all lengths that the kernel treats apart, and empty ones."""
    indptr = np.concatenate([[0], np.cumsum(LENGTHS)])
    return np.random.default_rng(1).integers(0, rows, indptr[-1]).astype(dtype), indptr


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("cols", COLUMNS)
def test_bags_equal_the_reference(isa, format, cols):
    embedding = Embedding(normal(50, cols), format)
    ids, indptr = bags(50)
    exact, weights = embedding.table().astype(np.float64), normal(len(ids), seed=2)
    for mode, factors in [("sum", None), ("mean", None), ("sum", weights)]:
        got = embedding.pool(ids, indptr, mode, factors)
        expected = reference.embedding_bag(exact, ids, indptr, mode, factors)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
        assert got.dtype == np.float32 and not got[[1, 6, 9]].any()


@pytest.mark.parametrize("format", FORMATS)
def test_bags_have_the_bits_of_pooled_rows(format):
    embedding = Embedding(normal(50, 130), format)
    ids, indptr = bags(50)
    for mode in ("sum", "mean"):
        pooled = _core.pool(embedding(ids), indptr, mode)
        np.testing.assert_array_equal(embedding.pool(ids, indptr, mode), pooled)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("cols", COLUMNS)
def test_rows_are_those_of_the_table(isa, format, cols):
    embedding = Embedding(normal(50, cols), format)
    ids = bags(50)[0]
    np.testing.assert_array_equal(embedding(ids), embedding.table()[ids])


@pytest.mark.parametrize("cols", [64, 33])
def test_large_results_are_those_of_small_ones(cols, restore_threads):
    """Beyond 16 MB rows are streamed to memory where they are aligned."""
    table, rng = normal(1000, cols), np.random.default_rng(3)
    ids = rng.integers(0, 1000, (16 << 20) // cols // 4 + 100)
    for threads in (1, 2, 3):
        _core.set_num_threads(threads)
        np.testing.assert_array_equal(Embedding(table)(ids), table[ids])


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_large_sums_are_those_of_small_ones(isa, mode, restore_threads):
    """Beyond 16 MB bags that are summed at once are streamed, and those of many rows are not."""
    embedding, rng = Embedding(normal(100, 448), "bf16"), np.random.default_rng(5)
    lengths = rng.choice([0, 1, 2, 7, 33, 70], 12000, p=[0.2, 0.3, 0.3, 0.18, 0.01, 0.01])
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    ids = rng.integers(0, 100, indptr[-1])
    half = len(lengths) // 2
    middle = indptr[half]
    small = [
        embedding.pool(ids[:middle], indptr[: half + 1], mode),
        embedding.pool(ids[middle:], indptr[half:] - middle, mode),
    ]
    for threads in (1, 2):
        _core.set_num_threads(threads)
        np.testing.assert_array_equal(embedding.pool(ids, indptr, mode), np.concatenate(small))


def test_threads_make_no_difference(restore_threads):
    rng = np.random.default_rng(4)
    indptr = np.concatenate([[0], np.cumsum(rng.integers(0, 30, 500))])
    ids, dout = rng.integers(0, 300, indptr[-1]), normal(500, 100)
    found = []
    for threads in (1, 2, 5):
        _core.set_num_threads(threads)
        embedding = Embedding(normal(300, 100), "int4")
        gradient = embedding.pool_backward(dout, ids, indptr)
        found.append([embedding.pool(ids, indptr).tobytes(), *(x.tobytes() for x in gradient)])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint64])
def test_ids_of_every_integer_type(dtype):
    embedding, (ids, indptr) = Embedding(normal(50, 5)), bags(50, dtype)
    np.testing.assert_array_equal(embedding(ids), embedding.table()[ids])
    expected = embedding.pool(ids.astype(np.int64), indptr)
    np.testing.assert_array_equal(embedding.pool(ids, indptr.astype(np.int32)), expected)
    backwards = embedding.pool(ids[::-1].astype(np.int64), indptr)
    np.testing.assert_array_equal(embedding.pool(ids[::-1], indptr), backwards)


@pytest.mark.parametrize("bad", [-1, 50, 2**31, -(2**31), 2**40 + 3, 2**63 - 1, -(2**63)])
def test_the_first_bad_id_is_named_with_its_place(bad):
    embedding = Embedding(normal(50, 5))
    ids = np.array([4, 49, bad, 7, -3])
    rule = f"id {bad} at position 2 is not between 0 and 49"
    bounds = [0, 2, 5]
    with pytest.raises(IndexError, match=f"embed: word {rule}"):
        embedding(ids)
    with pytest.raises(IndexError, match=f"embed_bag: table {rule}"):
        embedding.pool(ids, bounds)
    with pytest.raises(IndexError, match=f"embed_backward: word {rule}"):
        embedding.backward(np.zeros((5, 5)), ids)
    with pytest.raises(IndexError, match=f"embed_bag_backward: table {rule}"):
        embedding.pool_backward(np.zeros((2, 5)), ids, bounds)


def test_ids_beyond_64_bits_with_sign_are_refused():
    with pytest.raises(IndexError, match="is not between 0 and 1"):
        Embedding(np.eye(2))(np.array([1, 2**64 - 1], np.uint64))


def test_a_bad_id_leaves_a_given_table_alone():
    with pytest.raises(IndexError, match="is not between 0 and -1"):
        Embedding(np.zeros((0, 3)))([0])
    assert Embedding(np.zeros((0, 3))).pool([], [0, 0]).tolist() == [[0, 0, 0]]
    assert Embedding(np.zeros((3, 0))).pool([1], [0, 1]).shape == (1, 0)
    assert Embedding(np.eye(3))(np.empty((2, 0), np.int64)).shape == (2, 0, 3)


def test_what_does_not_fit_is_refused():
    embedding = Embedding(np.eye(3))
    for error, arguments, message in [
        (ValueError, ([0, 1], [0, 2], "max"), 'embed_bag: mode="max" is not known'),
        (ValueError, ([0, 1], [1, 2]), "embed_bag: indptr must start with 0"),
        (ValueError, ([0, 1], []), "indptr has dtype|indptr is empty"),
        (ValueError, ([0, 1], [0, 3]), "indptr ends at 3, but there are 2 rows"),
        (ValueError, ([0, 1], [0, 2, 1, 2]), "indptr falls from 2 to 1 at position 2"),
        (ValueError, ([0, 1], [0, 2], "mean", [1.0, 2.0]), 'weights go with mode="sum"'),
        (ValueError, ([0, 1], [0, 2], "sum", [1.0]), "weights has 1 values, expected 2"),
        (TypeError, ([0.5, 1], [0, 2]), "ids have dtype float64; pass integers"),
        (TypeError, ([0, 1], [0.0, 2.0]), "indptr has dtype float64; pass integers"),
    ]:
        with pytest.raises((error, TypeError), match=message):
            embedding.pool(*arguments)
    with pytest.raises(ValueError, match=r"dout has shape \(2, 2\), expected \(2, 3\)"):
        embedding.backward(np.eye(2), [0, 1])
    with pytest.raises(ValueError, match="dout has 2 columns, the table 3"):
        embedding.pool_backward(np.eye(2), [0, 1], [0, 1, 2])
    with pytest.raises(ValueError, match="dout has 1 rows, there are 2 bags"):
        embedding.pool_backward(np.ones((1, 3)), [0, 1], [0, 1, 2])


@pytest.mark.parametrize("shape", [(40, 384), (17, 33), (16, 1), (1, 100), (0, 8), (5, 0)])
@pytest.mark.parametrize("group_size", [None, 16, 64])
def test_int4_row_by_row_holds_what_the_blocks_hold(shape, group_size):
    packed = quantize(normal(*shape), "int4", group_size)
    embedding = Embedding.from_packed(packed)
    assert isinstance(embedding.kernel_table()[0], _core.Int4Rows)
    np.testing.assert_array_equal(embedding.table(), packed.dequantize())
    again = embedding.stored().parts()
    for name, part in packed.parts().items():
        np.testing.assert_array_equal(again[name], part)
    codes = -(-shape[1] // 32) * 16
    groups = 0 if not shape[1] else -(-shape[1] // min(group_size or shape[1], shape[1]))
    assert embedding.nbytes == shape[0] * -(-(codes + 4 * groups) // 16) * 16


def test_other_int4_stays_in_blocks():
    w = normal(20, 64)
    for packed in (
        quantize(w, "int4", 32, symmetric=False),
        quantize(w, "int4", 32, scale_dtype="fp16"),
        quantize(w, "int4", "tensor"),
        quantize(w, "int4", 32, double_quant=True),
    ):
        embedding = Embedding.from_packed(packed)
        assert isinstance(embedding.kernel_table()[0], _core.PackedMatrix)
        np.testing.assert_array_equal(embedding([3, 19]), packed.dequantize()[[3, 19]])
        with pytest.raises(ValueError, match="Int4Rows: the matrix must be symmetric int4"):
            _core.Int4Rows(embedding.stored())
