"""The tokenizers library (Hugging Face), as `lowbit.Tokenizer` is called by the benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np


class Rival:
    """A tokenizer.json in the tokenizers library, without truncation and padding.

    Its threads are set by the environment: TOKENIZERS_PARALLELISM and RAYON_NUM_THREADS, before
    the first batch.
    """

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def encode_batch(self, texts: Sequence[str]) -> list:
        """Its own fastest call: no offsets are computed."""
        return self._tokenizer.encode_batch_fast(texts)

    @staticmethod
    def flat_ids(encodings: list) -> np.ndarray:
        """All ids in a row, int32, to compare with `Batch.ids`."""
        return np.concatenate([np.array(e.ids, np.int32) for e in encodings])
