"""The training loop: batches, schedule, evaluation, the best state kept, Ctrl-C survived."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lowbit import _core
from lowbit.models.batching import TokenBatch, TokenizedTexts
from lowbit.models.parameters import AdamW, Parameters

if TYPE_CHECKING:
    from lowbit.models.classifier import Classifier


@dataclass(frozen=True)
class Step:
    """One optimizer step; `seconds` is the time of this step alone."""

    step: int
    total_steps: int
    epoch: int
    loss: float
    learning_rate: float
    gradient_norm: float
    examples: int
    tokens: int
    seconds: float


@dataclass(frozen=True)
class Evaluation:
    """Loss and accuracy on the evaluation texts; `best` when no earlier one was better."""

    step: int
    epoch: int
    loss: float
    accuracy: float
    best: bool


@dataclass(frozen=True)
class Checkpoint:
    """An adapter folder was written, whole, to `path`."""

    path: str


Event = Step | Evaluation | Checkpoint


@dataclass
class History:
    """What happened while training.

    Attributes
    ----------
    steps, evaluations
        In order.
    interrupted
        True when Ctrl-C ended training before its last step.
    """

    steps: list[Step] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    interrupted: bool = False

    @property
    def examples_per_second(self) -> float:
        """Training examples per second of training steps, evaluation not counted."""
        seconds = sum(step.seconds for step in self.steps)
        return sum(step.examples for step in self.steps) / seconds if seconds else 0.0


@dataclass(frozen=True)
class TrainingOptions:
    """Everything `Classifier.fit` may be told besides its data; see there.

    Raises
    ------
    ValueError
        For a value out of its range.
    """

    epochs: int = 3
    steps: int | None = None
    batch_size: int = 32
    lr: float = 1e-3
    warmup: int | None = None
    weight_decay: float = 0.01
    max_grad_norm: float | None = 1.0
    dropout: float = 0.0
    seed: int = 0
    evaluate_every: int | None = None

    def __post_init__(self) -> None:
        for name, low in (("epochs", 1), ("batch_size", 1)):
            self._require(name, getattr(self, name) >= low, f"at least {low}")
        self._require("steps", self.steps is None or self.steps >= 1, "at least 1, or None")
        self._require("warmup", self.warmup is None or self.warmup >= 0, "at least 0, or None")
        self._require("lr", 0 < self.lr < np.inf, "above 0")
        self._require("weight_decay", 0 <= self.weight_decay < np.inf, "at least 0")
        self._require("dropout", 0 <= self.dropout < 1, "in [0, 1)")
        norm = self.max_grad_norm
        self._require("max_grad_norm", norm is None or norm > 0, "above 0, or None")
        every = self.evaluate_every
        self._require("evaluate_every", every is None or every >= 1, "at least 1, or None")

    def _require(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise ValueError(f"fit: {name}={getattr(self, name)} must be {rule}")

    def total_steps(self, examples: int) -> int:
        """Steps of the whole training; `steps` wins over `epochs`."""
        return self.steps or self.epochs * -(-examples // self.batch_size)

    def learning_rate(self, step: int, total: int) -> float:
        """Rate of a step counted from 0: linear warm-up, then linear decay to zero.

        Examples
        --------
        >>> options = TrainingOptions(lr=1.0, warmup=2)
        >>> [options.learning_rate(step, total=6) for step in range(6)]
        [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]
        """
        warmup = min(total // 10 if self.warmup is None else self.warmup, total)
        if step < warmup:
            return self.lr * step / warmup
        return self.lr * (total - step) / max(1, total - warmup)


class Loop(ABC):
    """The steps of a training, whatever it trains; what differs is in the three methods below.

    Parameters
    ----------
    parameters
        What is trained.
    data
        The texts to train on.
    options
        All of them.
    on_event
        Called with every event.

    Attributes
    ----------
    history : History
    """

    def __init__(
        self,
        parameters: Parameters,
        data: TokenizedTexts,
        options: TrainingOptions,
        on_event: Callable[[Event], Any] | None,
    ) -> None:
        self.parameters = parameters
        self.data = data
        self.options = options
        self.on_event = on_event or (lambda event: None)
        self.history = History()

    def run(self) -> History:
        """All steps; on Ctrl-C the best state so far is kept."""
        total = self.options.total_steps(len(self.data))
        optimizer = AdamW(self.parameters, self.options.weight_decay, self.options.max_grad_norm)
        try:
            self._steps(optimizer, total)
        except KeyboardInterrupt:
            self.history.interrupted = True
        finally:
            _core.trim_memory()  # the activations of a batch, which nothing later needs
        self._finish()
        return self.history

    @abstractmethod
    def _loss_and_gradients(self, batch: TokenBatch, rows: np.ndarray, seed: int) -> float:
        """The loss of the texts `rows`; gradients are left in `parameters`."""

    def _evaluate(self, step: int, epoch: int) -> None:  # noqa: B027  (not all trainings do)
        """Called between steps, when it is time."""

    def _finish(self) -> None:  # noqa: B027
        """Called after the last step."""

    def _steps(self, optimizer: AdamW, total: int) -> None:
        step = epoch = 0
        every = self.options.evaluate_every
        while step < total:
            epoch += 1
            batches = self.data.shuffled(self.options.batch_size, self.options.seed, epoch)
            for rows in batches[: total - step]:
                self._step(optimizer, rows, step, total, epoch)
                step += 1
                if every and step % every == 0 and step < total:
                    self._evaluate(step, epoch)
            if not every or step == total:
                self._evaluate(step, epoch)

    def _step(self, optimizer: AdamW, rows: np.ndarray, step: int, total: int, epoch: int) -> None:
        begin = time.perf_counter()
        batch = self.data.batch(rows)
        # The seed of a step's dropout masks; another step or run must not repeat them.
        seed = int(np.random.SeedSequence([self.options.seed, step]).generate_state(1)[0])
        loss = self._loss_and_gradients(batch, rows, seed)
        rate = self.options.learning_rate(step, total)
        norm = optimizer.step(rate)
        seconds = time.perf_counter() - begin
        event = Step(step + 1, total, epoch, loss, rate, norm, len(rows), batch.tokens, seconds)
        self.history.steps.append(event)
        self.on_event(event)


class Trainer(Loop):
    """Trains one classifier on one set of texts; made and run by `Classifier.fit`."""

    def __init__(
        self,
        model: Classifier,
        texts: Sequence[str],
        labels: Sequence[int],
        options: TrainingOptions,
        evaluation: tuple[Sequence[str], Sequence[int]] | None,
        checkpoint: str | os.PathLike[str] | None,
        on_event: Callable[[Event], Any] | None,
    ) -> None:
        self.model = model
        self.labels = check_labels("fit", labels, len(texts), len(model.label_names))
        if len(np.unique(self.labels)) < 2:
            raise ValueError(
                f"fit: every label is {self.labels[0]}; training needs at least two classes"
            )
        if checkpoint is not None and not model.targets:
            raise ValueError("fit: checkpoint is for adapters; use save after training")
        super().__init__(model.parameters, model.tokenize(texts), options, on_event)
        self.evaluation = evaluation
        if evaluation is not None:
            count = len(model.label_names)
            check_labels("fit: evaluation", evaluation[1], len(evaluation[0]), count)
        self.checkpoint = checkpoint
        self._best: tuple[float, float] | None = None
        self._best_values: np.ndarray | None = None

    def _loss_and_gradients(self, batch: TokenBatch, rows: np.ndarray, seed: int) -> float:
        dropout = self.options.dropout
        return self.model.loss_and_gradients(batch, self.labels[rows], dropout, seed)

    def _finish(self) -> None:
        """Take the best state again; without evaluations, save the last."""
        if self._best_values is not None:
            self.parameters.values[:] = self._best_values
        elif self.checkpoint is not None:
            self._save()

    def _evaluate(self, step: int, epoch: int) -> None:
        if self.evaluation is None:
            return
        texts, labels = self.evaluation
        loss, accuracy = self.model.evaluate(texts, labels)
        # Higher accuracy wins; between equals, lower loss.
        rank = (accuracy, -loss)
        best = self._best is None or rank > self._best
        event = Evaluation(step, epoch, loss, accuracy, best)
        self.history.evaluations.append(event)
        self.on_event(event)
        if best:
            self._best = rank
            self._best_values = self.parameters.values.copy()
            if self.checkpoint is not None:
                self._save()

    def _save(self) -> None:
        self.model.save_adapter(self.checkpoint)
        self.on_event(Checkpoint(os.fspath(self.checkpoint)))


def check_labels(function: str, labels: Sequence[int], texts: int, classes: int) -> np.ndarray:
    """Labels as int64 ids, one per text.

    Raises
    ------
    ValueError
        For another number of labels than texts, none at all, or an id that is no class.
    """
    array = np.asarray(labels)
    if array.ndim != 1 or len(array) != texts:
        raise ValueError(f"{function}: {texts} texts but labels of shape {array.shape}")
    if texts == 0:
        raise ValueError(f"{function}: there are no texts")
    if array.dtype.kind not in "iub":
        raise ValueError(
            f"{function}: labels have dtype {array.dtype}; pass integers from 0 to {classes - 1}"
        )
    wrong = np.nonzero((array < 0) | (array >= classes))[0]
    if len(wrong):
        raise ValueError(
            f"{function}: labels[{wrong[0]}] is {array[wrong[0]]}; with {classes} classes labels "
            f"go from 0 to {classes - 1}"
        )
    return array.astype(np.int64)


def tokenized_or(data: TokenizedTexts | Sequence[str], model: Classifier) -> TokenizedTexts:
    """Texts that were tokenized before are used as they are."""
    return data if isinstance(data, TokenizedTexts) else model.tokenize(data)
