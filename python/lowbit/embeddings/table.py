"""An embedding table in rows of float32, bfloat16, float16 or int8, or packed in four bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lowbit import _core
from lowbit.arrays import (
    as_float32,
    bf16_to_float32,
    empty_lines,
    float32_to_bf16,
    float32_to_fp16,
)
from lowbit.embeddings.row_training import RowGradient
from lowbit.quantization.matrix import QuantizedMatrix
from lowbit.quantization.packing import BLOCK_ROWS, pack_scales
from lowbit.quantization.search import quantize_to, row_chunks, search_scales

ReadRows = Callable[[int, int], np.ndarray]
FORMATS = tuple(entry["name"] for entry in _core.formats())
GROUP_SIZE = 64
"""Columns of a row that share a scale in four bits."""
_WORDS = {"bf16": (np.uint16, float32_to_bf16), "fp16": (np.float16, float32_to_fp16)}


class Embedding:
    """Rows of numbers picked by id.

    Parameters
    ----------
    table
        Vectors [rows, dim].
    format
        "fp32"; "bf16" or "fp16", half the size; "int8", a quarter, with one scale a row; "int4",
        "nf4", "fp4" or "mxfp4", an eighth, with a searched scale for every 64 columns ("nf4" has
        them in 8 bits).
        Rows of "nf4", "fp4" and "mxfp4" lie 16 side by side, so looking one up takes longer.

    A float32 table in rows of their own is kept as it is, not copied; so an optimizer of
    `lowbit.embeddings` that trains the embedding trains that array.

    Examples
    --------
    >>> import numpy as np
    >>> embedding = Embedding(np.eye(4, 3), format="int8")
    >>> embedding(np.array([2, 0])).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    >>> embedding.pool(np.array([0, 1, 2]), np.array([0, 2, 3]), mode="mean").tolist()
    [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    >>> embedding.pool([0, 2], [0, 2], mode="sum", weights=[0.5, 2.0]).tolist()
    [[0.5, 0.0, 2.0]]
    """

    def __init__(self, table: Any, format: str = "fp32") -> None:
        array = as_float32(table, "Embedding", "table", ndim=2)
        self._round(lambda first, end: array[first:end], array.shape, format)

    @classmethod
    def from_rows(cls, read: ReadRows, shape: tuple[int, int], format: str = "fp32") -> Embedding:
        """The table whose rows `read(first, end)` gives, of which a few are in memory at a time.

        Parameters
        ----------
        read
            Gives float32 [end - first, dim]; may be asked twice for every row.
        shape
            (rows, dim).
        format
            As of the class; in "fp32" all rows are read at once.

        Examples
        --------
        >>> table = np.eye(4, 3, dtype=np.float32)
        >>> Embedding.from_rows(lambda first, end: table[first:end], table.shape, "bf16")
        Embedding(4x3, bf16, 0.0 MB)
        """
        self = cls.__new__(cls)
        self._round(read, shape, format)
        return self

    def _round(self, read: ReadRows, shape: tuple[int, int], format: str) -> None:
        if format not in FORMATS:
            raise ValueError(f'Embedding: format="{format}" is not known; use one of {FORMATS}')
        self.format = format
        self._scales: np.ndarray | None = None
        self._rows: Any
        if format == "fp32":
            self._rows = read(0, shape[0])
        elif format == "int8":
            self._rows, self._scales = empty_lines(shape, np.int8), np.empty(shape[0], np.float32)
            for first, end in row_chunks(*shape):
                codes, scales = _core.quantize_rows_int8(read(first, end))
                self._rows[first:end], self._scales[first:end] = codes, scales
        elif format in _WORDS:
            dtype, convert = _WORDS[format]
            self._rows = empty_lines(shape, dtype)
            for first, end in row_chunks(*shape):
                self._rows[first:end] = convert(read(first, end))
        else:
            self._rows = _by_row(_packed(read, shape, format))

    @classmethod
    def from_packed(cls, table: QuantizedMatrix) -> Embedding:
        """The table whose rows a packed matrix holds, without rounding anything.

        Examples
        --------
        >>> from lowbit import quantize
        >>> Embedding.from_packed(quantize(np.eye(4, 32), "int8", None))
        Embedding(4x32, int8, 0.0 MB)
        """
        self = cls.__new__(cls)
        self.format, self._rows, self._scales = table.format, _by_row(table._packed), None
        if table.format == "int8" and table.scales().shape[1] == 1:
            self._rows, self._scales = table.codes(), table.scales()[:, 0].copy()
        return self

    def stored(self) -> Any:
        """The table as a checkpoint keeps it: a packed matrix, or rows in their own type."""
        if self._scales is not None:
            packed = QuantizedMatrix.from_codes("int8", self._rows, self._scales[:, None], None)
            return packed._packed
        return self._rows.packed() if isinstance(self._rows, _core.Int4Rows) else self._rows

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, dim)."""
        return self._rows.shape

    @property
    def nbytes(self) -> int:
        """Bytes of the rows and their scales."""
        return self._rows.nbytes + (0 if self._scales is None else self._scales.nbytes)

    def kernel_table(self) -> tuple[Any, np.ndarray | None]:
        """Rows and scales as the kernels take them."""
        return self._rows, self._scales

    def table(self) -> np.ndarray:
        """All rows as float32 [rows, dim]."""
        if self.format == "bf16":
            return bf16_to_float32(self._rows)
        if isinstance(self._rows, _core.PackedMatrix):
            return _core.dequantize(self._rows)
        if isinstance(self._rows, _core.Int4Rows):
            return self(np.arange(self.shape[0]))
        if self._scales is not None:
            return self._rows.astype(np.float32) * self._scales[:, None]
        return self._rows.astype(np.float32, copy=False)

    def __call__(self, ids: Any) -> np.ndarray:
        """The rows of `ids` [...], float32 [..., dim].

        All ids are checked before the first row is read.

        Raises
        ------
        TypeError
            If ids are not integers.
        IndexError
            If an id is no row; the message says which, and where it stands.
        """
        indices = _as_ids(ids)
        rows = _core.embed(self._rows, self._scales, indices.reshape(-1))
        return rows.reshape(*indices.shape, self.shape[1])

    def backward(self, dout: Any, ids: Any) -> RowGradient:
        """The gradient of the table, whose rows of `ids` [...] have the gradient dout [..., dim].

        Rows that come more than once are summed in the order of the ids, so the bits do not depend
        on the number of threads.

        Examples
        --------
        >>> gradient = Embedding(np.zeros((9, 2))).backward([[1, 2], [3, 4], [5, 6]], [7, 1, 7])
        >>> gradient.rows.tolist(), gradient.values.tolist()
        ([1, 7], [[3.0, 4.0], [6.0, 8.0]])
        """
        indices = _as_ids(ids)
        array = as_float32(dout, "Embedding.backward", "dout")
        if array.shape != (*indices.shape, self.shape[1]):
            raise ValueError(
                f"Embedding.backward: dout has shape {array.shape}, expected "
                f"{(*indices.shape, self.shape[1])}"
            )
        rows = array.reshape(indices.size, self.shape[1])
        return RowGradient(*_core.embed_backward(rows, indices.reshape(-1), self.shape[0]))

    def first_rows(self, count: int) -> np.ndarray:
        """The rows 0 to count, float32 [count, dim] or, where nothing is decoded, all there are."""
        return self._rows if self.format == "fp32" else self(np.arange(count))

    def pool(self, ids: Any, indptr: Any, mode: str = "mean", weights: Any = None) -> np.ndarray:
        """One vector per bag of ids, float32 [bags, dim].

        Parameters
        ----------
        ids
            Flat ids of all bags.
        indptr
            [bags + 1]: bag b is ids[indptr[b]:indptr[b + 1]]; an empty bag gives zeros.
        mode
            "mean" or "sum".
        weights
            A factor for each id, float32; only with "sum".

        Raises
        ------
        TypeError, IndexError
            As when rows are looked up.
        ValueError
            If the mode is not known, indptr does not rise from 0 to the number of ids, or weights
            do not fit.
        """
        bags = _as_bags("Embedding.pool", ids, indptr, mode, weights)
        return _core.embed_bag(self._rows, self._scales, *bags)

    def pool_backward(
        self, dout: Any, ids: Any, indptr: Any, mode: str = "mean", weights: Any = None
    ) -> RowGradient:
        """The gradient of the table, whose `pool` with these arguments has the gradient dout.

        Examples
        --------
        >>> table = Embedding(np.zeros((9, 2)))
        >>> gradient = table.pool_backward([[2, 4], [6, 8]], [7, 1, 7], [0, 2, 3])
        >>> gradient.rows.tolist(), gradient.values.tolist()
        ([1, 7], [[1.0, 2.0], [7.0, 10.0]])
        """
        bags = _as_bags("Embedding.pool_backward", ids, indptr, mode, weights)
        array = as_float32(dout, "Embedding.pool_backward", "dout", ndim=2)
        if array.shape[1] != self.shape[1]:
            raise ValueError(
                f"Embedding.pool_backward: dout has {array.shape[1]} columns, the table "
                f"{self.shape[1]}"
            )
        return RowGradient(*_core.embed_bag_backward(array, *bags, self.shape[0]))

    def __repr__(self) -> str:
        rows, dim = self.shape
        return f"Embedding({rows}x{dim}, {self.format}, {self.nbytes / 1e6:.1f} MB)"


def _packed(read: ReadRows, shape: tuple[int, int], format: str) -> _core.PackedMatrix:
    """Rows in four bits: their scales are searched first, then every row is rounded to them."""
    chunks = list(row_chunks(*shape))
    scales = np.concatenate([search_scales(read(*chunk), format, GROUP_SIZE) for chunk in chunks])
    # int4's scales have signs, around whose mean 8 bits are too few.
    parts, scales = _stored_scales(scales, format, format == "nf4")
    lines = np.empty(0, np.uint8)
    for first, end in chunks:
        q = quantize_to(read(first, end), scales[first:end], format, GROUP_SIZE, False)
        part = q.parts()["lines"]
        if not len(lines):  # their bytes for each block of rows are known now
            blocks = len(part) // max(1, -(-(end - first) // BLOCK_ROWS))
            lines = np.empty(-(-shape[0] // BLOCK_ROWS) * blocks, np.uint8)
        begin = first // BLOCK_ROWS * blocks
        lines[begin : begin + len(part)] = part
    parts |= {"format": format, "rows": shape[0], "cols": shape[1], "group_size": GROUP_SIZE}
    return _core.PackedMatrix.from_parts(parts | {"lines": lines})


def _stored_scales(
    scales: np.ndarray, format: str, double_quant: bool
) -> tuple[dict[str, Any], np.ndarray]:
    """The parts of a matrix that store scales [rows, groups], and what these stand for.

    A column of zeros with as many rows as there are scales carries them through the kernel.
    """
    column = quantize_to(
        np.zeros((scales.size, 1), np.float32), scales.reshape(-1, 1), format, None, double_quant
    )
    parts = column.parts()
    kept = {name: parts[name] for name in parts if "scale" in name or name == "double_quant"}
    for name in ("scales", "scale_codes"):
        if name in kept:
            kept[name] = pack_scales(kept[name][: scales.size].reshape(scales.shape))
    return kept, column.scales().reshape(scales.shape)


def _by_row(packed: _core.PackedMatrix) -> Any:
    """The same rows one after the other, where there is a layout for that."""
    return _core.Int4Rows(packed) if _core.Int4Rows.fits(packed) else packed


def _as_ids(ids: Any) -> np.ndarray:
    """Ids as int32 or int64; what does not fit becomes one that is refused, never wrapped round."""
    array = np.asarray(ids)
    if array.dtype.kind not in "iu":
        if array.size:
            raise TypeError(f"Embedding: ids have dtype {array.dtype}; pass integers")
        array = array.astype(np.int32)
    if array.dtype == np.uint64:
        array = np.minimum(array, np.uint64(np.iinfo(np.int64).max))
    return np.ascontiguousarray(array, np.int32 if array.dtype == np.int32 else np.int64)


def _as_bags(function: str, ids: Any, indptr: Any, mode: str, weights: Any) -> tuple[Any, ...]:
    """Ids, indptr, mode and weights as the kernels take them."""
    bounds = np.asarray(indptr)
    if bounds.dtype.kind not in "iu":
        raise TypeError(f"{function}: indptr has dtype {bounds.dtype}; pass integers")
    factors = None if weights is None else as_float32(weights, function, "weights").reshape(-1)
    flat = _as_ids(ids).reshape(-1)
    return flat, np.ascontiguousarray(bounds, np.int64), mode, factors
