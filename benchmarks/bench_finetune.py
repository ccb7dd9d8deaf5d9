"""LoRA fine-tuning: lowbit beside PEFT, each in a process of its own, taking turns.

    python benchmarks/bench_finetune.py --data SST2_train.tsv --rival-python VENV/bin/python

The protocol: all-MiniLM-L6-v2, r=8 and alpha=16 on every linear layer of the encoder, mean pooling,
linear head, batch 32, 60 steps of AdamW with learning rate 1e-3 (20 steps of warm-up, then linear
decay), gradients limited to norm 1, no dropout. A round trains every subject once, with the round's
number as seed. Reported: examples per second of the training steps alone, as the median of the
rounds; accuracy on the two withheld parts (see sst2.py), as their mean; peak memory of the process.
VENV holds torch, transformers, peft, bitsandbytes and tokenizers; without --rival-python only
lowbit is measured. PEFT in bf16 takes part where the processor multiplies bf16, for elsewhere it is
twenty times as slow.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import process
import sst2

HERE = Path(__file__).resolve().parent
LOWBIT_KINDS = ("fp32", "int8", "nf4")
# Arguments of rivals/peft_finetune.py; grouping by length saves padding, as lowbit's batches do.
RIVALS = {
    "PEFT fp32, random order": ["--kind", "fp32"],
    "PEFT fp32": ["--kind", "fp32", "--group-by-length"],
    "PEFT nf4 (bitsandbytes)": ["--kind", "nf4", "--group-by-length"],
    "PEFT bf16": ["--kind", "bf16", "--group-by-length"],
}


def measure_lowbit(options: argparse.Namespace) -> None:
    """The subject: runs in its own process and prints its figures."""
    import lowbit

    data = sst2.load(options.data)
    model = lowbit.models.Classifier.from_pretrained(
        options.model,
        labels=2,
        format=options.kind,
        double_quant=options.kind == "nf4",
        embeddings="fp32" if options.kind == "fp32" else "int8",
        lora=lowbit.LoraConfig(rank=8, alpha=16),
        seed=options.seed,
        compute=options.compute,
    )
    history = model.fit(
        *data.part(data.train), steps=options.steps, lr=1e-3, warmup=20, seed=options.seed
    )
    seconds = sum(step.seconds for step in history.steps)
    process.report(
        examples_per_second=round(sum(step.examples for step in history.steps) / seconds, 2),
        dev=model.score(*data.part(data.dev)),
        test=model.score(*data.part(data.test)),
        trainable=model.trainable_parameters,
        isa=lowbit.cpu_info()["active_isa"],
    )


def subjects(options: argparse.Namespace) -> list[process.Subject]:
    """Who takes part, rivals first."""
    shared = ["--model", options.model, "--data", options.data, "--steps", str(options.steps)]
    found = []
    if options.rival_python:
        program = HERE / "rivals" / "peft_finetune.py"
        for name, rival in RIVALS.items():
            if name != "PEFT bf16" or process.multiplies_bf16():
                arguments = [*shared, *rival, "--threads", str(options.threads)]
                found.append(process.Subject(name, options.rival_python, program, arguments))
    for kind in LOWBIT_KINDS:
        arguments = [*shared, "--inside", "--compute", options.compute, "--kind", kind]
        found.append(process.Subject(f"lowbit {kind}", sys.executable, Path(__file__), arguments))
    return found


def show(names: list[str], results: list[list[dict[str, Any]]], threads: int) -> None:
    """The table over all rounds."""
    rows = []
    for name, rounds in zip(names, results, strict=True):
        if failed := process.failure(name, rounds, 5):
            rows.append(failed)
            continue
        dev, test = (np.mean([figures[part] for figures in rounds]) for part in ("dev", "test"))
        rows.append(
            [
                name,
                process.median_and_range([figures["examples_per_second"] for figures in rounds]),
                f"{dev:.3f} / {test:.3f}",
                process.peak_memory(rounds),
                str(rounds[0]["trainable"]),
            ]
        )
    print(f"\n{process.machine()}, {threads} threads, {len(results[-1])} rounds\n")
    columns = ["", "examples/s", "accuracy dev / test", "peak memory", "trained values"]
    process.print_table(columns, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="sentences and labels, see sst2.py")
    parser.add_argument("--model", help="model folder; the installed all-MiniLM-L6-v2 if not given")
    parser.add_argument("--rival-python", help="python of an environment with torch and peft")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compute", default="auto", help="products of the linear layers")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--kind", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        measure_lowbit(options)
        return
    options.model = process.model_folder(options.model)
    found = subjects(options)
    rounds = [["--seed", str(seed)] for seed in range(options.rounds)]
    results = process.take_turns(found, rounds, options.threads)
    show([subject.name for subject in found], results, options.threads)


if __name__ == "__main__":
    main()
