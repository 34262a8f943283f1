"""`vclip stats`: the contents of a store (videos, clips, people, labels, quality), counted by SQL."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from pipelines.analysis.query import open_duckdb
from pipelines.cluster.derived import record_derived
from pipelines.extraction.types import outcome_in_words
from pipelines.html.charts import chart_histogram
from pipelines.html.page import render
from pipelines.ingest.report import kind_of
from pipelines.ingest.streaming_stats import Histogram, evenly
from pipelines.progress import step
from pipelines.wording import resolved
from stores import Snapshot, Store
from stores.schema import EMBEDDED, LABELS, spaces_of, vector_column
from vclip.files import write_text


@dataclass(frozen=True)
class VideoStatistics:
    """The inputs of a store."""

    count: int
    duration_s: float
    of_unknown_duration: int
    states: dict[str, int]  # done, empty, failed -> videos
    reasons: dict[str, dict[str, int]]  # state -> reason without its figures -> videos


@dataclass(frozen=True)
class ClipStatistics:
    """The clips of a store."""

    count: int
    seconds: float
    without_faces: int
    without_voices: int


@dataclass(frozen=True)
class PeopleStatistics:
    """The people of a store, by the identities of clips."""

    count: int
    clips: int  # with an identity
    clips_median: float | None  # per person
    clips_most: int | None
    seconds_median: float | None  # of clips, per person
    in_several_videos: int
    clips_of_unknown: int  # without an identity
    people_by_clips: dict[str, int]  # number of clips -> people with that many
    largest: dict[str, int]  # identity -> clips, the largest first


@dataclass(frozen=True)
class LabelStatistics:
    """One label of the clips."""

    known: int
    unknown: int
    different: int  # number of values
    values: dict[str, int]  # the most frequent values -> clips


@dataclass(frozen=True)
class SplitStatistics:
    """One split of the clips."""

    clips: int
    people: int


@dataclass(frozen=True)
class DuplicateStatistics:
    """Videos that were found under several names and are stored once."""

    videos_with_several_names: int
    names_too_many: int


@dataclass(frozen=True)
class MeasureStatistics:
    """The distribution of one measure."""

    count: int
    mean: float
    p5: float
    p50: float
    p95: float
    edges: list[float]
    counts: list[int]
    unknown: int

    @property
    def quantiles(self) -> tuple[float, float, float]:
        """5 %, median and 95 %, with the digits that the bins resolve."""
        p5, p50, p95 = (resolved(value, self.edges) for value in (self.p5, self.p50, self.p95))
        return p5, p50, p95


@dataclass(frozen=True)
class StoreStatistics:
    """The contents of one state of a store."""

    store: str
    version: dict[str, int]
    videos: VideoStatistics
    funnel: dict[str, int]  # sums over the videos: stages of the extraction, and `drop:REASON`
    clips: ClipStatistics
    people: PeopleStatistics
    labels: dict[str, LabelStatistics]
    splits: dict[str, SplitStatistics]  # "" for clips without one
    duplicates: DuplicateStatistics
    rows: dict[str, int]  # of the other tables
    identical_vectors: dict[str, int]  # "table: space" -> rows with exactly the vector of another row
    measures: dict[str, MeasureStatistics]  # name with unit -> distribution

    @property
    def drops(self) -> list[tuple[int, str]]:
        """The number of dropped candidates and the reason in words; the most frequent first."""
        drops = {name.removeprefix("drop:"): n for name, n in self.funnel.items() if name.startswith("drop:")}
        return [
            (count, outcome_in_words(reason)) for reason, count in sorted(drops.items(), key=lambda item: -item[1])
        ]


MOST_VALUES = 20  # of a label, and reasons, in the result
MOST_KINDS = 200  # of reasons that are counted separately, the first in the alphabet
_MEASURES = {
    "clip length, s": ("clips", "end_s - start_s", evenly(0, 30, 60)),
    "active speaker score": ("clips", "speaking_score", evenly(0, 1, 25)),
    "audio-visual offset, s": ("clips", "av_offset_s", evenly(-0.42, 0.42, 21)),
    "confidence of the offset": ("clips", "av_confidence", evenly(0, 1, 25)),
    "dubbed, probability": ("clips", "dubbed", evenly(0, 1, 25)),
    "least face size of clips, px": ("clips", "min_face_px", [16 * 2 ** (i / 4) for i in range(29)]),
    "yaw, degrees": ("clips", "yaw_deg", evenly(-90, 90, 36)),
    "pitch, degrees": ("clips", "pitch_deg", evenly(-90, 90, 36)),
    "head motion, face widths a second": ("clips", "head_motion", evenly(0, 2, 40)),
    "face size, px": ("faces", "size_px", [16 * 2 ** (i / 4) for i in range(29)]),
    "face sharpness": ("faces", "sharpness", evenly(0, 1, 25)),
    "face frontality": ("faces", "frontality", evenly(0, 1, 25)),
    "face exposure": ("faces", "exposure", evenly(0, 1, 25)),
    "face quality": ("faces", "quality", evenly(0, 1, 25)),
    "speech length, s": ("voices", "end_s - start_s", evenly(0, 30, 60)),
    "speech ratio": ("voices", "speech_ratio", evenly(0, 1, 25)),
    "signal to noise, dB": ("voices", "snr_db", evenly(-20, 60, 32)),
    "bandwidth, Hz": ("voices", "bandwidth_hz", evenly(0, 8000, 32)),
}


def measure_in_words(column: str) -> str:
    """Returns a column of clips, faces or voices in words, with its unit."""
    names = {expression: name for name, (_, expression, _) in _MEASURES.items()}
    return names.get(column, column.replace("_", " "))


def stats(store_uri: str, out: Path | None = None) -> StoreStatistics:
    """The statistics of a store, also written as a page to `out` if given.

    Args:
        store_uri: the store.
        out: an HTML file to write.

    Raises:
        InputError, StoreError: no store, or `out` cannot be written.
    """
    store = Store.open(store_uri)
    result = statistics_of(store.snapshot(), store_uri)
    if out:
        write_text(out, statistics_page(result))
        record_derived(store_uri, "stats", out)
    return result


def statistics_page(statistics: StoreStatistics) -> str:
    """The statistics as an HTML page."""
    charts = [
        chart_histogram(
            f"{name} ({measure.unknown:,} unknown)" if measure.unknown else name,
            measure.edges, measure.counts, measure.p50,
        )
        for name, measure in statistics.measures.items()
        if measure.count
    ]  # fmt: skip
    return render("stats.html", statistics=statistics, charts=charts)


def statistics_of(snapshot: Snapshot, store_uri: str) -> StoreStatistics:
    """The statistics of one state of a store, read in batches: memory does not grow with the number of rows."""
    with tempfile.TemporaryDirectory(prefix="vclip-sql-") as spill, open_duckdb(snapshot, spill) as db:
        parts = {
            "videos": _videos, "funnel": _funnel, "clips": _clips, "people": _people, "labels": _labels,
            "splits": _splits, "duplicates": _duplicates, "rows": _rows,
        }  # fmt: skip
        found: dict[str, Any] = {}
        with step("counting", len(parts) + len(_MEASURES) + 1) as counting:
            for name, count in parts.items():
                found[name] = count(db)
                counting.advance()
            identical = _identical(db, snapshot)
            counting.advance()
            measures = {}
            for name, (table, expression, edges) in _MEASURES.items():
                measures[name] = _measured(db, table, expression, edges)
                counting.advance()
    return StoreStatistics(store_uri, snapshot.version, identical_vectors=identical, measures=measures, **found)


def _videos(db: duckdb.DuckDBPyConnection) -> VideoStatistics:
    states = _pairs(db, "SELECT state, count(*) FROM videos GROUP BY state ORDER BY count(*) DESC, state")
    total, duration_s, of_unknown_duration = _one(
        db, "SELECT count(*), coalesce(sum(duration_s), 0), count(*) FILTER (duration_s IS NULL) FROM videos"
    )
    reasons: dict[str, dict[str, int]] = {}
    rows = db.sql("SELECT state, reason, count(*) FROM videos WHERE reason <> '' GROUP BY ALL ORDER BY ALL")
    for batch in rows.to_arrow_reader():
        for state, reason, count in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            kinds = reasons.setdefault(state, {})
            kind = kind_of(reason)
            kind = kind if kind in kinds or len(kinds) < MOST_KINDS else "other"
            kinds[kind] = kinds.get(kind, 0) + count
    ordered = {state: _largest(kinds) for state, kinds in reasons.items()}
    return VideoStatistics(total, duration_s, of_unknown_duration, states, ordered)


def _funnel(db: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Sums of the counts in the videos' funnels: stages, and drops as `drop:REASON`."""
    counts = (
        "SELECT unnest(map_entries(TRY_CAST(funnel::JSON AS MAP(VARCHAR, BIGINT))), recursive := true) FROM videos"
    )
    return _pairs(db, f"SELECT key, sum(value)::BIGINT FROM ({counts}) GROUP BY key ORDER BY key")


