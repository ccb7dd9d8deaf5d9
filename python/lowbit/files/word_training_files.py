"""The training of word vectors inside a safetensors file, beside words, vectors and counts.

metadata "training"   JSON: settings, the place to go on at, a checksum of the corpus
targets               F32 [words, dim], of hierarchical softmax [words - 1, dim], of GloVe
                      [words, 4, dim + 2]
tree_counts           I64 [words], of hierarchical softmax
word_rows             F32 [words, dim], of fastText, whose vectors are means; and
ngram_rows, buckets   F32 [n, dim], I32 [n] rising: rows of n-grams
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lowbit.embeddings.glove_settings import GloveSettings
from lowbit.embeddings.subwords import SubwordTable
from lowbit.embeddings.word_settings import TrainingState, state_from_json
from lowbit.errors import FileFormatError
from lowbit.files.safetensors import SafetensorsFile
from lowbit.files.untrusted import shorten

LARGEST_TOTAL = 1 << 61  # of counts


def training_tensors(state: TrainingState, subwords: SubwordTable | None) -> dict[str, np.ndarray]:
    """The tensors of a training."""
    tensors = {"targets": np.asarray(state.targets, np.float32)}
    if state.tree_counts is not None:
        tensors["tree_counts"] = np.asarray(state.tree_counts, np.int64)
    if subwords is not None:
        tensors["word_rows"] = subwords.word_rows
        tensors["ngram_rows"] = subwords.ngram_rows
        tensors["buckets"] = np.asarray(subwords.buckets, np.int32)
    return tensors


def read_rows(file: SafetensorsFile, name: str, mapped: bool) -> np.ndarray:
    """A matrix of float32, which stays in the file if it is mapped."""
    entry = file.tensors[name]
    if mapped and all(entry.shape):
        return np.memmap(file.path, "<f4", "r", entry.begin, entry.shape)
    return file.read(name)


class Training(NamedTuple):
    """Both are None where the file has none."""

    state: TrainingState | None = None
    subwords: SubwordTable | None = None


def read_training(file: SafetensorsFile, mapped: bool) -> Training:
    """The training in a file whose `vectors` have been checked.

    Raises
    ------
    FileFormatError
        A rule is broken.
    """
    text = file.metadata.get("training")
    if text is None:
        return Training()
    try:
        read = state_from_json(text)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(
            f"{file.path}: the training {shorten(text)} is not one: {shorten(str(error))}"
        ) from None
    rows, dim = file.tensors["vectors"].shape
    shape = read["settings"].targets_shape(rows, dim)
    _require(file, "targets", "F32", len(shape))
    if file.tensors["targets"].shape != shape:
        got = file.tensors["targets"].shape
        raise FileFormatError(f"{file.path}: targets of shape {got} do not fit; expected {shape}")
    tree_counts = None
    if "tree_counts" in file.tensors:
        _require(file, "tree_counts", "I64", 1)
        tree_counts = file.read("tree_counts")
    targets = read_rows(file, "targets", mapped)
    if isinstance(read["settings"], GloveSettings) and not mapped:
        _check_glove(targets, file.path)
    state = TrainingState(targets=targets, tree_counts=tree_counts, **read)
    if state.settings.has_tree:
        _check_tree(tree_counts, rows, file.path)
    subwords = _read_subwords(file, state, mapped) if state.settings.has_subwords else None
    return Training(state, subwords)


def _require(file: SafetensorsFile, name: str, dtype: str, dims: int) -> None:
    entry = file.tensors.get(name)
    if entry is None or entry.dtype != dtype or len(entry.shape) != dims:
        raise FileFormatError(f"{file.path}: needs a {dims}-dimensional {name!r} of {dtype}")


def _check_glove(table: np.ndarray, path: str) -> None:
    # Where a number is none, the least and the largest are none.
    least, most = table.min(initial=1), table.max(initial=1)
    if not (np.isfinite(least) and np.isfinite(most)):
        raise FileFormatError(f"{path}: a number of targets is infinite or none")
    if table[:, 2:].min(initial=1) < 1:
        raise FileFormatError(f"{path}: sums of squares in targets must be at least 1")
    if (table[:, 0, -1] != 1).any() or (table[:, 1, -2] != 1).any():
        raise FileFormatError(f"{path}: targets must have ones beside their biases")


def _check_tree(counts: np.ndarray | None, rows: int, path: str) -> None:
    fits = counts is not None and len(counts) == rows >= 2
    if not fits or counts[-1] < 0 or (counts[1:] > counts[:-1]).any():
        raise FileFormatError(f"{path}: tree_counts must be {rows} counts that do not rise")
    if counts.astype(np.float64).sum() > LARGEST_TOTAL:
        raise FileFormatError(f"{path}: tree_counts add up to more than {LARGEST_TOTAL}")


def _read_subwords(file: SafetensorsFile, state: TrainingState, mapped: bool) -> SubwordTable:
    for name, dtype, dims in (("word_rows", "F32", 2), ("ngram_rows", "F32", 2)):
        _require(file, name, dtype, dims)
    _require(file, "buckets", "I32", 1)
    buckets, settings = file.read("buckets"), state.settings
    shortest, longest = settings.ngrams
    if not 1 <= shortest <= longest <= 100 or not 1 <= settings.buckets < 1 << 31:
        raise FileFormatError(
            f"{file.path}: n-grams of {settings.ngrams} characters in {settings.buckets} buckets"
        )
    rising = len(buckets) == 0 or (buckets[0] >= 0 and buckets[-1] < settings.buckets)
    if not rising or (buckets[1:] <= buckets[:-1]).any():
        raise FileFormatError(f"{file.path}: buckets must rise and be below {settings.buckets}")
    shape = file.tensors["vectors"].shape
    if file.tensors["word_rows"].shape != shape or file.tensors["ngram_rows"].shape != (
        len(buckets),
        shape[1],
    ):
        raise FileFormatError(f"{file.path}: rows of n-grams do not fit to the vectors {shape}")
    rows = read_rows(file, "word_rows", mapped), read_rows(file, "ngram_rows", mapped)
    return SubwordTable(*rows, buckets, settings.ngrams, settings.buckets)
