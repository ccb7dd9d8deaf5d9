"""An embedding table in rows of float32, bfloat16, float16 or int8, or packed in four bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lowbit import _core
from lowbit.arrays import as_float32, bf16_to_float32, float32_to_bf16, float32_to_fp16
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
        "fp32"; "bf16" or "fp16", half the size; "int8", a quarter, with one scale a row; "nf4",
        "int4", "fp4" or "mxfp4", an eighth, with a searched scale for every 64 columns ("nf4" has
        them in 8 bits).
        Rows in four bits lie 16 side by side, so looking one up takes longer.

    Examples
    --------
    >>> import numpy as np
    >>> embedding = Embedding(np.eye(4, 3), format="int8")
    >>> embedding(np.array([2, 0])).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    >>> embedding.pool(np.array([0, 1, 2]), np.array([0, 2, 3]), mode="mean").tolist()
    [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
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
            self._rows, self._scales = np.empty(shape, np.int8), np.empty(shape[0], np.float32)
            for first, end in row_chunks(*shape):
                codes, scales = _core.quantize_rows_int8(read(first, end))
                self._rows[first:end], self._scales[first:end] = codes, scales
        elif format in _WORDS:
            dtype, convert = _WORDS[format]
            self._rows = np.empty(shape, dtype)
            for first, end in row_chunks(*shape):
                self._rows[first:end] = convert(read(first, end))
        else:
            self._rows = _packed(read, shape, format)

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
        self.format, self._rows, self._scales = table.format, table._packed, None
        if table.format == "int8" and table.scales().shape[1] == 1:
            self._rows, self._scales = table.codes(), table.scales()[:, 0].copy()
        return self

    def stored(self) -> Any:
        """The table as a checkpoint keeps it: a packed matrix, or rows in their own type."""
        if self._scales is not None:
            packed = QuantizedMatrix.from_codes("int8", self._rows, self._scales[:, None], None)
            return packed._packed
        return self._rows

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
        if self._scales is not None:
            return self._rows.astype(np.float32) * self._scales[:, None]
        return self._rows.astype(np.float32, copy=False)

    def __call__(self, ids: Any) -> np.ndarray:
        """The rows of `ids` [...], float32 [..., dim].

        Raises
        ------
        TypeError
            If ids are not integers.
        IndexError
            If an id is no row; the message says which.
        """
        indices = _as_ids(ids, self.shape[0])
        rows = _core.embed(self._rows, self._scales, indices.reshape(-1))
        return rows.reshape(*indices.shape, self.shape[1])

    def first_rows(self, count: int) -> np.ndarray:
        """The rows 0 to count, float32 [count, dim] or, where nothing is decoded, all there are."""
        return self._rows if self.format == "fp32" else self(np.arange(count))

    def pool(self, ids: Any, indptr: Any, mode: str = "mean") -> np.ndarray:
        """One vector per bag of ids.

        Parameters
        ----------
        ids
            Flat ids of all bags.
        indptr
            [bags + 1]: bag b is ids[indptr[b]:indptr[b + 1]]; an empty bag gives zeros.
        mode
            "mean" or "sum".
        """
        if mode not in ("mean", "sum"):
            raise ValueError(f'Embedding.pool: mode="{mode}" is not known; use "mean" or "sum"')
        rows = self(np.asarray(ids).reshape(-1))
        return _core.pool(rows, np.ascontiguousarray(indptr, np.int64), mode)

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


def _as_ids(ids: Any, rows: int) -> np.ndarray:
    """Ids as int32; what does not fit is refused, never wrapped round."""
    array = np.asarray(ids)
    if array.dtype.kind not in "iu":
        if array.size:
            raise TypeError(f"Embedding: ids have dtype {array.dtype}; pass integers")
        array = array.astype(np.int32)
    flat = array.reshape(-1)
    wrong = np.nonzero((flat < 0) | (flat >= rows))[0]
    if len(wrong):
        raise IndexError(
            f"Embedding: id {flat[wrong[0]]} at position {wrong[0]} is not between 0 and {rows - 1}"
        )
    return np.ascontiguousarray(array, np.int32)
