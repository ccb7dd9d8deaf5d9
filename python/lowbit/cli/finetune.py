"""`lowbit finetune`: a classifier for the user's texts, saved as an adapter."""

from __future__ import annotations

import argparse
from pathlib import Path

from lowbit.cli import picture
from lowbit.cli.arguments import embeddings_format
from lowbit.cli.console import Console, clock_time, table, to_json
from lowbit.cli.exit_codes import INTERRUPTED, OK
from lowbit.cli.measurements import Stopwatch, machine, machine_line, megabytes, peak_memory
from lowbit.cli.task import find_model, read_task
from lowbit.cli.training import lora_config, model_summary, train, training_rows
from lowbit.files import write_file
from lowbit.models import Classifier


def run(args: argparse.Namespace, console: Console) -> int:
    """Read, train, save, report; returns the exit code."""
    watch = Stopwatch()
    task = read_task(args, args.test_share, args.eval_data)
    name, folder = find_model(args)
    out = Path(args.out)
    model = Classifier.from_pretrained(
        folder,
        labels=task.label_names,
        format=args.format,
        double_quant=True,
        embeddings=embeddings_format(args),
        lora=lora_config(args),
        pooling=args.pooling,
        seed=args.seed,
    )
    console.heading(f"Fine-tuning {name} on {task.name}")
    classes = ", ".join(task.label_names[:8]) + (" ..." if len(task.label_names) > 8 else "")
    console.say(f"  {len(task.train_texts)} texts, classes: {classes}")
    training = train(model, task, args, console, out / "adapter")
    report = {
        "command": "finetune",
        "machine": machine(),
        "model": model_summary(name, folder, model),
        "data": task.summary(),
        "training": training.summary(),
        "adapter": str(out / "adapter"),
        "peak_memory_bytes": peak_memory(),
        "seconds": watch.seconds,
    }
    write_file(out / "report.json", (to_json(report) + "\n").encode())
    rows = training_rows(model, task, training)
    rows += [
        ("peak memory", megabytes(report["peak_memory_bytes"])),
        ("time", clock_time(watch.seconds)),
        ("kernels", machine_line()),
        ("adapter", f"{out / 'adapter'}  (PEFT's format)"),
    ]
    if training.history.interrupted:
        console.notice(f"interrupted; {console.checkpoint_note()}")
        return INTERRUPTED
    if not args.no_plot:
        rows.append(("picture", picture.draw(out / "curves.png", report, console)))
    console.heading("Result")
    console.result(table(rows))
    console.document(report)
    return OK
