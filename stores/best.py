"""The face and the speech that stand for a clip: the face of the highest quality, and the longest speech."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from stores.arrow import compute
from stores.schema import KEYS
from stores.sql import in_lists

if TYPE_CHECKING:
    from stores.snapshot import Snapshot

MEASURES = {"faces": ("quality",), "voices": ("start_s", "end_s")}  # columns that say which row is the best


def best_of_each(rows: pa.Table, table: str) -> pa.Table:
    """Returns the best row of each clip; of equally good ones, that with the least id.

    Args:
        rows: with clip_id, the key and the MEASURES of the table, among others.
        table: faces or voices.
    """
    worth = rows["quality"] if table == "faces" else compute.subtract(rows["end_s"], rows["start_s"])
    ordered = compute.sort_indices(
        pa.table({"worth": worth, "id": rows[KEYS[table]]}), [("worth", "descending"), ("id", "ascending")]
    )
    clips = pa.table({"clip_id": rows["clip_id"].take(ordered), "place": np.arange(len(rows))})
    places = clips.group_by("clip_id").aggregate([("place", "min")])["place_min"]
    return rows.take(ordered.take(places.combine_chunks()))


def best_rows(
    snapshot: "Snapshot", table: str, clip_ids: Sequence[str], columns: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """Returns clip_id -> the best row of each of the clips that has one.

    Args:
        snapshot: the state to read.
        table: faces or voices.
        clip_ids: the clips.
        columns: read in addition to the key and the MEASURES.
    """
    read = list(dict.fromkeys(["clip_id", KEYS[table], *MEASURES[table], *columns]))
    parts = [snapshot.query(table, read, f"clip_id IN ({names})") for names in in_lists(clip_ids)]
    best = best_of_each(pa.concat_tables(parts), table).to_pylist() if parts else []
    return {row["clip_id"]: row for row in best}
