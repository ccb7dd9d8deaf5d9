"""LoRA fine-tuning with PEFT: fp32, bf16, or bitsandbytes NF4 with double quantization.

The protocol of bench_finetune.py, as a careful PEFT user would run it: LoRA on all linear layers of
the encoder, masked mean pooling, a linear head, batches padded to their longest sentence. Dropout
is 0, and the model stays in train mode throughout: bitsandbytes repacks its weights in eval mode on
some processors and cannot train afterwards. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.pop(0)  # this folder, whose tokenizers.py is no library
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import sst2
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from process import report
from tokenizers import Tokenizer
from transformers import AutoConfig, BertModel, BitsAndBytesConfig, logging

TARGETS = ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"]


class Classifier(nn.Module):
    """Encoder with adapters, mean over the tokens, linear head."""

    def __init__(self, folder: str, kind: str, compute: torch.dtype) -> None:
        super().__init__()
        config = AutoConfig.from_pretrained(folder)
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
        options = {"config": config, "add_pooling_layer": False}
        if kind == "nf4":
            options["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=compute,
            )
            options["device_map"] = "cpu"
        base = BertModel.from_pretrained(folder, **options)
        if kind == "bf16":
            base = base.bfloat16()
        elif kind == "nf4":
            base = prepare_model_for_kbit_training(base, use_gradient_checkpointing=False)
        self.encoder = get_peft_model(base, LoraConfig(r=8, lora_alpha=16, target_modules=TARGETS))
        self.head = nn.Linear(config.hidden_size, 2)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        self.train()

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        weight = mask[..., None].float()
        return self.head((hidden * weight).sum(1) / weight.sum(1))


def padded(ids: list[list[int]], rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask of some sentences, as long as the longest of them."""
    batch = torch.zeros(len(rows), max(len(ids[i]) for i in rows), dtype=torch.int64)
    mask = torch.zeros_like(batch)
    for row, i in enumerate(rows):
        batch[row, : len(ids[i])] = torch.tensor(ids[i])
        mask[row, : len(ids[i])] = 1
    return batch, mask


@torch.no_grad()
def accuracy(model: Classifier, ids: list[list[int]], labels: np.ndarray) -> float:
    """Share of right answers, computed in batches of like length."""
    order = np.argsort([len(i) for i in ids], kind="stable")
    right = 0
    for rows in np.split(order, range(64, len(order), 64)):
        right += int((model(*padded(ids, rows)).argmax(1).numpy() == labels[rows]).sum())
    return right / len(ids)


def train(
    model: Classifier, ids: list[list[int]], labels: np.ndarray, options: argparse.Namespace
) -> tuple[float, int]:
    """Seconds of the training steps, and the number of examples."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.01)
    total, warmup = options.steps, 20
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: s / warmup if s < warmup else (total - s) / (total - warmup)
    )
    lengths = np.array([len(i) for i in ids])
    batches: list[np.ndarray] = []
    epoch, seconds, examples = 0, 0.0, 0
    for step in range(total):
        if not batches:
            epoch += 1
            if options.group_by_length:
                batches = sst2.length_grouped_batches(lengths, 32, options.seed, epoch)
            else:
                batches = sst2.random_batches(len(ids), 32, options.seed, epoch)
        rows = batches.pop(0)
        begin = time.perf_counter()
        loss = nn.functional.cross_entropy(
            model(*padded(ids, rows)), torch.from_numpy(labels[rows])
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        seconds += time.perf_counter() - begin
        examples += len(rows)
        print(f"step {step + 1} loss {loss.item():.3f}", file=sys.stderr)
    return seconds, examples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="model folder")
    parser.add_argument("--data", required=True, help="sentences and labels, see sst2.py")
    parser.add_argument("--kind", choices=("fp32", "bf16", "nf4"), default="fp32")
    parser.add_argument("--compute", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--group-by-length", action="store_true")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    data = sst2.load(options.data)
    tokenizer = Tokenizer.from_file(str(Path(options.model) / "tokenizer.json"))
    tokenizer.no_padding()
    parts = []
    for indices in (data.train, data.dev, data.test):
        texts, labels = data.part(indices)
        parts.append(([e.ids for e in tokenizer.encode_batch(texts)], labels))
    torch.manual_seed(options.seed)
    model = Classifier(options.model, options.kind, getattr(torch, options.compute))
    seconds, examples = train(model, *parts[0], options)
    report(
        examples_per_second=round(examples / seconds, 2),
        dev=accuracy(model, *parts[1]),
        test=accuracy(model, *parts[2]),
        trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
        version=torch.__version__,
    )


if __name__ == "__main__":
    main()