def _clips(db: duckdb.DuckDBPyConnection) -> ClipStatistics:
    count, seconds = _one(db, "SELECT count(*), coalesce(sum(end_s - start_s), 0) FROM clips")
    lacking = {
        f"without_{table}": _one(db, f"SELECT count(*) FROM clips ANTI JOIN {table} USING (clip_id)")[0]
        for table in EMBEDDED
    }
    return ClipStatistics(count, seconds, **lacking)


def _people(db: duckdb.DuckDBPyConnection) -> PeopleStatistics:
    each = (
        "SELECT identity, count(*) AS clips, sum(end_s - start_s) AS seconds, count(DISTINCT video_id) AS videos "
        "FROM clips WHERE coalesce(identity, '') <> '' GROUP BY identity"
    )
    count, clips, clips_median, clips_most, seconds_median, in_several_videos = _one(
        db,
        "SELECT count(*), coalesce(sum(clips), 0)::BIGINT, median(clips), max(clips), median(seconds), "
        f"count(*) FILTER (videos > 1) FROM ({each})",
    )
    sizes = f"SELECT clips::VARCHAR, count(*) FROM ({each}) GROUP BY clips ORDER BY clips LIMIT {MOST_VALUES}"
    largest = _pairs(db, f"SELECT identity, clips FROM ({each}) ORDER BY clips DESC, identity LIMIT {MOST_VALUES}")
    unknown = _one(db, "SELECT count(*) FROM clips WHERE coalesce(identity, '') = ''")[0]
    return PeopleStatistics(
        count=count,
        clips=clips,
        clips_median=clips_median,
        clips_most=clips_most,
        seconds_median=seconds_median,
        in_several_videos=in_several_videos,
        clips_of_unknown=unknown,
        people_by_clips=_pairs(db, sizes),
        largest=largest,
    )


