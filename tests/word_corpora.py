"""Corpora for the tests of word vectors."""

from __future__ import annotations

import numpy as np


def random_lines(words: int, lines: int, seed: int = 0) -> list[str]:
    """Sentences of words whose frequencies fall as in a language."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, words + 1)
    return [
        " ".join(f"w{i}" for i in rng.choice(words, rng.integers(1, 30), p=share / share.sum()))
        for _ in range(lines)
    ]
