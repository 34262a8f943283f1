"""The statistics of a store as a page: one HTML file, to be opened from disk or sent to a colleague."""

import html
from collections.abc import Mapping
from typing import Any

from pipelines.charts import STYLE, duration, figure, funnel, histogram, legend, stack
from pipelines.fates import in_words
from pipelines.markup import document, section, table, tiles
from pipelines.tally import Histogram

_STYLE = (
    STYLE
    + """
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem }
.label { margin-bottom: .8rem } .label h3 { font-size: .95rem; margin: 0 0 .5rem }
td.number, th.number { text-align: right } .scroll { overflow-x: auto } td { font-size: .92rem }
"""
)
SHOWN_VALUES = 7  # of a label; there are eight colours
OTHER, UNKNOWN = "others", "unknown"


def page(result: Mapping[str, Any]) -> str:
    """Returns the whole page; `result` is what `stats` returns."""
    body = [
        _tiles(result),
        section("From videos to clips", funnel(_steps(result))),
        section("Dropped candidates", _drops(result["funnel"])),
        section("Videos that gave nothing", _reasons(result["videos"]["reasons"])),
        section("What is known of the clips", _labels(result)),
        section("People", _people(result["people"])),
        section("Splits", _splits(result["splits"])),
        section("Quality", _measures(result["measures"])),
        section("Twice the same", _duplicates(result)),
    ]
    return document("Statistics of a store", f"Store {result['store']}.", "".join(body), _STYLE)


def _tiles(result: Mapping[str, Any]) -> str:
    videos, clips, people = result["videos"], result["clips"], result["people"]
    shown = [
        (f"{videos['count']:,}", f"videos, {duration(videos['duration_s'])}"),
        (f"{clips['count']:,}", f"clips, {duration(clips['seconds'])}"),
        (f"{result['rows']['faces']:,}", "faces"),
        (f"{result['rows']['voices']:,}", "stretches of speech"),
        (f"{people['count']:,}", f"people named, {people['clips_of_unknown']:,} clips of nobody named"),
    ]
    return tiles(shown)


def _steps(result: Mapping[str, Any]) -> dict[str, int]:
    states = result["videos"]["states"]
    videos = result["videos"]["count"]
    return {"videos": videos, "readable": videos - states.get("failed", 0), "with clips": states.get("done", 0)}


def _drops(counts: Mapping[str, int]) -> str:
    drops = {name.removeprefix("drop:"): count for name, count in counts.items() if name.startswith("drop:")}
    rows = [{"why": in_words(why), "candidates": count} for why, count in sorted(drops.items(), key=lambda i: -i[1])]
    return table(["candidates", "why"], rows) if rows else ""


def _reasons(reasons: Mapping[str, Mapping[str, int]]) -> str:
    rows = [
        {"videos": count, "state": state, "reason": reason}
        for state, kinds in sorted(reasons.items())
        for reason, count in kinds.items()
    ]
    return f'<div class="scroll">{table(["videos", "state", "reason"], rows)}</div>' if rows else ""


def _labels(result: Mapping[str, Any]) -> str:
    if not result["clips"]["count"]:
        return ""
    known = "".join(_label(name, found) for name, found in result["labels"].items() if found["known"])
    none = ", ".join(name for name, found in result["labels"].items() if not found["known"])
    return known + (f'<p class="faint">Known of no clip: {html.escape(none)}.</p>' if none else "")


def _label(name: str, found: Mapping[str, Any]) -> str:
    total = max(found["known"] + found["unknown"], 1)
    parts = dict(list(found["values"].items())[:SHOWN_VALUES])
    if rest := found["known"] - sum(parts.values()):
        parts[OTHER] = rest
    order = list(parts)
    told = {value: f"{count:,}, {count / total:.0%}" for value, count in parts.items()}
    bar = stack({**parts, UNKNOWN: found["unknown"]}, order)  # what is unknown has no colour
    said = f"known of {found['known']:,} of {total:,} clips, unknown of {found['unknown']:,}"
    return (
        f'<div class="label card"><h3>{html.escape(name)} <span class="faint">{said}</span></h3>'
        f"{bar}{legend(told, order)}</div>"
    )


def _people(people: Mapping[str, Any]) -> str:
    if not people["count"]:
        return '<p class="faint">No clip names anybody. <code>vclip clusters</code> finds who is who.</p>'
    said = (
        f"{people['count']:,} people in {people['clips']:,} clips: {figure(people['clips_median'])} clips of one in "
        f"the middle, {people['clips_most']:,} at most; {people['in_several_videos']:,} are in several videos."
    )
    rows = [{"clips of one": clips, "people": count} for clips, count in people["people_by_clips"].items()]
    return f'<p class="faint">{said}</p>{table(["clips of one", "people"], rows)}'


def _splits(splits: Mapping[str, Mapping[str, int]]) -> str:
    rows = [{"split": name or "none given", **counts} for name, counts in splits.items()]
    return table(["split", "clips", "people"], rows)


def _measures(measures: Mapping[str, Mapping[str, Any]]) -> str:
    charts = []
    for name, found in measures.items():
        if found["count"]:
            values = Histogram(found["edges"])
            values.counts = list(found["counts"])
            unknown = f" ({found['unknown']:,} unknown)" if found["unknown"] else ""
            charts.append(histogram(name + unknown, values))
    return f'<div class="grid">{"".join(charts)}</div>' if charts else ""


def _duplicates(result: Mapping[str, Any]) -> str:
    rows = [
        {"what": "videos that came under several names", "count": result["duplicates"]["videos_with_several_names"]},
        *(
            {"what": f"rows with the vector of another row, to the bit: {name}", "count": count}
            for name, count in result["identical_vectors"].items()
        ),
    ]
    more = '<p class="faint">Near-identical clips: <code>vclip clusters --duplicates</code>.</p>'
    return table(["count", "what"], rows) + more
