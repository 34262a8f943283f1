"""Charts as markup: they follow the page's colours and width, and need neither scripts nor pictures."""

import html
from collections.abc import Mapping, Sequence

from pipelines.ingest.streaming_stats import Histogram

STYLE = """
.funnel { display: grid; grid-template-columns: minmax(6rem, 11rem) 1fr minmax(4.5rem, auto); gap: 0 1rem }
.funnel span { align-self: center }
.funnel .bar { min-height: 2.6rem; margin-bottom: -1px; background: var(--accent) }
.funnel b { font-variant-numeric: tabular-nums } .funnel small { color: var(--faint); white-space: nowrap }
.histogram svg { display: block; width: 100%; height: 5.5rem; overflow: visible }
.histogram rect { fill: var(--accent) } .histogram line { stroke: var(--limit); stroke-width: 2;
          vector-effect: non-scaling-stroke; stroke-dasharray: 4 3 }
.histogram .axis, .time .axis { display: flex; justify-content: space-between; color: var(--faint); font-size: .78rem;
          border-top: 1px solid var(--line); padding-top: .15rem; font-variant-numeric: tabular-nums }
.histogram h3, .time h3 { font-size: .92rem; margin: 0 0 .1rem; font-weight: 600 }
.histogram p, .time p { color: var(--faint); font-size: .82rem; margin: 0 0 .5rem }
.time svg { display: block; width: 100%; height: 7rem } .time path { fill: var(--accent) }
.stack { display: flex; height: 1.5rem; border-radius: .3rem; overflow: hidden; background: var(--line) }
.stack i { display: block; min-width: 1px } .stack.small { height: .7rem; min-width: 5rem; margin-top: .45rem }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin-top: .6rem; font-size: .88rem }
.legend i { display: inline-block; width: .8rem; height: .8rem; border-radius: .2rem; margin-right: .4rem }
"""
FEWEST_BINS = 12
COLOURS = ("#3b7dae", "#45a598", "#e0a53c", "#cf6a55", "#8d74b8", "#7a8a99", "#b5739a", "#6f9a3e")


def funnel(steps: Mapping[str, int]) -> str:
    """Returns a funnel: each step's count is part of the one before."""
    counts = list(steps.values())
    most = max(counts[0], 1) if counts else 1
    rows = []
    for i, (name, count) in enumerate(steps.items()):
        top, foot = count / most, (counts[i + 1] if i + 1 < len(counts) else count) / most
        shape = ", ".join(
            f"{50 + 50 * side * share:.3f}% {y}%"
            for side, share, y in ((-1, top, 0), (1, top, 0), (1, foot, 100), (-1, foot, 100))
        )
        rows.append(
            f'<span>{html.escape(name)}</span><div class="bar" style="clip-path: polygon({shape})"></div>'
            f"<span><b>{count:,}</b> <small>{top:.0%}</small></span>"
        )
    return f'<div class="funnel card">{"".join(rows)}</div>'


def histogram(title: str, values: Histogram, limit: float | None = None) -> str:
    """Returns a histogram over the bins that hold something; `limit` is marked."""
    low, high = _shown(values, limit)
    counts, edges = values.counts[low:high], values.edges[low : high + 1]
    most = max(counts)
    bars = "".join(
        f'<rect x="{i + 0.04:.2f}" y="{100 - 100 * count / most:.2f}" width=".92" height="{100 * count / most:.2f}"/>'
        for i, count in enumerate(counts) if count
    )  # fmt: skip
    mark, said = "", ""
    if limit is not None:
        said = f", kept from {limit:g}"
        if edges[0] <= limit <= edges[-1]:
            x = next((i for i in range(len(counts)) if edges[i] <= limit <= edges[i + 1]), 0)
            x += (limit - edges[x]) / (edges[x + 1] - edges[x])
            mark = f'<line x1="{x:.3f}" x2="{x:.3f}" y1="0" y2="100"/>'
    return (
        f'<div class="histogram card"><h3>{html.escape(title)}</h3>'
        f"<p>{values.count:,} values, median {figure(values.quantile(0.5))}{said}</p>"
        f'<svg viewBox="0 0 {len(counts)} 100" preserveAspectRatio="none" role="img">{bars}{mark}</svg>'
        f'<div class="axis"><span>{figure(edges[0])}</span><span>{figure(edges[-1])}</span></div></div>'
    )


def _shown(values: Histogram, limit: float | None) -> tuple[int, int]:
    """The bins from the first to the last that is not empty or holds the limit, and a few more where they are few."""
    used = [i for i, count in enumerate(values.counts) if count]
    used += [
        i for i, edge in enumerate(values.edges[:-1]) if limit is not None and edge <= limit < values.edges[i + 1]
    ]
    low, high, most = min(used), max(used) + 1, len(values.counts)
    while high - low < min(FEWEST_BINS, most):
        low, high = max(0, low - 1), min(most, high + 1)
    return low, high


def over_time(title: str, sums: Sequence[float], bin_s: float, unit: str) -> str:
    """Returns an area over the time of a run: amounts a minute, from sums of bins `bin_s` wide."""
    rates = [60 * amount / bin_s for amount in sums]
    most = max(rates, default=0) or 1
    steps = "".join(
        f"L{i} {100 - 100 * rate / most:.2f} L{i + 1} {100 - 100 * rate / most:.2f}" for i, rate in enumerate(rates)
    )
    mean = 60 * sum(sums) / (bin_s * max(1, len(sums)))
    return (
        f'<div class="time card"><h3>{html.escape(title)}</h3>'
        f"<p>{figure(mean)} {html.escape(unit)} on average, {figure(most)} at most</p>"
        f'<svg viewBox="0 0 {max(1, len(rates))} 100" preserveAspectRatio="none" role="img">'
        f'<path d="M0 100 {steps} L{len(rates)} 100 Z"/></svg>'
        f'<div class="axis"><span>0</span><span>{duration(bin_s * len(sums))}</span></div></div>'
    )


def stack(parts: Mapping[str, float], order: Sequence[str], small: bool = False) -> str:
    """Returns one bar of parts; a part has the colour of its place in `order`."""
    total = sum(parts.values()) or 1
    bars = "".join(
        f'<i style="width:{100 * parts[name] / total:.3f}%; background:{colour_of(name, order)}"></i>'
        for name in order
        if parts.get(name)
    )
    return f'<div class="stack{" small" if small else ""}">{bars}</div>'


def legend(parts: Mapping[str, str], order: Sequence[str]) -> str:
    """Returns the colours of a stack's parts with a text of each."""
    items = "".join(
        f'<span><i style="background:{colour_of(name, order)}"></i>{html.escape(name)} '
        f'<span class="faint">{html.escape(text)}</span></span>'
        for name, text in parts.items()
    )
    return f'<div class="legend">{items}</div>'


def colour_of(name: str, order: Sequence[str]) -> str:
    return COLOURS[order.index(name) % len(COLOURS)]


def figure(value: float) -> str:
    """Returns three digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """Returns a time as people say it: 3.4 s, 12 min, 5.2 h."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{figure(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
