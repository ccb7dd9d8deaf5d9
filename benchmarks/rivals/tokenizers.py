"""Tokenizers of other libraries: a file read, many texts encoded on one thread, ids as NumPy.

A class each, whose constructor reads the file or raises: ImportError where the library is missing,
`Unsupported` where it has no such format. Threads are those of the environment: RAYON_NUM_THREADS,
set before the first batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

Ids = np.ndarray


class Unsupported(ValueError):
    """The library cannot read this file."""


def flat(ids: Sequence[Sequence[int]]) -> Ids:
    """Lists of ids as one array, int32."""
    return np.fromiter(chain.from_iterable(ids), np.int32)


class Tokenizers:
    """Hugging Face's library."""

    name = "tokenizers"

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer

        if path.suffix != ".json":
            raise Unsupported
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def encode(self, texts: list[str]) -> Ids:
        found = self._tokenizer.encode_batch_fast(texts)
        return flat([e.ids for e in found])

    def decode(self, ids: Ids) -> str:
        return self._tokenizer.decode(ids.tolist(), skip_special_tokens=False)


class Gigatoken:
    """marcelroed/gigatoken."""

    name = "gigatoken"

    def __init__(self, path: Path) -> None:
        import gigatoken

        try:
            self._tokenizer = gigatoken.Tokenizer(path)
        except Exception as error:  # its own, of several kinds
            raise Unsupported from error

    def encode(self, texts: list[str]) -> Ids:
        import awkward

        rows = self._tokenizer.encode_batch(texts, parallel=False)
        return awkward.to_numpy(awkward.flatten(rows, axis=1)).astype(np.int32, copy=False)

    def decode(self, ids: Ids) -> str:
        text = self._tokenizer.decode(ids.astype(np.uint32))
        return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


class Splintr:
    """ml-rust/splintr, the package splintr-rs."""

    name = "splintr"

    def __init__(self, path: Path) -> None:
        import splintr

        if path.suffix != ".json":
            raise Unsupported
        self._tokenizer = splintr.from_json(str(path))

    def encode(self, texts: list[str]) -> Ids:
        ids, _ = self._tokenizer.encode_batch_flat(texts)
        return np.frombuffer(ids, np.uint32).astype(np.int32, copy=False)

    def decode(self, ids: Ids) -> str:
        return self._tokenizer.decode(ids.tolist())


class Tiktoken:
    """OpenAI's library, with the patterns that lowbit knows the file's by."""

    name = "tiktoken"

    def __init__(self, path: Path) -> None:
        import tiktoken
        from tiktoken.load import load_tiktoken_bpe

        from lowbit.tokenizers.patterns import CL100K

        if path.suffix != ".tiktoken":
            raise Unsupported
        self._encoding: Any = tiktoken.Encoding(
            path.stem,
            pat_str=CL100K,
            mergeable_ranks=load_tiktoken_bpe(str(path)),
            special_tokens={"<|endoftext|>": 100257},
        )

    def encode(self, texts: list[str]) -> Ids:
        arrays = [self._encoding.encode_to_numpy(text, disallowed_special=()) for text in texts]
        return np.concatenate(arrays).astype(np.int32)

    def decode(self, ids: Ids) -> str:
        return self._encoding.decode(ids.tolist())


class Sentencepiece:
    """Google's library."""

    name = "sentencepiece"

    def __init__(self, path: Path) -> None:
        import sentencepiece

        if path.suffix != ".model":
            raise Unsupported
        self._processor = sentencepiece.SentencePieceProcessor(model_file=str(path))

    def encode(self, texts: list[str]) -> Ids:
        add_bos = self._processor.bos_id() >= 0
        return flat(self._processor.encode(texts, num_threads=1, add_bos=add_bos))

    def decode(self, ids: Ids) -> str:
        return self._processor.decode(ids.tolist())


RIVALS = (Gigatoken, Splintr, Tiktoken, Sentencepiece, Tokenizers)
