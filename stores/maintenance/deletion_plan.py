"""What a deletion will remove: the rows of people, videos or clips in all tables, whether readers see them or not."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
from lancedb.db import DBConnection

from stores import rows
from stores.errors import StoreError
from stores.maintenance.byte_scan import Fingerprint
from stores.schema import EMBEDDED, KEYS, TABLES, VIDEO_TABLES
from stores.snapshot import Snapshot
from stores.sql import in_lists
from stores.store import Store

MARK = "vclip-deletion-plan"  # a key of every plan in a row of `runs`, by which leftovers of one are found
OTHERS = tuple(
    name for name in TABLES if name not in ("videos", "runs", *VIDEO_TABLES)
)  # their rows may name a person or clip
_ID = re.compile(r"[0-9A-Za-z_-]{6,}")
_JOINED = " + "  # between the files of one input


@dataclass(frozen=True)
class DeletionPlan:
    """What to delete, and what to search for afterwards."""

    ids: dict[str, list[str]]  # table -> ids; `videos` are those that are deleted as a whole
    shared: list[str]  # videos that keep clips of others
    names: list[str]  # URIs of the deleted videos, and of the files that one input was read from
    identities: tuple[str, ...] = ()
    generations: list[dict] = field(default_factory=list)  # rows of utterances generated for their faces
    files: list[str] = field(default_factory=list)  # further files that show or speak for them; listed, not deleted
    fingerprints: dict[str, list[Fingerprint]] = field(default_factory=dict)  # media column or `vectors` -> of rows
    tags: list[str] = field(default_factory=list)  # of versions that hold the rows
    indices: dict[str, list[str]] = field(default_factory=dict)  # table -> indices that hold their vectors

    @property
    def rows(self) -> dict[str, int]:
        """table -> number of rows."""
        return {table: len(found) for table, found in self.ids.items()}

    def __bool__(self) -> bool:
        return any(self.ids.values())

    def united(self, other: "DeletionPlan") -> "DeletionPlan":
        """Returns a plan of both."""
        whole = union(self.ids.get("videos", ()), other.ids.get("videos", ()))
        by_id = {row["generation_id"]: row for row in (*self.generations, *other.generations)}
        return DeletionPlan(
            ids=united(self.ids, other.ids),
            shared=[video for video in union(self.shared, other.shared) if video not in whole],
            names=union(self.names, other.names),
            identities=tuple(union(self.identities, other.identities)),
            generations=list(by_id.values()),
            files=union(self.files, other.files),
            fingerprints=united(self.fingerprints, other.fingerprints),
            tags=union(self.tags, other.tags),
            indices=united(self.indices, other.indices),
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the plan as it is written into `runs`."""
        prints = {kind: [one.to_json() for one in found] for kind, found in self.fingerprints.items()}
        return {**vars(self), "fingerprints": prints, MARK: 1}

    @classmethod
    def of_json(cls, written: Mapping[str, Any]) -> "DeletionPlan":
        """Returns the plan that `to_json` wrote."""
        prints = {
            kind: [Fingerprint.of_json(one) for one in found] for kind, found in written["fingerprints"].items()
        }
        given = {name: value for name, value in written.items() if name != MARK}
        return cls(**given | {"fingerprints": prints, "identities": tuple(written["identities"])})


def plan_deletion(
    store: Store,
    people: Sequence[str] = (),
    videos: Sequence[str] = (),
    clips: Sequence[str] = (),
    where: str | None = None,
) -> DeletionPlan:
    """Returns the rows that belong to people, videos or clips; a video is deleted with its last clip.

    Args:
        store: the store.
        people: identities.
        videos, clips: ids.
        where: an SQL filter over clips.

    Raises:
        StoreError: nothing was named, `where` is not SQL, or a person's identity was corrected to another.
    """
    db, snapshot = store.db, store.snapshot()
    identities = _identities(snapshot, people)
    filters = [f"identity IN ({part})" for part in in_lists(identities)]
    filters += [f"clip_id IN ({part})" for part in in_lists(clips)]
    filters += [snapshot.parsed("clips", where)] if where else []
    if not (filters or videos):
        raise StoreError("delete: found no person, video, clip or filter; name what to delete")
    own = {clip: video for filter in filters for clip, video in _selected(db, snapshot, filter).items()}
    touched = list(dict.fromkeys(own.values()))
    everyone = _pairs(stored_where(db, "clips", ["clip_id", "video_id"], "video_id", touched))
    shared = sorted({video for clip, video in everyone.items() if clip not in own} - set(videos))
    whole = (set(touched) | _stored_videos(db, videos)) - set(shared)
    everyone |= _pairs(stored_where(db, "clips", ["clip_id", "video_id"], "video_id", sorted(whole)))
    own |= {clip: video for clip, video in everyone.items() if video in whole}
    found = {"videos": sorted(whole), "clips": sorted(own)}
    for table in EMBEDDED:
        columns = [KEYS[table], "clip_id", "video_id"]
        theirs = stored_where(db, table, columns, "video_id", [*sorted(whole), *shared]).to_pylist()
        # In a shared video, also the faces and voices whose clip is gone: nobody knows whose they are.
        found[table] = sorted(
            {
                row[KEYS[table]]
                for row in theirs
                if row["video_id"] in whole or row["clip_id"] in own or row["clip_id"] not in everyone
            }
        )
    return with_named(db, DeletionPlan(found, shared, _names_of(db, sorted(whole)), identities))


