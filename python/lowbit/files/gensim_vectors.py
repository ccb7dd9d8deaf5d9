"""Word vectors that gensim 4 has saved: KeyedVectors, and those of Word2Vec, FastText and Doc2Vec.

`save` writes a pickle, and arrays of 10 MB and more as .npy files beside it. The pickle is read as
a description (`pickle_stream`): nothing that it names is imported or called. What counts in it:

    index_to_key     list of words
    vectors          floats [words, dim]; in NAME.vectors.npy if the list `__numpys` has "vectors"
    expandos         dictionary: "count" has how often each word occurs
    vectors_vocab    FastText has rows of words, of n-grams (vectors_ngrams), and min_n, max_n and
                     bucket in place of vectors
    wv               of whole models: the object with all of these; arrays in NAME.wv.vectors.npy
"""

from __future__ import annotations

import math
import os
import re
from io import BufferedReader
from mmap import ACCESS_READ
from mmap import mmap as map_file
from typing import Any, NoReturn

import numpy as np

from lowbit.embeddings.subwords import SubwordTable
from lowbit.errors import FileFormatError
from lowbit.files.pickle_stream import Described, Name, read_pickle
from lowbit.files.untrusted import open_regular

NPY_START = re.compile(rb"\x93NUMPY(?:\x01\0..|[\x02\x03]\0....)", re.DOTALL)
NPY_HEADER = re.compile(
    rb"\{'descr': '([<>|][fiu]\d)', 'fortran_order': (True|False), "
    rb"'shape': \((\d{1,12}), (\d{1,12})\), \} *\n"
)
ELEMENTS = re.compile(r"[<>|=]?[fiu][1248]")
RECONSTRUCT = {Name(f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")}
FROM_BUFFER = {Name(f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")}
ENCODE = Name("_codecs", "encode")
DTYPE = Name("numpy", "dtype")
LONGEST_NGRAM = 100
MOST = 1 << 40
"""Rows or columns."""


def is_gensim_pickle(start: bytes) -> bool:
    """Whether a file begins as a pickle of gensim does.

    Examples
    --------
    >>> is_gensim_pickle(b"\\x80\\x04\\x95...gensim.models.keyedvectors"), is_gensim_pickle(b"3 4")
    (True, False)
    """
    return start[:1] == b"\x80" and b"gensim.models." in start[:64]


def read_gensim(
    path: str | os.PathLike[str], mmap: bool = False
) -> tuple[list[str], np.ndarray, np.ndarray | None, SubwordTable | None]:
    """Words, their vectors, their counts and, from FastText, where others come from.

    Parameters
    ----------
    path
        The pickle; .npy files are sought beside it.
    mmap
        Leave the vectors, or FastText's rows of n-grams, in their .npy file.

    Raises
    ------
    FileFormatError
        The pickle or an array is broken, or no word vectors of gensim 4.
    FileNotFoundError
        An array is missing.
    ValueError
        If what is to be mapped is inside the pickle, or is no float32.
    """
    saved = _Saved.read(path)
    words = saved.words()
    if "vectors_ngrams" in saved.names:
        known, ngrams = saved.rows("vectors_vocab"), saved.rows("vectors_ngrams", mmap)
        parts = saved.subwords(known, ngrams)
        vectors = parts.known_vectors(words) if len(known) == len(words) and len(ngrams) else known
    else:
        vectors, parts = saved.rows("vectors", mmap), None
    if len(vectors) != len(words) or not vectors.shape[1]:
        saved.refuse(f"{len(words)} words have vectors of shape {vectors.shape}")
    if not mmap and not np.isfinite(vectors).all():
        saved.refuse("a number is infinite or none")
    return words, vectors, saved.counts(len(words)), parts


class _Saved:
    """The state of a saved object, and where its arrays are."""

    def __init__(self, source: str, described: Any) -> None:
        self._source = source
        self._state: dict[Any, Any] = {}
        known = isinstance(described, Described) and described.what.module.startswith("gensim.")
        if not known or not isinstance(described.state, dict):
            self.refuse("describes no object of gensim")
        self._state = described.state
        beside = self._state.get("__numpys")
        self._beside = beside if isinstance(beside, list) else []
        self.names = {*self._state, *(name for name in self._beside if isinstance(name, str))}

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> _Saved:
        source = os.fspath(path)
        with BufferedReader(open_regular(path)) as file:
            if not os.fstat(file.fileno()).st_size:
                raise FileFormatError(f"{source}: the file is empty")
            with map_file(file.fileno(), 0, access=ACCESS_READ) as data:
                described = read_pickle(data, source)
        whole = cls(source, described)
        return cls(f"{source}.wv", whole._state["wv"]) if "wv" in whole._state else whole

    def refuse(self, rule: str) -> NoReturn:
        raise FileFormatError(f"{self._source}: {rule}")

    def words(self) -> list[str]:
        words = self._state.get("index_to_key")
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            self.refuse("has no index_to_key of words, as gensim 4 has")
        if not words or len(set(words)) != len(words):
            self.refuse("there are no words, or one comes twice")
        return words

    def counts(self, words: int) -> np.ndarray | None:
        expandos = self._state.get("expandos")
        if not isinstance(expandos, dict) or "count" not in expandos:
            return None
        counts = self._inline(expandos["count"], "count")
        if counts.shape != (words,) or counts.dtype.kind not in "iu" or (counts < 0).any():
            self.refuse(f"counts are {counts.dtype} of shape {counts.shape}")
        return counts.astype(np.int64)

    def rows(self, name: str, mapped: bool = False) -> np.ndarray:
        """An array [rows, dim] as float32."""
        if name in self._beside:
            array = _read_npy(f"{self._source}.{name}.npy")
        elif mapped:
            raise ValueError(
                f"read_word_vectors: {name} of {self._source} is inside the pickle, and only an "
                "array in a file of its own can be mapped; leave mmap out"
            )
        else:
            array = self._inline(self._state.get(name), name)
        if array.ndim != 2 or array.dtype.kind != "f":
            self.refuse(f"{name} is {array.dtype} of shape {array.shape}, not rows of floats")
        if mapped and array.dtype != np.float32:
            raise ValueError(f"read_word_vectors: {name} is {array.dtype}, which cannot be mapped")
        with np.errstate(over="ignore"):
            return array if mapped else np.array(array, np.float32, order="C")

    def subwords(self, known: np.ndarray, ngrams: np.ndarray) -> SubwordTable:
        shortest, longest, buckets = (
            self._state.get(name) for name in ("min_n", "max_n", "bucket")
        )
        sizes = (shortest, longest, buckets)
        whole = all(type(size) is int for size in sizes) and 0 <= shortest <= LONGEST_NGRAM
        if not whole or not 0 <= longest <= LONGEST_NGRAM or buckets != len(ngrams):
            self.refuse(f"{len(ngrams)} rows of n-grams are not as many as min_n to max_n need")
        if self._state.get("compatible_hash") is not True or known.shape[1:] != ngrams.shape[1:]:
            self.refuse("n-grams are hashed as before gensim 3.8, or have another dim")
        ends = (max(shortest, 1), longest) if 1 <= shortest <= longest else (1, 1)
        return SubwordTable(
            known, ngrams, np.arange(buckets, dtype=np.int32), ends, max(buckets, 1)
        )

    def _inline(self, value: Any, name: str) -> np.ndarray:
        """An array that the pickle describes."""
        if not isinstance(value, Described):
            value = Described(Name("", ""), ())
        state, arguments = value.state, value.arguments
        if value.what in RECONSTRUCT and isinstance(state, tuple) and len(state) == 5:
            _, shape, dtype, fortran, data = state
        elif value.what in FROM_BUFFER and len(arguments) == 4:  # of protocol 5
            data, dtype, shape, order = arguments
            fortran = order == "F"
        else:
            self.refuse(f"{name} is no array of numbers")
        return self._array(name, shape, dtype, data, fortran is True)

    def _array(self, name: str, shape: Any, dtype: Any, data: Any, fortran: bool) -> np.ndarray:
        if isinstance(data, Described) and data.what == ENCODE:  # of protocol 2
            text = data.arguments[0] if data.arguments else None
            data = text.encode("latin1", "replace") if isinstance(text, str) else None
        kind = _dtype(dtype)
        sizes = isinstance(shape, tuple) and 1 <= len(shape) <= 2
        if kind is None or not sizes or not all(type(n) is int and 0 <= n < MOST for n in shape):
            self.refuse(f"{name} has no shape and type of numbers")
        if not isinstance(data, bytes) or math.prod(shape) * kind.itemsize != len(data):
            self.refuse(f"{name} does not have the bytes of {shape}")
        return np.frombuffer(data, kind).reshape(shape, order="F" if fortran else "C")


def _dtype(value: Any) -> np.dtype | None:
    """The type of elements that a pickle describes; None for any but plain numbers."""
    if not isinstance(value, Described) or value.what != DTYPE or not value.arguments:
        return None
    code, state = value.arguments[0], value.state
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
    if not isinstance(code, str) or not isinstance(order, str):
        return None
    text = order + code
    return np.dtype(text) if ELEMENTS.fullmatch(text) and text[-2:] != "f1" else None


def _read_npy(path: str) -> np.ndarray:
    """The matrix in a .npy file, mapped."""
    with BufferedReader(open_regular(path)) as file:
        size = os.fstat(file.fileno()).st_size
        start = NPY_START.match(file.read(12))
        if start is None:
            raise FileFormatError(f"{path}: is no .npy file of version 1 to 3")
        count = int.from_bytes(start[0][8:], "little")
        file.seek(start.end())
        header = NPY_HEADER.fullmatch(file.read(min(count, 1 << 16)))
    begin = start.end() + count
    if header is None or header[1][-2:] == b"f1" or header[1][-1:] not in b"1248":
        raise FileFormatError(f"{path}: the header describes no matrix of numbers")
    dtype, shape = np.dtype(header[1].decode()), (int(header[3]), int(header[4]))
    if begin + math.prod(shape) * dtype.itemsize != size:
        raise FileFormatError(f"{path}: {shape} numbers of {dtype} do not fill {size} bytes")
    if not all(shape):
        return np.zeros(shape, dtype)
    order = "F" if header[2] == b"True" else "C"
    return np.memmap(path, dtype, "r", begin, shape, order)
