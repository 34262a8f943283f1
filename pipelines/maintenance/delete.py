"""`vclip delete`: remove people, videos or clips from a store, and list the files that were generated from them."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from pipelines.files.output_store import Output
from pipelines.files.remote import RemoteConfig
from pipelines.progress import say, step
from stores import Store
from stores.maintenance.delete import DeletionPlan, is_deletion_unfinished, plan_deletion
from stores.maintenance.delete import delete as delete_rows
from stores.sql import in_lists

_ID = re.compile(r"[0-9a-f]{24,}")


@dataclass(frozen=True)
class DeletionResult:
    """What a deletion would remove, or has removed, and the proof that it is gone."""

    store: str
    deleted: bool  # whether the deletion was carried out
    rows: dict[str, int]  # table -> rows
    videos: list[str]  # ids of videos that are deleted as a whole
    shared_videos: list[str]  # ids of videos that keep clips of others
    files: list[str]  # generated from the deleted faces; they are listed, not deleted
    unfinished: bool  # an earlier deletion was killed before all bytes were freed; this one finishes it
    tags: list[str] = field(default_factory=list)  # removed, because their versions held deleted rows
    indices: list[str] = field(default_factory=list)  # dropped, because they held deleted vectors
    found_before: dict[str, dict[str, int]] | None = None  # kind -> file -> matches in its bytes; of a full scan
    found_after: dict[str, dict[str, int]] | None = None  # None without a proof
    searched_bytes: int = 0  # by the proof; the other files of the store cannot hold what was deleted
    skipped_bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        """Returns what `vclip delete --json` prints: the last six fields only once the deletion is carried out."""
        names = [each.name for each in fields(self)]
        return {name: getattr(self, name) for name in (names if self.deleted else names[:-6])}


def delete(
    store_uri: str,
    people: Sequence[str],
    videos: Sequence[str],
    clips: Sequence[str],
    where: str | None,
    generated: Sequence[str] = (),
    prove: bool = True,
    full_scan: bool = False,
    carry_out: bool = False,
) -> DeletionResult:
    """Plans a deletion, and carries it out if asked to.

    Args:
        store_uri: the store.
        people, videos, clips, where: as `stores.maintenance.delete.plan_deletion` takes them.
        generated: folders or prefixes of generated speech, whose provenance is searched.
        prove, full_scan: as `stores.maintenance.delete.delete` takes them.
        carry_out: delete; otherwise nothing is written.

    Raises:
        StoreError: nothing is selected, `where` is not valid SQL, or a job is writing.
        InputError: a folder of generated speech cannot be listed.
    """
    store = Store.open(store_uri)
    plan = plan_deletion(store, people, videos, clips, where)
    files = sorted({*_recorded(plan), *_of_provenance(store, plan, generated)})
    unfinished = is_deletion_unfinished(store)
    planned = DeletionResult(store_uri, False, plan.rows, plan.ids["videos"], plan.shared, files, unfinished)
    if not carry_out or not (plan or unfinished):
        return planned
    with step("delete", sum(plan.rows.values()), "rows") as progress:
        done = delete_rows(store, plan, prove, full_scan)
        progress.set(sum(done.rows.values()))
    return replace(
        planned,
        deleted=True,
        tags=done.tags,
        indices=done.indices,
        found_before=done.before.found if done.before else None,
        found_after=done.after.found if done.after else None,
        searched_bytes=done.after.searched_bytes if done.after else 0,
        skipped_bytes=done.after.skipped_bytes if done.after else 0,
    )


def _recorded(plan: DeletionPlan) -> Iterator[str]:
    """Yields the files of the generations that the store records."""
    for row in plan.generations:
        yield row["audio_uri"]
        yield str(row["audio_uri"]).removesuffix(".wav") + ".json"


def _of_provenance(store: Store, plan: DeletionPlan, folders: Sequence[str]) -> Iterator[str]:
    """Yields the generated files whose sidecar names a deleted face, or the content hash of its image."""
    if not folders:
        return
    faces, hashes = set(plan.ids["faces"]), set()
    for part in in_lists(faces):
        images = store.query("faces", ["image"], f"face_id IN ({part})")["image"].to_pylist()
        hashes |= {hashlib.sha256(image).hexdigest() for image in images if image}
    for folder in folders:
        output = Output(folder, RemoteConfig())
        names = list(output.names())
        say(f"{folder}: {sum(name.endswith('.json') for name in names)} sidecars to read")
        for name in (name for name in names if name.endswith(".json")):
            try:
                sidecar = json.loads(output.read(name))
            except (OSError, ValueError):
                continue
            photos = _photos(sidecar)
            if any(p["face_sha256"] in hashes or not faces.isdisjoint(_ID.findall(p["face"])) for p in photos):
                wav = name.removesuffix(".json") + ".wav"
                yield from (output.address(found) for found in (name, wav) if found in names)


def _photos(sidecar: Any) -> list[dict[str, str]]:
    """Returns the photos that a sidecar names: one, or several of a person; none for a prompt or another file."""
    named = sidecar.get("photos", [sidecar]) if isinstance(sidecar, dict) else []
    found = [photo for photo in named if isinstance(photo, dict)] if isinstance(named, list) else []
    return [{"face": str(p.get("face", "")), "face_sha256": p["face_sha256"]} for p in found if "face_sha256" in p]
