"""Files of word vectors: word2vec's text and binary format, GloVe's text, safetensors; fastText's
.bin is in `fasttext_bin`, what gensim saves in `gensim_vectors`.

    text     a line "words dim"; then a line for each word: the word, a space, dim numbers with
             spaces between. fastText's .vec is this, GloVe's text has no first line.
    binary   the line "words dim"; then for each word its bytes, a space, dim little-endian float32,
             and in files of some programs a newline.

Words may hold spaces in text (numbers are counted from the end of a line). Of words that come twice
the first counts, since published files have such.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from io import BufferedReader
from itertools import pairwise
from mmap import ACCESS_READ
from mmap import mmap as map_file
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from lowbit.embeddings.subwords import SubwordTable
from lowbit.embeddings.word_settings import TrainingState
from lowbit.errors import FileFormatError
from lowbit.files.atomic import replace_file
from lowbit.files.fasttext_bin import (
    is_fasttext_bin,
    read_fasttext_bin,
    write_fasttext_bin,
)
from lowbit.files.gensim_vectors import is_gensim_pickle, read_gensim
from lowbit.files.safetensors import SafetensorsFile, write_safetensors
from lowbit.files.untrusted import open_regular, shorten
from lowbit.files.word_training_files import read_rows, read_training, training_tensors

FORMATS = ("safetensors", "text", "binary", "glove", "fasttext")
READ_FORMATS = (*FORMATS, "gensim")
MAPPED_FORMATS = ("safetensors", "fasttext", "gensim")
SUFFIXES = {".safetensors": "safetensors", ".bin": "binary", ".txt": "text", ".vec": "text"}
UTF8_ERRORS = ("strict", "replace", "ignore")
LONGEST_LINE = 1 << 24
LONGEST_WORD = 1 << 16
LARGEST_DIM = 1 << 16
TENSORS = (("vectors", "F32", 2), ("words", "U8", 1), ("word_begin", "I64", 1))
HEADER = re.compile(rb"(\d{1,12})[ \t]+(\d{1,6})[ \t]*\r?\n")


class WordTable(NamedTuple):
    """What such a file holds: words, float32 vectors [words, dim]; the others may be None."""

    words: list[str]
    vectors: np.ndarray
    counts: np.ndarray | None = None
    subwords: SubwordTable | None = None
    training: TrainingState | None = None


def read_word_vectors(
    path: str | os.PathLike[str],
    format: str | None = None,
    errors: str = "strict",
    limit: int | None = None,
    mmap: bool = False,
) -> WordTable:
    """Read a file of any of the formats.

    Parameters
    ----------
    path
        The file.
    format
        "text" (with a first line or without), "binary", "safetensors", "fasttext" or "gensim";
        None: what the first bytes say.
    errors
        For bytes of words that are not UTF-8: "strict" raises, "replace" and "ignore" do so.
    limit
        Read only the first so many words.
    mmap
        For safetensors: leave the vectors in the file, from which the system reads what is used;
        for fastText's .bin those of n-grams; for gensim's files, arrays that are beside the pickle.

    Raises
    ------
    FileFormatError
        A rule of the format is broken; says where.
    ValueError
        If the format is not known, or cannot be mapped.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "glove.txt"
    >>> _ = path.write_text("up 0 1\\ndown 0 -1\\n")
    >>> table = read_word_vectors(path)
    >>> table.words, table.vectors.tolist()
    (['up', 'down'], [[0.0, 1.0], [0.0, -1.0]])
    """
    if errors not in UTF8_ERRORS:
        raise ValueError(f'read_word_vectors: errors="{errors}" is not one of {UTF8_ERRORS}')
    if limit is not None and limit < 1:
        raise ValueError(f"read_word_vectors: limit={limit} must be at least 1")
    with BufferedReader(open_regular(path)) as file:
        format = format or _guess(file)
        if mmap and format not in MAPPED_FORMATS:
            raise ValueError(f'read_word_vectors: format="{format}" cannot be mapped')
        if format == "binary":
            return _read_binary(file, str(path), errors, limit)
        if format in ("text", "glove"):
            return _read_text(file, str(path), errors, limit)
    if format in ("fasttext", "gensim"):
        fasttext = format == "fasttext"
        found = read_fasttext_bin(path, errors, mmap) if fasttext else read_gensim(path, mmap)
        return WordTable(*found) if limit is None else _first(WordTable(*found), limit)
    if format != "safetensors":
        raise ValueError(f'read_word_vectors: format="{format}" is not one of {READ_FORMATS}')
    return _read_safetensors(path, limit, mmap)


def _first(table: WordTable, limit: int) -> WordTable:
    words, vectors, counts = table[:3]
    return WordTable(words[:limit], vectors[:limit], None if counts is None else counts[:limit])


def write_word_vectors(
    path: str | os.PathLike[str], table: WordTable, format: str | None = None
) -> None:
    """Write a file atomically; format=None goes by its suffix: .safetensors, .bin, .txt, .vec.

    format="fasttext" is fastText's .bin, which keeps the rows of n-grams, as safetensors does with
    a training. Numbers in text have as many digits as give the same float32 again.

    Raises
    ------
    ValueError
        If the format is not known, or a word or the training cannot be written in it.
    """
    words, vectors, counts, subwords, state = table
    suffix = Path(path).suffix
    format = format or SUFFIXES.get(suffix)
    if format not in FORMATS:
        raise ValueError(
            f"write_word_vectors: no format is known for {suffix or 'no suffix'!r}; pass format="
            f"{', '.join(FORMATS)}"
        )
    if state is not None and format != "safetensors":
        raise ValueError(
            f'write_word_vectors: format="{format}" has no place for the targets and settings of a '
            'training; use "safetensors"'
        )
    if format == "fasttext":
        if subwords is None:
            raise ValueError('write_word_vectors: format="fasttext" needs vectors of n-grams')
        write_fasttext_bin(path, words, counts, subwords)
        return
    encoded = [word.encode() for word in words]
    if format == "safetensors":
        ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        tensors = {"vectors": np.asarray(vectors, np.float32), "word_begin": ends}
        tensors["words"] = np.frombuffer(b"".join(encoded), np.uint8)
        if counts is not None:
            tensors["counts"] = np.asarray(counts, np.int64)
        metadata = {"format": "lowbit word vectors"}
        if state is not None:
            tensors |= training_tensors(state, subwords)
            metadata["training"] = state.to_json()
        write_safetensors(path, tensors, metadata)
        return
    _check_writable(words, format)
    with replace_file(path) as stream:
        if format != "glove":
            stream.write(b"%d %d\n" % vectors.shape)
        for word, row in zip(encoded, np.asarray(vectors, "<f4"), strict=True):
            if format == "binary":
                stream.write(word + b" " + row.tobytes() + b"\n")
            else:
                stream.write(word + b" " + " ".join(map(str, row)).encode() + b"\n")


def _check_writable(words: list[str], format: str) -> None:
    """Words that would read back as others are refused."""
    bad = re.compile("[ \\n]" if format == "binary" else "[\\s]")
    for word in words:
        if not word or bad.search(word):
            raise ValueError(
                f'write_word_vectors: the word {word!r} cannot be written as "{format}"; use '
                '"safetensors"'
            )


def _guess(file: BinaryIO) -> str:
    """By the first bytes: safetensors' header is JSON, and text has no zeros in a binary row."""
    start = file.read(1 << 16)
    file.seek(0)
    if is_fasttext_bin(start):
        return "fasttext"
    if start[8:9] == b"{":
        return "safetensors"
    if is_gensim_pickle(start):
        return "gensim"
    header = HEADER.match(start)
    if not header:
        return "text"
    line = start[header.end() :].partition(b"\n")[0].rstrip()
    numbers = line.split(b" ")[1:]
    try:
        [float(number) for number in numbers[-int(header[2]) :]]
    except ValueError:
        return "binary"
    return "text" if len(numbers) >= int(header[2]) > 0 else "binary"


