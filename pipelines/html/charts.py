"""Charts that pages embed as SVG.

A chart takes its colours from the stylesheet of the page, so it fits the light and the dark scheme. Its text is text.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from pipelines.wording import count, number, resolved, seconds

TEXT, ACCENT, FAINT, LINE, LIMIT = "#1f2933", "#2f6f9f", "#9aa5b1", "#d9e2ec", "#c2452d"
FEWEST_BINS = 12
# The names of a chart's colours in style.css.
_VARIABLES = {TEXT: "var(--text)", ACCENT: "var(--accent)", FAINT: "var(--faint)", LINE: "var(--line)",
              LIMIT: "var(--limit)"}  # fmt: skip
# The parts of matplotlib's SVG that a page does not need, or whose ids two charts on a page would share.
_UNWANTED = (
    r"<metadata>.*?</metadata>", r"<defs>.*?</defs>", r'(?<=<g) id="[^"]*"', r"<!--.*?-->", r" font-family: [^;]*;",
    r' xmlns(:xlink)?="[^"]*"', r'(?<=<svg) width="[^"]*" height="[^"]*"',
)  # fmt: skip


@dataclass(frozen=True)
class Chart:
    """A chart for a page."""

    title: str
    text: str  # one line of figures
    svg: Markup


def chart_histogram(
    title: str, edges: Sequence[float], counts: Sequence[int], median: float, limit: float | None = None
) -> Chart:
    """A histogram of the bins that are in use; all bins are drawn equally wide.

    Args:
        title: the measure, with its unit.
        edges: (n + 1,) ascending edges of the bins.
        counts: (n,) number of values per bin.
        median: median of the values.
        limit: threshold to mark; values below it were dropped.
    """
    first, last = _shown_bins(edges, counts, limit)
    shown = np.arange(first, last + 1)
    figure, axes = _chart()
    axes.stairs(counts[first:last], shown, fill=True, color=ACCENT, clip_on=False)
    axes.set(xlim=(first, last), ylim=(0, max(counts)))
    ticks = _round_values(edges[first : last + 1])
    axes.set_xticks(np.interp(ticks, edges, range(len(edges))), [number(tick) for tick in ticks])
    text = f"{count(sum(counts), 'value')}, median {number(resolved(median, edges))}"
    if limit is not None:
        axes.axvline(float(np.interp(limit, edges, range(len(edges)))), color=LIMIT, linestyle="--", clip_on=False)
        text += f", kept from {number(limit)}"
    return Chart(title, text, _svg(figure))


def chart_over_time(title: str, sums: Sequence[float], bin_s: float, unit: str) -> Chart:
    """A rate over the time of a run.

    Args:
        title: the quantity.
        sums: the amount in each bin of time.
        bin_s: width of a bin.
        unit: unit of the amount per minute.
    """
    rates = [60 * amount / bin_s for amount in sums] or [0.0]
    figure, axes = _chart()
    axes.stairs(rates, range(len(rates) + 1), fill=True, color=ACCENT, clip_on=False)
    axes.set(xlim=(0, len(rates)), ylim=(0, max(rates) or 1))
    axes.set_xticks([0, len(rates)], ["0", seconds(bin_s * len(rates))])
    text = f"{number(float(np.mean(rates)))} {unit} on average"
    return Chart(title, text, _svg(figure))


def _shown_bins(edges: Sequence[float], counts: Sequence[int], limit: float | None) -> tuple[int, int]:
    """The range of bins that hold values or the limit, widened to FEWEST_BINS if there are that many."""
    used = [i for i, held in enumerate(counts) if held]
    used += [i for i in range(len(counts)) if limit is not None and edges[i] <= limit < edges[i + 1]]
    low, high, most = min(used), max(used) + 1, len(counts)
    while high - low < min(FEWEST_BINS, most):
        low, high = max(0, low - 1), min(most, high + 1)
    return low, high


def _round_values(edges: Sequence[float]) -> list[float]:
    """A few round values within the edges of bins, which are of one width or grow by one factor."""
    low, high = edges[0], edges[-1]
    if edges[-1] - edges[-2] > 1.5 * (edges[1] - edges[0]):
        values = LogLocator(subs=(1, 2, 5)).tick_values(low, high)
    else:
        values = MaxNLocator(3, steps=(1, 2, 2.5, 5, 10)).tick_values(low, high)
    slack = 1e-9 * (high - low)  # edges are sums of floats
    return [round(float(value), 9) + 0.0 for value in values if low - slack <= value <= high + slack]


def _chart() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(3.6, 1.25), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.set_yticks([])
    axes.tick_params(bottom=False, labelcolor=FAINT, labelsize=10)
    return figure, axes


def _svg(figure: Figure) -> Markup:
    """The figure as an element for a page, without a size and without ids that a second chart would repeat."""
    drawn = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):  # text stays text
        figure.savefig(drawn, format="svg", transparent=True)
    svg = drawn.getvalue()
    svg = svg[svg.index("<svg") :].rstrip()
    for unwanted in _UNWANTED:
        svg = re.sub(unwanted, "", svg, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return Markup(svg)
