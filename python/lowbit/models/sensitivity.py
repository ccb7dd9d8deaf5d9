"""What it would cost to store each weight of an encoder in each of some formats.

With texts, the cost is what a format does to their vectors: 1 - cosine, when this weight alone
changes. Every weight is changed once, around a model in the format of fewest bits, which is the one
that takes no more memory than what comes out: there it is exact for once. What the formats do
follows from the outputs of the layer, whose change is known for every format from the sums of
products of its inputs: small errors reach the vectors through the same linear map, so the cost
grows with their square.

Without texts, the cost is the square of the relative change of the weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from lowbit import _core
from lowbit.embeddings import Embedding
from lowbit.files.model_folder import ModelFolder
from lowbit.models.layer_inputs import LayerInputs
from lowbit.models.layers import Linear
from lowbit.models.pooling import pool
from lowbit.models.weight_store import (
    POSITIONS,
    WORDS,
    Progress,
    dense_weight,
    read_table,
    round_weight,
)
from lowbit.quantization.gptq import gptq
from lowbit.quantization.moments import SecondMoments
from lowbit.quantization.search import row_chunks
from lowbit.quantization.weight_format import WeightFormat

if TYPE_CHECKING:
    from lowbit.models.encoder import Encoder

LINEARS = (
    WeightFormat("nf4", 64, True),
    WeightFormat("nf4", 32, True),
    WeightFormat("int8"),
    WeightFormat("fp16"),
    WeightFormat("fp32"),
)
BASE = LINEARS[0]
TABLES = {
    WORDS: (BASE, *LINEARS[2:]),
    POSITIONS: LINEARS[2:],
}
"""Formats to choose from, that of fewest bits first."""
TRIED_TABLES = {WORDS: WeightFormat("int8"), POSITIONS: BASE}
"""Tables are tried in another format than they have in a model in `BASE`: one that is not large."""
NO_VECTOR = 1e-6
"""Part of its own error that a weight costs when no vector depends on it: it gets what is left."""
TRY_TOKENS = 4096
"""Of the texts, in batches spread over all lengths, that show what trying a format does."""


def formats_of(name: str) -> tuple[WeightFormat, ...]:
    """The formats that a weight may have, by the name of its module."""
    return TABLES.get(name, LINEARS)


def without_texts(folder: ModelFolder, linears: Sequence[str]) -> dict[str, list[float]]:
    """What each format costs the tables and these linear layers, by their relative errors."""
    losses = {}
    for name, formats in TABLES.items():
        every = np.ones(folder.tensors[f"{name}.weight"].shape[0], np.int64)
        losses[name] = [_loss_of_rows(folder, name, format, every) for format in formats]
    for name in linears:
        losses[name] = _by_weight(folder, name)
    return losses


def _by_weight(folder: ModelFolder, name: str) -> list[float]:
    """Squares of the relative changes of a linear layer's weight."""
    exact = folder.read(f"{name}.weight")
    norm = max(float(np.linalg.norm(exact)), 1e-30)
    changes = (dense_weight(round_weight(exact, format)) - exact for format in LINEARS)
    return [(float(np.linalg.norm(change)) / norm) ** 2 for change in changes]


