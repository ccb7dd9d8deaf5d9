"""What a training of word vectors is made of, and what is kept to go on with it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np

from lowbit.embeddings.glove_settings import GloveSettings, glove_from_json
from lowbit.embeddings.settings_json import check_seed, checked_fields, make_plain
from lowbit.embeddings.word_training import LEARNING_RATE, PREDICTING, SHARDS

LOSSES = ("negative_sampling", "hierarchical_softmax")
CBOW_GRADIENTS = ("mean", "word2vec")


@dataclass(frozen=True)
class TrainingSettings:
    """The parameters of `WordVectors.train`, whose docstring explains them.

    Raises
    ------
    ValueError
        If a name is not known, or a number is one that no training has; others are checked when the
        training begins.
    """

    method: str = "skipgram"
    loss: str = "negative_sampling"
    window: int = 5
    negative: int = 5
    min_count: int = 5
    max_vocab: int | None = None
    sample: float = 1e-3
    ns_exponent: float = 0.75
    epochs: int = 5
    lr: float | None = None
    min_lr: float = 1e-4
    cbow_gradient: str = "word2vec"
    ngrams: tuple[int, int] = (3, 6)
    buckets: int = 2_000_000
    seed: int = 0
    deterministic: bool = False

    may_go_on: ClassVar[bool] = False  # for more epochs: the learning rate has come to its end

    def __post_init__(self) -> None:
        make_plain(self)
        object.__setattr__(self, "ngrams", tuple(map(int, self.ngrams)))
        known = {"method": PREDICTING, "loss": LOSSES, "cbow_gradient": CBOW_GRADIENTS}
        for name, allowed in known.items():
            got = getattr(self, name)
            if got not in allowed:
                names = ", ".join(f'"{one}"' for one in allowed)
                raise ValueError(f'WordVectors.train: {name}="{got}" is not known; use {names}')
        check_seed(self.seed)

    @property
    def has_subwords(self) -> bool:
        """Whether a word is the mean of its own row and those of its n-grams."""
        return self.method.startswith("fasttext")

    @property
    def has_tree(self) -> bool:
        """Whether targets are the inner nodes of a tree."""
        return self.loss == "hierarchical_softmax"

    @property
    def chunks_at_once(self) -> int:
        """A training goes on at a multiple of so many chunks."""
        return SHARDS if self.deterministic else 1

    def targets_shape(self, words: int, dim: int) -> tuple[int, ...]:
        """Of what is trained beside the vectors of so many words."""
        return words - self.has_tree, dim

    def kernel_options(self) -> dict[str, Any]:
        """What `_core.WordTrainer` takes by these names."""
        return {
            "method": self.method,
            "window": self.window,
            # Words drawn for a centre.
            "negative": 0 if self.has_tree else self.negative,
            "sample": self.sample,
            "exponent": self.ns_exponent,
            "seed": self.seed,
            "mean_gradient": self.method == "cbow" and self.cbow_gradient == "mean",
            "deterministic": self.deterministic,
            "epochs": self.epochs,
            "lr": LEARNING_RATE[self.method] if self.lr is None else self.lr,
            "min_lr": self.min_lr,
        }

    def as_json(self) -> dict[str, Any]:
        """What a file keeps."""
        return asdict(self)

    def for_more(self, changed: dict[str, Any]) -> TrainingSettings:
        """Settings for another corpus: of what may change, `changed`; random choices are new.

        Raises
        ------
        TypeError
            If something may not change, or is not known.
        """
        fixed = {"method", "loss", "ngrams", "buckets"}
        allowed = {field.name for field in fields(self)} - fixed
        if wrong := sorted(set(changed) - allowed):
            names = ", ".join(sorted(allowed))
            raise TypeError(f"WordVectors.train_more: {wrong[0]} cannot change; {names} can")
        fresh = {"seed": (self.seed + 1) % (1 << 64), "max_vocab": None}
        return replace(self, **(fresh | changed))


@dataclass(frozen=True)
class TrainingState:
    """What going on with a training needs besides the vectors.

    Attributes
    ----------
    settings : TrainingSettings or GloveSettings
    targets : float32 [words, dim]
        The other table; for hierarchical softmax of the inner nodes, [words - 1, dim]. For GloVe
        all that is trained, [words, 4, dim + 2]: a word's own vector, its bias, and a one; its
        context vector, a one, and its bias; and the sums of squares of both, which begin at 1.
    tree_counts : int64 [words] or None
        Of which the tree was made.
    epoch, chunk : int
        What comes next, counted from 0; chunks are some sentences each, of GloVe rounds.
    corpus : str
        A checksum; "" where the training is at its end, and is not by GloVe.
    """

    settings: TrainingSettings | GloveSettings
    targets: np.ndarray
    tree_counts: np.ndarray | None = None
    epoch: int = 0
    chunk: int = 0
    corpus: str = ""

    def to_json(self) -> str:
        """All but the arrays."""
        place = {"epoch": self.epoch, "chunk": self.chunk, "corpus": self.corpus}
        return json.dumps({"settings": self.settings.as_json()} | place)


def state_from_json(text: str) -> dict[str, Any]:
    """What `TrainingState.to_json` wrote, or somebody else: the arguments that are no arrays.

    Raises
    ------
    ValueError
        If it says nothing that a training can begin with.
    """
    read = json.loads(text)
    if not isinstance(read, dict) or set(read) != {"settings", "epoch", "chunk", "corpus"}:
        raise ValueError("it has not the entries of a training")
    settings = _settings_from_json(read["settings"])
    epoch, chunk, corpus = read["epoch"], read["chunk"], read["corpus"]
    if type(epoch) is not int or type(chunk) is not int or not isinstance(corpus, str):
        raise ValueError("epoch and chunk must be integers, corpus a string")
    if not 0 <= epoch <= settings.epochs or not 0 <= chunk < 1 << 62:
        raise ValueError(f"it has no chunk {chunk} of epoch {epoch}")
    if chunk and (epoch == settings.epochs or chunk % settings.chunks_at_once):
        raise ValueError(f"no training goes on at chunk {chunk} of epoch {epoch}")
    return {"settings": settings, "epoch": epoch, "chunk": chunk, "corpus": corpus}


def _settings_from_json(read: Any) -> TrainingSettings | GloveSettings:
    if isinstance(read, dict) and read.get("method") == GloveSettings.method:
        return glove_from_json(read)
    return TrainingSettings(**checked_fields(TrainingSettings, read))
