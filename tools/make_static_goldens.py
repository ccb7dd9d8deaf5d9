"""Write tests/data/model2vec: folders that model2vec distilled from tests/data/tiny_bert.

To make them again: pip install "model2vec[distill,quantization]", then
python tools/make_static_goldens.py. The version is in vectors.npz, with the vectors of some texts.
"""

from __future__ import annotations

import os
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
from model2vec import StaticModel
from model2vec.distill import distill_from_model
from transformers import AutoModel, AutoTokenizer

REPOSITORY = Path(__file__).resolve().parent.parent
OUT = REPOSITORY / "tests" / "data" / "model2vec"
MODEL = "tests/data/tiny_bert"  # relative, since config.json has it
KINDS = {
    "float32": {"quantize_to": "float32"},
    "float16": {"quantize_to": "float16", "pca_dims": None},
    "int8": {"quantize_to": "int8"},
    "clusters": {"quantize_to": "float32", "vocabulary_quantization": 20},
}
TEXTS = [
    "a good film",
    "A good film!",
    "the plot is bad, and the plot is long",
    "something unheard of",
    "",
    "?",
]


def main() -> None:
    os.chdir(REPOSITORY)
    model, tokenizer = AutoModel.from_pretrained(MODEL), AutoTokenizer.from_pretrained(MODEL)
    shutil.rmtree(OUT, ignore_errors=True)
    arrays = {"texts": np.array(TEXTS), "version": np.array(version("model2vec"))}
    for name, options in KINDS.items():
        static = distill_from_model(model, tokenizer, **({"pca_dims": 8} | options))
        static.save_pretrained(OUT / name)
        (OUT / name / "README.md").unlink()  # the model card
        arrays[name] = StaticModel.from_pretrained(OUT / name).encode(TEXTS)
    np.savez(OUT / "vectors.npz", **arrays)


if __name__ == "__main__":
    main()
