"""The 2-D map: faces or voices at their first two principal components, coloured by any column."""

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.analysis.maps import principal_components
from pipelines.browsing.cards import numeric_columns
from stores import Snapshot
from stores.arrow import compute
from stores.errors import StoreError, nearest
from stores.pairs import matrix, space_column
from stores.schema import EMBEDDED, KEYS, LABELS
from stores.snapshot import ROW_ID

POINTS = 20_000  # more are a blot, and slow to draw
TEXTS = ("identity", *LABELS, "split", "video_id")  # columns of clips
CATEGORIES = 7  # that have a colour of their own


@dataclass(frozen=True)
class Layout:
    """Points of one table."""

    xy: np.ndarray  # (n, 2) float32 in -1..1
    row_ids: np.ndarray  # (n,) uint64
    ids: list[str]
    clip_ids: pa.Array
    total: int  # rows that n are a sample of
    explained: float  # share of the variance that two dimensions show


class Maps:
    """Lays a table out once for each version of the store."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[tuple[int, int, str], Layout]] = {}
        self._lock = threading.Lock()

    def coloured(self, snapshot: Snapshot, table: str, space: str | None, colour: str) -> dict[str, Any]:
        """Returns the points and what colours them.

        Raises:
            StoreError: no such table, space or column.
        """
        if table not in EMBEDDED:
            raise StoreError(f"map of '{table}'; {nearest(table, EMBEDDED)}")
        known = colours_of(snapshot, table)
        if colour not in known:
            raise StoreError(f"map: unknown column '{colour}'; {nearest(colour, known)}")
        state = (snapshot.version[table], snapshot.version["videos"], snapshot.corrections.hides)
        with self._lock:
            of, layout = self._held.get(table, (None, None))
            if layout is None or of != state:  # labels change colours, not places
                layout = laid_out(snapshot, table, space)
                self._held[table] = state, layout
        return {
            "xy": np.round(layout.xy, 4).reshape(-1).tolist(),
            "ids": layout.ids,
            "clips": layout.clip_ids.to_pylist(),
            "total": layout.total,
            "explained": layout.explained,
            **_colours(snapshot, table, layout, colour),
        }


def colours_of(snapshot: Snapshot, table: str) -> list[str]:
    """Returns the columns that can colour the points of a table: texts and numbers of clips, numbers of its rows."""
    of_clips = [*TEXTS, *numeric_columns(snapshot, "clips")]
    return [*of_clips, *(name for name in numeric_columns(snapshot, table) if name not in of_clips)]


def laid_out(snapshot: Snapshot, table: str, space: str | None, most: int = POINTS) -> Layout:
    """The layout of a table; of a sample drawn with a fixed seed if the table has more than `most` rows."""
    column, key = space_column(snapshot, table, space), KEYS[table]
    row_ids = snapshot.query(table, [ROW_ID])[ROW_ID].to_numpy()
    total = len(row_ids)
    if total > most:
        row_ids = np.sort(np.random.default_rng(0).choice(row_ids, most, replace=False))
    if not total:
        return Layout(np.zeros((0, 2), np.float32), row_ids, [], pa.array([], pa.string()), 0, 0.0)
    rows = snapshot.take(table, row_ids, [key, "clip_id", column])
    points, shares = principal_components(matrix(rows[column]))
    low, high = points.min(axis=0), points.max(axis=0)
    xy = (2 * points - low - high) / np.where(high > low, high - low, 1)
    return Layout(xy, row_ids, rows[key].to_pylist(), rows["clip_id"].combine_chunks(), total, sum(shares))


def _colours(snapshot: Snapshot, table: str, layout: Layout, colour: str) -> dict[str, Any]:
    if colour not in snapshot.schema("clips").names:
        values = (
            snapshot.take(table, layout.row_ids, [colour])[colour] if layout.total else pa.array([], pa.float32())
        )
    else:
        parts = [
            batch.filter(compute.is_in(batch["clip_id"], layout.clip_ids))
            for batch in snapshot.batches("clips", ["clip_id", colour])
        ]
        schema = pa.schema([snapshot.schema("clips").field(name) for name in ("clip_id", colour)]).remove_metadata()
        clips = pa.Table.from_batches([part.replace_schema_metadata(None) for part in parts]) if parts else None
        clips = schema.empty_table() if clips is None else clips
        values = clips[colour].take(compute.index_in(layout.clip_ids, clips["clip_id"].combine_chunks()))
    if pa.types.is_floating(values.type):
        return {"colour": colour, "values": [None if v is None else round(v, 4) for v in values.to_pylist()]}
    counts = values.drop_null().value_counts().to_pylist()
    commonest = sorted(counts, key=lambda entry: (-entry["counts"], entry["values"]))
    shown = [entry["values"] for entry in commonest[:CATEGORIES]]
    places = {value: i for i, value in enumerate(shown)}
    return {
        "colour": colour,
        "categories": [{"value": entry["values"], "count": entry["counts"]} for entry in commonest[:CATEGORIES]],
        "others": len(commonest) - len(shown),
        # -1 is another value, -2 an unknown one
        "values": [-2 if value is None else places.get(value, -1) for value in values.to_pylist()],
    }
