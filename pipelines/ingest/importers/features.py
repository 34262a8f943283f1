"""`vclip import features`: imports precomputed vectors, without images and audio.

A file holds vectors by name: .npz, .pkl (as Self-Lifting publishes them) or .parquet. A table says which face belongs
to which voice (the columns of `import pairs`, with names of vectors instead of files). Without a table the names
themselves do: a name that both files have, or names like those of VoxCeleb's files, IDENTITY/VIDEO/FILE.

A vector that cannot be used, and a row of the table that cannot, fail the clip that needs them; the others go in.

The store differs from others in one point: its `image` and `audio` are empty bytes, so there is nothing to look at,
to listen to or to embed again.
"""

import hashlib
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.cluster.failures import Failure, Tracebacks, run_folder
from pipelines.config import IngestConfig
from pipelines.extraction.types import Clip, Extraction, FaceCrop, SpeechSegment
from pipelines.files.addresses import recorded, storable
from pipelines.files.remote import RemoteConfig
from pipelines.ingest.commit import commit_results
from pipelines.ingest.embed import SourceResult, failed_result
from pipelines.ingest.importers.feature_clips import (
    FeatureClip,
    Vectors,
    clips_of_names,
    clips_of_table,
    read_vectors,
)
from pipelines.ingest.importers.voxceleb import Metadata, read_metadata
from pipelines.ingest.job import Summary
from pipelines.ingest.sources.content_hash import name_id
from pipelines.ingest.sources.ledger_index import Ledger
from pipelines.ingest.sources.source import Source
from pipelines.progress import step
from stores import Store, config_hash
from stores.maintenance.compact import sweep
from vclip.errors import InputError

NO_MEDIA = b""
WHOLE = (0.0, 0.0, 1.0, 1.0)  # the box of the face is unknown
BATCH = 2048  # clips in one commit


def import_features(
    faces: str | Path,
    voices: str | Path,
    store_uri: str,
    face_space: str,
    voice_space: str,
    table: str | Path | None = None,
    metadata: str | Path | None = None,
) -> Summary:
    """Imports vectors by name and returns the summary of the run.

    A clip without a face or without a voice becomes an empty row. A row of the table that cannot be used, and a clip
    all of whose faces or voices cannot, become a failed one.

    Args:
        faces, voices: the files of vectors; see `read_vectors`.
        store_uri: the store; created if there is none.
        face_space, voice_space: the names of the embedding spaces; stores and models of other spaces refuse them.
        table: a table with the columns id, identity, face and voice, the last two being names of vectors. Its other
            columns, such as gender, become labels.
        metadata: vox1_meta.csv or vox2_meta.csv, for names like those of VoxCeleb's files.

    Raises:
        InputError: a file is not as expected, no row can be used, or no face belongs to a voice; nothing is written.
        StoreError: the store has other spaces, or cannot be written.
    """
    if table and metadata:
        raise InputError(
            "import features: found both --table and --meta; expected one of them, because both give the labels"
        )
    started_s = time.monotonic()
    face, voice = read_vectors(faces), read_vectors(voices)
    meta = read_metadata(metadata) if metadata else Metadata({}, {})
    clips = clips_of_table(table, face, voice) if table else clips_of_names(face, voice, meta)
    if not any(clip.faces and clip.voices for clip in clips):
        firsts = " and ".join(f"'{storable(next(iter(each.features.row_of)))}'" for each in (face, voice))
        raise InputError(
            f"{faces}, {voices}: no face has the name of a voice (the first names are {firsts}); "
            "give --table, or --meta for VoxCeleb's names"
        )
    dims = (each.features.vectors.shape[1] for each in (face, voice))
    store = Store.create(store_uri, {face_space: next(dims)}, {voice_space: next(dims)}, exist_ok=True)
    made_by = {"import": "features", "face_space": face_space, "voice_space": voice_space}
    summary = Summary(store_uri, config=made_by)
    outdated: list[str] = []
    todo = list(_pending(clips, face, voice, str(faces), made_by, store, summary, outdated))
    if todo:
        _commit(todo, store, (face, face_space), (voice, voice_space), [str(faces), str(voices)], summary)
    for video in outdated:
        store.delete_video(video)
    summary.outdated = len(outdated)
    summary.took_s = time.monotonic() - started_s
    return summary


