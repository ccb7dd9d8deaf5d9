"""`lowbit finetune`: a classifier for the user's texts, saved as an adapter or as a model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lowbit.cli.console import Console, clip
from lowbit.cli.exit_codes import INTERRUPTED, OK
from lowbit.cli.measurements import Stopwatch
from lowbit.cli.outputs import finish, prepare_folder
from lowbit.cli.task import Task, find_model, formats, read_task
from lowbit.cli.training import lora_config, model_summary, train, training_rows
from lowbit.models import Classifier
from lowbit.quantization import QatConfig

GROUP_SIZES = {"int8": None}  # a scale a row; other formats have groups of 32


def run(args: argparse.Namespace, console: Console) -> int:
    """Read, train, save, report; returns the exit code."""
    watch = Stopwatch()
    _check_qat(args)
    task = read_task(args, args.test_share, args.eval_data)
    name, folder = find_model(args)
    model = _read_model(args, folder, task)
    out = prepare_folder(args.out)
    console.heading(f"Fine-tuning {name} on {task.name}")
    classes = clip(", ".join(task.label_names))
    console.say(f"  {len(task.train_texts)} texts, {len(task.label_names)} classes: {classes}")
    trained = model.trainable_parameters
    training = train(model, task, args, console, out / "adapter" if args.qat is None else None)
    if training.history.interrupted:
        console.notice(f"interrupted; {console.checkpoint_note()}")
        return INTERRUPTED
    saved: dict[str, Any] = {"adapter": {"folder": str(out / "adapter")}}
    if args.qat is not None:
        model = model.quantized()
        model.save(out / "model")
        saved = {"saved_model": {"folder": str(out / "model")}}
    report = {
        "command": "finetune",
        "model": model_summary(name, folder, model, trained),
        "data": task.summary(),
        "training": training.summary(),
    } | saved
    finish(out, report, training_rows(model, task, training, trained), watch, args, console)
    return OK


def _check_qat(args: argparse.Namespace) -> None:
    if args.qat is None:
        return
    if args.format is not None:
        raise ValueError("finetune: --format is for weights that are frozen; leave it out of --qat")
    target = Path(args.out) / "model"
    if target.exists():
        raise FileExistsError(f"finetune: {str(target)!r} exists; choose a new folder with --out")


def _read_model(args: argparse.Namespace, folder: Path, task: Task) -> Classifier:
    options: dict[str, Any] = {
        "labels": task.label_names,
        "double_quant": True,
        "pooling": args.pooling,
        "seed": args.seed,
    }
    if args.qat is None:
        options |= {"lora": lora_config(args), **formats(args, folder)}
    else:
        config = QatConfig(args.qat, GROUP_SIZES.get(args.qat, 32), learned_step=True)
        options |= {"qat": config, "embeddings": args.embeddings}
    return Classifier.from_pretrained(folder, **options)
