"""What is to be learned, and from which model: the inputs that `demo` and `finetune` share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.cli.arguments import PACKED
from lowbit.files import find_bundled_model, read_labelled, split_train_test
from lowbit.files.model_folder import open_model_folder

BUNDLED_MODEL = "all-MiniLM-L6-v2"


@dataclass(frozen=True)
class Task:
    """Labelled texts to train on and others to evaluate on.

    Attributes
    ----------
    name
        Where the texts are from.
    train_texts, test_texts : list of str
    train_labels, test_labels
        int64 ids, one per text.
    label_names
        The classes, by id.
    """

    name: str
    train_texts: list[str]
    train_labels: np.ndarray
    test_texts: list[str]
    test_labels: np.ndarray
    label_names: Sequence[str]

    @property
    def majority(self) -> float:
        """Accuracy of always answering the most frequent class of the test texts."""
        return float(np.bincount(self.test_labels).max() / len(self.test_labels))

    def summary(self) -> dict[str, Any]:
        """For the JSON document."""
        return {
            "name": self.name,
            "train": len(self.train_texts),
            "test": len(self.test_texts),
            "labels": list(self.label_names),
            "majority_share": self.majority if self.test_texts else None,
        }


def find_model(args: argparse.Namespace) -> tuple[str, Path]:
    """Name and folder of the model: `--model`, or the bundled one with its digests checked."""
    if args.model is None:
        try:
            return BUNDLED_MODEL, find_bundled_model()
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error}, or name a model with --model FOLDER") from None
    folder = Path(args.model)
    return folder.resolve().name, folder


def formats(args: argparse.Namespace, folder: Path) -> dict[str, str | None]:
    """`format` and `embeddings` of `from_pretrained`, as asked for or by default.

    A folder that was saved in few bits keeps what it has: None.
    """
    format, embeddings = args.format, args.embeddings
    with open_model_folder(folder) as opened:
        if not opened.is_packed:
            format = format or args.default_format
            embeddings = embeddings or ("int8" if format in PACKED else format)
    return {"format": format, "embeddings": embeddings}


def bundled_task() -> Task:
    """The reviews that come with lowbit."""
    from lowbit.data import load_reviews

    train_texts, train_labels, test_texts, test_labels, names = load_reviews()
    name = "the bundled reviews"
    return Task(name, train_texts, train_labels, test_texts, test_labels, names)


def read_task(args: argparse.Namespace, share: float, eval_data: str | None = None) -> Task:
    """The texts of `--data`, and those to evaluate on from `eval_data` or set apart.

    Raises
    ------
    OSError, FileFormatError
        As `lowbit.files.read_labelled`.
    ValueError
        If no class has two examples, so that nothing can be set apart.
    """
    options = {
        "text_column": args.text_column,
        "label_column": args.label_column,
        "allow_empty": args.allow_empty,
    }
    texts, labels, names = read_labelled(args.data, **options)
    if eval_data is not None:
        test_texts, test_labels, _ = read_labelled(
            eval_data, label_names=names, allow_one_class=True, **options
        )
        return Task(args.data, texts, labels, test_texts, test_labels, names)
    if share == 0:
        return Task(args.data, texts, labels, [], labels[:0], names)
    train, test = split_train_test(labels, share, seed=args.seed)
    return Task(
        args.data,
        [texts[i] for i in train],
        labels[train],
        [texts[i] for i in test],
        labels[test],
        names,
    )
