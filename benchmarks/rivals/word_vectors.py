"""gensim's word vectors, with the settings of lowbit's.

Each function returns what trains, once a vocabulary is there; words of it, vectors and targets come
out, and paths of words through a tree, as `lowbit.reference.word_trees` has them, or None. gensim
trains from a file, its fastest way ("corpus_file").
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Paths = list[tuple[np.ndarray, np.ndarray]]
Trained = tuple[list[str], np.ndarray, np.ndarray, Paths | None]


def gensim_analogies(
    words: list[str], vectors: np.ndarray, path: Path
) -> Callable[[], tuple[int, int]]:
    """gensim's evaluation of analogies; right answers and questions."""
    from gensim.models import KeyedVectors

    table = KeyedVectors(vectors.shape[1])
    table.add_vectors(words, vectors)

    def evaluate() -> tuple[int, int]:
        _, sections = table.evaluate_word_analogies(str(path))
        right, wrong = (len(sections[-1][kind]) for kind in ("correct", "incorrect"))
        return right, right + wrong

    return evaluate


def gensim(
    corpus: Path, method: str, settings: dict[str, Any], seed: int, threads: int
) -> tuple[int, Callable[[], Trained]]:
    """How many words the corpus has, and the training of Word2Vec or FastText."""
    from gensim.models import FastText, Word2Vec

    more = {}
    if method.startswith("fasttext"):
        more = {"min_n": 3, "max_n": 6, "bucket": settings["buckets"]}
    tree = settings["loss"] == "hierarchical_softmax"
    model = (FastText if more else Word2Vec)(
        vector_size=settings["dim"],
        window=settings["window"],
        negative=0 if tree else settings["negative"],
        hs=int(tree),
        min_count=settings["min_count"],
        sample=settings["sample"],
        alpha=settings["lr"],
        min_alpha=1e-4,
        sg=int(method in ("skipgram", "fasttext")),
        seed=seed + 1,
        workers=threads,
        **more,
    )
    model.build_vocab(corpus_file=str(corpus))

    def train() -> Trained:
        model.init_weights()
        model.train(
            corpus_file=str(corpus),
            total_words=model.corpus_total_words,
            total_examples=model.corpus_count,
            epochs=settings["epochs"],
        )
        words, vectors = model.wv.index_to_key, model.wv.vectors
        if not tree:
            return words, vectors, model.syn1neg, None
        nodes, codes = (model.wv.expandos[name] for name in ("point", "code"))
        return words, vectors, model.syn1, [(n, 1 - c) for n, c in zip(nodes, codes, strict=True)]

    return model.corpus_total_words, train
