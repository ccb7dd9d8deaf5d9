"""BERT (Devlin et al., 2019) with low-rank adapters: forward, and backward to what is trained.

    x = LayerNorm(word + type + position)
    per layer:  a = LayerNorm(x + attention_output(attention(query(x), key(x), value(x))))
                x = LayerNorm(a + output(gelu(intermediate(a))))
    logits = classifier(mean of x)  or  classifier(tanh(pooler(first token of x)))

Each named linear layer may have an adapter. The base is frozen; gradients go to the adapters and to
the classifier. Weights are found under the names that BERT's safetensors files use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lowbit.reference import layers
from lowbit.reference.attention import attention, attention_backward
from lowbit.reference.embeddings import embedding_sum
from lowbit.reference.linear import linear, linear_backward
from lowbit.reference.random import dropout

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Batch:
    """Tokens of some texts, without padding.

    Attributes
    ----------
    ids, positions, type_ids
        Integers [M].
    indptr
        Integers [B + 1]: text b is the tokens indptr[b] to indptr[b + 1].
    """

    ids: np.ndarray
    positions: np.ndarray
    type_ids: np.ndarray
    indptr: np.ndarray

    @classmethod
    def from_padded(cls, ids: np.ndarray, mask: np.ndarray) -> Batch:
        """The tokens of a padded batch [B, T] where mask is 1.

        Examples
        --------
        >>> batch = Batch.from_padded(np.array([[5, 6], [7, 0]]), np.array([[1, 1], [1, 0]]))
        >>> batch.ids.tolist(), batch.positions.tolist(), batch.indptr.tolist()
        ([5, 6, 7], [0, 1, 0], [0, 2, 3])
        """
        rows, columns = np.nonzero(mask)
        indptr = np.concatenate([[0], np.cumsum(np.count_nonzero(mask, axis=1))])
        return cls(ids[rows, columns], columns, np.zeros(len(rows), np.int64), indptr)


@dataclass
class Masks:
    """Hands out dropout masks one after the other, so that no random word serves twice.

    Attributes
    ----------
    p
        Dropout of hidden states, attention weights and the pooled vector.
    lora_p
        Dropout of the adapters' inputs.
    seed
        Of this step of training.
    """

    p: float = 0.0
    lora_p: float = 0.0
    seed: int = 0
    counter: int = 0

    def take(self, p: float, count: int) -> tuple[float, int, int]:
        """(p, seed, counter) of the next mask, for `count` values."""
        counter = self.counter
        if p:
            self.counter += -(-count // 4) * 4
        return p, self.seed, counter


@dataclass
class Encoder:
    """A BERT encoder with a classifier on top.

    Attributes
    ----------
    weights
        "embeddings.word_embeddings.weight" and so on, all of one float dtype; "classifier.weight"
        and "classifier.bias" are the head.
    layer_count, heads, eps
        As in config.json.
    lora
        "NAME.lora_A" [r, K] and "NAME.lora_B" [N, r] for every linear layer NAME that has an
        adapter, such as "encoder.layer.0.attention.self.query".
    scale
        alpha / r.
    pooling
        "mean", or "cls" for the first token through pooler and tanh.
    """

    weights: Arrays
    layer_count: int
    heads: int
    eps: float = 1e-12
    lora: Arrays = field(default_factory=dict)
    scale: float = 1.0
    pooling: str = "mean"

    def hidden_states(self, batch: Batch, masks: Masks | None = None) -> np.ndarray:
        """Last hidden state of every token [M, D]."""
        return self.layer_states(batch, masks)[-1]

    def layer_states(self, batch: Batch, masks: Masks | None = None) -> list[np.ndarray]:
        """What goes into the first layer [M, D], and what comes out of each."""
        return _Pass(self, batch, masks or Masks()).encode()

    def logits(self, batch: Batch, masks: Masks | None = None) -> np.ndarray:
        """[B, classes]."""
        run = _Pass(self, batch, masks or Masks())
        return run.classify(run.encode()[-1])

    def loss_and_gradients(
        self, batch: Batch, labels: np.ndarray, masks: Masks | None = None
    ) -> tuple[float, dict[str, np.ndarray]]:
        """Mean cross-entropy, and its gradient by every adapter matrix and the head, by name."""
        run = _Pass(self, batch, masks or Masks())
        logits = run.classify(run.encode()[-1])
        loss, dlogits = layers.cross_entropy(logits, labels)
        run.encode_backward(run.classify_backward(dlogits))
        return loss, run.gradients


class _Pass:
    """One forward pass: a stack of what its backward needs, and the gradients that come of it."""

    def __init__(self, model: Encoder, batch: Batch, masks: Masks) -> None:
        self.model, self.batch, self.masks = model, batch, masks
        self.stack: list[tuple] = []
        self.gradients: dict[str, np.ndarray] = {}

    # Layers by name; each pushes in its forward what its backward pops.

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        w, a, b = self.model.weights, *self._adapter(name)
        mask = self.masks.take(self.masks.lora_p if a is not None else 0.0, x.size)
        self.stack.append((x, mask))
        return linear(x, w[f"{name}.weight"], w[f"{name}.bias"], a, b, self.model.scale, *mask)

    def linear_backward(self, name: str, dy: np.ndarray) -> np.ndarray:
        x, mask = self.stack.pop()
        a, b = self._adapter(name)
        w = self.model.weights[f"{name}.weight"]
        dx, da, db = linear_backward(dy, x, w, a, b, self.model.scale, *mask)
        if da is not None and db is not None:
            self.gradients[f"{name}.lora_A"], self.gradients[f"{name}.lora_B"] = da, db
        return dx

    def _adapter(self, name: str) -> tuple[np.ndarray | None, np.ndarray | None]:
        return self.model.lora.get(f"{name}.lora_A"), self.model.lora.get(f"{name}.lora_B")

    def norm(self, name: str, x: np.ndarray) -> np.ndarray:
        w = self.model.weights
        self.stack.append((x,))
        return layers.layer_norm(x, w[f"{name}.weight"], w[f"{name}.bias"], self.model.eps)

    def norm_backward(self, name: str, dy: np.ndarray) -> np.ndarray:
        (x,) = self.stack.pop()
        gamma = self.model.weights[f"{name}.weight"]
        return layers.layer_norm_backward(dy, x, gamma, self.model.eps)

    def dropout(self, x: np.ndarray) -> np.ndarray:
        mask = self.masks.take(self.masks.p, x.size)
        self.stack.append(mask)
        return dropout(x, *mask) if mask[0] else x

    def dropout_backward(self, dy: np.ndarray) -> np.ndarray:
        mask = self.stack.pop()
        return dropout(dy, *mask) if mask[0] else dy

    # The network.

    def encode(self) -> list[np.ndarray]:
        w, batch = self.model.weights, self.batch
        x = embedding_sum(
            w["embeddings.word_embeddings.weight"],
            batch.ids,
            w["embeddings.position_embeddings.weight"],
            batch.positions,
            w["embeddings.token_type_embeddings.weight"],
            batch.type_ids,
        )
        states = [self.dropout(self.norm("embeddings.LayerNorm", x))]
        for index in range(self.model.layer_count):
            states.append(self._layer(f"encoder.layer.{index}", states[-1]))
        return states

    def encode_backward(self, dx: np.ndarray) -> None:
        for index in reversed(range(self.model.layer_count)):
            dx = self._layer_backward(f"encoder.layer.{index}", dx)

    def _layer(self, name: str, x: np.ndarray) -> np.ndarray:
        q, k, v = (self.linear(f"{name}.attention.self.{n}", x) for n in ("query", "key", "value"))
        indptr, heads = self.batch.indptr, self.model.heads
        longest = -(-int(np.diff(indptr).max()) // 4) * 4
        mask = self.masks.take(self.masks.p, len(x) * heads * longest)
        self.stack.append((q, k, v, mask))
        context = attention(q, k, v, heads, indptr, *mask)
        inner = self.dropout(self.linear(f"{name}.attention.output.dense", context))
        x = self.norm(f"{name}.attention.output.LayerNorm", inner + x)
        inner = self.linear(f"{name}.intermediate.dense", x)
        self.stack.append((inner,))
        inner = self.dropout(self.linear(f"{name}.output.dense", layers.gelu(inner)))
        return self.norm(f"{name}.output.LayerNorm", inner + x)

    def _layer_backward(self, name: str, dy: np.ndarray) -> np.ndarray:
        dsum = self.norm_backward(f"{name}.output.LayerNorm", dy)
        dgelu = self.linear_backward(f"{name}.output.dense", self.dropout_backward(dsum))
        (inner,) = self.stack.pop()
        dinner = layers.gelu_backward(dgelu, inner)
        dx = dsum + self.linear_backward(f"{name}.intermediate.dense", dinner)
        dsum = self.norm_backward(f"{name}.attention.output.LayerNorm", dx)
        inner = self.dropout_backward(dsum)
        dcontext = self.linear_backward(f"{name}.attention.output.dense", inner)
        q, k, v, mask = self.stack.pop()
        dq, dk, dv = attention_backward(
            dcontext, q, k, v, self.model.heads, self.batch.indptr, *mask
        )
        dx = dsum
        for part, gradient in (("value", dv), ("key", dk), ("query", dq)):
            dx = dx + self.linear_backward(f"{name}.attention.self.{part}", gradient)
        return dx

    def classify(self, x: np.ndarray) -> np.ndarray:
        pooled = layers.pool(x, self.batch.indptr, self.model.pooling)
        if self.model.pooling == "cls":
            pooled = np.tanh(self.linear("pooler.dense", pooled))
            self.stack.append((pooled,))
        dropped = self.dropout(pooled)
        self.stack.append((dropped,))
        w = self.model.weights
        return linear(dropped, w["classifier.weight"], w["classifier.bias"])

    def classify_backward(self, dlogits: np.ndarray) -> np.ndarray:
        (dropped,) = self.stack.pop()
        self.gradients["classifier.weight"] = dlogits.T @ dropped
        self.gradients["classifier.bias"] = dlogits.sum(axis=0)
        dpooled = self.dropout_backward(dlogits @ self.model.weights["classifier.weight"])
        if self.model.pooling == "cls":
            (pooled,) = self.stack.pop()
            dpooled = self.linear_backward("pooler.dense", dpooled * (1 - pooled * pooled))
        return layers.pool_backward(dpooled, self.batch.indptr, self.model.pooling)
