"""Rounding an encoder so that it gives the hidden states that the exact one gives.

No labels are needed: the texts go through both encoders, and the weights of the rounded one are
trained (see lowbit.quantization.qat) to bring each token's vector back to where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lowbit import _core
from lowbit.models.batching import TokenBatch, TokenizedTexts
from lowbit.models.encoder import Encoder
from lowbit.models.layers import Tape
from lowbit.models.qat import packed_linears, train_linears
from lowbit.models.training import Event, Loop, TrainingOptions
from lowbit.quantization.qat import QatConfig


def distill(
    student: Encoder,
    teacher: Encoder,
    texts: Sequence[str],
    config: QatConfig | None = None,
    *,
    epochs: int = 1,
    steps: int | None = None,
    batch_size: int = 32,
    lr: float = 1e-4,
    warmup: int | None = None,
    weight_decay: float = 0.0,
    max_grad_norm: float | None = 1.0,
    seed: int = 0,
    on_event: Callable[[Event], Any] | None = None,
) -> Encoder:
    """An encoder in few bits, trained to give the last hidden states of `teacher`.

    The loss is the squared difference of the hidden states of all tokens, as a part of the
    teacher's square. Weights and biases of the linear layers are trained, those of the pooler
    rounded; the rest is the student's. Float weights, gradients and AdamW's two moments take 16
    bytes a weight while it runs.

    Parameters
    ----------
    student
        Where training begins, in any format; it stays as it is. Its word table may have another
        format than the teacher's: the layers learn to make up for that, too.
    teacher
        What is to be imitated, of the same shape. May be the student itself.
    texts
        Like those to come; labels are not needed.
    config
        Of the result; None for int4 in groups of 32.
    epochs, steps, batch_size, lr, warmup, weight_decay, max_grad_norm, seed, on_event
        As in `Classifier.fit`. Ctrl-C ends training; the state so far is what is returned.

    Returns
    -------
    Encoder
        Its linear layers are packed and frozen.

    Raises
    ------
    ValueError
        If there are no texts, an option is out of range, or the two encoders have not the same
        hidden size or tokens.
    FloatingPointError
        If gradients become NaN or infinite.
    """
    config = config or QatConfig()
    options = TrainingOptions(
        epochs=epochs,
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        warmup=warmup,
        weight_decay=weight_decay,
        max_grad_norm=max_grad_norm,
        seed=seed,
    )
    loop = _Distillation(student, teacher, texts, config, options, on_event)
    loop.run()
    return packed_linears(loop.student)


class _Distillation(Loop):
    def __init__(
        self,
        student: Encoder,
        teacher: Encoder,
        texts: Sequence[str],
        config: QatConfig,
        options: TrainingOptions,
        on_event: Callable[[Event], Any] | None,
    ) -> None:
        sizes = [(e.config.hidden_size, e.config.vocab_size) for e in (student, teacher)]
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"distill: the student has hidden size and vocabulary {sizes[0]}, the teacher "
                f"{sizes[1]}; they must be the same"
            )
        data = TokenizedTexts(student.tokenizer, texts, student.max_length)
        if not len(data):
            raise ValueError("distill: there are no texts")
        linears = student.linears()
        linears.pop("pooler.dense", None)
        self.teacher = teacher
        self.student, parameters = train_linears(student, linears, config)
        super().__init__(parameters, data, options, on_event)

    def _loss_and_gradients(self, batch: TokenBatch, rows: np.ndarray, seed: int) -> float:
        wanted = self.teacher(batch)
        tape = Tape()
        change = self.student(batch, tape) - wanted
        square = max(_core.sum_of_squares(wanted.reshape(-1)), 1e-30)
        self.student.backward(change * np.float32(2 / square), tape)
        return float(_core.sum_of_squares(change.reshape(-1)) / square)
