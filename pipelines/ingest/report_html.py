"""The report of an ingest run as a page: one HTML file, to be opened from disk or sent to a colleague."""

import html
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import yaml

from pipelines.extraction.drop_reasons import in_words
from pipelines.html.charts import STYLE, duration, figure, funnel, histogram, legend, over_time, stack
from pipelines.html.page import data_uri, document, section, table, tiles
from pipelines.html.thumbnails import thumbnail

if TYPE_CHECKING:
    from pipelines.ingest.report import RunReport

_STYLE = (
    STYLE
    + """
:root { --limit: #c2452d } @media (prefers-color-scheme: dark) { :root { --limit: #ff9b85 } }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem }
.fate { display: grid; grid-template-columns: 15rem 1fr; gap: .6rem 1.2rem; align-items: center;
        margin-bottom: .6rem }
.fate .thumbs { display: flex; flex-wrap: wrap; gap: .35rem }
.fate img { width: 60px; height: 60px; border-radius: .35rem; margin: 0 }
.fate b { font-size: 1.05rem } .fate.kept { border-color: #34a97b }
.meter { height: .35rem; border-radius: .2rem; background: var(--line); margin-top: .35rem }
.meter i { display: block; height: 100%; border-radius: .2rem; background: #cf6a55 }
.kept .meter i { background: #34a97b }
.scroll { overflow-x: auto } td.path { overflow-wrap: anywhere; min-width: 12rem } td { font-size: .92rem }
details { margin-top: 1rem } summary { cursor: pointer; color: var(--accent) }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: 1rem; overflow-x: auto;
      font-size: .82rem; line-height: 1.45 }
@media (max-width: 40rem) { body { padding: 1.5rem .9rem 3rem } .fate { grid-template-columns: 1fr }
      .funnel { grid-template-columns: 6.5rem 1fr auto; gap: 0 .6rem; font-size: .88rem }
      th, td { padding: .4rem .5rem } }
"""
)
EXAMPLES, SHOWN_REASONS = 3, 20


def page(report: "RunReport", result: Mapping[str, Any]) -> str:
    """Returns the whole page.

    Args:
        report: what was collected.
        result: the run's summary.json.
    """
    body = [
        _ended(result),
        _tiles(result),
        section("From videos to clips", funnel(result["videos_through"])),
        section("What became of the candidates", _fates(report)),
        section("What was kept", _distributions(report)),
        section("Files that could not be read", _reasons(report, "failed") + _failed(report, result["store"])),
        section("Videos that gave nothing", _reasons(report, "empty")),
        section("Where the time went", _time(report, result)),
        section("How it was made", _made(result)),
    ]
    lead = f"Run {result['run_id']}, into {result['store']}. Begun {_moment(result['started'])}."
    return document("Ingest report", lead, "".join(body), _STYLE)


def _ended(result: Mapping[str, Any]) -> str:
    if result["ended"] == "complete":
        return ""
    why, written = html.escape(result["ended"]), _moment(result["written"])
    return (
        f'<p class="note"><b>Not complete: {why}.</b> What follows is the state of {written}. '
        "Run the same command again to go on where it stopped.</p>"
    )


def _tiles(result: Mapping[str, Any]) -> str:
    videos, through = sum(result["videos"].values()), result["videos_through"]
    speed = result["video_s"] / result["took_s"] if result["took_s"] else 0
    shown = [
        (f"{videos:,}", f"videos, {duration(result['video_s'])}"),
        (f"{result['rows'].get('clips', 0):,}", f"clips, {duration(result['clips_s'])}"),
        (f"{through['with clips'] / max(1, videos):.0%}", "of the videos gave clips"),
        (f"{videos - through['readable']:,}", "files could not be read"),
        (duration(result["took_s"]), f"{figure(speed)} times real time"),
    ]
    if result["known"]:
        shown.append((f"{result['known']:,}", "inputs were known already"))
    return tiles(shown)


def _fates(report: "RunReport") -> str:
    dropped = report.fates.most_common()
    total = report.candidates
    if not total:
        return ""
    kept = total - sum(count for _, count, _ in dropped)
    said = f'<p class="faint">A candidate is a face in view while speech is heard. There were {total:,}.</p>'
    rows = [_fate("kept", kept, total, report.kept.items, "fate kept card")]
    rows += [_fate(in_words(fate), count, total, images, "fate card") for fate, count, images in dropped]
    return said + "".join(rows)


def _fate(words: str, count: int, total: int, images: list[bytes], kind: str) -> str:
    small = filter(None, map(thumbnail, images))
    shown = "".join(f'<img src="{data_uri(image, "image/jpeg")}" alt="">' for image in small)
    return (
        f'<div class="{kind}"><div><b>{count:,}</b> <span class="faint">{count / total:.1%}</span><br>'
        f'{html.escape(words)}<div class="meter"><i style="width:{100 * count / total:.2f}%"></i></div></div>'
        f'<div class="thumbs">{shown}</div></div>'
    )


