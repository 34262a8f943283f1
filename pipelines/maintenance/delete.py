"""`vclip delete`: what a deletion would remove, or did, and which files were generated from it."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from pipelines.files.output_store import Output
from pipelines.files.remote import RemoteConfig
from pipelines.progress import say, step
from stores import Store
from stores.maintenance.delete import DeletionPlan, is_deletion_unfinished, plan_deletion
from stores.maintenance.delete import delete as delete_rows
from stores.sql import in_lists

_ID = re.compile(r"[0-9a-f]{24,}")


def delete(
    store_uri: str,
    people: Sequence[str],
    videos: Sequence[str],
    clips: Sequence[str],
    where: str | None,
    generated: Sequence[str] = (),
    prove: bool = True,
    carry_out: bool = False,
) -> dict[str, Any]:
    """Returns what is to be deleted, and, once that is carried out, the proof that it is gone.

    Args:
        store_uri: the store.
        people, videos, clips, where: as `stores.maintenance.delete.plan_deletion` takes them.
        generated: folders or prefixes with generated speech, whose provenance is asked.
        prove: look into every file of the store, before and after.
        carry_out: delete; otherwise nothing is written.

    Returns:
        store, deleted (whether), rows: table -> count, videos and shared_videos (ids), files: generated from them,
        unfinished: whether an earlier deletion was killed before the bytes had gone, which this one makes good;
        and if it was carried out: tags and indices that went, found_before and found_after: kind -> {file: count}.

    Raises:
        StoreError: nothing was asked for, no SQL, or a job is writing.
        InputError: a folder of generated speech cannot be listed.
    """
    store = Store.open(store_uri)
    plan = plan_deletion(store, people, videos, clips, where)
    files = sorted({*_recorded(plan), *_of_provenance(store, plan, generated)})
    result: dict[str, Any] = {"store": store_uri, "deleted": False, "rows": plan.rows}
    result |= {"videos": plan.ids["videos"], "shared_videos": plan.shared, "files": files}
    result["unfinished"] = is_deletion_unfinished(store)
    if not carry_out or not (plan or result["unfinished"]):
        return result
    with step("delete", sum(plan.rows.values()), "rows") as progress:
        done = delete_rows(store, plan, prove)
        progress.set(sum(done.rows.values()))
    result |= {"deleted": True, "tags": done.tags, "indices": done.indices}
    return result | {"found_before": done.before, "found_after": done.after}


def _recorded(plan: DeletionPlan) -> Iterator[str]:
    """Yields the files of generations that the store has on record."""
    for row in plan.generations:
        yield row["audio_uri"]
        yield str(row["audio_uri"]).removesuffix(".wav") + ".json"


def _of_provenance(store: Store, plan: DeletionPlan, folders: Sequence[str]) -> Iterator[str]:
    """Yields the files whose sidecar names one of their faces, or the very picture."""
    if not folders:
        return
    faces, pictures = set(plan.ids["faces"]), set()
    for part in in_lists(faces):
        images = store.query("faces", ["image"], f"face_id IN ({part})")["image"].to_pylist()
        pictures |= {hashlib.sha256(image).hexdigest() for image in images if image}
    for folder in folders:
        output = Output(folder, RemoteConfig())
        names = list(output.names())
        say(f"{folder}: {sum(name.endswith('.json') for name in names)} sidecars to read")
        for name in (name for name in names if name.endswith(".json")):
            try:
                said = json.loads(output.read(name))
            except (OSError, ValueError):
                continue
            photos = _photos(said)
            if any(p["face_sha256"] in pictures or not faces.isdisjoint(_ID.findall(p["face"])) for p in photos):
                wav = name.removesuffix(".json") + ".wav"
                yield from (output.address(found) for found in (name, wav) if found in names)


def _photos(said: Any) -> list[dict[str, str]]:
    """Returns the photos that a sidecar names: one, or several of a person; none of a prompt or of another file."""
    named = said.get("photos", [said]) if isinstance(said, dict) else []
    found = [photo for photo in named if isinstance(photo, dict)] if isinstance(named, list) else []
    return [{"face": str(p.get("face", "")), "face_sha256": p["face_sha256"]} for p in found if "face_sha256" in p]
