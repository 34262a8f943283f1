"""The effect of corrections by hand on what is read.

The ingested rows stay as they are; a snapshot applies the edits (`stores.edits`) on reading. Lance's filters have no
CASE, so they cannot compute a corrected value. Instead the clips that edits touch are excluded from what Lance reads,
corrected, and queried as a small table of their own, in memory, with the same SQL.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import lancedb
import pyarrow as pa
from lancedb.table import Table

from stores.sql import in_lists

ROW_ID = "_rowid"  # LanceDB's own number of a row, valid for one version of its table


@dataclass(frozen=True)
class Corrections:
    """The effect of edits, and the clips that they touch."""

    rejected: Sequence[str] = ()  # clip_ids
    relabelled: Sequence[str] = ()  # clip_ids with a label of their own
    merged: Mapping[str, str] = field(default_factory=dict)  # identity as ingested -> identity
    rows: pa.Table | None = None  # clips as corrected, without the rejected, and their ROW_ID; None if there are none

    @cached_property
    def table(self) -> Table:
        """The corrected clips as a table to query; only where `rows` is not None."""
        assert self.rows is not None
        return lancedb.connect("memory://").create_table("clips", self.rows.drop_columns([ROW_ID]))

    @cached_property
    def hides(self) -> str:
        """SQL of the rejected clips, faces and voices; "" if there are none."""
        return _named("clip_id", self.rejected)

    @cached_property
    def touches(self) -> str:
        """SQL of the clips whose stored rows are not read; "" if there are none."""
        merged = _named("identity", self.merged)
        parts = [
            self.hides,
            _named("clip_id", self.relabelled),
            f"(identity IS NOT NULL AND {merged})" if merged else "",
        ]
        return " OR ".join(filter(None, parts))

    def applied(self, rows: pa.Table) -> pa.Table:
        """Returns clips, which must have the column clip_id, with the corrected values in their columns."""
        if self.rows is None or "clip_id" not in rows.column_names:
            return rows
        place = {clip: i for i, clip in enumerate(self.rows["clip_id"].to_pylist())}
        wanted = [place.get(clip, -1) for clip in rows["clip_id"].to_pylist()]
        both = pa.concat_tables([rows, self.rows.select(rows.column_names).cast(rows.schema)])
        return both.take([i if at < 0 else len(rows) + at for i, at in enumerate(wanted)])


NONE = Corrections()


def in_force(edits: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Returns the edits that no undo in force takes back, in order.

    What an undo takes back follows from the edit that it names, not from its place: in stores of version 0.1, the
    undo of a machine whose clock was slow sorts before its edit.

    Args:
        edits: all of them, the oldest first.
    """
    undos: dict[str, list[str]] = {}  # edit_id -> the undos that name it
    for row in edits:
        if row["action"] == "undo":
            undos.setdefault(row["subject"], []).append(row["edit_id"])
    # An edit is decided after the undos that name it.
    stands: dict[str, bool] = {}
    begun: set[str] = set()
    pending = [row["edit_id"] for row in edits]
    while pending:
        edit = pending[-1]
        left = [] if edit in begun else [undo for undo in undos.get(edit, ()) if undo not in stands]
        begun.add(edit)
        if left:
            pending += left
        else:
            stands.setdefault(edit, not any(stands.get(undo, False) for undo in undos.get(edit, ())))
            pending.pop()
    return [row for row in edits if stands[row["edit_id"]]]


def effect_of(edits: Sequence[Mapping[str, Any]], read: Callable[[str], pa.Table]) -> Corrections:
    """Returns the effect of edits.

    Args:
        edits: those in force, the oldest first.
        read: takes an SQL filter and returns whole clips as stored, with their ROW_ID.
    """
    rejected: dict[str, None] = {}
    labels: dict[str, dict[str, str | None]] = {}
    merged: dict[str, str] = {}
    for edit in edits:
        subject, value = edit["subject"], edit["value"]
        if edit["action"] == "reject":
            rejected[subject] = None
        elif edit["action"] == "label":
            labels.setdefault(subject, {})[edit["name"]] = value
        elif edit["action"] == "merge":  # of the clips that have this identity after the edits before
            for corrected in labels.values():
                if corrected.get("identity") == subject:
                    corrected["identity"] = value
            merged = {old: value if now == subject else now for old, now in merged.items()}
            merged.setdefault(subject, value)
    found = Corrections(list(rejected), list(labels), merged)
    if not found.touches:
        return NONE
    rows = _corrected(read(found.touches), set(rejected), labels, merged)
    return Corrections(list(rejected), list(labels), merged, rows if len(rows) else None)


def _corrected(
    stored: pa.Table, rejected: set[str], labels: Mapping[str, Mapping[str, str | None]], merged: Mapping[str, str]
) -> pa.Table:
    rows = [row for row in stored.to_pylist() if row["clip_id"] not in rejected]
    for row in rows:
        row["identity"] = merged.get(row["identity"], row["identity"])
        row.update(labels.get(row["clip_id"], {}))
    return pa.Table.from_pylist(rows, schema=stored.schema)


def _named(column: str, values: Iterable[str]) -> str:
    return " OR ".join(f"{column} IN ({part})" for part in in_lists(values))
