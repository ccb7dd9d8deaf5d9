"""Words where they stand, as points of a plane; matplotlib is imported only here, to draw."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lowbit.files.atomic import replace_file
from lowbit.models.contextual import ContextualVectors
from lowbit.models.senses import compare_senses

INK, QUIET, GRID, PAPER = "#1f2933", "#7b8794", "#e4e7eb", "#ffffff"
SHADES = ("#0f609b", "#de911d", "#2f8f6b", "#8a5fb0", "#c0504d", "#5f7d95")
LISTED = 24  # sentences that have room beside the points
LINE = 64  # characters of a sentence


def principal_plane(vectors: np.ndarray) -> np.ndarray:
    """Rows as points of the plane in which they differ most, float64 [N, 2].

    Signs are chosen so that the first row is on the left and above.

    Examples
    --------
    >>> principal_plane(np.array([[3.0, 0.0], [1.0, 0.0], [-4.0, 0.0]])).round(6).tolist()
    [[-3.0, 0.0], [-1.0, 0.0], [4.0, 0.0]]
    """
    x = np.asarray(vectors, np.float64)
    x = x - x.mean(axis=0)
    left, lengths, _ = np.linalg.svd(x, full_matrices=False)
    points = np.zeros((len(x), 2))
    points[:, : min(2, len(lengths))] = (left * lengths)[:, :2]
    wanted = np.array([-1.0, 1.0])
    return points * np.where(np.sign(points[0]) == -wanted, -1.0, 1.0) + 0.0


def show_words(
    found: ContextualVectors | Mapping[str, ContextualVectors],
    texts: Sequence[str],
    path: str | os.PathLike[str],
    labels: Sequence[str] | None = None,
    title: str | None = None,
) -> str:
    """Draw words of some texts as numbered points into a .png file; return the path.

    Points are where principal components of the vectors put them; near ones stand for words that
    the model sees alike. Beside them are the sentences, if they are not too many; then points that
    would cover each other are moved apart. Needs matplotlib.

    Parameters
    ----------
    found
        What `Encoder.embed_words` gave; or several of the same words by title, such as layers.
    texts
        The texts.
    path
        Replaced when the picture is complete.
    labels
        One for each text, such as the sense of the word in it: points of a label have one colour,
        and mean cosines within and across labels are given below, for vectors without their mean.
        None: the words themselves are the labels.
    title
        Above the picture.

    Raises
    ------
    ValueError
        If there are fewer than three words, or not as many labels as texts.
    ModuleNotFoundError
        If matplotlib is missing.
    """
    several = found if isinstance(found, Mapping) else {"": found}
    first = next(iter(several.values()))
    if labels is not None and len(labels) != len(texts):
        raise ValueError(f"show_words: {len(labels)} labels for {len(texts)} texts; give one each")
    whole = np.flatnonzero(~first.cut)
    if len(whole) < 3:
        raise ValueError(f"show_words: {len(whole)} words; there must be three at least")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A number for each word, in the order of labels, so that the list is grouped.
    names = [name.lower() for name in first.names]
    if labels is not None:
        names = [str(labels[i]) for i in first.text_ids]
    order = sorted(whole.tolist(), key=lambda row: list(dict.fromkeys(names)).index(names[row]))
    shades = {name: SHADES[i % len(SHADES)] for i, name in enumerate(dict.fromkeys(names))}
    listed = len(order) <= LISTED
    widths = [4.4] * len(several) + ([4.6] if listed else [])
    height = max(4.6, 1.9 + 0.27 * (len(order) + 2 * len(shades)) if listed else 0)
    # No window: works without a display, and leaves the user's own backend alone.
    figure = Figure(figsize=(sum(widths), height), dpi=110, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.14, h_pad=0.12)
    panels = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
    for axes, (name, vectors) in zip(panels, several.items(), strict=False):
        _draw_points(axes, name, vectors, order, [names[i] for i in order], shades)
    if listed:
        _draw_list(panels[-1], first, texts, order, names, shades)
    else:
        handles = [panels[0].scatter([], [], color=shade, label=n) for n, shade in shades.items()]
        panels[0].legend(handles=handles, frameon=False, fontsize=8, labelcolor=INK)
    if title is not None:
        left = 0.14 / sum(widths)
        figure.suptitle(title, x=left, ha="left", fontsize=12, fontweight="bold", color=INK)
    with replace_file(path) as stream:
        figure.savefig(stream, format="png")
    return os.fspath(path)


def moved_apart(points: np.ndarray, share: float = 0.062) -> np.ndarray:
    """Points [N, 2] of which no two are nearer than a share of the extent in each direction.

    Examples
    --------
    >>> moved_apart(np.array([[0.0, 0.0], [0.0, 0.0], [10.0, 5.0]]), share=0.2).round(3).tolist()
    [[-1.0, 0.0], [1.0, 0.0], [10.0, 5.0]]
    """
    extent = np.ptp(points, axis=0)
    extent[extent == 0] = 1.0
    places = points / extent
    for _ in range(200):
        moved = False
        for i in range(len(places)):
            for j in range(i + 1, len(places)):
                step = places[j] - places[i]
                length = float(np.hypot(*step))
                if length < share * (1 - 1e-6):
                    way = step / length if length > 1e-6 else np.array([1.0, 0.0])
                    places[i] -= way * (share - length) / 2
                    places[j] += way * (share - length) / 2
                    moved = True
        if not moved:
            break
    return places * extent


def _draw_points(
    axes: Any,
    title: str,
    found: ContextualVectors,
    order: list[int],
    names: list[str],
    shades: dict[str, str],
) -> None:
    vectors = found.centered().vectors[order]
    points = principal_plane(vectors)
    axes.set_title(title, loc="left", fontsize=10, color=INK, fontweight="bold")
    axes.axhline(0, color=GRID, linewidth=1, zorder=0)
    axes.axvline(0, color=GRID, linewidth=1, zorder=0)
    numbered = len(order) <= LISTED
    if numbered:
        points = moved_apart(points)
    colours = [shades[name] for name in names]
    size = 210 if numbered else 36
    axes.scatter(*points.T, s=size, c=colours, edgecolors=PAPER, linewidths=1.4, zorder=2)
    for number, (x, y) in enumerate(points, start=1):
        if numbered:
            axes.text(
                *(x, y),
                str(number),
                ha="center",
                va="center_baseline",
                fontsize=7.5,
                fontweight="bold",
                color=PAPER,
                zorder=3,
            )
    below = "first two principal components"
    if len(shades) > 1:
        report = compare_senses(vectors, names)
        below = (
            f"mean cosine: same {report.same:+.2f}, other {report.other:+.2f}\n"
            f"nearest neighbour of the same: {report.nearest} of {report.count}"
        )
    axes.set_xlabel(below, fontsize=8.5, color=QUIET, loc="left")
    axes.set(xticks=[], yticks=[])
    axes.margins(0.12)
    for spine in axes.spines.values():
        spine.set_color(GRID)


def _draw_list(
    axes: Any,
    found: ContextualVectors,
    texts: Sequence[str],
    order: list[int],
    names: list[str],
    shades: dict[str, str],
) -> None:
    """The sentences by number, under their labels."""
    axes.set_axis_off()
    rows = len(order) + 2 * len(shades)
    axes.set(xlim=(0, 1), ylim=(rows, 0))
    line, last = 0.3, None
    for number, row in enumerate(order, start=1):
        name = names[row]
        if name != last:
            line += 0.0 if last is None else 0.8
            axes.text(0, line, name, fontsize=9.5, fontweight="bold", color=shades[name])
            line += 1.0
            last = name
        axes.text(0.045, line, str(number), fontsize=8, ha="right", color=shades[name])
        parts = excerpt(texts[found.text_ids[row]], *found.spans[row].tolist())
        _draw_parts(axes, (0.065, line), parts, shades[name])
        line += 1.0


def _draw_parts(axes: Any, at: tuple[float, float], parts: Sequence[str], shade: str) -> None:
    """A line of text whose middle is bold and coloured."""
    end: Any = None
    for part, style in zip(parts, ({}, {"fontweight": "bold", "color": shade}, {}), strict=True):
        if not part:
            continue
        style = {"fontsize": 8, "color": INK, "parse_math": False} | style
        if end is None:
            end = axes.text(*at, part.strip(), **style)
        else:  # begins where the part before ends, wherever the layout puts that
            style |= {"xycoords": end, "textcoords": "offset points", "va": "bottom"}
            gap = 2.8 if part[0] == " " else 0.4
            end = axes.annotate(part.strip(), (1, 0), xytext=(gap, 0), **style)


def excerpt(text: str, begin: int, end: int, width: int = LINE) -> tuple[str, str, str]:
    """About `width` characters of a text: what is before the place, the place, what is behind it.

    Examples
    --------
    >>> excerpt("They sat on the bank of the river and waited.", 16, 20, width=24)
    ('... on the', ' bank', ' of the ...')
    """
    before, place, behind = (
        " ".join(t.split()) for t in (text[:begin], text[begin:end], text[end:])
    )
    room = max(0, width - len(place))
    # What one side does not need is left to the other.
    left = max(room // 2, room - len(behind))
    right = max(room // 2, room - len(before))
    if len(before) > left:
        before = "... " + before[len(before) - left :].partition(" ")[2]
    if len(behind) > right:
        behind = behind[:right].rpartition(" ")[0] + " ..."
    place = " " * (begin > 0 and text[begin - 1].isspace()) + place
    return before.rstrip(), place, " " * text[end : end + 1].isspace() + behind
