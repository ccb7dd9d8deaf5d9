"""Tables whose rows come a few at a time, and in four bits."""

import numpy as np
import pytest

from lowbit import QuantizedMatrix
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
