"""Write tests/data/fasttext_quantized.npz: .ftz files of fastText, and vectors it has from them.

To make it again: pip install fasttext, then python tools/make_fasttext_goldens.py. The version is
in the file itself. fastText quantizes classifiers alone; what they say is not kept here.
"""

from __future__ import annotations

import tempfile
from importlib.metadata import packages_distributions, version
from pathlib import Path

import fasttext
import numpy as np

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "fasttext_quantized.npz"
WORDS, LINES = 120, 300
UNKNOWN = ["word7x", "unw\u00f6rd", "ord"]
# dsub: values of a part, which leave a narrower last one of 5; cutoff: rows that are left.
KINDS = {
    "pruned": {"qnorm": True, "dsub": 2, "cutoff": 330},
    "whole": {"qnorm": False, "dsub": 3},
}


def corpus() -> str:
    """Lines of words with a label."""
    rng = np.random.default_rng(0)
    names = [f"w\u00f6rd{i}" if i % 3 else f"word{i}" for i in range(WORDS)]
    lines = []
    for i in range(LINES):
        chosen = rng.integers(0, WORDS // 2, 8) + i % 2 * WORDS // 2
        lines.append(f"__label__{i % 2} " + " ".join(names[word] for word in chosen))
    return "\n".join(lines) + "\n"


def vector(model: fasttext.FastText._FastText, word: str) -> np.ndarray:
    """The mean of a word's rows. get_word_vector is this, but of length 1 in some versions."""
    _, rows = model.get_subwords(word)
    return np.mean([model.get_input_vector(int(row)) for row in rows], axis=0)


def main() -> None:
    found: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        text, path = Path(folder) / "corpus.txt", str(Path(folder) / "a.ftz")
        text.write_text(corpus(), encoding="utf-8")
        for kind, options in KINDS.items():
            model = fasttext.train_supervised(
                str(text), dim=5, minn=2, maxn=3, bucket=400, thread=1, epoch=9, seed=1, verbose=0
            )
            model.quantize(**options)
            model.save_model(path)
            known = model.get_words()
            asked = known + UNKNOWN
            found[f"{kind}/file"] = np.frombuffer(Path(path).read_bytes(), np.uint8)
            found[f"{kind}/words"] = np.array(known)
            found[f"{kind}/asked"] = np.array(asked)
            found[f"{kind}/vectors"] = np.array([vector(model, word) for word in asked])
    package = packages_distributions()["fasttext"][0]
    np.savez_compressed(OUT, **found, version=np.array(f"{package} {version(package)}"))


if __name__ == "__main__":
    main()