def _identities(snapshot: Snapshot, people: Sequence[str]) -> tuple[str, ...]:
    """Returns the identities of people in all spellings, and those that were corrected to be one of them."""
    people = [name for person in people for name in rows.spellings(person)]
    merged = snapshot.corrections.merged
    if moved := sorted(name for name in people if merged.get(name, name) not in people):
        raise StoreError(
            f"delete: '{moved[0]}' was corrected to be '{merged[moved[0]]}'; delete that person, or undo the edit "
            "first"
        )
    return (*people, *(name for name, now in merged.items() if now in people))


def _selected(db: DBConnection, snapshot: Snapshot, filter: str) -> dict[str, str]:
    """Returns clip -> video of the clips that match as readers see them, or as stored where no reader sees them.

    A clip that readers see with another identity is another's.
    """
    seen = _pairs(snapshot.query("clips", ["clip_id", "video_id"], filter))
    there = _pairs(stored(db, "clips", ["clip_id", "video_id"], filter))
    others: set[str] = set()
    for part in in_lists(there.keys() - seen.keys()):
        others |= set(snapshot.query("clips", ["clip_id"], f"clip_id IN ({part})")["clip_id"].to_pylist())
    return {clip: video for clip, video in there.items() if clip not in others} | seen


def _stored_videos(db: DBConnection, videos: Sequence[str]) -> set[str]:
    """Returns the videos among these of which any table has a row."""
    known: set[str] = set()
    for table in ("videos", *VIDEO_TABLES):  # in the first that knows it: the others are larger
        missing = sorted(set(videos) - known)
        known |= set(stored_where(db, table, ["video_id"], "video_id", missing)["video_id"].to_pylist())
    return known


def _names_of(db: DBConnection, videos: Sequence[str]) -> list[str]:
    """Returns the URIs of videos, and of the files that one input was read from."""
    uris = stored_where(db, "videos", ["uris"], "video_id", videos)["uris"].to_pylist()
    names = {entry["uri"] for entries in uris for entry in entries or ()}
    names |= set(stored_where(db, "clips", ["video_uri"], "video_id", videos)["video_uri"].to_pylist())
    return sorted(names | {file for name in names for file in files_of(name)})


def files_of(uri: str) -> list[str]:
    """Returns the files that an input of this name was read from: several of a pair, else the one."""
    parts = uri.split(_JOINED)
    return parts if all(part.startswith("/") or "://" in part or part[1:3] == ":\\" for part in parts) else [uri]


def with_named(
    db: DBConnection, plan: DeletionPlan, further: Mapping[str, Iterable[str]] | None = None
) -> DeletionPlan:
    """Returns the plan with the rows of other tables that name what it deletes.

    Args:
        db: the connection.
        plan: the plan.
        further: table -> ids of further rows to delete, in tables that `videos` does not own.
    """
    found = {table: list(plan.ids.get(table, ())) for table in TABLES if table != "runs"}
    for table, more in (further or {}).items():
        found[table] = union(found[table], more)
    words = {name for listed in found.values() for name in listed}
    for table in OTHERS:
        # Rows that name these, then rows that name those, and so on.
        while more := _naming(db, table, words, set(plan.identities), set(plan.names)) - set(found[table]):
            found[table] = sorted({*found[table], *more})
            words |= more
    made = stored_where(
        db, "generations", ["generation_id", "face", "audio_uri"], "generation_id", found["generations"]
    )
    known = {row["generation_id"]: row for row in (*plan.generations, *made.to_pylist())}
    return replace(plan, ids=found, generations=list(known.values()))


def _naming(db: DBConnection, table: str, ids: set[str], people: set[str], files: set[str]) -> set[str]:
    """The keys of the rows that name one of these ids anywhere, or whose text, or JSON text, is a person or file."""
    columns = [column.name for column in db.open_table(table).schema if pa.types.is_string(column.type)]
    exact = people | files
    quoted_names, found = [json.dumps(name, ensure_ascii=False) for name in exact], set()
    for batch in db.open_table(table).to_lance().to_batches(columns=columns):
        for row in batch.to_pylist():
            texts = [text for name, text in row.items() if text and name not in (KEYS[table], "text")]
            named = any(text in exact or any(name in text for name in quoted_names) for text in texts)
            named = named or not files.isdisjoint((row.get("face") or "").split(", "))
            if named or any(not ids.isdisjoint(_ID.findall(text)) for text in texts):
                found.add(row[KEYS[table]])
    return found


def union(one: Iterable[str], other: Iterable[str]) -> list[str]:
    """Returns the names of both, sorted."""
    return sorted({*one, *other})


def united(one: Mapping[str, Sequence[Any]], other: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """Returns the lists of both by name, each without duplicates."""
    return {name: sorted({*one.get(name, ()), *other.get(name, ())}, key=str) for name in {**one, **other}}


def stored(db: DBConnection, table: str, columns: Sequence[str], where: str | None = None) -> pa.Table:
    """Returns rows of a table as stored, committed or not."""
    return db.open_table(table).to_lance().to_table(columns=list(columns), filter=where)


def stored_where(db: DBConnection, table: str, columns: Sequence[str], column: str, names: Sequence[str]) -> pa.Table:
    """Returns the stored rows with one of these names in a column."""
    found = [stored(db, table, columns, f"{column} IN ({part})") for part in in_lists(names)]
    return pa.concat_tables(found) if found else stored(db, table, columns, "false")


def _pairs(clips: pa.Table) -> dict[str, str]:
    return dict(zip(clips["clip_id"].to_pylist(), clips["video_id"].to_pylist(), strict=True))
