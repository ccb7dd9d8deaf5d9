"""Scales for the inputs of an encoder's linear layers, from texts like those to come.

Every linear is shown what the texts bring to it, while products are still exact; an observer then
chooses one scale and zero point for all its inputs. From then on the inputs are rounded with them,
and multiplied in int8.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from lowbit.models.layers import Linear
from lowbit.quantization.observers import OBSERVERS, Observer

if TYPE_CHECKING:
    from lowbit.models.batching import TokenBatch
    from lowbit.models.encoder import Encoder


def observe_inputs(encoder: Encoder, batches: list[TokenBatch], observer: str) -> None:
    """Let every linear of the encoder round its inputs with scales that suit these texts.

    Raises
    ------
    ValueError
        If the texts bring NaN or infinity to a linear.
    """
    stages = list(_linears_by_input(encoder))
    observers = [OBSERVERS[observer]() for _ in stages]
    with _shown(stages, observers):
        for batch in batches:
            hidden = encoder(batch)
            if encoder.pooler is not None:
                encoder.pooler(hidden[batch.indptr[:-1]])
    for linears, seen in zip(stages, observers, strict=True):
        params = seen.params(narrow_range=True)
        for linear in linears:
            linear.compute, linear.x_scale = "int8", params


def _linears_by_input(encoder: Encoder) -> Iterator[list[Linear]]:
    """Linears that have one and the same input, together."""
    for layer in encoder.layers:
        yield [layer.query, layer.key, layer.value]
        yield [layer.attention_output]
        yield [layer.intermediate]
        yield [layer.output]
    if encoder.pooler is not None:
        yield [encoder.pooler]


def _show(linear: Linear, observer: Observer, x: np.ndarray) -> None:
    """As the product will see it. Linears with one input have one `input_scale`."""
    observer.observe(x if linear.input_scale is None else x * linear.input_scale)


@contextmanager
def _shown(stages: list[list[Linear]], observers: list[Observer]) -> Iterator[None]:
    """While it lasts, the first linear of each stage shows its inputs to its observer."""
    try:
        for linears, seen in zip(stages, observers, strict=True):
            linears[0].observe = partial(_show, linears[0], seen)
        yield
    finally:
        for linears in stages:
            linears[0].observe = None
