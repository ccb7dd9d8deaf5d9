"""A format for every weight of an encoder, so that all fit into a budget and texts keep most."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lowbit.files.model_folder import ModelFolder, open_model_folder
from lowbit.models.sensitivity import BASE, TABLES, Sensitivity, formats_of, without_texts
from lowbit.models.weight_store import Progress, WeightStore, stored_bytes
from lowbit.quantization.allocation import allocate, parse_size
from lowbit.quantization.weight_format import WeightFormat

BY_TEXTS = "1 - cosine of the vectors of texts"
BY_WEIGHTS = "squared relative error of the weight"


class Option(NamedTuple):
    """One way to store one weight: the bytes it takes, and what it costs."""

    format: WeightFormat
    nbytes: int
    loss: float


@dataclass(frozen=True)
class FormatPlan:
    """What `choose_formats` chose.

    Attributes
    ----------
    formats : dict of str to WeightFormat
        By module name; `Encoder.from_pretrained` takes it as `format`.
    options : dict of str to list of Option
        What there was to choose from, with the bytes and the loss of each.
    nbytes : int
        Upper bound for the file of weights, header and unrounded weights included.
    budget : int
    loss : float
        Sum of the losses of what was chosen.
    measure : str
        What a loss is.
    """

    formats: dict[str, WeightFormat]
    options: dict[str, list[Option]]
    nbytes: int
    budget: int
    loss: float
    measure: str


def choose_formats(
    folder: str | os.PathLike[str],
    budget: int | float | str,
    calibrate: Sequence[str] | None = None,
    pooler: bool = True,
    progress: Progress | None = None,
) -> FormatPlan:
    """Choose the format of every weight so that the model fits and loses least.

    Every linear layer may be nf4 with a scale for 64 or 32 columns, int8, fp16 or fp32; the word
    table nf4, int8, fp16 or fp32; the position table the same but for nf4. What each would cost is
    measured (`FormatPlan.measure`), and the sum is made least by dynamic programming.

    Parameters
    ----------
    folder
        BERT-family folder with weights in floats.
    budget
        Bytes that the file of weights may take with everything in it: 20_000_000, "20MB", "19MiB".
    calibrate
        Texts like those to come, a few hundred: what counts is then what happens to their vectors,
        with packed weights rounded for them. Without, it is the relative error of each weight.
    pooler
        As in `Encoder.from_pretrained`.
    progress
        Called with (layers done, layers in all) while measuring with texts.

    Returns
    -------
    FormatPlan

    Raises
    ------
    FileNotFoundError, FileFormatError
        As `Encoder.from_pretrained`.
    ValueError
        If the budget is no size or too small (the message names the least possible size), or the
        folder is packed.
    """
    limit = parse_size(budget)
    if calibrate is not None and not len(calibrate):
        raise ValueError("choose_formats: calibrate has no texts; pass a few hundred")
    with open_model_folder(folder) as opened:
        if opened.is_packed:
            raise ValueError(
                f"choose_formats: {opened.path} holds weights in few bits already, which are not "
                "rounded again; choose for the folder that it was made from"
            )
        sizes = _Sizes(opened, pooler)
        least = sizes.fixed + sum(size for size, *_ in sizes.options.values())
        if least > limit:
            raise ValueError(
                f"choose_formats: budget={budget!r} is {limit} bytes; the least that {opened.path} "
                f"can be stored in is {least}"
            )
        if calibrate is None:
            losses = without_texts(opened, sizes.linears)
        else:
            losses = _by_texts(opened, calibrate, pooler, progress)
    return _plan(sizes, losses, limit, BY_WEIGHTS if calibrate is None else BY_TEXTS)


class _Sizes:
    """Bytes in the file of weights: of every weight in each of its formats, and of the rest."""

    def __init__(self, folder: ModelFolder, pooler: bool) -> None:
        kept = ("embeddings.", "encoder.", "pooler." if pooler else "encoder.")
        tensors = {name: t for name, t in folder.tensors.items() if name.startswith(kept)}
        self.shapes = {
            name.removesuffix(".weight"): t.shape
            for name, t in tensors.items()
            if len(t.shape) == 2 and name != "embeddings.token_type_embeddings.weight"
        }
        self.linears = [name for name in self.shapes if name not in TABLES]
        self.options = {
            name: [stored_bytes(shape, format) for format in formats_of(name)]
            for name, shape in self.shapes.items()
        }
        # Lines of the header: up to four for a rounded weight, one for any other tensor.
        self.fixed = sum(4 * (len(name) + 130) for name in self.shapes)
        for name, tensor in tensors.items():
            if name.removesuffix(".weight") not in self.shapes:
                self.fixed += 4 * math.prod(tensor.shape) + len(name) + 110


def _by_texts(
    folder: ModelFolder, texts: Sequence[str], pooler: bool, progress: Progress | None
) -> dict[str, list[float]]:
    from lowbit.models.encoder import Encoder  # which imports this module

    store = WeightStore(*BASE[:3], embeddings=BASE.format)
    encoder = Encoder(folder, store, pooler)
    return Sensitivity(encoder, folder, texts, progress).measure()


def _plan(sizes: _Sizes, losses: dict[str, list[float]], budget: int, measure: str) -> FormatPlan:
    names = list(sizes.options)
    options = {
        name: [
            Option(*option)
            for option in zip(formats_of(name), sizes.options[name], losses[name], strict=True)
        ]
        for name in names
    }
    chosen = allocate(
        [sizes.options[name] for name in names],
        [losses[name] for name in names],
        budget - sizes.fixed,
    )
    picked = {name: options[name][i] for name, i in zip(names, chosen, strict=True)}
    return FormatPlan(
        formats={name: option.format for name, option in picked.items()},
        options=options,
        nbytes=sizes.fixed + sum(option.nbytes for option in picked.values()),
        budget=budget,
        loss=sum(option.loss for option in picked.values()),
        measure=measure,
    )
