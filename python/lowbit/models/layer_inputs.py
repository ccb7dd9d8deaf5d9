"""What the linear layers of an encoder see of many texts, one layer after another.

Hidden states can be larger than the model, so they lie in a temporary file; what a linear sees goes
into sums of products alone. Memory does not grow with the texts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from lowbit import _core
from lowbit.models.batching import TokenBatch
from lowbit.models.layers import Linear, TransformerLayer
from lowbit.quantization.input_statistics import InputStatistics

BATCH_TOKENS = 512
"""Tokens that pass through a layer together, or one text."""
WIDE_TOKENS = 128
"""Of these, how many have the wide part's values at a time while sums of products are gathered."""

Visit = Callable[[list[Linear], InputStatistics], None]


class HiddenStates:
    """One float32 array [rows, width] for each batch of texts, written and read as a whole.

    The file has no name and goes with the object. Its pages are the operating system's, which
    drops them when memory is short.

    Parameters
    ----------
    rows
        Of each array.
    width
        Of all.

    Examples
    --------
    >>> states = HiddenStates([2, 3], 4)
    >>> states[1] = np.ones((3, 4), np.float32)
    >>> states[1].shape, len(states)
    ((3, 4), 2)
    >>> states.close()
    """

    def __init__(self, rows: Sequence[int], width: int) -> None:
        self._rows = list(rows)
        self.width = width
        self._begins = 4 * width * np.concatenate([[0], np.cumsum(self._rows)])
        self._file = tempfile.TemporaryFile(prefix="lowbit-")  # noqa: SIM115

    def __len__(self) -> int:
        return len(self._rows)

    def __setitem__(self, index: int, states: np.ndarray) -> None:
        assert states.shape == (self._rows[index], self.width)
        self._file.seek(int(self._begins[index]))
        self._file.write(memoryview(np.ascontiguousarray(states, np.float32)).cast("B"))

    def __getitem__(self, index: int) -> np.ndarray:
        states = np.empty((self._rows[index], self.width), np.float32)
        self._file.seek(int(self._begins[index]))
        count = self._file.readinto(memoryview(states).cast("B"))
        if count != states.nbytes:
            raise OSError("the temporary file of hidden states was cut")
        return states

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


class LayerInputs:
    """Some texts on their way through the layers.

    Parameters
    ----------
    batches
        The texts.
    embed
        Gives what goes into the first layer, float32 [tokens, hidden_size], for a batch.
    width
        hidden_size.

    Attributes
    ----------
    batches : sequence of TokenBatch
    hidden : HiddenStates
        What goes into the layer that is next.
    """

    def __init__(
        self,
        batches: Sequence[TokenBatch],
        embed: Callable[[TokenBatch], np.ndarray],
        width: int,
    ) -> None:
        self.batches = batches
        self._embed = embed
        tokens = [batch.tokens for batch in batches]
        self.hidden = HiddenStates(tokens, width)
        self._inside = HiddenStates(tokens, width)  # what attention gathers, then its layer's end
        for i, batch in enumerate(batches):
            self.hidden[i] = embed(batch)

    def pass_through(self, layer: TransformerLayer, visit: Visit) -> None:
        """Let the texts pass through the layer.

        `visit` is shown the linears, those with one input together, and what is known of their
        inputs. It may replace their weights: what follows sees what the new ones make. Only
        the wide part inside the layer is computed twice.
        """
        hidden, inside = self.hidden, self._inside
        visit([layer.query, layer.key, layer.value], _statistics(hidden))
        for i, batch in enumerate(self.batches):
            inside[i] = layer.context(hidden[i], batch.indptr)
        visit([layer.attention_output], _statistics(inside))
        for i in range(len(inside)):
            inside[i] = layer.attended(inside[i], hidden[i])
        visit([layer.intermediate], _statistics(inside))
        visit(
            [layer.output],
            _statistics(
                layer.inner(attended[first : first + WIDE_TOKENS])
                for attended in inside
                for first in range(0, len(attended), WIDE_TOKENS)
            ),
        )
        for i, attended in enumerate(inside):
            hidden[i] = layer.fed_forward(layer.inner(attended), attended)

    def restarted(self) -> LayerInputs:
        """The same texts before the first layer, as the encoder's tables are now."""
        return LayerInputs(self.batches, self._embed, self.hidden.width)

    def close(self) -> None:
        """Give the temporary files back."""
        self.hidden.close()
        self._inside.close()


def _statistics(inputs: Iterable[np.ndarray]) -> InputStatistics:
    """Of float32 arrays [tokens, K]."""
    _core.trim_memory()  # what is kept of the work before, since the sums can be large
    found: InputStatistics | None = None
    for x in inputs:
        found = found or InputStatistics(x.shape[1])
        found.observe(x)
    _core.trim_memory()
    assert found is not None
    return found