def _distributions(report: "RunReport") -> str:
    clips = report.config.extraction.clips
    limits = {
        "face size, px": clips.min_face_px,
        "face quality": clips.min_quality,
        "speech ratio": clips.min_speech_ratio,
        "signal to noise, dB": clips.min_snr_db,
        "clip length, s": clips.min_s,
        "speaking score of clips": report.config.extraction.speaking.threshold,
        "speaking score of dropped candidates": report.config.extraction.speaking.threshold,
    }
    found = [histogram(name, h, limits.get(name)) for name, h in report.distributions.items() if h.count]
    return f'<div class="grid">{"".join(found)}</div>' if found else ""


def _reasons(report: "RunReport", state: str) -> str:
    rows = [
        {
            "reason": reason,
            "files": count,
            "for example": ", ".join(PurePosixPath(e).name for e in examples[:EXAMPLES]),
        }
        for reason, count, examples in report.reasons[state].most_common()
    ]
    if not rows:
        return ""
    more = len(rows) - SHOWN_REASONS
    said = f'<p class="faint">and {more} rarer kinds of reasons, in summary.json</p>' if more > 0 else ""
    return f'<div class="scroll">{table(["files", "reason", "for example"], rows[:SHOWN_REASONS])}</div>{said}'


def _failed(report: "RunReport", store: str) -> str:
    items = sorted(report.failed.items, key=lambda item: item["uri"])
    if not items:
        return ""
    count = report.funnel["inputs"] - report.funnel["readable"]
    which, more = "all", ""
    if count > len(items):
        which = f"{len(items)} of {count:,}, drawn at random"
        query = f"vclip query --store {store} --table videos --where \"state = 'failed'\""
        more = f'<p class="faint">All of them: <code>{html.escape(query)}</code></p>'
    rows = "".join(
        f'<tr><td class="path">{html.escape(item["uri"])}</td><td>{html.escape(item["reason"])}</td></tr>'
        for item in items
    )
    return (
        f"<details><summary>The files ({which})</summary>{more}"
        f'<div class="scroll"><table><tr><th>file</th><th>what was found</th></tr>{rows}</table></div></details>'
    )


def _time(report: "RunReport", result: Mapping[str, Any]) -> str:
    stages = dict(report.stages_s)
    if not stages:
        return ""
    order, total = list(stages), sum(stages.values()) or 1
    told = {name: f"{duration(seconds)}, {seconds / total:.0%}" for name, seconds in stages.items()}
    per_s = f"{total / result['video_s']:.3g} s of work for a second of video" if result["video_s"] else ""
    over = result["video_s_over_time"]
    charts = [
        over_time("Seconds of video a minute", over["sums"], over["bin_s"], "s/min"),
        over_time("Videos a minute", result["videos_over_time"]["sums"], over["bin_s"], "videos/min"),
    ]
    return (
        f'<div class="card"><p class="faint" style="margin-top:0">{duration(total)} in all, {per_s}</p>'
        f"{stack(stages, order)}{legend(told, order)}</div>"
        f'<div class="row" style="margin-top:1rem">{"".join(charts)}</div>{_slowest(report, order)}'
    )


def _slowest(report: "RunReport", order: list[str]) -> str:
    rows = "".join(
        f'<tr><td class="path">{html.escape(item["uri"])}{stack(item["stages_s"], order, small=True)}</td>'
        f'<td class="number">{duration(item["duration_s"])}</td><td class="number">{duration(item["took_s"])}</td>'
        f'<td class="number">{item["took_s"] / item["duration_s"]:.2f}</td></tr>'
        if item["duration_s"] else
        f'<tr><td class="path">{html.escape(item["uri"])}</td><td class="number">–</td>'
        f'<td class="number">{duration(item["took_s"])}</td><td class="number">–</td></tr>'
        for item in report.slowest.items()
    )  # fmt: skip
    head = "<tr><th>slowest files</th><th>length</th><th>took</th><th>s per s</th></tr>"
    return f'<div class="scroll" style="margin-top:1rem"><table>{head}{rows}</table></div>'


def _made(result: Mapping[str, Any]) -> str:
    versions = [{"what": name, "version": text} for name, text in result["versions"].items()]
    config = html.escape(yaml.safe_dump(result["config"], sort_keys=False, width=110)) if result["config"] else ""
    return (
        f"<details><summary>Configuration</summary><pre>{config}</pre></details>"
        f"<details><summary>Versions</summary>{table(['what', 'version'], versions)}</details>"
    )


def _moment(iso: str) -> str:
    return iso.replace("T", " ").replace("+00:00", " UTC")
