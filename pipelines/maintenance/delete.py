"""`vclip delete`: remove people, videos or clips from a store, rewrite its reports, and list what is elsewhere."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pipelines.cluster.derived import DerivedFile, derived_files
from pipelines.cluster.failures import run_folder
from pipelines.files.addresses import scheme_of
from pipelines.files.output_store import Output
from pipelines.files.remote import RemoteConfig
from pipelines.generation.utterances import PHOTO_HASHES
from pipelines.ingest.importers.media import IMAGES
from pipelines.maintenance.beside import files_beside, rewrite_beside, to_rewrite
from pipelines.progress import say, step
from pipelines.wording import count, size
from stores import Store
from stores.maintenance.delete import delete as delete_rows
from stores.maintenance.delete import is_deletion_unfinished
from stores.maintenance.deletion_plan import DeletionPlan, plan_deletion, with_named
from stores.sql import in_lists
from vclip.errors import InputError
from vclip.marking.provenance import sidecar_of
from vclip.speakers.voice import FILE, Voice

_ID = re.compile(r"[0-9a-f]{24,}")
NOT_SEARCHED = (
    "copies and backups of the store, and blocks that a disk or a bucket with versions keeps",
    "what was made from the store by other programs, or by a vclip that did not record it",
    "the weights of models that were trained on the store",
)


@dataclass(frozen=True)
class DeletionResult:
    """What a deletion would remove, or has removed, and where it was looked for."""

    store: str
    deleted: bool  # whether the deletion was carried out
    rows: dict[str, int]  # table -> rows
    videos: list[str]  # ids of videos that are deleted as a whole
    shared_videos: list[str]  # ids of videos that keep clips of others
    files: list[str]  # generated from the deleted faces; they are listed, not deleted
    voices: list[str]  # names of kept voices that were made for the deleted faces; their rows are deleted
    unfinished: bool  # an earlier deletion was killed before all bytes were freed; this one finishes it
    reports: list[str]  # beside the store, rewritten without names and images
    derived: list[DerivedFile]  # made from the store in other places; they are listed, and were not searched
    # Imported photos that are there no more: speech made from them is found by their names, and by their content
    # where the store and the speech record it.
    photos_gone: list[str]
    tags: list[str] = field(default_factory=list)  # removed, because their versions held deleted rows
    indices: list[str] = field(default_factory=list)  # dropped, because they held deleted vectors
    found_before: dict[str, dict[str, int]] | None = None  # kind -> file -> matches in its bytes; of `--prove`
    found_after: dict[str, dict[str, int]] | None = None  # None without a proof
    searched_bytes: int = 0  # by the proof; the other files of the store cannot hold what was deleted
    skipped_bytes: int = 0
    searched: list[str] = field(default_factory=list)  # the places that were searched, in words
    not_searched: list[str] = field(default_factory=list)  # in words

    def to_json(self) -> dict[str, Any]:
        """Returns what `vclip delete --json` prints: the last eight fields only once the deletion is carried out."""
        names = [each.name for each in fields(self)]
        return {name: getattr(self, name) for name in (names if self.deleted else names[:-8])}


def delete(
    store_uri: str,
    *,
    people: Sequence[str] = (),
    videos: Sequence[str] = (),
    clips: Sequence[str] = (),
    where: str | None = None,
    generated: Sequence[str] = (),
    prove: bool = True,
    full_scan: bool = False,
    carry_out: bool = False,
) -> DeletionResult:
    """Plans a deletion, and carries it out if asked to.

    Args:
        store_uri: the store.
        people, videos, clips, where: as `stores.maintenance.deletion_plan.plan_deletion` takes them; none of them
            only finishes deletions that were killed.
        generated: folders or prefixes of generated speech, whose provenance is searched.
        prove, full_scan: as `stores.maintenance.delete.delete` takes them.
        carry_out: delete; otherwise nothing is written.

    Raises:
        StoreError: nothing is selected, `where` is not valid SQL, or a job is writing.
        InputError: a folder of generated speech, or the place beside the store, cannot be read or written.
    """
    store = Store.open(store_uri)
    unfinished = is_deletion_unfinished(store)
    named = people or videos or clips or where
    plan = (
        DeletionPlan({}, [], []) if unfinished and not named else plan_deletion(store, people, videos, clips, where)
    )
    photos = Photos.of(store, plan)
    if plan:
        made = {"generations": _generations_from(store, photos), "speakers": _voices_from(store, photos)}
        plan = with_named(store.db, plan, made)
    sidecars = _of_provenance(photos, generated)
    plan = replace(plan, files=sorted({*_recorded(plan), *sidecars.files}))
    voices = _names_of_voices(store, plan)
    planned = DeletionResult(
        store=store_uri,
        deleted=False,
        rows=plan.rows,
        videos=plan.ids.get("videos", []),
        shared_videos=plan.shared,
        files=plan.files,
        voices=voices,
        unfinished=unfinished,
        reports=to_rewrite(store_uri, plan),
        derived=derived_files(store_uri) if plan or unfinished else [],
        photos_gone=photos.gone,
    )
    if not carry_out or not (plan or unfinished):
        return planned
    reports: list[str] = []
    with step("delete", sum(plan.rows.values()), "rows") as progress:
        done = delete_rows(
            store, plan, prove, full_scan, lambda whole: reports.extend(rewrite_beside(store_uri, whole))
        )
        progress.set(sum(plan.rows.values()))
    searched = [f"{count(len(files_beside(store_uri)), 'file')} in {run_folder(store_uri)}", *sidecars.searched]
    if done.after:
        whole = done.after.searched_bytes + done.after.skipped_bytes
        searched.insert(0, f"{size(done.after.searched_bytes)} of {size(whole)} of the store's files")
    return replace(
        planned,
        deleted=True,
        rows=done.rows,
        videos=done.plan.ids.get("videos", []),
        shared_videos=done.plan.shared,
        files=done.plan.files,
        reports=reports,
        tags=done.tags,
        indices=done.indices,
        found_before=done.before.found if done.before else None,
        found_after=done.after.found if done.after else None,
        searched_bytes=done.after.searched_bytes if done.after else 0,
        skipped_bytes=done.after.skipped_bytes if done.after else 0,
        searched=searched,
        not_searched=[*NOT_SEARCHED, *(f"{one.path} ({one.job} of {one.written[:10]})" for one in planned.derived)],
    )


@dataclass(frozen=True)
class Photos:
    """The images by which speech that was made for a person is recognised."""

    faces: set[str]  # face_ids
    hashes: set[str]  # SHA-256 of crops, SHA-256 and content hash of the photos that were imported
    names: set[str]  # of the photos and videos that were read
    gone: list[str]  # photos that are there no more, so that their SHA-256 is not known

    @classmethod
    def of(cls, store: Store, plan: DeletionPlan) -> "Photos":
        """Returns the images of what a plan deletes."""
        faces, hashes, gone = set(plan.ids.get("faces", ())), set(), []
        for part in in_lists(faces):
            images = (
                store.db.open_table("faces").to_lance().to_table(columns=["image"], filter=f"face_id IN ({part})")
            )
            hashes |= {hashlib.sha256(image).hexdigest() for image in images["image"].to_pylist() if image}
        for name in (name for name in plan.names if name.lower().endswith(IMAGES) and not scheme_of(name)):
            try:
                hashes.add(hashlib.sha256(Path(name).read_bytes()).hexdigest())
            except OSError:
                gone.append(name)
        # The id of a pair holds the content hashes of its photo and its audio.
        hashes |= {part for video in plan.ids.get("videos", ()) for part in video.split("-")}
        return cls(faces, hashes, set(plan.names), gone)

    def are_shown(self, photos: Iterable[dict[str, str]]) -> bool:
        """Returns whether one of these is among the photos of a provenance record."""
        return any(
            not self.hashes.isdisjoint(photo[name] for name in PHOTO_HASHES)
            or photo["face"] in self.names
            or not self.faces.isdisjoint(_ID.findall(photo["face"]))
            for photo in photos
        )


def _generations_from(store: Store, photos: Photos) -> list[str]:
    """The ids of the rows of `generations` whose speech was made from one of these photos.

    A row of vclip 0.3 and older does not hold the hash of its photo; the sidecar of its speech is read for it, and
    where that is gone, the end of the photo's name decides.
    """
    found, names = [], tuple(photos.names)
    columns = ["generation_id", "face", "audio_uri", "models"]
    for row in store.query("generations", columns).to_pylist() if photos.hashes or names else ():
        hashes = json.loads(row["models"]).get("photos")
        if hashes is None:
            shown = _photos(_sidecar(row["audio_uri"]))
            theirs = photos.are_shown(shown)
            if not shown and not os.path.isabs(row["face"]):
                theirs = any(name.endswith(f"/{row['face'].removeprefix('./')}") for name in names)
        else:
            theirs = not photos.hashes.isdisjoint(hashes)
        if theirs:
            found.append(row["generation_id"])
    return found


def _voices_from(store: Store, photos: Photos) -> list[str]:
    """The ids of the kept voices of `speakers` that were made from one of these photos."""
    rows = store.kept_voices().to_pylist() if photos.hashes or photos.names or photos.faces else ()
    return [row["speaker_id"] for row in rows if photos.are_shown(_photos(json.loads(row["provenance"])))]


def _names_of_voices(store: Store, plan: DeletionPlan) -> list[str]:
    """The names of the kept voices that a plan deletes."""
    found = set(plan.ids.get("speakers", ()))
    rows = store.kept_voices().to_pylist() if found else ()
    return [row["name"] for row in rows if row["speaker_id"] in found]


def _sidecar(audio_uri: str) -> Any:
    if scheme_of(audio_uri):
        return None
    try:
        return json.loads(sidecar_of(Path(audio_uri)).read_bytes())
    except (OSError, ValueError):
        return None


def _sidecar_name(wav: str) -> str:
    """The path or address of the sidecar of a WAV file."""
    folder, slash, name = wav.rpartition("/")
    return f"{folder}{slash}{sidecar_of(Path(name))}"


def _recorded(plan: DeletionPlan) -> Iterator[str]:
    """Yields the files of the generations that the store records."""
    for row in plan.generations:
        yield row["audio_uri"]
        yield _sidecar_name(row["audio_uri"])


@dataclass(frozen=True)
class _Provenance:
    files: list[str]  # that were made from the photos
    searched: list[str]  # the places, in words


def _of_provenance(photos: Photos, folders: Sequence[str]) -> _Provenance:
    """Finds the generated files whose sidecar names one of the photos, or the hash of one; and such voice files."""
    found, searched = [], []
    for folder in folders:
        output = Output(folder, RemoteConfig())
        names = set(output.names())
        sidecars = sorted(name for name in names if name.endswith(".json"))
        voices = sorted(name for name in names if name.endswith(FILE))
        spoken = {_sidecar_name(name): name for name in names if name.lower().endswith(".wav")}
        say(f"{folder}: {count(len(sidecars), 'sidecar')} and {count(len(voices), 'voice file')} to read")
        searched += [f"{count(len(sidecars), 'sidecar')} in {folder}"]
        searched += [f"{count(len(voices), 'voice file')} in {folder}"] if voices else []
        found += [output.address(name) for name in voices if photos.are_shown(_photos(_voice_file(output, name)))]
        for name in sidecars:
            try:
                sidecar = json.loads(output.read(name))
            except (OSError, ValueError):
                continue
            if photos.are_shown(_photos(sidecar)):
                found += [output.address(one) for one in (name, spoken.get(name)) if one]
    return _Provenance(found, searched)


def _voice_file(output: Output, name: str) -> Any:
    """The provenance of a voice file; None for another file."""
    if name.endswith("model.safetensors"):  # of a checkpoint, which may be large
        return None
    try:
        return Voice.of_content(output.read(name), name).provenance
    except (InputError, OSError):
        return None


def _photos(sidecar: Any) -> list[dict[str, str]]:
    """Returns the photos that a sidecar names: one, or several of a person; none for a prompt or another file."""
    named = sidecar.get("photos", [sidecar]) if isinstance(sidecar, dict) else []
    found = [photo for photo in named if isinstance(photo, dict)] if isinstance(named, list) else []
    return [
        {name: str(photo.get(name, "")) for name in ("face", *PHOTO_HASHES)}
        for photo in found
        if "face_sha256" in photo
    ]
