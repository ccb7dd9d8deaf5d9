"""Loss, accuracy and size of one run as a picture; matplotlib is imported only here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.cli.console import Console
from lowbit.cli.measurements import megabytes, percent
from lowbit.files import replace_file

INK, QUIET, GRID = "#1f2933", "#7b8794", "#e4e7eb"
TRAIN, TEST, BEST = "#9fb3c8", "#0f609b", "#de911d"
SMOOTH_STEPS = 8
MISSING = "not drawn: matplotlib is missing; pip install matplotlib"


def draw(path: Path, report: dict[str, Any], console: Console) -> str:
    """Write the picture; returns what the closing table says about it.

    Parameters
    ----------
    path
        The .png file, replaced when it is complete.
    report
        What `demo` and `finetune` write to report.json.
    console
        Gets a notice when matplotlib is missing.
    """
    with figure_for(path, (11, 4.6), console) as figure:
        if figure is None:
            return MISSING
        loss, accuracy, size = figure.subplots(1, 3, width_ratios=[5, 5, 2.2])
        figure.subplots_adjust(left=0.06, right=0.975, top=0.74, bottom=0.14, wspace=0.28)
        _titles(figure, report)
        _draw_loss(loss, report)
        _draw_accuracy(accuracy, report)
        _draw_size(size, report)
    return str(path)


@contextmanager
def figure_for(path: Path, inches: tuple[float, float], console: Console) -> Iterator[Any]:
    """An empty figure that is written to `path` when the block ends; None without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        console.notice(f"the picture is {MISSING}")
        yield None
        return
    # No window: works without a display, and leaves the user's own backend alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style = {"font.size": 10, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": GRID}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=inches, dpi=150, facecolor="white")
        FigureCanvasAgg(figure)
        yield figure
        with replace_file(path) as stream:
            figure.savefig(stream, format="png")


def _titles(figure: Any, report: dict[str, Any]) -> None:
    model, data, machine = report["model"], report["data"], report["machine"]
    run = report["training"]
    what = f"LoRA rank {model['lora']['rank']}" if model["lora"] else "rounded weights"
    figure.text(
        0.06,
        0.93,
        f"{model['name']} in {model['format']} learns from {data['train']} texts",
        fontsize=15,
        fontweight="bold",
    )
    figure.text(
        0.06,
        0.865,
        f"{what}: {model['trainable_parameters']:,} trained parameters, "
        f"{percent(model['trainable_share'])} of all   |   "
        f"{run['examples_per_second']:.0f} examples/s, {run['seconds']:.1f} s   |   "
        f"peak memory {megabytes(report['peak_memory_bytes'])}   |   "
        f"{machine['isa']}, {machine['threads']} threads",
        color=QUIET,
    )


def _bare(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", pad=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=0, labelcolor=QUIET)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _draw_loss(axes: Any, report: dict[str, Any]) -> None:
    _bare(axes, "Loss")
    curves = report["training"]["curves"]
    loss = np.array([np.nan if v is None else v for v in curves["loss"]], float)
    steps = np.arange(1, len(loss) + 1)
    axes.plot(steps, loss, color=TRAIN, linewidth=1, label="training, each step")
    if len(loss) >= 2 * SMOOTH_STEPS:
        kernel = np.ones(SMOOTH_STEPS) / SMOOTH_STEPS
        middle = steps[SMOOTH_STEPS - 1 :] - (SMOOTH_STEPS - 1) / 2
        axes.plot(middle, np.convolve(loss, kernel, "valid"), color=QUIET, linewidth=2)
    points = [(e["step"], e["loss"]) for e in curves["evaluations"] if e["loss"] is not None]
    if points:
        axes.plot(*zip(*points, strict=True), "o-", color=TEST, label="texts not trained on")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("step", color=QUIET)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)


def _draw_accuracy(axes: Any, report: dict[str, Any]) -> None:
    _bare(axes, "Accuracy on texts not trained on")
    run, share = report["training"], report["data"]["majority_share"]
    evaluations = run["curves"]["evaluations"]
    axes.set_xlabel("step", color=QUIET)
    if share is None or not evaluations:
        axes.text(0.5, 0.5, "no texts were set apart", ha="center", color=QUIET)
        axes.set(xticks=[], yticks=[])
        return
    steps = [0] + [e["step"] for e in evaluations]
    values = [100 * run["accuracy"]["before"]] + [100 * e["accuracy"] for e in evaluations]
    axes.axhline(100 * share, color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
    axes.plot(steps, values, "o-", color=TEST, linewidth=2)
    axes.annotate(
        "always the most frequent class",
        (steps[-1], 100 * share),
        xytext=(0, 5),
        textcoords="offset points",
        ha="right",
        fontsize=9,
        color=QUIET,
    )
    best = [i for i, e in enumerate(evaluations, start=1) if e["best"]][-1]
    axes.plot(steps[best], values[best], "o", color=BEST, markersize=10, zorder=3)
    axes.annotate(
        f"{values[best]:.1f} %",
        (steps[best], values[best]),
        xytext=(0, 11),
        textcoords="offset points",
        ha="center",
        fontweight="bold",
        color=BEST,
    )
    low = min(values + [100 * share])
    axes.set_ylim(max(0, low - 8), 104)
    axes.set_yticks([v for v in range(0, 101, 10) if v >= low - 8])
    axes.yaxis.set_major_formatter(lambda value, _position: f"{value:.0f} %")
    axes.margins(x=0.06)


def _draw_size(axes: Any, report: dict[str, Any]) -> None:
    _bare(axes, "Model in memory")
    model = report["model"]
    sizes = [model["bytes_float32"] / 1e6, model["bytes"] / 1e6]
    axes.bar([0, 1], sizes, width=0.62, color=[TRAIN, TEST])
    axes.set_xticks([0, 1], ["float32", model["format"]])
    axes.set_yticks([])
    axes.grid(False)
    axes.spines["left"].set_visible(False)
    for place, value in enumerate(sizes):
        axes.annotate(
            megabytes(value * 1e6),
            (place, value),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontweight="bold",
        )
    axes.margins(y=0.14)
