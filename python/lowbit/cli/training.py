"""Training with everything shown: progress while it runs, figures when it has."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.adapters import LoraConfig
from lowbit.cli.console import Console, Progress
from lowbit.cli.measurements import Stopwatch, megabytes, percent
from lowbit.cli.task import Task
from lowbit.models import Checkpoint, Classifier, Evaluation, History, Step

# Weight of the newest step in the loss shown; single batches jump about.
SMOOTHING = 0.1


@dataclass
class Training:
    """One run of `Classifier.fit` and what was measured round it.

    Attributes
    ----------
    before, after
        (loss, accuracy) on the texts not trained on; None where there are none.
    seconds
        Of training, evaluations included.
    """

    history: History
    seconds: float
    before: tuple[float, float] | None = None
    after: tuple[float, float] | None = None

    def summary(self) -> dict[str, Any]:
        """For the JSON document."""
        last = self.history.evaluations[-1] if self.history.evaluations else None
        return {
            "accuracy": {
                "before": self.before and self.before[1],
                "after": self.after and self.after[1],
                "last_epoch": last and last.accuracy,
            },
            "steps": len(self.history.steps),
            "seconds": self.seconds,
            "examples_per_second": self.history.examples_per_second,
            "interrupted": self.history.interrupted,
            "curves": {
                "loss": [_finite(step.loss) for step in self.history.steps],
                "evaluations": [
                    {
                        "step": e.step,
                        "epoch": e.epoch,
                        "loss": _finite(e.loss),
                        "accuracy": e.accuracy,
                        "best": e.best,
                    }
                    for e in self.history.evaluations
                ],
            },
        }


def lora_config(args: argparse.Namespace) -> LoraConfig:
    """The adapters that the options ask for."""
    alpha = 2.0 * args.rank if args.alpha is None else args.alpha
    return LoraConfig(rank=args.rank, alpha=alpha, dropout=args.dropout)


def train(
    model: Classifier, task: Task, args: argparse.Namespace, console: Console, adapter: Path | None
) -> Training:
    """Fine-tune `model`; its best state is kept, and saved in `adapter` whenever it improves."""
    evaluation = (task.test_texts, task.test_labels) if task.test_texts else None
    before = None
    if evaluation is not None:
        before = model.evaluate(*evaluation)
        console.say(
            f"  untrained head: accuracy {percent(before[1])} on {len(task.test_texts)} texts "
            f"not trained on (always the most frequent class: {percent(task.majority)})"
        )
    watch = Stopwatch()
    with console.progress("  training") as bar, _new_checkpoint(adapter, console):
        history = model.fit(
            task.train_texts,
            task.train_labels,
            epochs=args.epochs,
            steps=args.steps,
            batch_size=args.batch_size,
            lr=args.lr,
            dropout=args.dropout,
            seed=args.seed,
            evaluation=evaluation,
            checkpoint=adapter,
            on_event=_Reporter(console, bar, "kept" if adapter is None else "saved"),
        )
    seconds = watch.seconds
    after = None if evaluation is None else model.evaluate(*evaluation)
    return Training(history, seconds, before, after)


@contextmanager
def _new_checkpoint(folder: Path | None, console: Console) -> Iterator[None]:
    """Notice a folder that appears meanwhile: Ctrl-C may come before the event that tells of it."""
    appears = folder is not None and not folder.exists()
    try:
        yield
    finally:
        if folder is not None and appears and folder.exists():  # it is whole: a folder renamed
            console.checkpoint = str(folder)


@dataclass
class _Reporter:
    """Turns the events of training into a bar and lines."""

    console: Console
    bar: Progress
    how_kept: str
    examples: int = 0
    seconds: float = 0.0
    loss: float | None = None
    epoch_losses: list[float] = field(default_factory=list)

    def __call__(self, event: Step | Evaluation | Checkpoint) -> None:
        if isinstance(event, Step):
            self._step(event)
        elif isinstance(event, Evaluation):
            loss = float(np.mean(self.epoch_losses)) if self.epoch_losses else math.nan
            self.epoch_losses.clear()
            kept = f"  best so far, {self.how_kept}" if event.best else ""
            self.console.say(
                f"  epoch {event.epoch}: training loss {loss:.3f}, "
                f"test loss {event.loss:.3f}, accuracy {percent(event.accuracy)}{kept}"
            )
        else:
            self.console.checkpoint = event.path

    def _step(self, step: Step) -> None:
        self.examples += step.examples
        self.seconds += step.seconds
        self.epoch_losses.append(step.loss)
        before = step.loss if self.loss is None else self.loss
        self.loss = before + SMOOTHING * (step.loss - before)
        rate = self.examples / max(self.seconds, 1e-9)
        self.bar.update(step.step, step.total_steps, f"loss {self.loss:.3f}  {rate:.0f} examples/s")


def training_rows(
    model: Classifier, task: Task, run: Training, trained: int
) -> list[tuple[str, str]]:
    """Rows of the closing table that `demo` and `finetune` share; `trained` counts parameters."""
    rows = []
    if run.before is not None and run.after is not None:
        rows += [
            ("accuracy before", f"{percent(run.before[1])}  (untrained head)"),
            ("accuracy after", f"{percent(run.after[1])}  {_how_chosen(task, run)}"),
        ]
    total = model.nbytes_fp32 // 4
    rows += [
        ("trained", f"{trained:,} of {total:,} parameters ({percent(trained / total)})"),
        (
            "model",
            f"{megabytes(model.nbytes_fp32)} in float32 -> {megabytes(model.nbytes)} "
            f"({model.encoder.format} linear layers, "
            f"{model.encoder.word_embeddings.format} word table)",
        ),
        ("training", f"{run.history.examples_per_second:.0f} examples/s"),
    ]
    return rows


def _how_chosen(task: Task, run: Training) -> str:
    """Which state was measured: the best epoch was chosen by these same texts, so that is said."""
    evaluations = run.history.evaluations
    texts = f"{len(task.test_texts)} texts not trained on"
    if not evaluations:
        return f"({texts})"
    best = [e for e in evaluations if e.best][-1]
    if best is evaluations[-1]:
        return f"({texts}; last epoch)"
    return (
        f"({texts}; epoch {best.epoch}, the best on them; "
        f"last epoch {percent(evaluations[-1].accuracy)})"
    )


def model_summary(name: str, folder: Path, model: Classifier, trained: int) -> dict[str, Any]:
    """For the JSON document; `trained` counts parameters."""
    config = model.encoder.config
    total = model.nbytes_fp32 // 4
    return {
        "name": name,
        "folder": str(folder),
        "layers": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
        "format": model.encoder.format,
        "embeddings": model.encoder.word_embeddings.format,
        "bytes": model.nbytes,
        "bytes_float32": model.nbytes_fp32,
        "parameters": total,
        "trainable_parameters": trained,
        "trainable_share": trained / total,
        "lora": {"rank": model.lora.rank, "alpha": model.lora.alpha} if model.targets else None,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
