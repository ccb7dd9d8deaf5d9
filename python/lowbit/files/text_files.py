"""Texts of files that may be larger than memory, some at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowbit.errors import FileFormatError
from lowbit.files.untrusted import open_regular
from lowbit.tokenizers.sampling import seed_of_batch

if TYPE_CHECKING:
    from lowbit.tokenizers.encoding import Batch
    from lowbit.tokenizers.tokenizer import Tokenizer

UNITS = ("line", "document")


def read_texts(
    paths: Iterable[Path], unit: str, batch_bytes: int
) -> Iterator[tuple[Path, int, list[str]]]:
    """The texts of some files, in order.

    Parameters
    ----------
    unit
        "line": every line is a text, without the newline or carriage return and newline at its
        end; "document": every file is.
    batch_bytes
        About how many bytes come at a time; a longer line or file comes whole.

    Yields
    ------
    path, size, texts
        The file that was read last, how many bytes were read since the yield before, and texts.

    Raises
    ------
    FileFormatError
        If a file is not UTF-8; names the file and the byte.
    """
    if unit == "line":
        for path in paths:
            yield from _lines(path, batch_bytes)
    else:
        yield from _documents(paths, batch_bytes)


def _documents(paths: Iterable[Path], batch_bytes: int) -> Iterator[tuple[Path, int, list[str]]]:
    texts: list[str] = []
    size = 0
    for path in paths:
        with open_regular(path) as file:
            data = file.read()
        texts.append(_decode(data, path, 0))
        size += len(data)
        if size >= batch_bytes:
            yield path, size, texts
            texts, size = [], 0
    if texts:
        yield path, size, texts


def _lines(path: Path, batch_bytes: int) -> Iterator[tuple[Path, int, list[str]]]:
    with open_regular(path) as file:
        pending: list[bytes] = []
        done = 0
        while chunk := file.read(batch_bytes):
            cut = chunk.rfind(b"\n") + 1
            pending.append(chunk[:cut] if cut else chunk)
            if cut:
                data = b"".join(pending)
                yield path, len(data), split_lines(_decode(data, path, done))
                done += len(data)
                pending = [chunk[cut:]]
        data = b"".join(pending)
        if data:
            yield path, len(data), split_lines(_decode(data, path, done))


def _decode(data: bytes, path: Path, start: int) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileFormatError(
            f"{path}: byte {start + error.start} is not UTF-8: {error.reason}"
        ) from None


def split_lines(text: str) -> list[str]:
    """Lines without their ends, which are newlines or carriage returns and newlines.

    Examples
    --------
    >>> split_lines("a\\r\\n\\nb")
    ['a', '', 'b']
    """
    # Not splitlines(): it would also break a line at the rarer Unicode separators.
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines] if "\r" in text else lines


def encode_files(
    tokenizer: Tokenizer,
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    unit: str,
    batch_bytes: int,
    progress: bool,
    arguments: dict[str, Any],
) -> Iterator[Batch]:
    """See `Tokenizer.encode_files`."""
    if unit not in UNITS:
        raise ValueError(f'Tokenizer.encode_files: unit="{unit}" is not {" or ".join(UNITS)}')
    if batch_bytes < 1:
        raise ValueError(f"Tokenizer.encode_files: batch_bytes={batch_bytes} must be at least 1")
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    files = [Path(path) for path in paths]
    tokenizer.encode_batch([], **arguments)  # so that a wrong argument is told at once
    return _encoded(tokenizer, files, unit, batch_bytes, progress, arguments)


def _encoded(
    tokenizer: Tokenizer,
    files: list[Path],
    unit: str,
    batch_bytes: int,
    progress: bool,
    arguments: dict[str, Any],
) -> Iterator[Batch]:
    total = sum(path.stat().st_size for path in files) if progress else 0
    done = 0
    seed = arguments.get("seed")
    for number, (path, size, texts) in enumerate(read_texts(files, unit, batch_bytes)):
        if seed is not None:
            arguments = {**arguments, "seed": seed_of_batch(seed, number)}
        try:
            batch = tokenizer.encode_batch(texts, **arguments)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        done += size
        if progress:
            end = "\n" if done == total else ""
            print(f"\rencoding: {done} of {total} bytes", end=end, file=sys.stderr, flush=True)
        yield batch
