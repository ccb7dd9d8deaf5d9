"""How the weights of a model are kept in memory: which format, and what rounds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lowbit.arrays import float32_to_bf16, float32_to_fp16
from lowbit.embeddings import Embedding
from lowbit.files.model_folder import ModelFolder
from lowbit.models.layers import Linear, weight_format
from lowbit.quantization.matrix import QuantizedMatrix, packed_formats
from lowbit.quantization.methods import METHODS, Method, PackedFormat, find_method

DENSE_FORMATS = ("fp32", "bf16", "fp16")
Progress = Callable[[int, int], None]


class WeightStore:
    """Reads linear layers and word tables of a folder into the formats asked for.

    What the folder holds in packed form stays as it is: rounding it again could only lose.

    Parameters
    ----------
    format, embeddings
        Of linear layers and of the word table; None: packed as stored, or float32.
    group_size, double_quant, compute, calibrate, progress, method, bias_correction
        As in `Encoder.from_pretrained`.
    """

    def __init__(
        self,
        format: str | None = None,
        group_size: int | None = 64,
        double_quant: bool = False,
        embeddings: str | None = None,
        compute: str = "auto",
        calibrate: Sequence[str] | None = None,
        progress: Progress | None = None,
        method: str | Method | None = None,
        bias_correction: bool = False,
    ) -> None:
        known = [*DENSE_FORMATS, *packed_formats()]
        if format is not None and format not in known:
            raise ValueError(f'from_pretrained: format="{format}" is not known; use one of {known}')
        if calibrate is not None and format not in packed_formats():
            raise ValueError(
                f"from_pretrained: calibrate is for packed formats, {packed_formats()}; "
                f"format={format!r} rounds every weight by itself"
            )
        if calibrate is not None and not len(calibrate):
            raise ValueError("from_pretrained: calibrate has no texts; pass a few hundred")
        self.method = _checked_method(method, bias_correction, format, calibrate is not None)
        self.bias_correction = bias_correction
        self.format = format
        self.group_size = group_size
        self.double_quant = double_quant and format in packed_formats()
        self.embeddings = embeddings
        self.compute = compute
        self.calibrate = calibrate
        self.progress = progress

    @property
    def packed(self) -> PackedFormat:
        """How weights are stored, where the format is a packed one."""
        assert self.format is not None
        return PackedFormat(self.format, self.group_size, self.double_quant)

    def linear(self, folder: ModelFolder, name: str) -> Linear:
        """The linear layer `name` of the folder, its weight in this store's format.

        What is going to be calibrated is left in float32.
        """
        weight: Any = folder.read_weight(f"{name}.weight")
        input_scale = folder.read_input_scale(name)
        if input_scale is not None and isinstance(weight, np.ndarray):
            weight, input_scale = weight * input_scale, None  # no need to keep it apart
        format = self.format or "fp32"
        calibrated = self.calibrate is not None and name.startswith("encoder.")
        if isinstance(weight, QuantizedMatrix):
            self._check_stored(f"{name}.weight", weight.format, self.format, calibrated)
            weight = weight._packed
        elif calibrated or format == "fp32":
            pass
        elif format == "bf16":
            weight = float32_to_bf16(weight)
        elif format == "fp16":
            weight = float32_to_fp16(weight)
        else:
            # What needs inputs has them for the encoder's layers alone.
            method = METHODS["nearest"] if self.method.needs_inputs else self.method
            weight = method.rounding(weight, self.packed, None)._packed
        # Whoever asks for fp32 weights wants their exact products, also where bf16 is faster.
        exact = self.compute == "auto" and weight_format(weight) == "fp32" and not calibrated
        # Products in int8 are of packed weights alone, which these become when they are calibrated.
        waits = self.compute == "int8" and calibrated
        compute = "fp32" if exact else "auto" if waits else self.compute
        linear = Linear(name, weight, folder.read(f"{name}.bias"), compute)
        linear.input_scale = input_scale
        return linear

    def word_table(self, folder: ModelFolder, name: str) -> Embedding:
        """The embedding table `name` of the folder."""
        table = folder.read_weight(name)
        if isinstance(table, QuantizedMatrix):
            self._check_stored(name, table.format, self.embeddings, False)
            return Embedding.from_packed(table)
        return Embedding(table, self.embeddings or "fp32")

    def _check_stored(self, name: str, stored: str, asked: str | None, calibrated: bool) -> None:
        if asked is not None and (asked != stored or calibrated):
            raise ValueError(
                f'from_pretrained: {name} is stored in "{stored}" and is not rounded again; leave '
                "the format out, or read the folder that it was made from"
            )


def _checked_method(
    method: str | Method | None, bias_correction: bool, format: str | None, calibrated: bool
) -> Method:
    """How weights are rounded; without a word about it, GPTQ where there are texts."""
    if method is None:
        found = METHODS["gptq" if calibrated else "nearest"]
    elif format in packed_formats():
        found = find_method(method, "from_pretrained")
    else:
        raise ValueError(
            f"from_pretrained: method is for packed formats, {packed_formats()}; format={format!r}"
        )
    if not calibrated and (found.needs_inputs or bias_correction):
        asked = "bias_correction" if bias_correction else f"method={method!r}"
        raise ValueError(
            f"from_pretrained: {asked} needs inputs of the layers; pass calibrate, a few hundred "
            "texts like those to come"
        )
    return found
