"""fastText's .bin and .ftz: words, n-grams and their rows (version 12, of 2017 and later).

    int32 magic, int32 version
    int32 dim, window, epochs, min count, negatives, word n-grams, loss, model, buckets, shortest,
          longest n-gram, update rate; float64 sample
    int32 entries, words, labels; int64 tokens, int64 pruned (-1)
    for each entry: its bytes, a zero byte, int64 count, int8 kind (0 word, 1 label)
    for each n-gram that was not pruned, if pruned is not -1: int32 bucket, int32 its row
    byte quantized; int64 rows, columns; float32 rows of the words, then of the buckets, or of what
        is left of them; for a quantized matrix what `fasttext_quantized` says
    byte quantized; int64 rows, columns; float32 rows of the targets

Everything is little endian. Source: facebookresearch/fastText, src/fasttext.cc and dictionary.cc.
"""

from __future__ import annotations

import os
import struct
from io import BufferedReader

import numpy as np

from lowbit.embeddings.subwords import SubwordTable
from lowbit.errors import FileFormatError
from lowbit.files.atomic import replace_file
from lowbit.files.fasttext_quantized import read_quantized_rows
from lowbit.files.untrusted import open_regular, shorten

MAGIC, VERSION = 793712314, 12
ARGUMENTS = struct.Struct("<12id")
SIZES = struct.Struct("<3i2q")
LONGEST_WORD = 1 << 16
LARGEST_DIM = 1 << 16
LARGEST_READ = 1 << 16
ROWS_AT_ONCE = 1 << 14
NEGATIVE_SAMPLING, SKIPGRAM = 2, 2
KIND_WORD = 0


def is_fasttext_bin(start: bytes) -> bool:
    """Whether a file begins as a .bin of fastText does."""
    return start[:4] == MAGIC.to_bytes(4, "little")


def read_fasttext_bin(
    path: str | os.PathLike[str], errors: str = "strict", mmap: bool = False
) -> tuple[list[str], np.ndarray, np.ndarray, SubwordTable]:
    """Words, their vectors, their counts, and where vectors of other words come from.

    Parameters
    ----------
    path, errors
        As in `read_word_vectors`.
    mmap
        Leave the rows of n-grams in the file, of which there are 2 million as a rule; not those
        that are quantized, which become float32.

    Raises
    ------
    FileFormatError
        The file is broken, or of another version.
    """
    with BufferedReader(open_regular(path)) as file:
        source = str(path)
        size = os.fstat(file.fileno()).st_size
        head = _take(file, 8, source)
        if not is_fasttext_bin(head) or int.from_bytes(head[4:], "little") != VERSION:
            raise FileFormatError(f"{source}: is no .bin of fastText in version {VERSION}")
        dim, *_, buckets, shortest, longest, _, _ = ARGUMENTS.unpack(
            _take(file, ARGUMENTS.size, source)
        )
        if not 1 <= dim <= LARGEST_DIM or not 0 <= buckets < 1 << 31:
            raise FileFormatError(f"{source}: dim {dim} or {buckets} buckets are not allowed")
        if not 0 <= shortest <= longest <= 100 and longest != 0:
            raise FileFormatError(f"{source}: n-grams of {shortest} to {longest} characters")
        words, counts, pruned = _read_words(file, source, size, errors)
        left = _read_pruned(file, source, pruned, buckets)
        shape = len(words) + (buckets if left is None else len(left)), dim
        if _take(file, 1, source) == b"\0":
            table = _map_rows(path, file, shape)
        else:
            table = read_quantized_rows(lambda count: _take(file, count, source), source, shape)
    known, ngrams = np.array(table[: len(words)]), table[len(words) :]
    if longest == 0:  # buckets are of sequences of words
        shortest, longest, left, ngrams = 1, 1, None, ngrams[:0]
    kept = np.arange(len(ngrams), dtype=np.int32)
    if left is not None:
        kept, ngrams = left[:, 0], ngrams[left[:, 1]]
    ngrams = ngrams if mmap else np.array(ngrams)
    sizes = (max(shortest, 1), longest), max(buckets, 1)
    parts = SubwordTable(known, ngrams, kept, *sizes, left is not None)
    vectors = parts.known_vectors(words) if len(ngrams) else known
    if not np.isfinite(vectors).all():
        raise FileFormatError(f"{source}: a number is infinite or none")
    return words, vectors, counts, parts


def _map_rows(
    path: str | os.PathLike[str], file: BufferedReader, shape: tuple[int, int]
) -> np.ndarray:
    rows, columns = struct.unpack("<2q", _take(file, 16, str(path)))
    if (rows, columns) != shape or rows * columns * 4 > _left(file):
        raise FileFormatError(
            f"{path}: has {rows} rows of {columns}, expected {shape[0]} of {shape[1]}"
        )
    return np.memmap(path, "<f4", "r", file.tell(), shape)


