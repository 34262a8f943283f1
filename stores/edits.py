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

Clip ids follow from the content, so edits also hold for videos that are ingested again. `stores.corrections` applies
them on reading.
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
from stores.sql import in_lists, quoted

EDITABLE = ("identity", *LABELS)


def reject(db: DBConnection, snapshot: Snapshot, clip_ids: Sequence[str], who: str, why: str) -> list[str]:
    """Rejects clips and returns the edits' ids; as `Store.reject` does."""
    _identities(snapshot, clip_ids)
    return _write(db, [{"action": "reject", "subject": clip} for clip in clip_ids], who, why)


def label(
    db: DBConnection,
    snapshot: Snapshot,
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


def merge(db: DBConnection, snapshot: Snapshot, gone: str, kept: str, who: str, why: str) -> str:
    """Makes one person of two and returns the edit's id; as `Store.merge_people` does."""
    gone, kept = (_stored_identity(snapshot, person) for person in (gone, kept))
    if gone == kept:
        raise StoreError(f"edit: '{gone}' is already one person; expected two")
    return _write(db, [{"action": "merge", "subject": gone, "value": kept}], who, why)[0]


def merge_clips(
    db: DBConnection, snapshot: Snapshot, clip_ids: Sequence[str], kept: str, who: str, why: str
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


def undo(db: DBConnection, snapshot: Snapshot, edit_id: str, who: str, why: str) -> str:
    """Takes an edit back and returns the undo's id; as `Store.undo` does."""
    known = listed(snapshot)
    if edit_id not in {row["edit_id"] for row in known}:
        raise StoreError(f"edit: no edit '{edit_id}'; see vclip edit list")
    if not next(row["in_force"] for row in known if row["edit_id"] == edit_id):
        raise StoreError(f"edit: '{edit_id}' is undone already; undo that undo to restore it")
    return _write(db, [{"action": "undo", "subject": edit_id}], who, why)[0]


def undo_together(db: DBConnection, snapshot: Snapshot, edit_id: str, who: str, why: str) -> list[str]:
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


def listed(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Returns all edits, the oldest first, each with `in_force`."""
    every = snapshot.query("edits").to_pylist()
    every.sort(key=lambda row: row["edit_id"])
    standing = {row["edit_id"] for row in in_force(every)}
    return [{**row, "in_force": row["edit_id"] in standing} for row in every]


def _stored_identity(snapshot: Snapshot, person: str) -> str:
    """The identity as clips have it, whichever Unicode form of it was typed."""
    for name in rows.spellings(person):
        if snapshot.count("clips", f"identity = {quoted(name)}"):
            return name
    raise StoreError(f"edit: no clip has the identity '{person}'; see vclip query --select identity")


def _identities(snapshot: Snapshot, clip_ids: Sequence[str]) -> dict[str, str | None]:
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