def _labels(db: duckdb.DuckDBPyConnection) -> dict[str, LabelStatistics]:
    """Label -> its statistics."""
    found = {}
    for name in LABELS:
        has = f"coalesce({name}, '') <> ''"
        known, unknown, values = _one(
            db,
            f"SELECT count(*) FILTER ({has}), count(*) FILTER (NOT {has}), "
            f"count(DISTINCT {name}) FILTER ({has}) FROM clips",
        )
        most = f"SELECT {name}, count(*) FROM clips WHERE {has} GROUP BY ALL ORDER BY 2 DESC, 1 LIMIT {MOST_VALUES}"
        found[name] = LabelStatistics(known, unknown, values, _pairs(db, most))
    return found


def _splits(db: duckdb.DuckDBPyConnection) -> dict[str, SplitStatistics]:
    rows = "SELECT coalesce(split, '') AS name, count(*) AS clips, count(DISTINCT identity) AS people FROM clips"
    found = db.sql(f"{rows} GROUP BY ALL ORDER BY ALL").fetchall()
    return {name: SplitStatistics(clips, people) for name, clips, people in found}


def _duplicates(db: duckdb.DuckDBPyConnection) -> DuplicateStatistics:
    videos, names = _one(
        db,
        "SELECT count(*) FILTER (len(uris) > 1), coalesce(sum(len(uris) - 1) FILTER (len(uris) > 1), 0) FROM videos",
    )
    return DuplicateStatistics(videos, int(names))


def _identical(db: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> dict[str, int]:
    """`table: space` -> rows with exactly the vector of another row: one image or recording, stored twice."""
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


def _measured(
    db: duckdb.DuckDBPyConnection, table: str, expression: str, edges: Sequence[float]
) -> MeasureStatistics:
    histogram, unknown = Histogram(edges), 0
    for batch in db.sql(f"SELECT ({expression})::DOUBLE FROM {table}").to_arrow_reader(1 << 16):
        values: pa.Array = batch.column(0)
        unknown += values.null_count
        histogram.add_all(values.drop_null().to_numpy(zero_copy_only=False))
    return MeasureStatistics(**histogram.to_json(), unknown=unknown)


def _one(db: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    return db.sql(sql).fetchall()[0]


def _pairs(db: duckdb.DuckDBPyConnection, sql: str) -> dict[str, int]:
    return dict(db.sql(sql).fetchall())


def _largest(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: -item[1])[:MOST_VALUES])
