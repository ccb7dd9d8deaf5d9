"""Files of ids: .npz with ids and indptr, .npy with ids, numbers in a text."""

from __future__ import annotations

import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from lowbit.errors import FileFormatError
from lowbit.files import replace_file
from lowbit.files.untrusted import open_regular, shorten


class IdsFile:
    """A file of ids that may be more than the memory holds; there when all of it is written.

    Examples
    --------
    >>> path = Path(tempfile.mkdtemp()) / "ids.npz"
    >>> with IdsFile(path) as file:
    ...     file.write(np.array([5, 6, 7], np.int32), np.array([1, 2]))
    >>> read_ids(str(path))[1].tolist()
    [0, 1, 3]
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._lengths: list[np.ndarray] = []
        self._count = 0

    def __enter__(self) -> IdsFile:
        # How many ids there are is told before them, so they wait in a file without a name.
        self._ids = tempfile.TemporaryFile(dir=self._path.parent)
        return self

    def write(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        """Add ids, and the lengths of the texts that end with them."""
        self._ids.write(np.ascontiguousarray(ids, np.int32).data)
        self._count += len(ids)
        self._lengths.append(lengths)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._ids:
            if kind is None:
                self._finish()

    def _finish(self) -> None:
        with replace_file(self._path) as target:
            if self._path.suffix == ".npy":
                self._copy_ids(target)
                return
            indptr = np.zeros(1 + sum(map(len, self._lengths)), np.int64)
            np.cumsum(np.concatenate([*self._lengths, indptr[:0]]), out=indptr[1:])
            with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
                with archive.open("ids.npy", "w", force_zip64=True) as entry:
                    self._copy_ids(entry)
                with archive.open("indptr.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, indptr, allow_pickle=False)

    def _copy_ids(self, target: BinaryIO) -> None:
        header = {"descr": "<i4", "fortran_order": False, "shape": (self._count,)}
        np.lib.format.write_array_header_1_0(target, header)
        self._ids.seek(0)
        shutil.copyfileobj(self._ids, target, 1 << 20)


def read_ids(path: str) -> tuple[np.ndarray, np.ndarray]:
    """The ids of a file and where its texts begin.

    Parameters
    ----------
    path
        A .npz with `ids` and, for several texts, `indptr`; a .npy; or a text of whole numbers with
        a line for each text, also on standard input for "-".

    Returns
    -------
    ids, indptr
        int64 [M] and [B + 1].

    Raises
    ------
    OSError
        It cannot be read.
    FileFormatError
        It is broken or has something else.
    """
    if path == "-":
        return _parse(sys.stdin.buffer.read(), "standard input")
    with open_regular(path) as stream:
        if Path(path).suffix not in (".npz", ".npy"):
            return _parse(stream.read(), path)
        try:
            loaded = np.load(stream, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                ids, indptr = loaded, np.array([0, loaded.size])
            else:
                ids = loaded["ids"]
                indptr = loaded["indptr"] if "indptr" in loaded else np.array([0, ids.size])
        except (ValueError, KeyError, EOFError, SyntaxError, zipfile.BadZipFile) as error:
            raise FileFormatError(f"{path}: no ids: {error}") from None
    for name, array in (("ids", ids), ("indptr", indptr)):
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise FileFormatError(
                f"{path}: {name} must be whole numbers in one dimension; got {array.dtype} of "
                f"shape {array.shape}"
            )
    indptr = indptr.astype(np.int64)
    if not len(indptr) or indptr[0] != 0 or indptr[-1] != ids.size or (np.diff(indptr) < 0).any():
        raise FileFormatError(f"{path}: indptr must rise from 0 to the number of ids, {ids.size}")
    return ids.astype(np.int64), indptr


def _parse(data: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    ids: list[int] = []
    indptr = [0]
    for number, line in enumerate(data.splitlines(), start=1):
        for word in line.split():
            if not word.isdigit() or len(word) > 10:
                raise FileFormatError(
                    f"{name}, line {number}: ids are whole numbers; got {shorten(word)[1:]}"
                )
            ids.append(int(word))
        indptr.append(len(ids))
    return np.array(ids, np.int64), np.array(indptr, np.int64)
