"""Sentence embeddings with torch and transformers: fp32, bf16 or dynamic int8.

As a careful user would: sentences sorted by length, batches padded to their longest, the Rust
tokenizers library, no gradients. Tokenizing is part of the time. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch

sys.path.pop(0)  # this folder, whose tokenizers.py is no library
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from process import report
from tokenizers import Tokenizer
from transformers import BertModel, logging


def load_model(folder: str, kind: str) -> torch.nn.Module:
    """The encoder in fp32, bf16, or with its linear layers in dynamic int8."""
    model = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    if kind == "bf16":
        return model.bfloat16()
    if kind == "int8":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, torch.qint8)
    return model


@torch.inference_mode()
def embed(
    model: torch.nn.Module, tokenizer: Tokenizer, texts: list[str], batch_size: int
) -> np.ndarray:
    """Mean-pooled vectors of length 1, float32 [texts, hidden]."""
    ids = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    out = torch.empty(len(texts), model.config.hidden_size)
    for begin in range(0, len(order), batch_size):
        rows = order[begin : begin + batch_size]
        batch = torch.zeros(len(rows), max(len(ids[i]) for i in rows), dtype=torch.int64)
        mask = torch.zeros_like(batch)
        for row, i in enumerate(rows):
            batch[row, : len(ids[i])] = torch.tensor(ids[i])
            mask[row, : len(ids[i])] = 1
        hidden = model(input_ids=batch, attention_mask=mask).last_hidden_state
        weight = mask[..., None].to(hidden.dtype)
        pooled = (hidden * weight).sum(1) / weight.sum(1)
        out[rows] = torch.nn.functional.normalize(pooled.float())
    return out.numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="model folder")
    parser.add_argument("--texts", required=True, help="file with one sentence a line")
    parser.add_argument("--kind", choices=("fp32", "bf16", "int8"), default="fp32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--out", help="write the vectors here (.npy)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    texts = Path(arguments.texts).read_text(encoding="utf-8").splitlines()
    tokenizer = Tokenizer.from_file(str(Path(arguments.model) / "tokenizer.json"))
    tokenizer.no_padding()
    model = load_model(arguments.model, arguments.kind)
    embed(model, tokenizer, texts[:64], arguments.batch_size)
    begin = time.perf_counter()
    vectors = embed(model, tokenizer, texts, arguments.batch_size)
    seconds = time.perf_counter() - begin
    if arguments.out:
        np.save(arguments.out, vectors)
    report(
        sentences_per_second=round(len(texts) / seconds, 1),
        sentences=len(texts),
        version=torch.__version__,
    )


if __name__ == "__main__":
    main()