def _read_header(data: bytes, source: str) -> tuple[int, int]:
    header = HEADER.match(data)
    if not header:
        raise FileFormatError(f'{source}: expected a line "words dim"; got {shorten(data[:40])}')
    words, dim = int(header[1]), int(header[2])
    if not 1 <= dim <= LARGEST_DIM:
        raise FileFormatError(f"{source}: dim is {dim}; 1 to {LARGEST_DIM} are allowed")
    return words, dim


def _read_binary(file: BinaryIO, source: str, errors: str, limit: int | None) -> WordTable:
    size = os.fstat(file.fileno()).st_size
    if not size:
        raise FileFormatError(f"{source}: the file is empty")
    with map_file(file.fileno(), 0, access=ACCESS_READ) as data:
        count, dim = _read_header(data[:64], source)
        at = data.find(b"\n") + 1
        # A word has a byte, a space and its row.
        if count * (2 + 4 * dim) > size - at:
            raise FileFormatError(f"{source}: {count} rows of {dim} do not fit into {size} bytes")
        count = min(count, limit or count)
        table = _Collected(count, dim, errors, source)
        for number in range(count):
            space = data.find(b" ", at, at + LONGEST_WORD)
            end = space + 1 + 4 * dim
            if space < 0 or end > size:
                raise FileFormatError(f"{source}: word {number} of {count} is not complete")
            row = np.frombuffer(data[space + 1 : end], "<f4")
            table.add(data[at:space].lstrip(b"\n"), row, f"word {number}")
            at = end
    return table.done()


