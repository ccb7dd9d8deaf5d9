"""LoRA fine-tuning: lowbit beside PEFT, each in a process of its own, one after the other.

    python benchmarks/bench_finetune.py --data SST2_train.tsv --rival-python VENV/bin/python

The protocol: all-MiniLM-L6-v2, r=8 and alpha=16 on every linear layer of the encoder, mean pooling,
linear head, batch 32, 60 steps of AdamW with learning rate 1e-3 (20 steps of warm-up, then linear
decay), gradients limited to norm 1, no dropout, 3 seeds. Reported: examples per second of the
training steps alone, accuracy on the two withheld parts (see sst2.py), peak memory of the process.
VENV holds torch, transformers, peft, bitsandbytes and tokenizers; without --rival-python only
lowbit is measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import process
import sst2

HERE = Path(__file__).resolve().parent
LOWBIT_KINDS = ("fp32", "int8", "nf4")
# Arguments of rivals/peft_finetune.py; grouping by length saves padding, as lowbit's batches do.
RIVALS = (
    ["--kind", "fp32"],
    ["--kind", "fp32", "--group-by-length"],
    ["--kind", "bf16", "--group-by-length"],
    ["--kind", "nf4", "--group-by-length"],
)


def measure_lowbit(options: argparse.Namespace) -> None:
    """The subject: runs in its own process and prints its figures."""
    import lowbit

    data = sst2.load(options.data)
    seconds, examples, dev, test = 0.0, 0, [], []
    for seed in range(options.seeds):
        model = lowbit.models.Classifier.from_pretrained(
            options.model,
            labels=2,
            format=options.kind,
            double_quant=options.kind == "nf4",
            embeddings="fp32" if options.kind == "fp32" else "int8",
            lora=lowbit.LoraConfig(rank=8, alpha=16),
            seed=seed,
            compute=options.compute,
        )
        history = model.fit(
            *data.part(data.train), steps=options.steps, lr=1e-3, warmup=20, seed=seed
        )
        seconds += sum(step.seconds for step in history.steps)
        examples += sum(step.examples for step in history.steps)
        dev.append(round(model.score(*data.part(data.dev)), 4))
        test.append(round(model.score(*data.part(data.test)), 4))
    process.report(
        name=f"lowbit {options.kind}",
        examples_per_second=round(examples / seconds, 2),
        dev=dev,
        test=test,
        dev_mean=round(float(np.mean(dev)), 4),
        test_mean=round(float(np.mean(test)), 4),
        trainable=model.trainable_parameters,
        isa=lowbit.cpu_info()["active_isa"],
    )


def subjects(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Figures of every subject, rivals first."""
    shared = ["--model", options.model, "--data", options.data]
    shared += ["--steps", str(options.steps), "--seeds", str(options.seeds)]
    runs: list[tuple[str, Path, list[str]]] = []
    if options.rival_python:
        program, threads = HERE / "rivals" / "peft_finetune.py", ["--threads", str(options.threads)]
        runs += [(options.rival_python, program, [*rival, *threads]) for rival in RIVALS]
    inside = ["--inside", "--compute", options.compute]
    runs += [(sys.executable, Path(__file__), ["--kind", k, *inside]) for k in LOWBIT_KINDS]
    results = []
    for python, program, arguments in runs:
        figures = process.run(python, program, [*shared, *arguments], options.threads)
        figures.setdefault("name", " ".join([program.stem, *arguments[:2]]))
        print(json.dumps(figures), flush=True)
        results.append(figures)
    return results


def show(results: list[dict[str, Any]], threads: int) -> None:
    """The table, with speed and memory against the best and leanest rival."""
    rows = []
    for figures in results:
        if "error" in figures:
            rows.append([figures["name"], figures["error"][:60], "-", "-", "-"])
            continue
        rows.append(
            [
                figures["name"],
                f"{figures['examples_per_second']:.1f}",
                f"{figures['dev_mean']:.3f} / {figures['test_mean']:.3f}",
                f"{figures['peak_mb']:.0f} MB",
                str(figures["trainable"]),
            ]
        )
    print(f"\n{process.machine()}, {threads} threads\n")
    columns = ["", "examples/s", "accuracy dev / test", "peak memory", "trained values"]
    process.print_table(columns, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="sentences and labels, see sst2.py")
    parser.add_argument("--model", help="model folder; the installed all-MiniLM-L6-v2 if not given")
    parser.add_argument("--rival-python", help="python of an environment with torch and peft")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compute", default="auto", help="products of the linear layers")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--kind", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        measure_lowbit(options)
        return
    if not options.model:
        from lowbit.files import find_bundled_model

        options.model = str(find_bundled_model())
    show(subjects(options), options.threads)


if __name__ == "__main__":
    main()
