"""An encoder with a small head, trained to sort texts: through adapters on frozen low-bit weights,
or through its float weights, rounded in every forward pass.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lowbit.adapters.config import LoraConfig
from lowbit.adapters.lora import MergeReport
from lowbit.files.encoder_config import POOLINGS
from lowbit.files.model_folder import open_model_folder
from lowbit.models import adapter_files, encoder_files
from lowbit.models.batching import TokenBatch, TokenizedTexts
from lowbit.models.encoder import Encoder, WeightStore
from lowbit.models.head import TENSORS as TENSORS_OF_HEAD
from lowbit.models.head import head_backward, head_forward, read_head
from lowbit.models.layers import Adapter, Linear, Tape
from lowbit.models.loss import cross_entropy, softmax
from lowbit.models.merging import merge_adapters
from lowbit.models.parameters import Parameters, fresh_adapters, fresh_head
from lowbit.models.qat import packed_linears, train_linears
from lowbit.models.training import (
    Event,
    History,
    Trainer,
    TrainingOptions,
    check_labels,
    tokenized_or,
)
from lowbit.quantization.qat import QatConfig


class Classifier:
    """Sorts texts into classes; read with `Classifier.from_pretrained`, train with `fit`.

    Attributes
    ----------
    encoder : Encoder
        Frozen, but for linear layers that `prepare_qat` set free.
    label_names : list of str
        The classes, by id.
    lora : LoraConfig
    qat : QatConfig or None
        How weights are rounded in training; None where they are frozen.
    pooling : str
        "mean": logits = mean of the tokens W^T + b. "cls": the first token through the model's
        pooler and tanh, then W^T + b, as BertForSequenceClassification.
    parameters : Parameters
        Everything that is trained: the head, and adapters or weights.
    """

    def __init__(
        self,
        encoder: Encoder,
        label_names: Sequence[str],
        lora: LoraConfig,
        pooling: str = "mean",
        seed: int = 0,
        head: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        if pooling not in POOLINGS:
            raise ValueError(f'Classifier: pooling="{pooling}" is not known; use one of {POOLINGS}')
        if pooling == "cls" and encoder.pooler is None:
            raise ValueError(
                'Classifier: pooling="cls" needs pooler.dense, which the model lacks; '
                "`lowbit quantize` leaves it out of sentence models without --keep-pooler"
            )
        if len(label_names) < 2:
            raise ValueError(f"Classifier: {len(label_names)} label; there must be at least two")
        self.encoder = encoder
        self.label_names = [str(name) for name in label_names]
        self.pooling = pooling
        self.qat: QatConfig | None = None
        linears = self.linears()
        shapes = {name: linears[name].shape for name in lora.find_targets(list(linears))}
        generator = np.random.default_rng(seed)
        values = fresh_adapters(lora, shapes, generator)
        if head is None:
            head = fresh_head(len(self.label_names), self.encoder.config.hidden_size, generator)
        self._attach(lora, values | dict(zip(TENSORS_OF_HEAD, head, strict=True)))

    def _attach(self, lora: LoraConfig, values: dict[str, np.ndarray]) -> None:
        """Take these parameters; only the linears they name keep an adapter."""
        self.lora = lora
        self.parameters = Parameters(values)
        self.targets: dict[str, Linear] = {}
        for name, linear in self.linears().items():
            linear.adapter = None
            if f"{name}.lora_A" in self.parameters:
                scale = lora.scale_of(name)
                linear.adapter = Adapter(name, self.parameters, scale, lora.dropout)
                self.targets[name] = linear

    def linears(self) -> dict[str, Linear]:
        """Every linear layer of the forward pass, named as in BertForSequenceClassification."""
        linears = self.encoder.linears()
        if self.pooling == "mean":
            linears.pop("pooler.dense", None)
        return {f"bert.{name}": linear for name, linear in linears.items()}

    @property
    def merged(self) -> bool:
        """Whether `merge` has put the adapters into the weights."""
        return any(linear.adapter is None for linear in self.targets.values())

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        labels: int | Sequence[str] | None = None,
        format: str | None = None,
        group_size: int | None = 64,
        double_quant: bool = True,
        embeddings: str | None = None,
        lora: LoraConfig | None = None,
        pooling: str | None = None,
        seed: int = 0,
        compute: str = "auto",
        adapter: str | os.PathLike[str] | None = None,
        qat: QatConfig | None = None,
    ) -> Classifier:
        """Read a BERT-family folder and put adapters and a head on it, fresh or trained before.

        Parameters
        ----------
        folder, format, group_size, double_quant, embeddings, compute
            As in `Encoder.from_pretrained`; but None is "nf4", or "fp32" with `qat`, and the word
            table in "int8", where the folder holds no packed weights.
        labels
            Number of classes, or their names; None: those of the folder's classifier, else two.
        lora
            Rank, alpha, dropout and targets; None for rank 8, alpha 16 on every linear layer.
        pooling
            "mean" or "cls"; None: as the folder says, else "mean".
        seed
            Of the adapters and the head: A uniform in +-1/sqrt(K), B zero, the head normal with
            deviation 0.02. A head that the folder brings, with as many classes, is used instead.
        adapter
            Folder written by `save_adapter` or by PEFT: its adapters, head and settings are taken,
            and, where lowbit wrote it, its pooling and names of the classes.
        qat
            Train the weights themselves instead of adapters; see `prepare_qat`.
        """
        if qat is not None and lora is not None:
            raise ValueError("Classifier.from_pretrained: give lora or qat, not both")
        if adapter is not None:
            notes = adapter_files.read_notes(adapter)
            pooling, labels = notes.get("pooling", pooling), notes.get("labels", labels)
        with open_model_folder(folder) as opened:
            if not opened.is_packed:
                format = format or ("nf4" if qat is None else "fp32")
                embeddings = embeddings or "int8"
            store = WeightStore(format, group_size, double_quant, embeddings, compute)
            encoder = Encoder(opened, store)
            names, head = read_head(opened, labels)
            pooling = pooling or opened.config.classifier_pooling or "mean"
        model = cls(encoder, names, lora or LoraConfig(rank=8, alpha=16), pooling, seed, head)
        if adapter is not None:
            model.load_adapter(adapter)
        if qat is not None:
            model.prepare_qat(qat)
        return model

    def prepare_qat(self, config: QatConfig | None = None) -> None:
        """Train the weights and biases of the linear layers from now on, rounded as `config` says.

        `fit` then moves float weights, and every forward pass multiplies with what they round to:
        what `quantized` gives. Float weights, gradients and AdamW's two moments take 16 bytes a
        weight. Adapters are added to the float weights before these are rounded. May be called
        again, to go on from the same float weights in another format.
        """
        self.qat = config or QatConfig()
        self.encoder, self.parameters = train_linears(
            self.encoder, self.linears(), self.qat, self._head()
        )
        self.targets = {}

    def quantized(self) -> Classifier:
        """The classifier with its weights packed as the last forward pass rounded them, and frozen.

        Its predictions have the bits of this one's; `fit` would train the head alone. ValueError
        where `prepare_qat` was not called.
        """
        if self.qat is None:
            raise ValueError("quantized: the weights are frozen already; see prepare_qat")
        model = copy.copy(self)
        model.qat = None
        model.encoder = packed_linears(self.encoder)
        model.parameters = Parameters(self._head())
        return model

    def _head(self) -> dict[str, np.ndarray]:
        return {name: self.parameters[name] for name in TENSORS_OF_HEAD}

    # Forward and backward

    def logits(self, batch: TokenBatch, tape: Tape | None = None) -> np.ndarray:
        """float32 [B, classes]."""
        hidden = self.encoder(batch, tape)
        return head_forward(hidden, batch.indptr, self._pooler, self.parameters, tape)

    @property
    def _pooler(self) -> Linear | None:
        return self.encoder.pooler if self.pooling == "cls" else None

    def loss_and_gradients(
        self, batch: TokenBatch, labels: np.ndarray, dropout: float = 0.0, seed: int = 0
    ) -> float:
        """Mean cross-entropy of a batch; its gradients are left in `parameters`."""
        tape = Tape(dropout, seed)
        logits = self.logits(batch, tape)
        loss, dlogits = cross_entropy(logits, labels)
        dhidden = head_backward(dlogits, batch.indptr, self._pooler, self.parameters, tape)
        self.encoder.backward(dhidden, tape)
        return loss

    # Use

    def tokenize(self, texts: Sequence[str]) -> TokenizedTexts:
        """Tokens of many texts, cut to the model's length with a warning."""
        return TokenizedTexts(self.encoder.tokenizer, texts, self.encoder.max_length)

    def fit(
        self,
        texts: Sequence[str],
        labels: Sequence[int],
        *,
        epochs: int = 3,
        steps: int | None = None,
        batch_size: int = 32,
        lr: float | None = None,
        warmup: int | None = None,
        weight_decay: float = 0.01,
        max_grad_norm: float | None = 1.0,
        dropout: float = 0.0,
        seed: int = 0,
        evaluation: tuple[Sequence[str], Sequence[int]] | None = None,
        evaluate_every: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        on_event: Callable[[Event], Any] | None = None,
    ) -> History:
        """Train what `parameters` holds; the same seed gives the same bits on any thread count.

        Parameters
        ----------
        texts, labels
            Training set; labels are ids from 0.
        epochs, steps
            How long; `steps` wins when both are given.
        batch_size, lr, warmup, weight_decay, max_grad_norm
            AdamW with linear warm-up over `warmup` steps (None: a tenth) and linear decay to zero;
            lr None: 1e-3 for adapters, 1e-4 for the weights themselves.
        dropout
            On hidden states and attention weights; the adapters have their own in `LoraConfig`.
        seed
            Of the order of the texts and of dropout.
        evaluation
            (texts, labels) not trained on. The state with the best accuracy on them is kept.
        evaluate_every
            Steps between evaluations; None: after every epoch.
        checkpoint
            Adapter folder, rewritten whole after every evaluation that is the best so far; without
            an evaluation set, once at the end. Ctrl-C leaves it valid. Not after `prepare_qat`.
        on_event
            Called with `Step`, `Evaluation` and `Checkpoint` events.

        Raises
        ------
        ValueError
            For labels that are no classes, one class only, or options out of range.
        FloatingPointError
            If gradients become NaN or infinite; the parameters keep their last good values.
        """
        options = TrainingOptions(
            epochs,
            steps,
            batch_size,
            (1e-3 if self.qat is None else 1e-4) if lr is None else lr,
            warmup,
            weight_decay,
            max_grad_norm,
            dropout,
            seed,
            evaluate_every,
        )
        return Trainer(self, texts, labels, options, evaluation, checkpoint, on_event).run()

    def predict_proba(
        self, texts: Sequence[str] | TokenizedTexts, batch_size: int = 32
    ) -> np.ndarray:
        """Probability of every class, float32 [len(texts), classes]."""
        return softmax(self._all_logits(tokenized_or(texts, self), batch_size))

    def predict(self, texts: Sequence[str], batch_size: int = 32) -> np.ndarray:
        """Id of the most probable class, int64 [len(texts)]."""
        return self._all_logits(tokenized_or(texts, self), batch_size).argmax(axis=1)

    def score(self, texts: Sequence[str], labels: Sequence[int]) -> float:
        """Share of the texts whose predicted class is `labels`."""
        return self.evaluate(texts, labels)[1]

    def evaluate(self, texts: Sequence[str], labels: Sequence[int]) -> tuple[float, float]:
        """Mean cross-entropy and accuracy."""
        data = tokenized_or(texts, self)
        ids = check_labels("evaluate", labels, len(data), len(self.label_names))
        logits = self._all_logits(data, 32)
        loss, _ = cross_entropy(logits, ids)
        return loss, float((logits.argmax(axis=1) == ids).mean())

    def _all_logits(self, data: TokenizedTexts, batch_size: int) -> np.ndarray:
        logits = np.empty((len(data), len(self.label_names)), np.float32)
        for rows in data.by_length(batch_size):
            logits[rows] = self.logits(data.batch(rows))
        return logits

    # Files

    def save_adapter(self, folder: str | os.PathLike[str], base_model: str | None = None) -> None:
        """Write adapter_config.json and adapter_model.safetensors as PEFT does.

        PEFT loads the folder into transformers' BertForSequenceClassification. The files appear
        whole or not at all: an old adapter stays in place until the new one is complete.
        """
        adapter_files.save(self, folder, base_model)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write a whole model folder: encoder, head, names of the classes, pooling.

        `Classifier.from_pretrained(folder)` reads it, and so does `Encoder.from_pretrained`.

        Raises
        ------
        ValueError
            If layers have adapters, or their weights are being trained: save what `quantized`
            gives.
        OSError
            If the folder exists or cannot be written.
        """
        encoder_files.save(
            self.encoder,
            folder,
            self._head(),
            self.label_names,
            self.pooling,
        )

    def load_adapter(self, folder: str | os.PathLike[str]) -> None:
        """Take adapters and head from a folder written by `save_adapter` or by PEFT.

        Raises
        ------
        FileFormatError
            If the folder does not fit this model; nothing is changed then.
        ValueError
            If `prepare_qat` was called.
        """
        if self.qat is not None:
            raise ValueError("load_adapter: the weights are trained; load it before prepare_qat")
        self._attach(*adapter_files.load(self, folder))

    def merge(self) -> dict[str, MergeReport]:
        """Add every adapter to its weight, in the weight's own format, and remove the adapters.

        Returns
        -------
        dict of str to MergeReport
            What rounding to that format lost, layer by layer. A 4-bit base loses small changes:
            read the reports, or keep the adapters apart, which costs little and loses nothing.
        """
        return merge_adapters(self.targets)

    @property
    def trainable_parameters(self) -> int:
        """Number of values that `fit` trains."""
        return self.parameters.size

    @property
    def nbytes(self) -> int:
        """Bytes of the encoder as stored, and of all that is trained."""
        return self.encoder.nbytes + self.parameters.values.nbytes

    @property
    def nbytes_fp32(self) -> int:
        """Bytes of the same in float32."""
        return self.encoder.nbytes_fp32 + self.parameters.values.nbytes

    def __repr__(self) -> str:
        how = f"rank {self.lora.rank}, " if self.targets else ""
        return (
            f"Classifier({', '.join(self.label_names)}; {self.encoder!r}, {how}"
            f"{self.trainable_parameters} trainable)"
        )
