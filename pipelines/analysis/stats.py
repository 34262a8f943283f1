"""`vclip stats`: what is in a store, and what of it is known, counted by SQL over the visible rows."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from pipelines.analysis.sql import connected
from pipelines.analysis.stats_page import page
from pipelines.progress import step
from pipelines.report import kind_of
from pipelines.tally import Histogram, evenly
from pipelines.whole_file import whole_file
from stores import Snapshot, Store
from stores.schemas import EMBEDDED, LABELS, spaces_of, vector_column

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
    for table in EMBEDDED:
        for space in spaces_of(snapshot.schema(table)):
            rows, different = _one(db, f"SELECT count(*), count(DISTINCT hash({vector_column(space)})) FROM {table}")
            found[f"{table}: {space}"] = rows - different
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
