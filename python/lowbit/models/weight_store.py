"""How the weights of a model are kept in memory: which format, and what rounds them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lowbit import _core
from lowbit.arrays import bf16_to_float32, float32_to_bf16, float32_to_fp16
from lowbit.embeddings import Embedding
from lowbit.files.model_folder import ModelFolder
from lowbit.models.layers import Linear, weight_format
from lowbit.quantization.affine import AffineParams
from lowbit.quantization.matrix import QuantizedMatrix, packed_formats
from lowbit.quantization.methods import METHODS, Method, find_method
from lowbit.quantization.observers import OBSERVERS
from lowbit.quantization.weight_format import WeightFormat

DENSE_FORMATS = ("fp32", "bf16", "fp16")
WORDS = "embeddings.word_embeddings"
POSITIONS = "embeddings.position_embeddings"
ACTIVATIONS = ("dynamic", "static")
Progress = Callable[[int, int], None]


Formats = str | Mapping[str, WeightFormat] | None


class WeightStore:
    """Reads linear layers and tables of a folder into the formats asked for.

    What the folder holds in packed form stays as it is: rounding it again could only lose.

    Parameters
    ----------
    format, embeddings
        Of linear layers and of the word table; None: packed as stored, or float32. A mapping has a
        `WeightFormat` for every module name, those of the two tables included.
    group_size, double_quant, compute, calibrate, progress, method, bias_correction, activations,
    observer, scale_dtype, symmetric
        As in `Encoder.from_pretrained`.

    Attributes
    ----------
    rounds_for_texts : bool
        Whether weights of the layers are to be rounded for texts, so that they are read in float32.
    """

    def __init__(
        self,
        format: Formats = None,
        group_size: int | None = 64,
        double_quant: bool = False,
        embeddings: str | None = None,
        compute: str = "auto",
        calibrate: Sequence[str] | None = None,
        progress: Progress | None = None,
        method: str | Method | None = None,
        bias_correction: bool = False,
        activations: str | None = None,
        observer: str = "mse",
        scale_dtype: str | None = None,
        symmetric: bool = True,
    ) -> None:
        self._by_name = dict(format) if isinstance(format, Mapping) else None
        self._format = None if isinstance(format, Mapping) else format
        self._scales = group_size, double_quant, scale_dtype, symmetric
        self._embeddings = embeddings
        self._check_activations(activations, observer, compute, calibrate)
        # Activations are rounded once all weights are.
        self.compute = compute if activations is None else "auto"
        self.calibrate = calibrate
        self.progress = progress
        self.activations = activations
        self.observer = observer
        self._check()
        packed = any(format in packed_formats() for format in self._asked())
        self.method = _checked_method(
            method, bias_correction, packed, self._format, self.calibrate is not None
        )
        self.bias_correction = bias_correction
        self.rounds_for_texts = self.calibrate is not None and packed

    def _asked(self) -> list[str | None]:
        """Formats of linear layers, or of every weight that has one by name."""
        if self._by_name is None:
            return [self._format]
        return [format[0] for format in self._by_name.values()]

    def _check(self) -> None:
        known = [*DENSE_FORMATS, *packed_formats()]
        asked = self._asked()
        for format in asked:
            if format is not None and format not in known:
                raise ValueError(
                    f'from_pretrained: format="{format}" is not known; use one of {known}'
                )
        if self._by_name is not None and self._embeddings is not None:
            raise ValueError(
                f"from_pretrained: embeddings={self._embeddings!r} beside a format for each weight;"
                f' put that of the word table there, as "{WORDS}"'
            )
        self._check_scales()
        if self.calibrate is None:
            return
        as_stored = asked == [None] and self.activations == "static"
        if not as_stored and not any(format in packed_formats() for format in asked):
            if self._by_name is not None:  # the budget was large enough for floats
                self.calibrate = None
                return
            raise ValueError(
                f"from_pretrained: calibrate is for packed formats, {packed_formats()}; "
                f"format={self._format!r} rounds every weight by itself"
            )
        if not len(self.calibrate):
            raise ValueError("from_pretrained: calibrate has no texts; pass a few hundred")

    def _check_scales(self) -> None:
        """Refuse what cannot be stored before anything is read, in the words of `quantize`."""
        if self._by_name is not None:
            formats = [WeightFormat(*format) for format in self._by_name.values()]
        else:
            formats = [WeightFormat(self._format, *self._scales)] if self._format else []
        packed = [format for format in formats if format.packed]
        for format in packed:
            stored_bytes((1, 1), format)
        *_, scale_dtype, symmetric = self._scales
        if (scale_dtype is not None or not symmetric) and (self._by_name is not None or not packed):
            asked = f"scale_dtype={scale_dtype!r}" if scale_dtype else "symmetric=False"
            given = "there is one for each weight" if self._by_name else f"format={self._format!r}"
            raise ValueError(
                f"from_pretrained: {asked} is for one packed format of all linear layers, of "
                f"{packed_formats()}; {given}"
            )

    def format_of(self, name: str) -> WeightFormat | None:
        """What the weight of a module is to be stored in; None: packed as it is, or float32.

        Raises
        ------
        ValueError
            If formats are asked for by name, and this one has none.
        """
        if self._by_name is not None:
            if name not in self._by_name:
                raise ValueError(
                    f"from_pretrained: format says nothing of {name}; give every weight one"
                )
            return WeightFormat(*self._by_name[name])
        if name == WORDS:
            return self._embeddings and WeightFormat(self._embeddings)
        if name == POSITIONS:
            return self._embeddings and WeightFormat(position_format(self._embeddings))
        return self._format and WeightFormat(self._format, *self._scales)

    def is_calibrated(self, name: str) -> bool:
        """Whether the weight of this module is rounded for the inputs that texts make."""
        asked = self.format_of(name)
        calibrated = self.calibrate is not None and name.startswith("encoder.")
        return calibrated and asked is not None and asked.packed

    def linear(self, folder: ModelFolder, name: str) -> Linear:
        """The linear layer `name` of the folder, its weight in this store's format.

        What is going to be calibrated is left in float32.
        """
        weight: Any = folder.read_weight(f"{name}.weight")
        input_scale = folder.read_input_scale(name)
        if input_scale is not None and isinstance(weight, np.ndarray):
            weight, input_scale = weight * input_scale, None  # no need to keep it apart
        asked, calibrated = self.format_of(name), self.is_calibrated(name)
        if isinstance(weight, QuantizedMatrix):
            _check_stored(f"{name}.weight", weight.format, asked, calibrated)
            weight = weight._packed
        elif asked is not None and not calibrated:
            # What needs inputs has them for the encoder's layers alone.
            method = METHODS["nearest"] if self.method.needs_inputs else self.method
            weight = round_weight(weight, asked, method)
        compute, x_scale = self._products(folder, name, weight_format(weight), calibrated)
        linear = Linear(name, weight, folder.read(f"{name}.bias"), compute, x_scale)
        linear.input_scale = input_scale
        return linear

    def _products(
        self, folder: ModelFolder, name: str, format: str, calibrated: bool
    ) -> tuple[str, str | AffineParams]:
        """`compute` and `x_scale` of a linear whose weight is in this format now."""
        if self.activations is not None and format not in packed_formats() and not calibrated:
            raise ValueError(
                f'from_pretrained: activations="{self.activations}" multiplies in int8, which '
                f"needs a format of {packed_formats()}; {name} is in {format}"
            )
        stored = folder.x_scale(f"{name}.weight")
        if self.activations is None and stored is not None and self.compute in ("auto", "int8"):
            return "int8", stored
        # Whoever asks for fp32 weights wants their exact products, also where bf16 is faster.
        exact = self.compute == "auto" and format == "fp32" and not calibrated
        # Products in int8 are of packed weights alone, which these become when they are calibrated.
        waits = self.compute == "int8" and calibrated
        return ("fp32" if exact else "auto" if waits else self.compute), "block"

    @staticmethod
    def _check_activations(
        activations: str | None, observer: str, compute: str, texts: Any
    ) -> None:
        if activations is None:
            return
        if activations not in ACTIVATIONS:
            raise ValueError(
                f'from_pretrained: activations="{activations}" is not known; use one of '
                f"{list(ACTIVATIONS)}, or None"
            )
        if compute not in ("auto", "int8"):
            raise ValueError(
                f'from_pretrained: activations="{activations}" multiplies in int8, and '
                f'compute="{compute}" does not; leave one of them out'
            )
        if activations == "static" and texts is None:
            raise ValueError(
                'from_pretrained: activations="static" needs calibrate, a few hundred texts like '
                "those to come; leave activations out to take the scales that a folder has"
            )
        if observer not in OBSERVERS:
            raise ValueError(
                f'from_pretrained: observer="{observer}" is not known; use one of {list(OBSERVERS)}'
            )

    def table(self, folder: ModelFolder, module: str) -> Embedding:
        """The embedding table of a module."""
        name, asked = f"{module}.weight", self.format_of(module)
        stored = folder.tensors[name]
        if stored.packed is not None:
            table = folder.read_weight(name)
            _check_stored(name, table.format, asked, False)
            return Embedding.from_packed(table)
        return read_table(folder, module, asked.format if asked else "fp32")


def read_table(folder: ModelFolder, module: str, format: str) -> Embedding:
    """A table that the folder holds in floats; some rows are in float32 at a time."""
    name = f"{module}.weight"
    return Embedding.from_rows(
        lambda first, end: folder.read(name, (first, end)), folder.tensors[name].shape, format
    )


def position_format(words: str) -> str:
    """Format of the position table beside a word table in this one.

    It is small, and every token has a row of it: it never has fewer than 8 bits.

    Examples
    --------
    >>> position_format("nf4"), position_format("bf16")
    ('int8', 'bf16')
    """
    return "int8" if words in packed_formats() else words


def round_weight(
    weight: np.ndarray, asked: WeightFormat, method: Method = METHODS["nearest"]
) -> Any:
    """A float32 weight [N, K] as a linear layer keeps it, rounded without inputs."""
    if asked.format == "fp32":
        return weight
    if asked.format == "bf16":
        return float32_to_bf16(weight)
    if asked.format == "fp16":
        return float32_to_fp16(weight)
    return method.rounding(weight, asked, None)._packed


def stored_bytes(shape: tuple[int, ...], format: WeightFormat) -> int:
    """Bytes that a weight [N, K] takes in a file.

    Examples
    --------
    >>> [stored_bytes((16, 64), WeightFormat(name, 64)) for name in ("nf4", "int8", "fp16")]
    [576, 1088, 2048]
    """
    if format.packed:  # zeros that nobody writes take no memory
        zeros = np.zeros(shape, np.float32)
        return round_weight(zeros, format).nbytes
    return math.prod(shape) * (4 if format.format == "fp32" else 2)


def stored_format(weight: Any) -> WeightFormat:
    """How a weight of a layer or a table is kept.

    Examples
    --------
    >>> from lowbit import quantize
    >>> w = np.ones((16, 64), np.float32)
    >>> str(stored_format(quantize(w, "int4", 32, scale_dtype="fp16", symmetric=False)._packed))
    'int4 g32 fp16 scales asymmetric'
    >>> str(stored_format(Embedding(w, "int8"))), str(stored_format(w))
    ('int8', 'fp32')
    """
    if isinstance(weight, Embedding):
        weight = weight.stored()
    if not isinstance(weight, _core.PackedMatrix):
        return WeightFormat(weight_format(weight))
    of_a_row = weight.group_size == weight.shape[1]
    return WeightFormat(
        weight.format,
        ("tensor" if weight.per_tensor else None) if of_a_row else weight.group_size,
        weight.double_quant,
        weight.scale_dtype if weight.scale_dtype in ("fp16", "bf16") else None,
        weight.symmetric,
    )


def dense_weight(weight: Any) -> np.ndarray:
    """What a linear layer's weight stands for, float32 [N, K]."""
    if isinstance(weight, _core.PackedMatrix):
        return _core.dequantize(weight)
    if weight.dtype == np.uint16:
        return bf16_to_float32(weight)
    return weight.astype(np.float32, copy=False)


def _check_stored(name: str, stored: str, asked: WeightFormat | None, calibrated: bool) -> None:
    if asked is not None and (asked.format != stored or calibrated):
        raise ValueError(
            f'from_pretrained: {name} is stored in "{stored}" and is not rounded again; leave '
            "the format out, or read the folder that it was made from"
        )


def _checked_method(
    method: str | Method | None,
    bias_correction: bool,
    packed: bool,
    format: str | None,
    calibrated: bool,
) -> Method:
    """How weights are rounded; without a word about it, GPTQ where there are texts."""
    if method is None:
        found = METHODS["gptq" if calibrated else "nearest"]
    elif packed:
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
