"""Corrections by hand: an append-only table. The rows that no undo takes back are in force.

    reject   subject = clip_id                          the clip, its faces and voices are no longer read
    label    subject = clip_id, name = column, value    of one clip; a null value means that it is not known
    merge    subject, value = identities                clips of `subject` become clips of `value`
    undo     subject = edit_id                          of any edit, an undo included

Which of two edits came later is decided by the store, not by a clock: a new edit's id starts with a number that is
one more than the largest in the newest version of the table. So whatever an edit could have seen sorts before it, on
whichever machine it was made. Two edits that were written at once, neither of which could see the other, may share a
number; then the ids' random ends order them, the same for every reader. Ids of version 0.1 start with the time
("2026..."), sort before all others ("edit-...") and keep their order.

The ingested rows stay as they are; a snapshot applies the edits on reading. Clip ids follow from the content, so
edits also hold for videos that are ingested again.

Lance's filters have no CASE, so they cannot compute a corrected value. Instead the clips that edits touch are
excluded from what Lance reads, corrected, and queried as a small table of their own, in memory, with the same SQL.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import lancedb
import pyarrow as pa
from lancedb.db import DBConnection
from lancedb.table import Table

from stores import commit, ids, rows
from stores.errors import StoreError, nearest
from stores.schema import LABELS
from stores.sql import in_lists, quoted

if TYPE_CHECKING:
    from stores.snapshot import Snapshot

EDITABLE = ("identity", *LABELS)
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


def corrections(edits: Sequence[Mapping[str, Any]], read: Callable[[str], pa.Table]) -> Corrections:
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


def reject(db: DBConnection, snapshot: "Snapshot", clip_ids: Sequence[str], who: str, why: str) -> list[str]:
    """Rejects clips and returns the edits' ids; as `Store.reject` does."""
    _identities(snapshot, clip_ids)
    return _write(db, [{"action": "reject", "subject": clip} for clip in clip_ids], who, why)


def label(
    db: DBConnection,
    snapshot: "Snapshot",
    clip_ids: Sequence[str],
    name: str,
    value: str | None,
    who: str,
    why: str,
) -> list[str]:
    """Corrects a column of clips and returns the edits' ids; as `Store.label` does."""
    if name not in EDITABLE:
        raise StoreError(f"edit: '{name}' is not a label; {nearest(name, EDITABLE)}")
    _identities(snapshot, clip_ids)
    value = rows.nfc((value or "").strip()) or None
    made = [{"action": "label", "subject": clip, "name": name, "value": value} for clip in clip_ids]
    return _write(db, made, who, why)


def merge(db: DBConnection, snapshot: "Snapshot", gone: str, kept: str, who: str, why: str) -> str:
    """Makes one person of two and returns the edit's id; as `Store.merge_people` does."""
    gone, kept = (_stored_identity(snapshot, person) for person in (gone, kept))
    if gone == kept:
        raise StoreError(f"edit: '{gone}' is one person already; expected two")
    return _write(db, [{"action": "merge", "subject": gone, "value": kept}], who, why)[0]


def merge_clips(
    db: DBConnection, snapshot: "Snapshot", clip_ids: Sequence[str], kept: str, who: str, why: str
) -> list[str]:
    """Makes one person of the people of clips and returns the edits' ids; as `Store.merge_clips` does."""
    identities = _identities(snapshot, clip_ids)
    kept = _stored_identity(snapshot, kept)
    gone = sorted({name for name in identities.values() if name} - {kept})
    unnamed = [clip for clip, name in identities.items() if not name]
    made = [{"action": "merge", "subject": name, "value": kept} for name in gone]
    made += [{"action": "label", "subject": clip, "name": "identity", "value": kept} for clip in unnamed]
    if not made:
        raise StoreError(f"edit: all of these clips are of '{kept}' already; expected clips of others")
    return _write(db, made, who, why)


def undo(db: DBConnection, snapshot: "Snapshot", edit_id: str, who: str, why: str) -> str:
    """Takes an edit back and returns the undo's id; as `Store.undo` does."""
    known = listed(snapshot)
    if edit_id not in {row["edit_id"] for row in known}:
        raise StoreError(f"edit: no edit '{edit_id}'; see vclip edit list")
    if not next(row["in_force"] for row in known if row["edit_id"] == edit_id):
        raise StoreError(f"edit: '{edit_id}' is undone already; undo that undo to have it back")
    return _write(db, [{"action": "undo", "subject": edit_id}], who, why)[0]


