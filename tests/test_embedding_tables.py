"""Tables whose rows come a few at a time, and in four bits."""

import numpy as np
import pytest

from lowbit import QuantizedMatrix, _core
from lowbit.embeddings import Embedding
from lowbit.embeddings.table import FORMATS
from lowbit.quantization import quantize_to, search_scales


def table(rows: int, columns: int) -> np.ndarray:
    """Rows of many sizes."""
    rng = np.random.default_rng(rows)
    return (rng.standard_normal((rows, columns)) * rng.random((rows, 1))).astype(np.float32)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("shape", [(2000, 96), (17, 40), (1, 1), (0, 5), (3, 0)])
def test_rows_that_come_a_few_at_a_time_are_rounded_alike(format, shape):
    values, most = table(*shape), 0

    def read(first: int, end: int) -> np.ndarray:
        nonlocal most
        most = max(most, end - first)
        return values[first:end].copy()

    streamed = Embedding.from_rows(read, shape, format)
    np.testing.assert_array_equal(streamed.table(), Embedding(values, format).table())
    assert most < 2000 or format == "fp32"


@pytest.mark.parametrize("format", ["nf4", "int4"])
@pytest.mark.parametrize("shape", [(2000, 96), (70, 130)])
def test_four_bits_are_those_of_the_whole_matrix(format, shape):
    """Scales are in 8 bits around a mean over all rows, which those of a few rows do not have."""
    values = table(*shape)
    whole = quantize_to(values, search_scales(values, format, 64), format, 64, format == "nf4")
    streamed = QuantizedMatrix(Embedding(values, format).stored()).parts()
    for name, part in whole.parts().items():
        np.testing.assert_array_equal(streamed[name], part)


@pytest.mark.parametrize("format", FORMATS)
def test_first_rows_are_the_first(format):
    embedding = Embedding(table(40, 32), format)
    np.testing.assert_array_equal(embedding.first_rows(7)[:7], embedding.table()[:7])


@pytest.mark.parametrize("format", ["bf16", "fp16", "int8"])
def test_a_rounded_table_begins_with_a_line(format):
    """Else every row of 64 bytes takes two lines of the cache."""
    values = table(5000, 384)
    assert Embedding(values, format).kernel_table()[0].ctypes.data % 64 == 0
    if format == "int8":
        packed = Embedding(values, format).stored()
        again = Embedding.from_packed(QuantizedMatrix(packed))
        assert again.kernel_table()[0].ctypes.data % 64 == 0


@pytest.mark.parametrize("format", ["fp32", "bf16", "fp16", "int8"])
@pytest.mark.parametrize("columns", [64, 100, 384])
def test_tables_that_begin_inside_a_line(isa, format, columns):
    """As arrays of NumPy's do: rows and bags are the same."""
    embedding, ids = Embedding(table(300, columns), format), np.arange(299, -1, -1)
    rows, scales = embedding.kernel_table()
    memory = np.empty(rows.nbytes + 128, np.uint8)
    begin = 16 - memory.ctypes.data % 64 + 64
    moved = memory[begin : begin + rows.nbytes].view(rows.dtype).reshape(rows.shape)
    moved[:] = rows
    assert moved.ctypes.data % 64 == 16
    np.testing.assert_array_equal(_core.embed(moved, scales, ids), embedding(ids))
    bounds = np.array([0, 3, 100, 300])
    bags = _core.embed_bag(moved, scales, ids, bounds, "sum")
    np.testing.assert_array_equal(bags, embedding.pool(ids, bounds, "sum"))