class Sensitivity:
    """Measures by texts.

    Parameters
    ----------
    encoder
        The model in `BASE`. Its weights are as before when measuring is over.
    folder
        Where the exact weights are.
    texts
        Like those to come.
    progress
        Called with (layers done, layers in all).
    """

    def __init__(
        self,
        encoder: Encoder,
        folder: ModelFolder,
        texts: Sequence[str],
        progress: Progress | None = None,
    ) -> None:
        self._encoder = encoder
        self._folder = folder
        self._texts = texts
        self._progress = progress
        self._losses: dict[str, list[float]] = {}

    def measure(self) -> dict[str, list[float]]:
        """What each of `formats_of` costs both tables and every linear; the pooler, hardly any."""
        encoder, layers = self._encoder, self._encoder.layers
        with closing(encoder.layer_inputs(self._texts)) as inputs:
            self._before = self._vectors(inputs, 0)
            for name in TABLES:
                self._losses[name] = self._of_table(inputs, name)
            for i, layer in enumerate(layers):
                inputs.pass_through(
                    layer,
                    lambda linears, seen, i=i: self._see(inputs, i, linears, seen.moments),
                )
                if self._progress is not None:
                    self._progress(i + 1, len(layers))
        if encoder.pooler is not None:
            name = encoder.pooler.name
            self._losses[name] = [NO_VECTOR * loss for loss in _by_weight(self._folder, name)]
        return self._losses

    def _vectors(self, inputs: LayerInputs, first: int) -> np.ndarray:
        """Vectors of some of the texts, whose states before layer `first` are in `inputs`."""
        found = []
        tokens = sum(batch.tokens for batch in inputs.batches)
        for i in range(0, len(inputs.batches), -(-tokens // TRY_TOKENS)):
            hidden, batch = inputs.hidden[i], inputs.batches[i]
            for layer in self._encoder.layers[first:]:
                hidden = layer(hidden, batch.indptr)
            found.append(pool(hidden, batch.indptr, self._encoder.sentence.pooling))
        return _core.l2_normalize(np.concatenate(found))

    def _drift(self, inputs: LayerInputs, first: int) -> float:
        """1 - mean cosine with the vectors of the model as it is."""
        change = self._vectors(inputs, first) - self._before
        _core.trim_memory()  # of the batches, since sums of products may be in memory too
        return float(np.sum(change.astype(np.float64) ** 2)) / (2 * len(change))

    def _see(
        self, inputs: LayerInputs, index: int, linears: list[Linear], moments: SecondMoments
    ) -> None:
        for linear in linears:
            exact = self._folder.read(f"{linear.name}.weight")
            before = linear.weight
            linear.weight = exact
            drift = self._drift(inputs, index)
            linear.weight = before
            gain = drift / max(moments.norm(dense_weight(before) - exact) ** 2, 1e-30)
            self._losses[linear.name] = losses = []
            for format in LINEARS:
                change = _rounded(exact, moments, format)
                change -= exact
                losses.append(gain * moments.norm(change) ** 2)
                _core.trim_memory()

    def _of_table(self, inputs: LayerInputs, name: str) -> list[float]:
        encoder, folder, formats = self._encoder, self._folder, TABLES[name]
        ids = [b.ids if name == WORDS else b.positions for b in inputs.batches]
        rows = folder.tensors[f"{name}.weight"].shape[0]
        used = np.bincount(np.concatenate(ids), minlength=rows)
        attribute = name.removeprefix("embeddings.")
        before = getattr(encoder, attribute)
        tried = TRIED_TABLES[name]
        setattr(encoder, attribute, read_table(folder, name, tried.format))
        with closing(inputs.restarted()) as changed:
            drift = self._drift(changed, 0)
        setattr(encoder, attribute, before)
        # Of the two formats, the one of fewer bits changes nearly all.
        gain = drift / max(_loss_of_rows(folder, name, BASE, used), 1e-30)
        return [_loss_of_rows(folder, name, format, used, gain) for format in formats]


def _rounded(exact: np.ndarray, moments: SecondMoments, format: WeightFormat) -> np.ndarray:
    """A linear layer's weight as the format will have it, a float32 array of its own."""
    if format.packed:
        stored = gptq(exact, moments, *format)
        _core.trim_memory()
        return stored.dequantize()
    rounded = dense_weight(round_weight(exact, format))
    return rounded.copy() if rounded is exact else rounded


def _loss_of_rows(
    folder: ModelFolder, name: str, format: WeightFormat, used: np.ndarray, gain: float = 1.0
) -> float:
    """What the format costs a table: the squared relative change of its rows, times `gain`.

    Each row counts as often as it is used.
    """
    # Scales in 8 bits are chosen for the whole table; without, rows are rounded by themselves.
    table = read_table(folder, name, format.format) if format.double_quant else None
    change = norm = 0.0
    for first, end in row_chunks(*folder.tensors[f"{name}.weight"].shape):
        exact = folder.read(f"{name}.weight", (first, end))
        rounded = table(np.arange(first, end)) if table else Embedding(exact, format.format).table()
        counts = used[first:end].astype(np.float64)
        change += float(counts @ np.sum((rounded - exact) ** 2, axis=1))
        norm += float(counts @ np.sum(exact**2, axis=1))
    return gain * change / max(norm, 1e-30)