def undo_together(db: DBConnection, snapshot: "Snapshot", edit_id: str, who: str, why: str) -> list[str]:
    """Takes back an edit and all that were made with it, and returns the undos' ids; as `Store.undo_together`."""
    known = listed(snapshot)
    batch = [rows for rows in together(known) if edit_id in {row["edit_id"] for row in rows}]
    if not batch:
        raise StoreError(f"edit: no edit '{edit_id}'; see vclip edit list")
    standing = [row["edit_id"] for row in batch[0] if row["in_force"]]
    if not standing:
        raise StoreError(f"edit: '{edit_id}' and all that were made with it are undone already")
    return _write(db, [{"action": "undo", "subject": edit} for edit in standing], who, why)


def together(known: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Returns edits, in their order, in groups of those that one call made: of one moment, person and reason."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in known:
        groups.setdefault(tuple(row[name] for name in ("created_at", "who", "why")), []).append(row)
    return list(groups.values())


def listed(snapshot: "Snapshot") -> list[dict[str, Any]]:
    """Returns all edits, the oldest first, each with `in_force`."""
    every = snapshot.query("edits").to_pylist()
    every.sort(key=lambda row: row["edit_id"])
    standing = {row["edit_id"] for row in in_force(every)}
    return [{**row, "in_force": row["edit_id"] in standing} for row in every]


def _stored_identity(snapshot: "Snapshot", person: str) -> str:
    """The identity as clips have it, whichever Unicode form of it was typed."""
    for name in rows.spellings(person):
        if snapshot.count("clips", f"identity = {quoted(name)}"):
            return name
    raise StoreError(f"edit: no clip has the identity '{person}'; see vclip query --select identity")


def _identities(snapshot: "Snapshot", clip_ids: Sequence[str]) -> dict[str, str | None]:
    """Returns clip_id -> identity; raises StoreError where a clip is not there."""
    if not clip_ids:
        raise StoreError("edit: found no clip, expected at least one clip_id")
    columns = ["clip_id", "identity"]
    parts = (snapshot.query("clips", columns, f"clip_id IN ({names})") for names in in_lists(clip_ids))
    found = {row["clip_id"]: row["identity"] for part in parts for row in part.to_pylist()}
    if missing := [clip for clip in clip_ids if clip not in found]:
        raise StoreError(f"edit: no clip '{missing[0]}', or it is rejected; see vclip query --select clip_id")
    return found


def hide(db: DBConnection, clip_ids: Sequence[str]) -> None:
    """Rejects the clips that a deletion is about to remove, all at once; `forget` removes these edits."""
    if new := _new(db, [{"action": "reject", "subject": clip} for clip in clip_ids], "vclip delete", "on request"):
        db.open_table("edits").add(rows.typed("edits", new))


def forget(db: DBConnection, clip_ids: Sequence[str]) -> None:
    """Deletes the edits that reject these clips."""
    for part in in_lists(clip_ids):
        where = f"action = 'reject' AND subject IN ({part})"
        if db.open_table("edits").count_rows(where):
            db.open_table("edits").delete(where)


def _write(db: DBConnection, made: Sequence[Mapping[str, Any]], who: str, why: str) -> list[str]:
    for name, text in (("who", who), ("why", why)):
        if not text.strip():
            raise StoreError(f"edit: no {name}; every edit says who made it and why")
    new = _new(db, made, who, why)
    commit.upsert(db, "edits", rows.typed("edits", new))
    return [row["edit_id"] for row in new]


def _new(db: DBConnection, made: Sequence[Mapping[str, Any]], who: str, why: str) -> list[dict[str, Any]]:
    shared = {"name": "", "value": None, "who": who.strip(), "why": why.strip(), "created_at": datetime.now(UTC)}
    first = 1 + max((ids.edit_number(name) for name in _edit_ids(db)), default=0)
    return [{"edit_id": ids.edit_id(first + place), **shared, **edit} for place, edit in enumerate(made)]


def _edit_ids(db: DBConnection) -> list[str]:
    return db.open_table("edits").search().select(["edit_id"]).to_arrow()["edit_id"].to_pylist()
