"""The head of a classifier: tokens pooled to one vector, and that to logits; and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lowbit import _core
from lowbit.files.model_folder import ModelFolder
from lowbit.models.layers import Linear, Tape
from lowbit.models.parameters import Parameters

WEIGHT, BIAS = TENSORS = ("classifier.weight", "classifier.bias")
"""Names in `Parameters` and in files: float32 [classes, hidden_size] and [classes]."""


def head_forward(
    hidden: np.ndarray,
    indptr: np.ndarray,
    pooler: Linear | None,
    parameters: Parameters,
    tape: Tape | None = None,
) -> np.ndarray:
    """Logits [B, classes] of the hidden states [M, hidden_size] of B texts.

    Parameters
    ----------
    pooler
        None: the mean of the tokens goes into the head; else the first token through it and tanh.
    """
    pooled = _core.pool(hidden, indptr, "cls" if pooler else "mean")
    if pooler is not None:
        pooled = np.tanh(pooler(pooled, tape))
    if tape is not None:
        tape.push(pooled)
        if tape.dropout:
            mask = tape.mask(pooled.size, tape.dropout)
            pooled = _core.dropout(pooled, *mask)
            tape.push(pooled, mask)
    return pooled @ parameters[WEIGHT].T + parameters[BIAS]


def head_backward(
    dlogits: np.ndarray,
    indptr: np.ndarray,
    pooler: Linear | None,
    parameters: Parameters,
    tape: Tape,
) -> np.ndarray:
    """Gradient of the hidden states; those of the parameters are stored."""
    dropped = tape.pop() if tape.dropout else None
    (pooled,) = tape.pop()
    head_input = pooled if dropped is None else dropped[0]
    parameters.gradient(WEIGHT)[...] = dlogits.T @ head_input
    parameters.gradient(BIAS)[...] = dlogits.sum(axis=0)
    dpooled = dlogits @ parameters[WEIGHT]
    if dropped is not None:
        dpooled = _core.dropout(dpooled, *dropped[1])
    if pooler is None:
        return _core.pool_backward(dpooled, indptr, "mean")
    dfirst = pooler.backward(dpooled * (1 - pooled * pooled), tape)
    assert dfirst is not None
    return _core.pool_backward(dfirst, indptr, "cls")


def read_head(
    folder: ModelFolder, labels: int | Sequence[str] | None
) -> tuple[list[str], tuple[np.ndarray, np.ndarray] | None]:
    """Names of the classes, and the folder's head where it has as many.

    Parameters
    ----------
    labels
        Number of classes, or their names; None: those of the folder's head, else two.
    """
    stored = folder.tensors.get(WEIGHT)
    if labels is None:
        labels = (stored is not None and folder.config.label_names) or 2
    names = [str(i) for i in range(labels)] if isinstance(labels, int) else list(labels)
    if stored is None or stored.shape[0] != len(names):
        return names, None
    return names, (folder.read(WEIGHT), folder.read(BIAS))
