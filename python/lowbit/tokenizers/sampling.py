"""Random spellings of texts: which are asked for."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from typing import Any

from lowbit.tokenizers.spec import Bpe, Model, Unigram

MAX_SEED = (1 << 64) - 1
MAX_NBEST = 65536


@dataclass(frozen=True)
class Sampling:
    """What the kernels take; see `Tokenizer.encode`. `side` is 1 for the second texts of pairs."""

    dropout: float
    alpha: float
    nbest_size: int
    seed: int

    def of_side(self, side: int) -> dict[str, Any]:
        """As the kernels take it."""
        return {**vars(self), "side": side}


def make_sampling(
    function: str,
    model: Model,
    dropout: float | None = None,
    alpha: float | None = None,
    nbest_size: int | None = None,
    seed: int | None = None,
) -> Sampling | None:
    """The arguments of `Tokenizer.encode`, checked; None where nothing is random.

    Raises
    ------
    ValueError
        If the model has no such spellings, or an argument is out of its range.
    """
    name = f"Tokenizer.{function}"
    if dropout is not None and not isinstance(model, Bpe):
        raise ValueError(_only(name, f"dropout={dropout}", "BPE", model))
    for argument, value in (("alpha", alpha), ("nbest_size", nbest_size)):
        if value is not None and not isinstance(model, Unigram):
            raise ValueError(_only(name, f"{argument}={value}", "Unigram", model))
    if nbest_size is not None and alpha is None:
        raise ValueError(f"{name}: nbest_size={nbest_size} goes with alpha; pass alpha too")
    if dropout is None:
        dropout = model.dropout if isinstance(model, Bpe) else 0.0
    if not 0 <= dropout <= 1:
        raise ValueError(f"{name}: dropout={dropout} is no probability; pass one from 0 to 1")
    if alpha is not None and not (math.isfinite(alpha) and alpha >= 0):
        raise ValueError(f"{name}: alpha={alpha} must be a finite number, at least 0")
    if nbest_size is not None and nbest_size != -1 and not 1 <= nbest_size <= MAX_NBEST:
        raise ValueError(
            f"{name}: nbest_size={nbest_size} must be from 1 to {MAX_NBEST}, or -1 for all"
        )
    if seed is not None and not 0 <= seed <= MAX_SEED:
        raise ValueError(f"{name}: seed={seed} must be from 0 to 2^64-1")
    if dropout == 0 and alpha is None:
        return None
    if seed is None:
        seed = secrets.randbits(64)
    most = -1 if nbest_size is None else nbest_size
    return Sampling(float(dropout), float(alpha or 0), int(most), int(seed))


def check_nbest(function: str, model: Model, nbest_size: int) -> None:
    """Refuses an `nbest_size` out of its range, and models without scores."""
    name = f"Tokenizer.{function}"
    if not isinstance(model, Unigram):
        raise ValueError(_only(name, "the list of best spellings", "Unigram", model, "use encode"))
    if not 1 <= nbest_size <= MAX_NBEST:
        raise ValueError(f"{name}: nbest_size={nbest_size} must be from 1 to {MAX_NBEST}")


def seed_of_batch(seed: int, number: int) -> int:
    """The seed of a batch, when one call makes several."""
    return (seed + number * 0x9E3779B97F4A7C15) & MAX_SEED


def _only(name: str, what: str, kind: str, model: Model, advice: str = "leave it out") -> str:
    return f"{name}: {what} is for {kind} models, and this one is {type(model).__name__}; {advice}"
