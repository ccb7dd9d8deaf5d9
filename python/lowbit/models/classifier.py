"""A frozen low-bit encoder with LoRA adapters and a small head, trained to sort texts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lowbit import _core
from lowbit.adapters.config import LoraConfig
from lowbit.adapters.lora import MergeReport, merge_delta
from lowbit.files.model_folder import open_model_folder
from lowbit.models import adapter_files
from lowbit.models.batching import TokenBatch, TokenizedTexts
from lowbit.models.encoder import Encoder, WeightStore
from lowbit.models.layers import Adapter, Linear, Tape
from lowbit.models.loss import cross_entropy, softmax
from lowbit.models.parameters import Parameters
from lowbit.models.training import (
    Event,
    History,
    Trainer,
    TrainingOptions,
    check_labels,
    tokenized_or,
)
from lowbit.quantization.matrix import QuantizedMatrix

POOLINGS = ("mean", "cls")


class Classifier:
    """Sorts texts into classes; read with `Classifier.from_pretrained`, train with `fit`.

    Attributes
    ----------
    encoder : Encoder
        Frozen.
    label_names : list of str
        The classes, by id.
    lora : LoraConfig
    pooling : str
        "mean": logits = mean of the tokens W^T + b. "cls": the first token through the model's
        pooler and tanh, then W^T + b, as BertForSequenceClassification.
    parameters : Parameters
        Everything that is trained: the adapters and the head.
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
        self._seed = seed
        self._use(lora, head)

    def _use(self, lora: LoraConfig, head: tuple[np.ndarray, np.ndarray] | None) -> None:
        """Put fresh adapters of these settings on the encoder, and a head."""
        linears = self.linears()
        chosen = lora.find_targets(list(linears))
        self._attach(lora, self._initial(lora, {name: linears[name] for name in chosen}, head))

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
        labels: int | Sequence[str] = 2,
        format: str | None = None,
        group_size: int | None = 64,
        double_quant: bool = True,
        embeddings: str | None = None,
        lora: LoraConfig | None = None,
        pooling: str = "mean",
        seed: int = 0,
        compute: str = "auto",
        adapter: str | os.PathLike[str] | None = None,
    ) -> Classifier:
        """Read a BERT-family folder and put adapters and a head on it, fresh or trained before.

        Parameters
        ----------
        folder, format, group_size, double_quant, embeddings, compute
            As in `Encoder.from_pretrained`; but None is "nf4", with the word table in "int8", where
            the folder holds no packed weights.
        labels
            Number of classes, or their names.
        lora
            Rank, alpha, dropout and targets; None for rank 8, alpha 16 on every linear layer.
        pooling
            "mean" or "cls".
        seed
            Of the adapters and the head: A uniform in +-1/sqrt(K), B zero, the head normal with
            deviation 0.02. A head that the folder brings, with as many classes, is used instead.
        adapter
            Folder written by `save_adapter` or by PEFT: its adapters, head and settings are taken,
            and, where lowbit wrote it, its pooling and names of the classes.
        """
        if adapter is not None:
            notes = adapter_files.read_notes(adapter)
            pooling, labels = notes.get("pooling", pooling), notes.get("labels", labels)
        names = [str(i) for i in range(labels)] if isinstance(labels, int) else list(labels)
        with open_model_folder(folder) as opened:
            if not opened.is_packed:
                format, embeddings = format or "nf4", embeddings or "int8"
            store = WeightStore(format, group_size, double_quant, embeddings, compute)
            encoder = Encoder(opened, store)
            head = None
            stored = opened.tensors.get("classifier.weight")
            if stored is not None and stored.shape[0] == len(names):
                head = (opened.read("classifier.weight"), opened.read("classifier.bias"))
        model = cls(encoder, names, lora or LoraConfig(rank=8, alpha=16), pooling, seed, head)
        if adapter is not None:
            model.load_adapter(adapter)
        return model

    def _initial(
        self,
        lora: LoraConfig,
        targets: dict[str, Linear],
        head: tuple[np.ndarray, np.ndarray] | None,
    ) -> dict[str, np.ndarray]:
        generator = np.random.default_rng(self._seed)
        initial: dict[str, np.ndarray] = {}
        for name, linear in targets.items():
            rows, cols = linear.shape
            rank = lora.rank_of(name)
            bound = 1.0 / np.sqrt(cols)
            a = generator.uniform(-bound, bound, (rank, cols))
            initial[f"{name}.lora_A"] = a.astype(np.float32)
            initial[f"{name}.lora_B"] = np.zeros((rows, rank), np.float32)
        if head is None:
            shape = (len(self.label_names), self.encoder.config.hidden_size)
            weight = generator.normal(0, 0.02, shape).astype(np.float32)
            head = (weight, np.zeros(len(self.label_names), np.float32))
        initial["classifier.weight"], initial["classifier.bias"] = head
        return initial

    # Forward and backward

    def logits(self, batch: TokenBatch, tape: Tape | None = None) -> np.ndarray:
        """float32 [B, classes]."""
        hidden = self.encoder(batch, tape)
        pooled = _core.pool(hidden, batch.indptr, self.pooling)
        if self.pooling == "cls":
            assert self.encoder.pooler is not None
            pooled = np.tanh(self.encoder.pooler(pooled, tape))
        if tape is not None:
            tape.push(pooled)
            if tape.dropout:
                mask = tape.mask(pooled.size, tape.dropout)
                pooled = _core.dropout(pooled, *mask)
                tape.push(pooled, mask)
        return pooled @ self.parameters["classifier.weight"].T + self.parameters["classifier.bias"]

    def loss_and_gradients(
        self, batch: TokenBatch, labels: np.ndarray, dropout: float = 0.0, seed: int = 0
    ) -> float:
        """Mean cross-entropy of a batch; its gradients are left in `parameters`."""
        tape = Tape(dropout, seed)
        logits = self.logits(batch, tape)
        loss, dlogits = cross_entropy(logits, labels)
        self._backward(dlogits, batch, tape)
        return loss

    def _backward(self, dlogits: np.ndarray, batch: TokenBatch, tape: Tape) -> None:
        dropped = tape.pop() if tape.dropout else None
        (pooled,) = tape.pop()
        head_input = pooled if dropped is None else dropped[0]
        self.parameters.gradient("classifier.weight")[...] = dlogits.T @ head_input
        self.parameters.gradient("classifier.bias")[...] = dlogits.sum(axis=0)
        dpooled = dlogits @ self.parameters["classifier.weight"]
        if dropped is not None:
            dpooled = _core.dropout(dpooled, *dropped[1])
        if self.pooling == "cls":
            assert self.encoder.pooler is not None
            dpooled = self.encoder.pooler.backward(dpooled * (1 - pooled * pooled), tape)
        dhidden = _core.pool_backward(dpooled, batch.indptr, self.pooling)
        self.encoder.backward(dhidden, tape)

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
        lr: float = 1e-3,
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
        """Train the adapters and the head; the same seed gives the same bits on any thread count.

        Parameters
        ----------
        texts, labels
            Training set; labels are ids from 0.
        epochs, steps
            How long; `steps` wins when both are given.
        batch_size, lr, warmup, weight_decay, max_grad_norm
            AdamW with linear warm-up over `warmup` steps (None: a tenth) and linear decay to zero.
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
            an evaluation set, once at the end. Ctrl-C leaves it valid.
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
            lr,
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

    def load_adapter(self, folder: str | os.PathLike[str]) -> None:
        """Take adapters and head from a folder written by `save_adapter` or by PEFT.

        Raises
        ------
        FileFormatError
            If the folder does not fit this model; nothing is changed then.
        """
        self._attach(*adapter_files.load(self, folder))

    def merge(self) -> dict[str, MergeReport]:
        """Add every adapter to its weight, in the weight's own format, and remove the adapters.

        Returns
        -------
        dict of str to MergeReport
            What rounding to that format lost, layer by layer. A 4-bit base loses small changes:
            read the reports, or keep the adapters apart, which costs little and loses nothing.
        """
        reports = {}
        for name, linear in self.targets.items():
            if linear.adapter is None:
                continue
            weight = linear.weight
            if isinstance(weight, _core.PackedMatrix):
                weight = QuantizedMatrix(weight)
            base = _core.dequantize(linear.weight)
            delta = linear.adapter.delta()
            if linear.input_scale is not None:
                delta /= linear.input_scale  # as the weight is stored
            merged, reports[name] = merge_delta(weight, base, delta)
            linear.weight = merged._packed if isinstance(merged, QuantizedMatrix) else merged
            linear.adapter = None
        return reports

    @property
    def trainable_parameters(self) -> int:
        """Number of values that `fit` trains."""
        return self.parameters.size

    @property
    def nbytes(self) -> int:
        """Bytes of the encoder as stored, adapters and head."""
        return self.encoder.nbytes + self.parameters.values.nbytes

    @property
    def nbytes_fp32(self) -> int:
        """Bytes of the same in float32."""
        return self.encoder.nbytes_fp32 + self.parameters.values.nbytes

    def __repr__(self) -> str:
        return (
            f"Classifier({', '.join(self.label_names)}; {self.encoder!r}, rank {self.lora.rank}, "
            f"{self.trainable_parameters} trainable)"
        )
