"""The pictures that runs leave beside their numbers: ROC and training curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt

INK, ACCENT, FAINT = "#1f2933", "#2f6f9f", "#9aa5b1"


def plot_roc(path: str | Path, curves: Mapping[str, Mapping[str, Any]]) -> Path:
    """Draws ROC curves; `curves`: label -> an evaluation as JSON."""
    figure, axes = _axes("false-alarm rate", "hit rate", (4.6, 4.4))
    axes.plot([0, 1], [0, 1], color=FAINT, linestyle=":", linewidth=1)
    for label, curve in curves.items():
        axes.plot(curve["roc_false_alarm"], curve["roc_hit"], linewidth=2, label=f"{label}: AUC {curve['auc']:.3f}")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.legend(frameon=False, loc="lower right", fontsize=8)
    return _save(figure, path)


def plot_folds(path: str | Path, folds: Sequence[Mapping[str, Any]]) -> Path:
    """Draws the ROC curve of each fold of a cross-validation, faintly, and their mean."""
    figure, axes = _axes("false-alarm rate", "hit rate", (4.6, 4.4))
    axes.plot([0, 1], [0, 1], color=FAINT, linestyle=":", linewidth=1)
    grid = folds[0]["roc_false_alarm"]
    for fold in folds:
        axes.plot(grid, fold["roc_hit"], color=FAINT, linewidth=1, alpha=0.7)
    mean = [sum(hits) / len(folds) for hits in zip(*(fold["roc_hit"] for fold in folds), strict=True)]
    auc = sum(fold["auc"] for fold in folds) / len(folds)
    axes.plot(grid, mean, color=ACCENT, linewidth=2.5, label=f"mean of {len(folds)} folds: AUC {auc:.3f}")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.legend(frameon=False, loc="lower right", fontsize=8)
    return _save(figure, path)


def plot_training(path: str | Path, history: Mapping[str, Any]) -> Path:
    """Draws the loss and the dev AUC of a training run over its steps, and marks the step that was kept."""
    figure, axes = _axes("step", "AUC on held-out people", (5.6, 3.6))
    axes.plot(history["step"], history["dev_auc"], color=ACCENT, linewidth=2)
    kept = history["step"].index(history["best_step"])
    axes.plot(history["best_step"], history["dev_auc"][kept], "o", color=ACCENT)
    axes.annotate(
        f"kept: {history['dev_auc'][kept]:.3f}", (history["best_step"], history["dev_auc"][kept]),
        textcoords="offset points", xytext=(6, 8), color=ACCENT, fontsize=9,
    )  # fmt: skip
    axes.margins(y=0.25)
    loss = axes.twinx()
    loss.plot(history["step"][1:], history["loss"][1:], color=FAINT, linewidth=1.5)
    loss.set_ylabel("training loss", color=FAINT)
    loss.tick_params(colors=FAINT)
    loss.spines[["top", "right", "left"]].set_visible(False)
    return _save(figure, path)


def _axes(x: str, y: str, size: tuple[float, float]) -> tuple[Any, Any]:
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
    return figure, axes


def _save(figure: Any, path: str | Path) -> Path:
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return Path(path)
