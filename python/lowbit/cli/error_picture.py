"""What rounding cost each layer of a model, as a picture; matplotlib is imported only here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lowbit.cli.console import Console
from lowbit.cli.measurements import megabytes
from lowbit.cli.picture import GRID, INK, MISSING, QUIET, TEST, TRAIN
from lowbit.files import replace_file


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
    try:
        import matplotlib
    except ImportError:
        console.notice(f"the picture is {MISSING}")
        return MISSING
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layers = report["layers"]
    style = {"font.size": 9, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": GRID}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(9, 1.6 + 0.19 * len(layers)), dpi=150, facecolor="white")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        _draw_bars(axes, layers)
        model = report["model"]
        axes.set_title(
            f"{model['name']} in {model['format']}: {megabytes(model['bytes'])} "
            f"of {megabytes(report['bytes_fp32'])}",
            loc="left",
            fontweight="bold",
        )
        figure.tight_layout()
        with replace_file(path) as stream:
            figure.savefig(stream, format="png")
    return str(path)


def _draw_bars(axes: Any, layers: list[dict[str, Any]]) -> None:
    """A bar for each weight, and a shorter one inside for its outputs where they are known."""
    places = range(len(layers))
    axes.barh(
        places,
        [layer["error"] for layer in layers],
        color=TRAIN,
        height=0.75,
        label="change of the weight",
    )
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
    axes.legend(frameon=False, loc="upper right", bbox_to_anchor=(1, -0.04), ncols=2)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