def _pending(
    clips: Sequence[FeatureClip],
    faces: Vectors,
    voices: Vectors,
    where: str,
    made_by: Mapping,
    store: Store,
    summary: Summary,
    outdated: list[str],
) -> Iterator[tuple[Source, FeatureClip]]:
    """Yields the clips that are not in the store yet, and counts the others in the summary.

    Adds the failed rows of clips that can be imported now to `outdated`.
    """
    ledger = Ledger(store)
    seen: set[str] = set()
    for start in range(0, len(clips), BATCH):
        batch = [(_source(clip, faces, voices, where, made_by), clip) for clip in clips[start : start + BATCH]]
        contents = [source.video_id for source, _ in batch]
        rows, deleted = ledger.by_content(contents), ledger.deleted(contents)
        names = ledger.by_name([source for source, _ in batch])
        for (source, clip), known in zip(batch, names, strict=True):
            before = [row for row, _ in known]
            if source.video_id in deleted:
                summary.deleted += 1
            elif ledger.is_done(rows.get(source.video_id), source):
                summary.known += 1
            elif source.failure and any(ledger.is_done(entry, source) for entry in before):
                summary.known += 1  # what an earlier run took stays valid
            elif source.video_id not in seen:
                seen.add(source.video_id)
                failed = [] if source.failure else [one for one in before if one["state"] == "failed"]
                outdated += [one["video_id"] for one in failed if one["video_id"] != source.video_id]
                yield source, clip


def _source(clip: FeatureClip, faces: Vectors, voices: Vectors, where: str, made_by: Mapping) -> Source:
    """Returns the source of a clip, with the hash of its name and vectors; of its name alone where it has failed."""
    hash = config_hash({**made_by, "labels": dict(clip.labels)})
    source = Source((), recorded(f"{os.path.abspath(where)}#{clip.name}"), None, None, None, clip.labels, "", hash)
    if (
        problem := clip.problem
        or _all_unusable("face", clip.faces, faces)
        or _all_unusable("voice", clip.voices, voices)
    ):
        return replace(source, video_id=name_id(source), failure=Failure(problem))
    digest = hashlib.blake2b(clip.name.encode(), digest_size=16)
    for rows, of in ((clip.faces, faces), (clip.voices, voices)):
        digest.update(of.features.vectors[_usable(rows, of)].tobytes())
    return replace(source, video_id=digest.hexdigest())


def _usable(rows: Sequence[int], of: Vectors) -> list[int]:
    return [row for row in rows if row not in of.unusable]


def _all_unusable(kind: str, rows: Sequence[int], of: Vectors) -> str:
    """Returns why none of these rows can be used; "" if there are none."""
    return f"{kind} {of.unusable[rows[0]]}" if rows and not _usable(rows, of) else ""


def _commit(
    todo: Sequence[tuple[Source, FeatureClip]],
    store: Store,
    faces: tuple[Vectors, str],
    voices: tuple[Vectors, str],
    inputs: list[str],
    summary: Summary,
) -> None:
    sweep(store)
    command = {"job": "import features", "unit": "clips", "inputs": inputs, "sources": len(todo)}
    with (
        store.run(command, summary.config) as run,
        step("import", len(todo), "clips", note=f"run {run.run_id}") as progress,
    ):
        summary.run_id = run.run_id
        tracebacks = Tracebacks(f"{run_folder(store.uri)}/{run.run_id}", RemoteConfig())
        results = (_result(source, clip, faces, voices, run.run_id) for source, clip in todo)
        for done, held in commit_results(store, results, IngestConfig(commit_every=BATCH)):
            if held:
                summary.count(done.rows)
            else:
                summary.elsewhere += 1
            if done.failure:
                tracebacks.keep(done.failure, done.source.uri)
            progress.advance()
        run.summary = {name: value for name, value in summary.to_json().items() if name != "config"}


def _result(
    source: Source, clip: FeatureClip, faces: tuple[Vectors, str], voices: tuple[Vectors, str], run_id: str
) -> SourceResult:
    """Returns the clip with vectors; the number of a face or voice within its clip serves as its time."""
    if source.failure:
        return failed_result(source, run_id, source.failure)
    own = [_usable(rows, of) for rows, (of, _) in ((clip.faces, faces), (clip.voices, voices))]
    n_faces, n_voices = map(len, own)
    whole = bool(n_faces and n_voices)
    lacks = "" if whole else "voice" if n_faces else "face"
    funnel = {"faces": n_faces, "voices": n_voices, "clips": int(whole)}
    if left_out := len(clip.faces) + len(clip.voices) - n_faces - n_voices:
        funnel["drop:unusable_vector"] = left_out
    if not whole:
        funnel[f"drop:no_{lacks}"] = 1
        return SourceResult(source, run_id, Extraction("empty", f"no {lacks} of the same clip", 0.0, funnel=funnel))
    crops = tuple(FaceCrop(float(i), WHOLE, 0.0, 0.0, 0.0, 0.0, 0.0, NO_MEDIA) for i in range(n_faces))
    segments = tuple(SpeechSegment(float(i), float(i + 1), 0.0, math.nan, NO_MEDIA) for i in range(n_voices))
    return SourceResult(
        source,
        run_id,
        Extraction("done", "", 0.0, (Clip(0.0, float(n_voices), WHOLE, 1.0, crops, segments),), funnel),
        faces={faces[1]: faces[0].features.vectors[own[0]]},
        voices={voices[1]: voices[0].features.vectors[own[1]]},
    )
