"""`vclip stats`: what is in a store, and what of it is known, counted by SQL over the visible rows."""

import html
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from pipelines.analysis.query import connected
from pipelines.extraction.drop_reasons import in_words
from pipelines.files.whole import whole_file
from pipelines.html.charts import STYLE, duration, figure, funnel, histogram, legend, stack
from pipelines.html.page import document, section, table, tiles
from pipelines.ingest.report import kind_of
from pipelines.ingest.streaming_stats import Histogram, evenly
from pipelines.progress import step
from stores import Snapshot, Store
from stores.schema import EMBEDDED, LABELS, spaces_of, vector_column

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
        section("What is known of the clips", _labels_html(result)),
        section("People", _people_html(result["people"])),
        section("Splits", _splits_html(result["splits"])),
        section("Quality", _measures(result["measures"])),
        section("Twice the same", _duplicates_html(result)),
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


def _labels_html(result: Mapping[str, Any]) -> str:
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


def _people_html(people: Mapping[str, Any]) -> str:
    if not people["count"]:
        return '<p class="faint">No clip names anybody. <code>vclip clusters</code> finds who is who.</p>'
    said = (
        f"{people['count']:,} people in {people['clips']:,} clips: {figure(people['clips_median'])} clips of one in "
        f"the middle, {people['clips_most']:,} at most; {people['in_several_videos']:,} are in several videos."
    )
    rows = [{"clips of one": clips, "people": count} for clips, count in people["people_by_clips"].items()]
    return f'<p class="faint">{said}</p>{table(["clips of one", "people"], rows)}'


def _splits_html(splits: Mapping[str, Mapping[str, int]]) -> str:
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


def _duplicates_html(result: Mapping[str, Any]) -> str:
    rows = [
        {"what": "videos that came under several names", "count": result["duplicates"]["videos_with_several_names"]},
        *(
            {"what": f"rows with the vector of another row, to the bit: {name}", "count": count}
            for name, count in result["identical_vectors"].items()
        ),
    ]
    more = '<p class="faint">Near-identical clips: <code>vclip clusters --duplicates</code>.</p>'
    return table(["count", "what"], rows) + more


MOST_VALUES = 20  # of a label, and of reasons, that are told apart
_MEASURES = {
    "clip length, s": ("clips", "end_s - start_s", evenly(0, 30, 60)),
    "speaking score": ("clips", "speaking_score", evenly(0, 1, 25)),
    "face size, px": ("faces", "size_px", [16 * 2 ** (i / 4) for i in range(29)]),
    "face sharpness": ("faces", "sharpness", evenly(0, 1, 25)),
    "face frontality": ("faces", "frontality", evenly(0, 1, 25)),
    "face exposure": ("faces", "exposure", evenly(0, 1, 25)),
    "face quality": ("faces", "quality", evenly(0, 1, 25)),
    "speech length, s": ("voices", "end_s - start_s", evenly(0, 30, 60)),
    "speech ratio": ("voices", "speech_ratio", evenly(0, 1, 25)),
    "signal to noise, dB": ("voices", "snr_db", evenly(-20, 60, 32)),
}


def stats(store_uri: str, out: Path | None = None) -> dict[str, Any]:
    """Returns what is in a store, and draws it as a page to `out` if given.

    Args:
        store_uri: the store.
        out: an HTML file to write.

    Raises:
        InputError, StoreError: no store, or `out` cannot be written.
    """
    snapshot = Store.open(store_uri).snapshot()
    result = {"store": store_uri, **counted(snapshot)}
    if out:
        with whole_file(out) as part:
            part.write_text(page(result), encoding="utf-8")
    return result


def counted(snapshot: Snapshot) -> dict[str, Any]:
    """Returns the figures of a state of a store; each is read in batches, a million rows take no more memory."""
    with tempfile.TemporaryDirectory(prefix="vclip-sql-") as spill, connected(snapshot, spill) as db:
        parts = {
            "videos": _videos, "funnel": _funnel, "clips": _clips, "people": _people, "labels": _labels,
            "splits": _splits, "duplicates": _duplicates, "rows": _rows,
        }  # fmt: skip
        found: dict[str, Any] = {"version": snapshot.version}
        with step("counting", len(parts) + len(_MEASURES) + 1) as counting:
            for name, count in parts.items():
                found[name] = count(db)
                counting.advance()
            found["identical_vectors"] = _identical(db, snapshot)
            counting.advance()
            found["measures"] = {}
            for name, (table, expression, edges) in _MEASURES.items():
                found["measures"][name] = _measured(db, table, expression, edges)
                counting.advance()
    return found


