"""A scheme as a heat map; matplotlib is imported only here, when a picture is drawn."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from lowbit.files.atomic import replace_file
from lowbit.positions.additive import Additive
from lowbit.positions.biases import FIRE, Bias
from lowbit.positions.rotary import Rotary
from lowbit.positions.xpos import NoPE, XPos

INK, QUIET = "#1f2933", "#7b8794"


def heat_map(scheme: Any, tokens: int = 64, head: int = 0) -> tuple[np.ndarray, str, str]:
    """What `show` draws: numbers [rows, columns], and what the two axes are.

    Vectors that are added: positions by columns. Positions that turn: the score of a query and a
    key of ones, by where they stand, so 1 at distance 0. Biases: those of one head, by query and
    key. Keys behind the query are left white where a scheme is not for them.

    Raises
    ------
    TypeError
        If `scheme` is none of this package.

    Examples
    --------
    >>> from lowbit.positions import ALiBi
    >>> numbers, rows, columns = heat_map(ALiBi(1), tokens=3)
    >>> numbers.shape, rows, columns
    ((3, 3), 'query', 'key')
    """
    places = np.arange(tokens)
    if isinstance(scheme, Additive):
        return scheme.rows(places), "position", "column"
    if isinstance(scheme, Bias):
        numbers = scheme(places)[head]
        return (np.tril(numbers) if isinstance(scheme, FIRE) else numbers), "query", "key"
    if isinstance(scheme, NoPE):
        return np.ones((tokens, tokens), np.float32), "query", "key"
    if not isinstance(scheme, Rotary):
        raise TypeError(f"positions.show: {type(scheme).__name__} is no scheme of lowbit.positions")
    q, k = (np.zeros((tokens, 1, scheme.head_dim), np.float32) for _ in range(2))
    q[..., : scheme.rotary_dim] = k[..., : scheme.rotary_dim] = scheme.rotary_dim**-0.5
    if scheme.sections is not None:
        places = np.stack([places] * len(scheme.sections))
    scheme.rotate_(q, k, places)
    scores = q[:, 0] @ k[:, 0].T / np.float32(scheme.attention_factor**2)
    return np.tril(scores) if isinstance(scheme, XPos) else scores, "query", "key"


def show(scheme: Any, path: str | os.PathLike, tokens: int = 64, head: int = 0) -> str:
    """Draw a scheme, or several, as heat maps (`heat_map`) into a .png file; return the path.

    Blue is above zero, red below; each map has its own scale. Needs matplotlib.

    Parameters
    ----------
    scheme
        Any of this package, or a dictionary of them by title.
    path
        Replaced when the picture is complete.
    tokens
        Positions 0 to tokens - 1.
    head
        Whose biases.

    Raises
    ------
    ModuleNotFoundError
        If matplotlib is missing.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    schemes = scheme if isinstance(scheme, Mapping) else {type(scheme).__name__: scheme}
    columns = min(len(schemes), 4)
    rows = -(-len(schemes) // columns)
    inches = (5.2, 4.2) if len(schemes) == 1 else (2.0 * columns, 2.1 * rows)
    # No window: works without a display, and leaves the user's own backend alone.
    figure = Figure(figsize=inches, dpi=72, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    every = figure.subplots(rows, columns, squeeze=False).flat
    for axes, (title, one) in zip(every, schemes.items(), strict=False):
        drawn = _draw(axes, title, *heat_map(one, tokens, head))
    if len(schemes) == 1:
        figure.colorbar(drawn, ax=axes, shrink=0.85).outline.set_visible(False)
    for axes in list(every)[len(schemes) :]:
        axes.set_axis_off()
    with replace_file(path) as stream:
        figure.savefig(stream, format="png")
    return os.fspath(path)


def _draw(axes: Any, title: str, numbers: np.ndarray, rows: str, columns: str) -> Any:
    largest = float(np.abs(numbers).max()) or 1.0
    axes.set_title(title, loc="left", fontsize=8, color=INK, fontweight="bold")
    axes.set_xlabel(columns, fontsize=7, color=QUIET)
    axes.set_ylabel(rows, fontsize=7, color=QUIET)
    axes.tick_params(length=0, labelsize=7, labelcolor=QUIET)
    axes.spines[:].set_visible(False)
    return axes.imshow(
        numbers, cmap="RdBu", vmin=-largest, vmax=largest, interpolation="nearest", aspect="auto"
    )
