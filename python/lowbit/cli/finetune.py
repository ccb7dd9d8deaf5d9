"""`lowbit finetune`: a classifier for the user's texts, saved as an adapter."""

from __future__ import annotations

import argparse

from lowbit.cli.console import Console, clip
from lowbit.cli.exit_codes import INTERRUPTED, OK
from lowbit.cli.measurements import Stopwatch
from lowbit.cli.outputs import finish, prepare_folder
from lowbit.cli.task import find_model, formats, read_task
from lowbit.cli.training import lora_config, model_summary, train, training_rows
from lowbit.models import Classifier


def run(args: argparse.Namespace, console: Console) -> int:
    """Read, train, save, report; returns the exit code."""
    watch = Stopwatch()
    task = read_task(args, args.test_share, args.eval_data)
    name, folder = find_model(args)
    model = Classifier.from_pretrained(
        folder,
        labels=task.label_names,
        double_quant=True,
        lora=lora_config(args),
        pooling=args.pooling,
        seed=args.seed,
        **formats(args, folder),
    )
    out = prepare_folder(args.out)
    console.heading(f"Fine-tuning {name} on {task.name}")
    classes = clip(", ".join(task.label_names))
    console.say(f"  {len(task.train_texts)} texts, {len(task.label_names)} classes: {classes}")
    training = train(model, task, args, console, out / "adapter")
    if training.history.interrupted:
        console.notice(f"interrupted; {console.checkpoint_note()}")
        return INTERRUPTED
    report = {
        "command": "finetune",
        "model": model_summary(name, folder, model),
        "data": task.summary(),
        "training": training.summary(),
        "adapter": {"folder": str(out / "adapter")},
    }
    finish(out, report, training_rows(model, task, training), watch, args, console)
    return OK