def _videos(db: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    states = _pairs(db, "SELECT state, count(*) FROM videos GROUP BY state ORDER BY count(*) DESC, state")
    whole = _one(
        db, "SELECT count(*), coalesce(sum(duration_s), 0), count(*) FILTER (duration_s IS NULL) FROM videos"
    )
    reasons: dict[str, dict[str, int]] = {}
    rows = db.sql("SELECT state, reason, count(*) FROM videos WHERE reason <> '' GROUP BY ALL ORDER BY ALL")
    for batch in rows.to_arrow_reader():
        for state, reason, count in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            kinds = reasons.setdefault(state, {})
            kind = kind_of(reason)
            kinds[kind if kind in kinds or len(kinds) < 10 * MOST_VALUES else "other"] = kinds.get(kind, 0) + count
    ordered = {state: _largest(kinds) for state, kinds in reasons.items()}
    names = ("count", "duration_s", "of_unknown_duration")
    return {**dict(zip(names, whole, strict=True)), "states": states, "reasons": ordered}


def _funnel(db: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Returns the sums of what the videos' funnels count: stages, and drops as `drop:why`."""
    counts = (
        "SELECT unnest(map_entries(TRY_CAST(funnel::JSON AS MAP(VARCHAR, BIGINT))), recursive := true) FROM videos"
    )
    return _pairs(db, f"SELECT key, sum(value)::BIGINT FROM ({counts}) GROUP BY key ORDER BY key")


def _clips(db: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    count, seconds = _one(db, "SELECT count(*), coalesce(sum(end_s - start_s), 0) FROM clips")
    lacking = {
        f"without_{table}": _one(db, f"SELECT count(*) FROM clips ANTI JOIN {table} USING (clip_id)")[0]
        for table in EMBEDDED
    }
    return {"count": count, "seconds": seconds, **lacking}


def _people(db: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    each = (
        "SELECT identity, count(*) AS clips, sum(end_s - start_s) AS seconds, count(DISTINCT video_id) AS videos "
        "FROM clips WHERE coalesce(identity, '') <> '' GROUP BY identity"
    )
    named = ("count", "clips", "clips_median", "clips_most", "seconds_median", "in_several_videos")
    figures = _one(
        db,
        "SELECT count(*), coalesce(sum(clips), 0)::BIGINT, median(clips), max(clips), median(seconds), "
        f"count(*) FILTER (videos > 1) FROM ({each})",
    )
    sizes = f"SELECT clips::VARCHAR, count(*) FROM ({each}) GROUP BY clips ORDER BY clips LIMIT {MOST_VALUES}"
    largest = _pairs(db, f"SELECT identity, clips FROM ({each}) ORDER BY clips DESC, identity LIMIT {MOST_VALUES}")
    unknown = _one(db, "SELECT count(*) FROM clips WHERE coalesce(identity, '') = ''")[0]
    found = {**dict(zip(named, figures, strict=True)), "clips_of_unknown": unknown}
    return {**found, "people_by_clips": _pairs(db, sizes), "largest": largest}


def _labels(db: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Returns for each label how many clips have it, how many do not, and its most frequent values."""
    found = {}
    for name in LABELS:
        has = f"coalesce({name}, '') <> ''"
        known, unknown, values = _one(
            db,
            f"SELECT count(*) FILTER ({has}), count(*) FILTER (NOT {has}), "
            f"count(DISTINCT {name}) FILTER ({has}) FROM clips",
        )
        most = f"SELECT {name}, count(*) FROM clips WHERE {has} GROUP BY ALL ORDER BY 2 DESC, 1 LIMIT {MOST_VALUES}"
        found[name] = {"known": known, "unknown": unknown, "different": values, "values": _pairs(db, most)}
    return found


def _splits(db: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    rows = "SELECT coalesce(split, '') AS name, count(*) AS clips, count(DISTINCT identity) AS people FROM clips"
    found = db.sql(f"{rows} GROUP BY ALL ORDER BY ALL").fetchall()
    return {name: {"clips": clips, "people": people} for name, clips, people in found}


def _duplicates(db: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Returns how many videos came under several names, and under how many more."""
    videos, names = _one(
        db,
        "SELECT count(*) FILTER (len(uris) > 1), coalesce(sum(len(uris) - 1) FILTER (len(uris) > 1), 0) FROM videos",
    )
    return {"videos_with_several_names": videos, "names_too_many": int(names)}


def _identical(db: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> dict[str, int]:
    """Returns for each space how many rows have the vector of another, to the bit: one picture or sound, twice."""
    found = {}
    for embedded in EMBEDDED:
        for space in spaces_of(snapshot.schema(embedded)):
            rows, different = _one(
                db, f"SELECT count(*), count(DISTINCT hash({vector_column(space)})) FROM {embedded}"
            )
            found[f"{embedded}: {space}"] = rows - different
    return found


def _rows(db: duckdb.DuckDBPyConnection) -> dict[str, int]:
    return {
        name: _one(db, f"SELECT count(*) FROM {name}")[0] for name in ("faces", "voices", "speakers", "generations")
    }


def _measured(db: duckdb.DuckDBPyConnection, table: str, expression: str, edges: Sequence[float]) -> dict[str, Any]:
    histogram, unknown = Histogram(edges), 0
    for batch in db.sql(f"SELECT ({expression})::DOUBLE FROM {table}").to_arrow_reader(1 << 16):
        values: pa.Array = batch.column(0)
        unknown += values.null_count
        histogram.add_all(values.drop_null().to_numpy(zero_copy_only=False))
    return {**histogram.to_json(), "unknown": unknown}


def _one(db: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    return db.sql(sql).fetchall()[0]


def _pairs(db: duckdb.DuckDBPyConnection, sql: str) -> dict[str, int]:
    return dict(db.sql(sql).fetchall())


def _largest(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: -item[1])[:MOST_VALUES])