def _read_text(file: BinaryIO, source: str, errors: str, limit: int | None) -> WordTable:
    size = os.fstat(file.fileno()).st_size
    first = file.readline(LONGEST_LINE)
    if HEADER.fullmatch(first if first.endswith(b"\n") else first + b"\n"):
        count, dim = _read_header(first.rstrip() + b"\n", source)
        if count * (2 + 2 * dim) > size + 1:
            raise FileFormatError(f"{source}: {count} rows of {dim} do not fit into {size} bytes")
    else:
        file.seek(0)
        count, dim = -1, len(first.split()) - 1
        if not 1 <= dim <= LARGEST_DIM:
            raise FileFormatError(f"{source}, line 1: expected a word and numbers")
    # Without a header rows are collected; two bytes at least for a number bound their memory.
    most = count if count >= 0 else size // (2 + 2 * dim) + 1
    table = _Collected(min(most, limit or most), dim, errors, source)
    for number, line in _lines(file, source, 2 if count >= 0 else 1):
        if table.seen == table.room:
            break
        word, row = _split(line, dim, f"{source}, line {number}")
        table.add(word, row, f"line {number}")
    if count >= 0 and table.seen < table.room:
        raise FileFormatError(f"{source}: has {table.seen} words, its first line says {count}")
    return table.done()


def _lines(file: BinaryIO, source: str, number: int) -> Iterator[tuple[int, bytes]]:
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise FileFormatError(f"{source}, line {number}: longer than {LONGEST_LINE} bytes")
        yield number, line
        number += 1


def _split(line: bytes, dim: int, where: str) -> tuple[bytes, np.ndarray]:
    """The word and its numbers, which are counted from the end."""
    parts = line.rstrip().rsplit(b" ", dim)
    try:
        if len(parts) != dim + 1:
            raise ValueError
        with np.errstate(over="ignore"):
            return parts[0], np.array(parts[1:], np.bytes_).astype(np.float32)
    except ValueError:
        raise FileFormatError(f"{where}: expected a word and {dim} numbers") from None


class _Collected:
    """Words and rows as they come; `room` of them at most."""

    def __init__(self, room: int, dim: int, errors: str, source: str) -> None:
        self.room, self.seen = room, 0
        self._errors, self._source = errors, source
        self._index: dict[str, int] = {}
        self._vectors = np.empty((room, dim), np.float32)

    def add(self, word: bytes, row: np.ndarray, where: str) -> None:
        self.seen += 1
        try:
            text = word.decode("utf-8", self._errors)
        except UnicodeDecodeError:
            raise FileFormatError(
                f"{self._source}, {where}: the word {shorten(word)} is not UTF-8; pass "
                'errors="replace"'
            ) from None
        if not np.isfinite(row).all():
            raise FileFormatError(f"{self._source}, {where}: a number is infinite or none")
        if text not in self._index:
            self._vectors[len(self._index)] = row
            self._index[text] = len(self._index)

    def done(self) -> WordTable:
        count = len(self._index)
        if not count:
            raise FileFormatError(f"{self._source}: there are no words")
        vectors = self._vectors if count == self.room else self._vectors[:count].copy()
        return WordTable(list(self._index), vectors)


def _read_safetensors(path: str | os.PathLike[str], limit: int | None, mapped: bool) -> WordTable:
    with SafetensorsFile(path) as file:
        entries = file.tensors
        for name, dtype, dims in TENSORS:
            entry = entries.get(name)
            if entry is None or entry.dtype != dtype or len(entry.shape) != dims:
                raise FileFormatError(f"{path}: needs a {dims}-dimensional {name!r} of {dtype}")
        rows, dim = entries["vectors"].shape
        begin, text = file.read("word_begin"), file.read("words").tobytes()
        cuts = len(begin) == rows + 1 and begin[0] == 0 and begin[-1] == len(text)
        if not cuts or (begin[1:] < begin[:-1]).any():
            raise FileFormatError(f"{path}: word_begin does not cut the bytes into {rows} words")
        counts = file.read("counts") if "counts" in entries else None
        if counts is not None and (counts.dtype != np.int64 or counts.shape != (rows,)):
            raise FileFormatError(f"{path}: counts must be {rows} of I64")
        vectors = read_rows(file, "vectors", mapped)
        state, subwords = read_training(file, mapped) if limit is None else (None, None)
    rows = min(rows, limit or rows)
    words = [text[a:b] for a, b in pairwise(begin[: rows + 1])]
    try:
        decoded = [word.decode() for word in words]
    except UnicodeDecodeError:
        raise FileFormatError(f"{path}: a word is not UTF-8") from None
    if len(set(decoded)) != rows or not dim:
        raise FileFormatError(f"{path}: a word comes twice, or vectors are empty")
    counts = None if counts is None else counts[:rows]
    return WordTable(decoded, vectors[:rows], counts, subwords, state)
