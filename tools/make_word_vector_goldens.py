"""Write tests/data/gensim/: word vectors that gensim has saved in every way, and what they are.

To make it again: pip install gensim, then python tools/make_word_vector_goldens.py. The versions
are in expected.npz.
"""

from __future__ import annotations

from pathlib import Path

import gensim
import numpy as np
from gensim.models import FastText, KeyedVectors, Word2Vec

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "gensim"
LINES = [["red", "green", "caf\u00e9"], ["one", "two", "three", "one"]] * 20
OPTIONS = {"vector_size": 5, "min_count": 1, "epochs": 1, "workers": 1, "seed": 1}
UNKNOWN = "redden"


def save(saved: KeyedVectors | Word2Vec, name: str, **options: int) -> None:
    """Without the events of its life, which tell of the machine."""
    for part in (saved, getattr(saved, "wv", saved)):
        part.lifecycle_events = None
    saved.save(str(OUT / name), **options)


def main() -> None:
    OUT.mkdir(exist_ok=True)
    words = Word2Vec(LINES, **OPTIONS)
    for protocol in (2, 3, 4, 5):
        save(words.wv, f"keyed{protocol}", pickle_protocol=protocol)
    save(words, "model")
    save(words, "apart", sep_limit=0)
    for rest in ("apart.syn1neg.npy", "apart.wv.vectors_lockf.npy"):
        (OUT / rest).unlink()
    ngrams = FastText(LINES, bucket=30, min_n=2, max_n=4, **OPTIONS)
    save(ngrams.wv, "fasttext")
    doubles = KeyedVectors(2, dtype=np.float64)
    doubles.add_vectors(["up", "down"], np.array([[0.5, 1.0], [2.0, -0.25]]))
    save(doubles, "doubles")
    np.savez_compressed(
        OUT / "expected.npz",
        words=words.wv.index_to_key,
        vectors=words.wv.vectors,
        counts=[words.wv.get_vecattr(word, "count") for word in words.wv.index_to_key],
        fasttext_words=ngrams.wv.index_to_key,
        fasttext_vectors=ngrams.wv.vectors,
        unknown_word=UNKNOWN,
        unknown_vector=ngrams.wv[UNKNOWN],
        versions=[f"gensim {gensim.__version__}", f"numpy {np.__version__}"],
    )


if __name__ == "__main__":
    main()
