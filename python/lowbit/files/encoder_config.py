"""config.json of a BERT-family folder, every value checked before anything is allocated from it."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lowbit.errors import FileFormatError
from lowbit.files.untrusted import read_json_object, shorten

# Largest believable sizes. A lying file must not make us reserve terabytes; the largest BERT-like
# encoders published have 4096 x 48 layers and a vocabulary of half a million.
LIMITS = {
    "hidden_size": 32_768,
    "num_hidden_layers": 512,
    "num_attention_heads": 1_024,
    "intermediate_size": 262_144,
    "max_position_embeddings": 1_048_576,
    "type_vocab_size": 1_024,
    "vocab_size": 8_388_608,
}
MODEL_TYPES = ("bert",)
ACTIVATIONS = ("gelu",)
POOLINGS = ("mean", "cls")


@dataclass(frozen=True)
class EncoderConfig:
    """Shape and constants of a BERT encoder, named as in config.json.

    Sizes are counts of values or rows. `hidden_act` "gelu" is the exact one with erf.
    `label_names` come from `id2label` when the folder holds a fine-tuned classifier, whose head
    sees the "mean" of the tokens or the pooled first one, "cls", by `classifier_pooling`.

    Raises
    ------
    FileFormatError
        On construction, when a value is of the wrong type, out of range or not supported.

    Examples
    --------
    >>> config = EncoderConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
    ...                        intermediate_size=1536, vocab_size=30522)
    >>> config.head_dim
    32
    """

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    vocab_size: int
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    classifier_dropout: float | None = None
    position_embedding_type: str = "absolute"
    pad_token_id: int = 0
    model_type: str = "bert"
    classifier_pooling: str | None = None
    label_names: tuple[str, ...] = ()
    source: str = field(default="EncoderConfig", compare=False, repr=False)

    def __post_init__(self) -> None:
        for name, largest in LIMITS.items():
            self._check_integer(name, 1, largest)
        self._check_integer("pad_token_id", 0, self.vocab_size - 1)
        self._check_number("layer_norm_eps", 0.0, 0.1)
        if self.layer_norm_eps == 0:
            self._refuse("layer_norm_eps", "must be above 0")
        self._check_number("hidden_dropout_prob", 0.0, 0.999)
        self._check_number("attention_probs_dropout_prob", 0.0, 0.999)
        if self.classifier_dropout is not None:
            self._check_number("classifier_dropout", 0.0, 0.999)
        if self.classifier_pooling is not None:
            self._check_choice("classifier_pooling", POOLINGS)
        self._check_choice("model_type", MODEL_TYPES)
        self._check_choice("hidden_act", ACTIVATIONS)
        self._check_choice("position_embedding_type", ("absolute",))
        if self.hidden_size % self.num_attention_heads:
            self._refuse("num_attention_heads", f"must divide hidden_size ({self.hidden_size})")

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "config.json") -> "EncoderConfig":
        """Take what an encoder needs out of the content of a config.json.

        Parameters
        ----------
        values : mapping
            Keys that have no meaning for the encoder are ignored, as every reader of these files
            does; keys that change what it computes are refused when they are set.
        source : str
            The start of error messages.

        Raises
        ------
        FileFormatError
            A required key is missing, or a value is wrong or unsupported.

        Examples
        --------
        >>> EncoderConfig.from_dict({"model_type": "t5"})
        Traceback (most recent call last):
        lowbit.errors.FileFormatError: config.json: model_type 't5' is not supported; use bert
        """
        if "model_type" not in values:
            raise FileFormatError(f"{source}: model_type is missing; supported: bert")
        _refuse_unknown_choice(source, "model_type", values["model_type"], MODEL_TYPES)
        required = [
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
            "vocab_size",
        ]
        missing = [name for name in required if name not in values]
        if missing:
            raise FileFormatError(f"{source}: {', '.join(missing)} missing")
        for name in ("is_decoder", "add_cross_attention"):
            if values.get(name):
                raise FileFormatError(f"{source}: {name} is set; only encoders are supported")
        taken = {
            name: values[name]
            for name in cls.__dataclass_fields__
            if name in values and name not in ("label_names", "source")
        }
        if taken.get("pad_token_id", 0) is None:
            del taken["pad_token_id"]
        return cls(**taken, label_names=_label_names(values, source), source=source)

    @classmethod
    def from_file(cls, path: str | os.PathLike) -> "EncoderConfig":
        """Read a config.json; errors as `from_dict`, and OSError when it cannot be opened."""
        return cls.from_dict(read_json_object(path), os.fspath(path))

    def to_dict(self) -> dict[str, Any]:
        """The content of a config.json that transformers reads back as the same model."""
        values = {
            name: getattr(self, name)
            for name in self.__dataclass_fields__
            if name not in ("label_names", "source")
        }
        if self.label_names:
            values["id2label"] = {str(i): name for i, name in enumerate(self.label_names)}
            values["label2id"] = {name: i for i, name in enumerate(self.label_names)}
        return {"architectures": ["BertModel"], **values}

    def _check_integer(self, name: str, smallest: int, largest: int) -> None:
        value = getattr(self, name)
        if type(value) is not int or not smallest <= value <= largest:
            self._refuse(name, f"must be a whole number from {smallest} to {largest}")

    def _check_number(self, name: str, smallest: float, largest: float) -> None:
        value = getattr(self, name)
        good = type(value) in (int, float) and math.isfinite(value) and smallest <= value <= largest
        if not good:
            self._refuse(name, f"must be a number from {smallest:g} to {largest:g}")

    def _check_choice(self, name: str, choices: tuple[str, ...]) -> None:
        _refuse_unknown_choice(self.source, name, getattr(self, name), choices)

    def _refuse(self, name: str, rule: str) -> None:
        raise FileFormatError(f"{self.source}: {name} {rule}; got {shorten(getattr(self, name))}")


def _refuse_unknown_choice(source: str, name: str, value: object, choices: tuple) -> None:
    if not isinstance(value, str) or value not in choices:
        raise FileFormatError(
            f"{source}: {name} {shorten(value)} is not supported; use {' or '.join(choices)}"
        )


def _label_names(values: Mapping[str, Any], source: str) -> tuple[str, ...]:
    """Names of the classes in the order of their ids, () when the file has none."""
    table = values.get("id2label")
    if table is None:
        return ()
    good = isinstance(table, dict) and len(table) <= 100_000
    if good:
        # JSON keys are strings; a configuration in memory may have the numbers.
        names = [table.get(str(i), table.get(i)) for i in range(len(table))]
        good = all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
    if not good:
        raise FileFormatError(
            f'{source}: id2label must map "0", "1", ... to different names; got {shorten(table)}'
        )
    return tuple(names)