def _read_words(
    file: BufferedReader, source: str, size: int, errors: str
) -> tuple[list[str], np.ndarray, int]:
    """Words, their counts, and how many n-grams were not pruned; -1: there was no pruning."""
    entries, count, labels, _, pruned = SIZES.unpack(_take(file, SIZES.size, source))
    # An entry has a zero byte, a count and a kind at least.
    if not 0 < count == entries - labels or labels < 0 or entries * 10 > size:
        raise FileFormatError(f"{source}: {count} words and {labels} labels of {entries} entries")
    words: dict[str, int] = {}
    for number in range(entries):
        word = _until_zero(file, f"{source}, word {number}")
        occurrences, kind = struct.unpack("<qb", _take(file, 9, source))
        if (kind == KIND_WORD) != (number < count):
            raise FileFormatError(f"{source}: words and labels are mixed")
        if kind != KIND_WORD:
            continue
        try:
            text = word.decode("utf-8", errors)
        except UnicodeDecodeError:
            raise FileFormatError(f"{source}: the word {shorten(word)} is not UTF-8") from None
        if text in words or occurrences < 0:
            raise FileFormatError(f"{source}: {shorten(text)} comes twice, or is counted below 0")
        words[text] = occurrences
    return list(words), np.array(list(words.values()), np.int64), pruned


def _read_pruned(file: BufferedReader, source: str, count: int, buckets: int) -> np.ndarray | None:
    """Buckets, rising, and rows [count, 2] of the n-grams that are left; None: all are."""
    if count < 0:
        return None
    if count > buckets:
        raise FileFormatError(f"{source}: {count} n-grams are left of {buckets}")
    pairs = np.frombuffer(_take(file, 8 * count, source), "<i4").reshape(count, 2)
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")].astype(np.int32)
    rows = np.sort(pairs[:, 1])
    if count and (pairs[0, 0] < 0 or pairs[-1, 0] >= buckets or (np.diff(pairs[:, 0]) == 0).any()):
        raise FileFormatError(f"{source}: an n-gram that is left comes twice, or has no bucket")
    if (rows != np.arange(count)).any():
        raise FileFormatError(f"{source}: n-grams that are left must have a row each")
    return pairs


def _left(file: BufferedReader) -> int:
    return os.fstat(file.fileno()).st_size - file.tell()


def _take(file: BufferedReader, count: int, source: str) -> bytes:
    # Memory for many bytes is taken only if they are there.
    data = b"" if count > LARGEST_READ and count > _left(file) else file.read(count)
    if len(data) != count:
        raise FileFormatError(f"{source}: the file ends too early")
    return data


def _until_zero(file: BufferedReader, where: str) -> bytes:
    """The bytes before the next zero byte; a buffered file looks ahead for nothing."""
    found = b""
    while len(found) <= LONGEST_WORD:
        ahead = file.peek(1)
        if not ahead:
            break
        end = ahead.find(b"\0")
        if end >= 0:
            found += file.read(end + 1)[:-1]
            return found
        found += file.read(len(ahead))
    raise FileFormatError(f"{where}: has no end, or more than {LONGEST_WORD} bytes")


def write_fasttext_bin(
    path: str | os.PathLike[str],
    words: list[str],
    counts: np.ndarray | None,
    parts: SubwordTable,
) -> None:
    """Write a .bin that fastText looks vectors up in, atomically.

    Buckets without a row are zero, and so are the targets, which only training needs.

    Raises
    ------
    ValueError
        If a word holds a zero byte, or n-grams were pruned.
    """
    if any("\0" in word for word in words):
        raise ValueError("write_fasttext_bin: a word holds a zero byte")
    if parts.pruned:
        raise ValueError(
            "write_fasttext_bin: n-grams of these vectors were pruned, which only quantized files "
            "may have; save the vectors of words in another format"
        )
    counts = np.ones(len(words), np.int64) if counts is None else counts
    dim = parts.word_rows.shape[1]
    with replace_file(path) as stream:
        stream.write(struct.pack("<2i", MAGIC, VERSION))
        sizes = (dim, 5, 5, 1, 5, 1, NEGATIVE_SAMPLING, SKIPGRAM, parts.bucket_count)
        stream.write(ARGUMENTS.pack(*sizes, *parts.ngrams, 100, 1e-4))
        stream.write(SIZES.pack(len(words), len(words), 0, int(counts.sum()), -1))
        for word, count in zip(words, counts.tolist(), strict=True):
            stream.write(word.encode() + b"\0" + struct.pack("<qb", count, KIND_WORD))
        stream.write(b"\0" + struct.pack("<2q", len(words) + parts.bucket_count, dim))
        stream.write(parts.word_rows.astype("<f4").tobytes())
        for first in range(0, parts.bucket_count, ROWS_AT_ONCE):
            last = min(first + ROWS_AT_ONCE, parts.bucket_count)
            begin, end = np.searchsorted(parts.buckets, [first, last])
            block = np.zeros((last - first, dim), "<f4")
            block[parts.buckets[begin:end] - first] = parts.ngram_rows[begin:end]
            stream.write(block.tobytes())
        stream.write(b"\0" + struct.pack("<2q", len(words), dim))
        stream.write(np.zeros((len(words), dim), "<f4").tobytes())
