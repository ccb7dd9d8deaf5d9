"""What rounding cost each layer of a model, as a picture."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from lowbit.cli.console import Console
from lowbit.cli.measurements import megabytes
from lowbit.cli.picture import GRID, INK, MISSING, QUIET, TEST, TRAIN, figure_for
from lowbit.quantization import WeightFormat

SHADES = (TRAIN, "#f0b429", "#8bc4a8", "#e09f9f", "#b8a1d9", "#c9b79c")
"""Of the formats, in the order in which they appear."""


def format_label(layer: dict[str, Any], name: str = "format") -> str:
    """The format of a layer of a report, with its groups and scales; it is named under `name`.

    Examples
    --------
    >>> format_label({"format": "nf4", "group_size": 64, "double_quant": True, "bytes": 9})
    'nf4 g64 double'
    >>> format_label({"type": "F32"}, "type")
    'F32'
    """
    stored = {field: layer[field] for field in WeightFormat._fields if field in layer}
    return str(WeightFormat(**stored | {"format": layer[name]}))


def draw_errors(path: Path, report: dict[str, Any], console: Console) -> str:
    """Write the picture; returns what the closing table says about it.

    Parameters
    ----------
    path
        The .png file, replaced when it is complete.
    report
        What `quantize` prints as JSON.
    console
        Gets a notice when matplotlib is missing.
    """
    layers, model = report["layers"], report["model"]
    with figure_for(path, (9, 1.6 + 0.19 * len(layers)), console) as figure:
        if figure is None:
            return MISSING
        axes = figure.subplots()
        _draw_bars(axes, layers)
        axes.set_title(
            f"{model['name']} in {model['format']}: {megabytes(model['bytes'])} "
            f"of {megabytes(report['bytes_fp32'])}",
            loc="left",
            fontweight="bold",
        )
        figure.tight_layout()
    return str(path)


def _draw_bars(axes: Any, layers: list[dict[str, Any]]) -> None:
    """A bar for each weight in the colour of its format, and a shorter one inside for its outputs
    where they are known."""
    places = range(len(layers))
    labels = [format_label(layer) for layer in layers]
    for shade, label in zip(itertools.cycle(SHADES), dict.fromkeys(labels)):
        own = [i for i in places if labels[i] == label]
        axes.barh(
            own,
            [layers[i]["error"] for i in own],
            color=shade,
            height=0.75,
            label=f"change of the weight, {label}",
        )
    for i, layer in enumerate(layers):
        longest = max(layer["error"], layer["output_error"] or 0.0)
        axes.annotate(
            f"{labels[i]}  {layer['bytes'] / 1e6:.2f} MB",
            (longest, i),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=6.5,
            color=INK,
        )
    axes.margins(x=0.16)
    known = [i for i in places if layers[i]["output_error"] is not None]
    if known:
        axes.barh(
            known,
            [layers[i]["output_error"] for i in known],
            color=TEST,
            height=0.4,
            label="change of its outputs on the calibration texts",
        )
    axes.set_yticks(places, [layer["name"] for layer in layers])
    axes.tick_params(colors=QUIET, length=0)
    axes.invert_yaxis()
    axes.set_ylim(len(layers) - 0.4, -0.6)
    axes.set_xlabel("Euclidean norm of the change, as a part of the whole", loc="left")
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, loc="upper right", bbox_to_anchor=(1, -0.04), ncols=2, fontsize=8)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
