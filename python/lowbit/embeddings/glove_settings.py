"""What a training by GloVe is made of."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, ClassVar

from lowbit.embeddings.settings_json import check_seed, checked_fields, make_plain
from lowbit.embeddings.word_training import LEARNING_RATE
from lowbit.quantization.allocation import parse_size

COLUMNS = 2
"""Of the table behind the vectors: a bias and a one, or a one and a bias."""


@dataclass(frozen=True)
class GloveOptions:
    """What GloVe alone has; names in brackets are those of its own program.

    Attributes
    ----------
    x_max, alpha
        A pair of words that was counted x times weighs min(1, (x / x_max) ** alpha). For corpora of
        some million words an x_max of 10 is usual.
    symmetric
        Words on both sides of a word are near it (-symmetric 1), or only those to its left.
    weighted
        Two words at distance d count 1 / d (-distance-weighting 1), or 1.
    grad_clip
        Elements of gradients are cut to this magnitude.
    plain_biases
        Steps of biases are not multiplied by the learning rate, nor cut, as in GloVe's program; or
        both, as those of vectors are.
    vectors
        "sum" of both vectors of a word (-model 2), or the "word" vector alone (-model 1).
    memory
        Bytes, or a text such as "4GB", that counting may take beside the corpus, about. Beyond
        that, pairs go to a temporary file; what is counted and trained is the same, bit by bit.
    folder
        Where the temporary file lies, which has no name and ends with the training; None: the
        system's folder for such files.

    Examples
    --------
    >>> import lowbit as lb
    >>> lines = ["red green blue", "one two three"] * 50
    >>> options = GloveOptions(x_max=10, memory="100MB")
    >>> wv = lb.WordVectors.train(lines, "glove", dim=8, seed=1, glove=options)
    >>> wv.similarity("red", "green") > wv.similarity("red", "two")
    True
    """

    x_max: float = 100.0
    alpha: float = 0.75
    symmetric: bool = True
    weighted: bool = True
    grad_clip: float = 100.0
    plain_biases: bool = True
    vectors: str = "sum"
    memory: int | float | str = "4GB"
    folder: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        make_plain(self)
        if self.vectors not in ("sum", "word"):
            raise ValueError(
                f'GloveOptions: vectors="{self.vectors}" is not known; use "sum" or "word"'
            )
        self.memory_bytes()

    def memory_bytes(self) -> int:
        """`memory` as a number."""
        try:
            return parse_size(self.memory)
        except ValueError:
            raise ValueError(
                f"GloveOptions: memory={self.memory!r} is no size; use bytes, or a number with "
                "kB, MB, GB, KiB, MiB or GiB"
            ) from None


@dataclass(frozen=True)
class GloveSettings:
    """The parameters of `WordVectors.train(..., method="glove")`, whose docstring explains them.

    Raises
    ------
    ValueError
        If a number is one that no training has; others are checked when the training begins.
    """

    window: int = 15
    epochs: int = 25
    lr: float | None = None
    seed: int = 0
    options: GloveOptions = field(default_factory=GloveOptions)

    method: ClassVar[str] = "glove"
    has_subwords: ClassVar[bool] = False
    has_tree: ClassVar[bool] = False
    chunks_at_once: ClassVar[int] = 1
    may_go_on: ClassVar[bool] = True  # for more epochs

    def __post_init__(self) -> None:
        make_plain(self)
        check_seed(self.seed)
        if not 1 <= self.epochs <= 1_000_000:
            raise ValueError(
                f"WordVectors.train: epochs={self.epochs} must be between 1 and 1000000"
            )

    def targets_shape(self, words: int, dim: int) -> tuple[int, ...]:
        """Of what is trained beside the vectors of so many words."""
        return words, 4, dim + COLUMNS

    def kernel_options(self) -> dict[str, Any]:
        """What `_core.GloveTrainer` takes by these names."""
        return {
            "lr": LEARNING_RATE["glove"] if self.lr is None else self.lr,
            "x_max": self.options.x_max,
            "alpha": self.options.alpha,
            "grad_clip": self.options.grad_clip,
            "plain_biases": self.options.plain_biases,
            "seed": self.seed,
        }

    def for_resume(
        self, options: GloveOptions | None, epochs: int | None, begun: int
    ) -> GloveSettings:
        """These settings with the memory and folder of `options`, and so many epochs, of which
        some have begun.

        Raises
        ------
        ValueError
            If something else in `options` is not as it was, or there are too few epochs.
        """
        fixed = [one.name for one in fields(GloveOptions) if one.name not in ROOM]
        for name in fixed if options is not None else ():
            got, had = getattr(options, name), getattr(self.options, name)
            if got != had:
                raise ValueError(
                    f"WordVectors.resume: glove has {name}={got!r}, the training had {had!r}; "
                    f"only {' and '.join(ROOM)} may be others"
                )
        epochs = self.epochs if epochs is None else epochs
        if epochs < begun:
            raise ValueError(
                f"WordVectors.resume: epochs={epochs} must be at least {begun}, so many have begun"
            )
        return replace(self, options=options or self.options, epochs=epochs)

    def as_json(self) -> dict[str, Any]:
        """What a file keeps; the folder is one of this machine, and left out."""
        options = asdict(self.options) | {"memory": self.options.memory_bytes()}
        del options["folder"]
        return {"method": self.method} | asdict(self) | {"options": options}


ROOM = ("memory", "folder")
"""Options that change nothing in the vectors."""


def glove_from_json(read: dict[str, Any]) -> GloveSettings:
    """What `GloveSettings.as_json` gave, or somebody else; ValueError for what is no settings."""
    rest = {name: value for name, value in read.items() if name not in ("method", "options")}
    checked = checked_fields(GloveSettings, rest, left_out=("method", "options"))
    options = checked_fields(GloveOptions, read.get("options"), left_out=("folder",))
    return GloveSettings(**checked, options=GloveOptions(**options))
