"""A BERT-family encoder whose linear layers are stored in any format."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from lowbit import _core
from lowbit.files.model_folder import ModelFolder, open_model_folder
from lowbit.models import encoder_files
from lowbit.models.activation_scales import observe_inputs
from lowbit.models.batching import TokenBatch, TokenizedTexts
from lowbit.models.calibration import Calibration, LinearReport
from lowbit.models.encoder_vectors import EncoderVectors
from lowbit.models.format_choice import choose_formats
from lowbit.models.layer_inputs import BATCH_TOKENS, LayerInputs
from lowbit.models.layers import LayerNorm, Linear, Tape, TransformerLayer, weight_format
from lowbit.models.weight_store import POSITIONS, WORDS, Progress, WeightStore
from lowbit.quantization import Method
from lowbit.quantization.weight_format import WeightFormat
from lowbit.tokenizers import Tokenizer

# Module names of one layer's linears, in the order of TransformerLayer.linears().
LINEAR_NAMES = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)


class Encoder(EncoderVectors):
    """Texts in, contextual vectors out; read with `Encoder.from_pretrained`.

    Attributes
    ----------
    config : EncoderConfig
        Sizes, as in the folder's config.json.
    tokenizer : Tokenizer
    max_length : int
        Tokens a text may have; longer ones are cut with a warning.
    layers : list of TransformerLayer
    word_embeddings, position_embeddings : Embedding
    pooler : Linear or None
        The dense layer above the first token, where the folder has one and it was asked for.
    reports : list of LinearReport
        What rounding cost each linear layer that was calibrated.
    """

    def __init__(self, folder: ModelFolder, store: WeightStore, pooler: bool = True) -> None:
        config = folder.config
        self.config = config
        self.tokenizer = Tokenizer.from_file(folder.tokenizer_path)
        self.sentence = folder.sentence
        self.max_length = int(folder.sentence.max_seq_length or config.max_position_embeddings)
        self.source = folder.path
        self.word_embeddings = store.table(folder, WORDS)
        self.position_embeddings = store.table(folder, POSITIONS)
        self.token_type_embeddings = folder.read("embeddings.token_type_embeddings.weight")
        self.embedding_norm = _layer_norm(folder, "embeddings.LayerNorm")
        self.reports: list[LinearReport] = []
        self.layers = self._read_layers(folder, store)
        has_pooler = pooler and "pooler.dense.weight" in folder.tensors
        self.pooler = store.linear(folder, "pooler.dense") if has_pooler else None
        if store.activations == "static":
            observe_inputs(self, self._batches(store.calibrate), store.observer)
        elif store.activations == "dynamic":
            for linear in self.linears().values():
                linear.compute = "int8"

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        format: str | Mapping[str, WeightFormat] | None = None,
        group_size: int | None = 64,
        double_quant: bool = False,
        embeddings: str | None = None,
        compute: str = "auto",
        calibrate: Sequence[str] | None = None,
        progress: Progress | None = None,
        method: str | Method | None = None,
        bias_correction: bool = False,
        pooler: bool = True,
        budget: int | float | str | None = None,
        activations: str | None = None,
        observer: str = "mse",
        scale_dtype: str | None = None,
        symmetric: bool = True,
    ) -> Encoder:
        """Read a BERT-family folder: config.json, safetensors, tokenizer.json or vocab.txt.

        Tensors are read and quantized one at a time, so reading never needs much more memory than
        the model itself.

        Parameters
        ----------
        folder
            Folder of the model.
        format
            Of the linear layers: "fp32", "bf16", "fp16", "int8", "int4", "nf4", "fp4" or "mxfp4";
            None: as `Encoder.save` stored them, which is not rounded again, else "fp32". "auto":
            what `choose_formats` chooses for the budget; or a format for each weight by its
            module's name, as in `FormatPlan.formats`. Then those of tables are among them.
        group_size, double_quant, scale_dtype, symmetric
            Of the linear layers, as in `lowbit.quantize`; the last two for one packed format.
        embeddings
            Format of the word table, as in `lowbit.Embedding`; None as above. That of the positions
            is the same, but has 8 bits at least.
        compute
            As in `lowbit.linear`; but for fp32 weights "auto" means "fp32".
        calibrate
            Texts like those to come, a few hundred: weights in a packed format are rounded for the
            inputs that these texts make. Without, every weight is rounded by itself.
        progress
            Called with (layers done, layers in all) while calibrating.
        method
            How weights are rounded to a packed format: "nearest", "search" or "hqq", with or
            without texts; "gptq", "awq" or "smoothquant", which need them; or a
            `lowbit.quantization.Method`. None: "gptq" where there are texts, else "nearest".
        bias_correction
            Let each bias give back what rounding adds to the mean of the layer's outputs over the
            texts.
        pooler
            False leaves out the dense layer above the first token, which `embed` does not use.
        budget
            With format="auto": bytes that the weights may take in a file, a number or "20MB".
        activations
            "dynamic": the inputs of linear layers are rounded to int8 with scales of their own for
            each row and 128 to 256 columns, and multiplied in int8, which needs weights in a packed
            format. "static": with one scale and zero point for each layer, which an observer takes
            from the texts of `calibrate`; `format` may then be None, for packed weights that are
            not rounded again. None: as `Encoder.save` stored them, unless `compute` is neither
            "auto" nor "int8"; else as `compute` says.
        observer
            Of static activations: "minmax", "average", "percentile", "mse" or "entropy"
            (`lowbit.quantization`).

        Raises
        ------
        FileNotFoundError, FileFormatError
            For a missing or broken file: which one, which tensor, what was expected.
        ValueError
            For an unknown format or method, a method that lacks its texts, a budget that is too
            small or without "auto", or options that do not fit together.
        """
        if (format == "auto") != (budget is not None):
            raise ValueError(
                f'from_pretrained: format="auto" and budget belong together; got format={format!r} '
                f"and budget={budget!r}"
            )
        if budget is not None:
            format = choose_formats(folder, budget, calibrate, pooler, progress).formats
        store = WeightStore(
            format,
            group_size,
            double_quant,
            embeddings,
            compute,
            calibrate,
            progress,
            method,
            bias_correction,
            activations,
            observer,
            scale_dtype,
            symmetric,
        )
        with open_model_folder(folder) as opened:
            return cls(opened, store, pooler)

    def _read_layers(self, folder: ModelFolder, store: WeightStore) -> list[TransformerLayer]:
        count = folder.config.num_hidden_layers
        if not store.rounds_for_texts:
            return [_layer(folder, store, i) for i in range(count)]
        layers = []
        with closing(self.layer_inputs(store.calibrate)) as inputs:
            calibration = Calibration(
                inputs,
                lambda name: store.format_of(name) if store.is_calibrated(name) else None,
                store.method,
                store.bias_correction,
                store.compute,
            )
            for i in range(count):
                layers.append(_layer(folder, store, i))
                calibration.round_layer(layers[-1])
                if store.progress is not None:
                    store.progress(i + 1, count)
        self.reports = calibration.reports
        return layers

    def _batches(self, texts: Sequence[str]) -> list[TokenBatch]:
        tokenized = TokenizedTexts(self.tokenizer, texts, self.max_length)
        return [tokenized.batch(rows) for rows in tokenized.by_tokens(BATCH_TOKENS)]

    def layer_inputs(self, texts: Sequence[str]) -> LayerInputs:
        """Texts before the first layer."""
        return LayerInputs(self._batches(texts), self._first_states, self.config.hidden_size)

    def _first_states(self, batch: TokenBatch) -> np.ndarray:
        """What goes into the first layer, float32 [M, hidden_size]."""
        longest = int(batch.positions.max(initial=-1)) + 1
        x = _core.embed(
            *self.word_embeddings.kernel_table(),
            batch.ids,
            self.position_embeddings.first_rows(longest),
            batch.positions,
            self.token_type_embeddings,
            batch.type_ids,
        )
        return self.embedding_norm(x)

    def __call__(self, batch: TokenBatch, tape: Tape | None = None) -> np.ndarray:
        """Last hidden state of every token, float32 [M, hidden_size]."""
        x = self._first_states(batch)
        if tape is not None and tape.dropout:
            x = _core.dropout(x, *tape.mask(x.size, tape.dropout))
        for layer in self.layers:
            x = layer(x, batch.indptr, tape)
        return x

    def backward(self, dx: np.ndarray, tape: Tape) -> None:
        """Gradients of what the layers train from that of the last hidden state."""
        for index in range(len(self.layers) - 1, -1, -1):
            gradient = self.layers[index].backward(dx, tape, need_dx=index > 0)
            if gradient is not None:
                dx = gradient

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the encoder as a model folder that `from_pretrained` reads, bit for bit.

        Packed weights are written as they are, with how their inputs are rounded to int8 (the
        layout is in lowbit.files.packed_tensors), the others in their own type; configuration and
        vocabulary are copied from the folder that the encoder was read from.

        Raises
        ------
        ValueError
            If a layer has an adapter: save that by itself, or merge it first.
        OSError
            If the folder exists or cannot be written.
        """
        encoder_files.save(self, folder)

    @property
    def format(self) -> str:
        """Format of the linear layers, or of each kind that occurs, joined by "+"."""
        found = {weight_format(linear.weight): None for linear in self.linears().values()}
        return "+".join(found)

    def linears(self) -> dict[str, Linear]:
        """Every linear layer of the encoder by its module name ("encoder.layer.0. ...")."""
        named = {linear.name: linear for layer in self.layers for linear in layer.linears()}
        if self.pooler is not None:
            named[self.pooler.name] = self.pooler
        return named

    @property
    def nbytes(self) -> int:
        """Bytes of all weights as they are stored."""
        scales = [linear.input_scale for linear in self.linears().values()]
        arrays = [*self._arrays(), *(scale for scale in scales if scale is not None)]
        return sum(_nbytes(array) for array in arrays)

    @property
    def nbytes_fp32(self) -> int:
        """Bytes of the same weights in float32."""
        return 4 * sum(_count(array) for array in self._arrays())

    def _arrays(self) -> Iterable[Any]:
        yield self.word_embeddings
        yield self.position_embeddings
        yield self.token_type_embeddings
        norms = [self.embedding_norm]
        norms += [n for layer in self.layers for n in (layer.attention_norm, layer.output_norm)]
        for norm in norms:
            yield norm.gamma
            yield norm.beta
        for linear in self.linears().values():
            yield linear.weight
            yield linear.bias

    def __repr__(self) -> str:
        c = self.config
        return (
            f"Encoder({c.num_hidden_layers} layers, hidden {c.hidden_size}, {self.format}, "
            f"embeddings {self.word_embeddings.format}, {self.nbytes / 1e6:.1f} MB)"
        )


def _layer_norm(folder: ModelFolder, name: str) -> LayerNorm:
    gamma, beta = folder.read(f"{name}.weight"), folder.read(f"{name}.bias")
    return LayerNorm(gamma, beta, folder.config.layer_norm_eps)


def _layer(folder: ModelFolder, store: WeightStore, index: int) -> TransformerLayer:
    prefix = f"encoder.layer.{index}"
    query, key, value, attention, intermediate, output = (
        store.linear(folder, f"{prefix}.{name}") for name in LINEAR_NAMES
    )
    return TransformerLayer(
        query,
        key,
        value,
        attention,
        _layer_norm(folder, f"{prefix}.attention.output.LayerNorm"),
        intermediate,
        output,
        _layer_norm(folder, f"{prefix}.output.LayerNorm"),
        folder.config.num_attention_heads,
    )


def _count(weight: Any) -> int:
    rows_cols = weight.shape
    return int(np.prod(rows_cols))


def _nbytes(weight: Any) -> int:
    return int(weight.nbytes)
