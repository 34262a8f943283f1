"""Plots: image files that jobs write beside their numbers."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from pipelines.html.charts import ACCENT, FAINT, TEXT
from pipelines.html.page import COLOURS, GREY
from vclip.association.learning_curve import LearningCurve
from vclip.files import whole_file

BESIDE_IN = (3.2, 3.0)  # of plots that pages show beside each other, small enough for their text to stay readable
ALONE_IN = (3.8, 3.5)
BEHIND_WORDS = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1}
KINDS = tuple(colour for colour in COLOURS if colour != GREY)  # of texts on a map, where grey is what has no colour


def plot_roc(path: str | Path, curves: Mapping[str, Mapping[str, Any]]) -> Path:
    """Draws ROC curves; `curves`: label -> roc_false_alarm, roc_hit and auc."""
    figure, axes = _roc_axes()
    for (label, curve), colour in zip(curves.items(), cycle(COLOURS)):
        text = f"{label}: AUC {curve['auc']:.3f}"
        axes.plot(curve["roc_false_alarm"], curve["roc_hit"], color=colour, linewidth=2, label=text)
    axes.legend(frameon=False, loc="lower right", fontsize=8)
    return save(figure, path)


def plot_scores(path: str | Path, histogram: Mapping[str, Sequence[float]], eer: float, score: str) -> Path:
    """Draws the score distributions of matched pairs (one person) and mismatched pairs (two people).

    Args:
        path: of the image file.
        histogram: edges (n + 1), and the densities `same` and `other` (n).
        eer: equal error rate, 0..1.
        score: the name of the score, such as "cosine".
    """
    figure, axes = new_axes(score, "density", BESIDE_IN)
    for name, label, colour in (("other", "two people", FAINT), ("same", "one person", ACCENT)):
        axes.stairs(histogram[name], histogram["edges"], fill=True, color=colour, alpha=0.45, label=label)
        axes.stairs(histogram[name], histogram["edges"], color=colour, linewidth=1.5)
    axes.set_ylim(bottom=0)
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=6)
    axes.legend(frameon=False, fontsize=9, title=f"equal error rate {eer:.3f}", title_fontsize=9, alignment="left")
    return save(figure, path)


def plot_matching(path: str | Path, matching: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Path:
    """Draws the accuracy of 1:N matching; `matching`: v2f, f2v -> 1:N -> value, low, high."""
    figure, axes = new_axes("candidates N", "accuracy", BESIDE_IN)
    labels = {"v2f": "voice to face", "f2v": "face to voice"}
    choices: list[int] = []
    for (direction, by_n), colour in zip(matching.items(), COLOURS, strict=False):
        choices = [int(name.partition(":")[2]) for name in by_n]
        values, low, high = ([by_n[name][part] for name in by_n] for part in ("value", "low", "high"))
        axes.plot(choices, values, "o-", color=colour, linewidth=2, markersize=4, label=labels[direction])
        if None not in (*low, *high):
            axes.fill_between(choices, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(choices, [1 / n for n in choices], color=FAINT, linestyle=":", label="chance")
    axes.set(ylim=(0, 1))
    axes.set_xticks(choices)
    axes.legend(frameon=False, fontsize=9)
    return save(figure, path)


def plot_folds(path: str | Path, folds: Sequence[Mapping[str, Any]]) -> Path:
    """Draws the ROC curve of each fold of a cross-validation in grey, and the mean curve."""
    figure, axes = _roc_axes()
    grid = folds[0]["roc_false_alarm"]
    for fold in folds:
        axes.plot(grid, fold["roc_hit"], color=FAINT, linewidth=1, alpha=0.7)
    mean = [sum(hits) / len(folds) for hits in zip(*(fold["roc_hit"] for fold in folds), strict=True)]
    auc = sum(fold["auc"] for fold in folds) / len(folds)
    axes.plot(grid, mean, color=ACCENT, linewidth=2.5, label=f"mean of {len(folds)} folds: AUC {auc:.3f}")
    axes.legend(frameon=False, loc="lower right", fontsize=8)
    return save(figure, path)


def plot_methods(path: str | Path, methods: Sequence[Mapping[str, Any]]) -> Path:
    """Draws the AUC of each method, mean and standard deviation over folds, with and without score normalisation."""
    figure, axes = new_axes(
        "AUC on unseen people: mean and standard deviation over folds", "", (6.4, 0.9 + 0.42 * len(methods))
    )
    rows = range(len(methods), 0, -1)
    for name, label, colour, shift in (
        ("auc", "cosine", ACCENT, 0.13), ("auc_s_norm", "with score normalisation", FAINT, -0.13),
    ):  # fmt: skip
        axes.errorbar(
            [method[name] for method in methods], [row + shift for row in rows],
            xerr=[method[f"{name}_std"] for method in methods],
            fmt="o", color=colour, markersize=6, elinewidth=1.5, label=label,
        )  # fmt: skip
    axes.set_yticks(list(rows), [method["method"] for method in methods])
    axes.set_ylim(0.4, len(methods) + 0.6)
    axes.grid(axis="y", visible=False)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=8)
    return save(figure, path)


def plot_curves(path: str | Path, curves: Mapping[tuple[str, str], LearningCurve]) -> Path:
    """Draws learning curves: measured AUCs with their intervals, and the band of what more people would bring.

    Args:
        path: the image file.
        curves: by method and subgroup.
    """
    figure, axes = new_axes("people in training; dashed: predicted", "AUC on unseen people", (6.4, 4.2))
    for ((method, subgroup), curve), colour in zip(curves.items(), cycle(KINDS)):
        measured, low, high = _bounds(curve.auc)
        axes.plot(curve.sizes, measured, "o-", color=colour, markersize=5, label=f"{method}, {subgroup}")
        axes.vlines(curve.sizes, low, high, color=colour, linewidth=1.5)
        people, auc = zip(*curve.band, strict=True)
        middle, low, high = _bounds(auc)
        axes.plot(people, middle, "--", color=colour, linewidth=1.5)
        axes.fill_between(people, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda people, _: f"{people:,.0f}")
    axes.legend(frameon=False, loc="upper left", fontsize=8)
    return save(figure, path)


def _bounds(figures: Sequence[Any]) -> tuple[np.ndarray, ...]:
    """Returns the values of figures, and the bounds of their intervals; NaN where there is none."""
    return tuple(np.array([getattr(figure, of) for figure in figures], float) for of in ("value", "low", "high"))


def plot_systems(
    path: str | Path,
    systems: Sequence[Mapping[str, Any]],
    measures: Mapping[str, str],
    ticks: Sequence[float] | None = None,
) -> Path:
    """Draws the measures of each system with their intervals; references are hollow and grey.

    Args:
        path: of the image file.
        systems: each with `system` (name), `reference` (bool) and an interval per measure.
        measures: key -> label.
        ticks: all ticks of the scale, if the measures share one.
    """
    size = (0.5 + 3.0 * len(measures), 1.0 + 0.36 * len(systems))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axes, (name, label) in zip(panels, measures.items(), strict=True):
        trim(axes, label, "")
        axes.grid(axis="y", visible=False)
        if ticks:
            axes.set_xticks(ticks)
            axes.set_xlim(ticks[0] - 0.15, ticks[-1] + 0.15)
        for row, system in zip(range(len(systems), 0, -1), systems, strict=True):
            measure, colour = system[name], FAINT if system["reference"] else ACCENT
            if measure["low"] is not None:
                axes.plot([measure["low"], measure["high"]], [row, row], color=colour, linewidth=1.5)
            if measure["value"] is not None:
                face = "white" if system["reference"] else colour
                axes.plot(measure["value"], row, "o", color=colour, markerfacecolor=face, markersize=6)
    for axes in panels[1:]:
        axes.tick_params(left=False)  # a tick without its name
    panels[0].set_yticks(range(len(systems), 0, -1), [system["system"] for system in systems])
    panels[0].set_ylim(0.4, len(systems) + 0.6)
    return save(figure, path)


def plot_training(path: str | Path, history: Mapping[str, Any]) -> Path:
    """Draws how the model that was kept came to its AUC on held-out people.

    Where steps were kept, that is by step, with the loss. Where the start was kept, which is fitted in closed form,
    it is by canonical direction, from chance on; if the start has none, by step.

    Args:
        path: of the image file.
        history: the fields of `vclip.association.loop.History`.
    """
    if history["best_step"] or not history.get("directions"):
        return save(_training_by_step(history), path)
    return save(_training_by_direction(history), path)


def _training_by_step(history: Mapping[str, Any]) -> Figure:
    figure, axes = new_axes("step", "AUC on held-out people", ALONE_IN)
    steps, values, best = history["step"], history["dev_auc"], history["best_step"]
    what = f"step {best}" if best else "the start"
    axes.plot(steps, values, color=ACCENT, linewidth=2, alpha=1 if best else 0.45)
    _mark_kept(axes, best, values[steps.index(best)], what, late=best > steps[-1] / 2)
    if best:
        axes.margins(y=0.25)
    else:
        _from_chance(axes, values, steps[-1])
    loss = axes.twinx()
    axes.set_zorder(loss.get_zorder() + 1)  # the words over the curve of the loss
    axes.patch.set_visible(False)
    loss.plot(history["step"][1:], history["loss"][1:], color=FAINT, linewidth=1.5)
    loss.set_ylabel("training loss", color=FAINT)
    loss.tick_params(colors=FAINT, length=0)  # a tick beside a number looks like a minus sign
    loss.spines[["top", "right", "left"]].set_visible(False)
    return figure


def _training_by_direction(history: Mapping[str, Any]) -> Figure:
    figure, axes = new_axes("canonical directions, strongest first", "AUC on held-out people", ALONE_IN)
    counts, values = history["directions"], history["auc_by_directions"]
    places = range(len(counts))
    axes.plot(places, values, "o-", color=ACCENT, linewidth=2, markersize=4)
    axes.set_xticks(places, [*(str(count) for count in counts[:-1]), "all"])
    _mark_kept(axes, places[-1], values[-1], "all", late=True)
    _from_chance(axes, values, places[-1])
    if history["step"][-1]:
        gain = max(history["dev_auc"]) - history["dev_auc"][0]
        axes.annotate(
            f"{history['step'][-1]} steps with networks\nadd {gain:.3f}: not kept", (places[-1], values[-1]),
            textcoords="offset points", xytext=(0, -40), ha="right", color=FAINT, fontsize=9,
        )  # fmt: skip
    return figure


def _mark_kept(axes: Axes, x: float, auc: float, what: str, late: bool) -> None:
    """Marks a point as what was kept; the words end there if it is late in the plot, else they begin there."""
    axes.plot(x, auc, "o", color=ACCENT)
    axes.annotate(
        f"kept: {what}, AUC {auc:.3f}", (x, auc), textcoords="offset points", xytext=(6 - 12 * late, 8),
        ha="right" if late else "left", color=ACCENT, fontsize=9, zorder=4, bbox=BEHIND_WORDS,
    )  # fmt: skip


def _from_chance(axes: Axes, values: Sequence[float], end: float) -> None:
    """Lets the axis of the AUC begin at chance and end at 1."""
    axes.set_ylim(min(0.44, *values), 1.0)
    axes.axhline(0.5, color=FAINT, linewidth=1, linestyle="--")
    axes.annotate("chance", (end, 0.5), textcoords="offset points", xytext=(0, -4), va="top", ha="right", color=FAINT,
                  fontsize=9, bbox=BEHIND_WORDS)  # fmt: skip


def plot_map(
    path: str | Path,
    points: np.ndarray,
    axes: tuple[str, str],
    title: str,
    values: pa.ChunkedArray | None,
    colour: str = "",
) -> Path:
    """Draws points on a plane, coloured by numbers or by the most frequent texts; unknown values are grey.

    Args:
        path: path of the image file. In an SVG the points are a bitmap, because a million paths cannot be displayed.
        points: (n, 2).
        axes: labels of the coordinates.
        title: title of the map.
        values: (n,) numbers or texts; None draws all points alike.
        colour: what the values are, with their unit.
    """
    figure, drawn = new_axes(*axes, (7.6, 6.0))
    drawn.set_title(title, color=TEXT, fontsize=11, loc="left")
    style = {"s": float(np.clip(2e4 / len(points), 0.5, 24)), "linewidths": 0, "rasterized": True, "alpha": 0.8}
    if values is not None and pa.types.is_floating(values.type):
        numbers = values.to_numpy(zero_copy_only=False).astype(float)
        known = np.isfinite(numbers)
        drawn.scatter(*points[~known].T, color=FAINT, **style)
        low, high = np.percentile(numbers[known], (2, 98)) if known.any() else (0, 1)
        found = drawn.scatter(*points[known].T, c=numbers[known], cmap="viridis", vmin=low, vmax=high, **style)
        bar = figure.colorbar(found, ax=drawn, shrink=0.7, extend="both")
        bar.outline.set_visible(False)
        bar.set_label(colour, color=TEXT)
    else:
        every = {"": np.arange(len(points))}
        rows = every if values is None else _kinds(np.array(values.fill_null("").to_pylist()))
        for (name, row), kind in zip(rows.items(), cycle(KINDS)):
            grey = name in ("unknown", "others")
            label = f"{name} ({len(row):,})" if name else None
            drawn.scatter(
                *points[row].T, color=FAINT if grey else kind, label=label, zorder=1 if grey else 2, **style
            )
        if values is not None:
            drawn.legend(
                title=colour, alignment="left", frameon=False, fontsize=9, title_fontsize=9,
                loc="center left", bbox_to_anchor=(1, 0.5), markerscale=1.5,
            )  # fmt: skip
    return save(figure, path)


def _kinds(texts: np.ndarray) -> dict[str, np.ndarray]:
    """Text -> its rows, for the most frequent texts, one per colour; then `others` and `unknown`."""
    names, index, sizes = np.unique(texts, return_inverse=True, return_counts=True)
    most = [i for i in np.argsort(-sizes, kind="stable") if names[i]][: len(KINDS)]
    kinds = {str(names[i]): np.flatnonzero(index == i) for i in most}
    others = np.flatnonzero(~np.isin(index, most) & (texts != ""))
    rest = {"others": others, "unknown": np.flatnonzero(texts == "")}
    return kinds | {name: rows for name, rows in rest.items() if len(rows)}


def new_axes(x: str, y: str, size: tuple[float, float]) -> tuple[Figure, Axes]:
    """Returns an empty figure of a size in inches, and its axes with the labels x and y."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    trim(axes, x, y)
    return figure, axes


def _roc_axes() -> tuple[Figure, Axes]:
    figure, axes = new_axes("false-alarm rate", "hit rate", BESIDE_IN)
    axes.plot([0, 1], [0, 1], color=FAINT, linestyle=":", linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    return figure, axes


def trim(axes: Axes, x: str, y: str) -> None:
    """Gives axes their labels and the look of all plots."""
    axes.set_xlabel(x, color=TEXT)
    axes.set_ylabel(y, color=TEXT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)


def save(figure: Figure, path: str | Path) -> Path:
    """Writes a figure to an image file and returns its path."""
    with whole_file(Path(path)) as draft:
        figure.savefig(draft, dpi=150)
    return Path(path)
