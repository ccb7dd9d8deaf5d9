"""Product-quantized rows (Jegou et al., 2011) as fastText's .ftz files have them.

    byte norms; int64 rows, columns; int32 codes; uint8 codes of each row, one for every part of it
    int32 columns, parts, width of a part, of the last part; float32 centroids of each part, 256 of
        its width
    with norms: uint8 for each row; int32 1, 1, 1, 1; float32 256 norms

A row is the centroids that its codes name, one behind the other, times its norm. Everything is
little endian. Source: facebookresearch/fastText, src/quantmatrix.cc and productquantizer.cc.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from lowbit.errors import FileFormatError

HEAD = struct.Struct("<?2qi")
QUANTIZER = struct.Struct("<4i")
CENTROIDS = 256
WIDEST_PART = 64  # values, of which a byte may become so many


def read_quantized_rows(
    take: Callable[[int], bytes], source: str, shape: tuple[int, int]
) -> np.ndarray:
    """The rows of a matrix that must have this shape, float32.

    Parameters
    ----------
    take
        The next so many bytes of the file, or FileFormatError.
    source
        For messages.
    shape
        Rows and columns.

    Raises
    ------
    FileFormatError
        A rule is broken.
    """
    has_norms, *found, size = HEAD.unpack(take(HEAD.size))
    if tuple(found) != shape:
        raise FileFormatError(
            f"{source}: has {found[0]} rows of {found[1]}, expected {shape[0]} of {shape[1]}"
        )
    rows, columns = shape
    parts = size // rows
    if size != rows * parts or not columns <= WIDEST_PART * parts <= WIDEST_PART * columns:
        raise FileFormatError(f"{source}: {size} codes for {rows} rows of {columns}")
    codes = np.frombuffer(take(size), np.uint8).reshape(rows, parts)
    table = np.empty(shape, np.float32)
    begin = 0
    for part, centroids in enumerate(_read_centroids(take, source, columns, parts)):
        end = begin + centroids.shape[1]
        table[:, begin:end] = centroids[codes[:, part]]
        begin = end
    if has_norms:
        codes = np.frombuffer(take(rows), np.uint8)
        table *= _read_centroids(take, source, 1, 1)[0][codes]
    return table


def _read_centroids(
    take: Callable[[int], bytes], source: str, columns: int, parts: int
) -> list[np.ndarray]:
    """Of each part, [256, its width]."""
    found = QUANTIZER.unpack(take(QUANTIZER.size))
    width, last = found[2:]
    fits = found[:2] == (columns, parts) and 1 <= last <= width <= WIDEST_PART
    if not fits or width * (parts - 1) + last != columns:
        raise FileFormatError(
            f"{source}: {found[1]} parts of {width} and {last} values are no {columns} columns in "
            f"{parts} parts"
        )
    widths = [width] * (parts - 1) + [last]
    return [
        np.frombuffer(take(4 * CENTROIDS * w), "<f4").reshape(CENTROIDS, w).astype(np.float32)
        for w in widths
    ]
