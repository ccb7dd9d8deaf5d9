"""Static embeddings with model2vec: distilled from a model, or sentences embedded with a folder.

Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.pop(0)  # this folder, whose tokenizers.py is no library
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import model2vec
from process import report


def distill(folder: str) -> None:
    """Seconds of one thread to make the table of a model; loading is not counted."""
    import torch
    from model2vec.distill import distill_from_model
    from transformers import AutoModel, AutoTokenizer

    torch.set_num_threads(1)
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    begin = time.process_time()
    static = distill_from_model(model, tokenizer)
    seconds = round(time.process_time() - begin, 1)
    report(seconds=seconds, tokens=len(static.tokens), version=model2vec.__version__)


def embed(folder: str, texts: list[str], out: str, passes: int) -> None:
    """Sentences a second of one thread, the best of several passes, tokenizing included."""
    model = model2vec.StaticModel.from_pretrained(folder)
    vectors = model.encode(texts, use_multiprocessing=False)
    times = []
    for _ in range(passes):
        begin = time.process_time()
        model.encode(texts, use_multiprocessing=False)
        times.append(time.process_time() - begin)
    np.save(out, vectors)
    speed = round(len(texts) / min(times))
    report(sentences_per_second=speed, version=model2vec.__version__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=("distill", "embed"), required=True)
    parser.add_argument("--folder", required=True, help="of the model, or of the table")
    parser.add_argument("--texts", help="file with one sentence a line")
    parser.add_argument("--out", help="write the vectors here (.npy)")
    parser.add_argument("--passes", type=int, default=5)
    options = parser.parse_args()
    if options.kind == "distill":
        distill(options.folder)
        return
    texts = Path(options.texts).read_text(encoding="utf-8").splitlines()
    embed(options.folder, texts, options.out, options.passes)


if __name__ == "__main__":
    main()
