"""Corrections by hand: an append-only table. The rows that no undo takes back are in force.

    reject   subject = clip_id                          the clip, its faces and voices are no longer read
    label    subject = clip_id, name = column, value    of one clip; a null value means that it is not known
    merge    subject, value = identities                clips of `subject` become clips of `value`
    undo     subject = edit_id                          of any edit, an undo included

The ingested rows stay as they are; `stores.corrections` applies the edits on reading. Clip ids follow from the
content, so edits also hold for videos that are ingested again.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from lancedb.db import DBConnection

from stores import commit, ids, rows
from stores.corrections import in_force
from stores.errors import StoreError, nearest
from stores.schema import LABELS
from stores.snapshot import Snapshot
from stores.sql import quoted

EDITABLE = ("identity", *LABELS)


def reject(db: DBConnection, clip_ids: Sequence[str], who: str, why: str) -> list[str]:
    """Rejects clips and returns the edits' ids; as `Store.reject` does."""
    _check_clips(Snapshot(db), clip_ids)
    return _write(db, [{"action": "reject", "subject": clip} for clip in clip_ids], who, why)


def label(db: DBConnection, clip_ids: Sequence[str], name: str, value: str | None, who: str, why: str) -> list[str]:
    """Corrects a column of clips and returns the edits' ids; as `Store.label` does."""
    if name not in EDITABLE:
        raise StoreError(f"edit: '{name}' is not a label; {nearest(name, EDITABLE)}")
    _check_clips(Snapshot(db), clip_ids)
    value = (value or "").strip() or None
    made = [{"action": "label", "subject": clip, "name": name, "value": value} for clip in clip_ids]
    return _write(db, made, who, why)


def merge(db: DBConnection, gone: str, kept: str, who: str, why: str) -> str:
    """Makes one person of two and returns the edit's id; as `Store.merge_people` does."""
    if gone == kept:
        raise StoreError(f"edit: '{gone}' is one person already; expected two")
    snapshot = Snapshot(db)
    for person in (gone, kept):
        if not snapshot.count("clips", f"identity = {quoted(person)}"):
            raise StoreError(f"edit: no clip has the identity '{person}'; see vclip query --select identity")
    return _write(db, [{"action": "merge", "subject": gone, "value": kept}], who, why)[0]


def undo(db: DBConnection, edit_id: str, who: str, why: str) -> str:
    """Takes an edit back and returns the undo's id; as `Store.undo` does."""
    known = listed(Snapshot(db))
    if edit_id not in {row["edit_id"] for row in known}:
        raise StoreError(f"edit: no edit '{edit_id}'; see vclip edit list")
    if not next(row["in_force"] for row in known if row["edit_id"] == edit_id):
        raise StoreError(f"edit: '{edit_id}' is undone already; undo that undo to have it back")
    return _write(db, [{"action": "undo", "subject": edit_id}], who, why)[0]


def listed(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Returns all edits, the oldest first, each with `in_force`."""
    every = snapshot.query("edits").to_pylist()
    every.sort(key=lambda row: row["edit_id"])
    standing = {row["edit_id"] for row in in_force(every)}
    return [{**row, "in_force": row["edit_id"] in standing} for row in every]


def _check_clips(snapshot: Snapshot, clip_ids: Sequence[str]) -> None:
    if not clip_ids:
        raise StoreError("edit: found no clip, expected at least one clip_id")
    named = ", ".join(map(quoted, clip_ids))
    found = set(snapshot.query("clips", ["clip_id"], f"clip_id IN ({named})")["clip_id"].to_pylist())
    if missing := [clip for clip in clip_ids if clip not in found]:
        raise StoreError(f"edit: no clip '{missing[0]}', or it is rejected; see vclip query --select clip_id")


def _write(db: DBConnection, edits: Sequence[Mapping[str, Any]], who: str, why: str) -> list[str]:
    for name, text in (("who", who), ("why", why)):
        if not text.strip():
            raise StoreError(f"edit: no {name}; every edit says who made it and why")
    shared = {"name": "", "value": None, "who": who.strip(), "why": why.strip(), "created_at": datetime.now(UTC)}
    made = [{"edit_id": ids.run_id(), **shared, **edit} for edit in edits]
    commit.upsert(db, "edits", rows.typed("edits", made))
    return [row["edit_id"] for row in made]
