"""`vclip import features`: imports precomputed vectors, without images and audio.

A file holds vectors by name: .npz, .pkl (as Self-Lifting publishes them) or .parquet. A table says which face belongs
to which voice (the columns of `import pairs`, with names of vectors instead of files). Without a table the names
themselves do: a name that both files have, or names like those of VoxCeleb's files, IDENTITY/VIDEO/FILE.

The store differs from others in one point: its `image` and `audio` are empty bytes, so there is nothing to look at,
to listen to or to embed again.
"""

import hashlib
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.extraction.types import Clip, Extraction, FaceCrop, SpeechSegment
from pipelines.ingest.embed import SourceResult
from pipelines.ingest.importers.pairs import labels_of, read_pair_table
from pipelines.ingest.importers.voxceleb import SCALE, Metadata, read_metadata
from pipelines.ingest.job import Summary
from pipelines.ingest.sources.resume import Ledger
from pipelines.ingest.sources.source import Source
from pipelines.progress import say, step
from stores import Store, config_hash
from stores.maintenance.compact import sweep
from vclip.association.trials.features import Features, features_of, read_features
from vclip.errors import InputError

NO_MEDIA = b""
WHOLE = (0.0, 0.0, 1.0, 1.0)  # the box of the face is unknown
BATCH = 2048  # clips in one commit


@dataclass
class FeatureClip:
    """One clip to import: its rows in the two files of vectors, and its labels."""

    name: str
    faces: list[int] = field(default_factory=list)
    voices: list[int] = field(default_factory=list)
    labels: Mapping[str, str] = field(default_factory=dict)


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

    A clip without a face or without a voice becomes an empty row.

    Args:
        faces, voices: the files of vectors; see `read_vectors`.
        store_uri: the store; created if there is none.
        face_space, voice_space: the names of the embedding spaces; stores and models of other spaces refuse them.
        table: a table with the columns id, identity, face and voice, the last two being names of vectors. Its other
            columns, such as gender, become labels.
        metadata: vox1_meta.csv or vox2_meta.csv, for names like those of VoxCeleb's files.

    Raises:
        InputError: a file is not as expected, a name is missing, or no face belongs to a voice; nothing is written.
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
        firsts = " and ".join(f"'{next(iter(features.row_of))}'" for features in (face, voice))
        raise InputError(
            f"{faces}, {voices}: no face has the name of a voice (the first names are {firsts}); "
            "give --table, or --meta for VoxCeleb's names"
        )
    spaces = {"faces": {face_space: face.vectors.shape[1]}, "voices": {voice_space: voice.vectors.shape[1]}}
    store = Store.create(store_uri, **spaces, exist_ok=True)
    made_by = {"import": "features", "face_space": face_space, "voice_space": voice_space}
    summary = Summary(store_uri, config=made_by)
    todo = list(_pending(clips, face, voice, str(faces), made_by, store, summary))
    if todo:
        _commit(todo, store, (face, face_space), (voice, voice_space), [str(faces), str(voices)], summary)
    summary.took_s = time.monotonic() - started_s
    return summary


def read_vectors(path: str | Path) -> Features:
    """Returns the vectors of a file by name.

    Args:
        path: a file for `read_features`, or a .parquet file with the columns `name` and `vector`.

    Raises:
        InputError: as `read_features`; or a vector is all zero.
    """
    found = _of_parquet(Path(path)) if Path(path).suffix == ".parquet" else read_features(path)
    zero = ~found.vectors.any(axis=1)
    if zero.any():
        name = list(found.row_of)[int(np.argmax(zero))]
        raise InputError(f"{path}: vector '{name}' is all zero ({zero.sum()} in all), expected a direction")
    return found


def _of_parquet(path: Path) -> Features:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        reason = (getattr(error, "strerror", None) or str(error)).splitlines()[0]
        raise InputError(f"{path}: {reason}; expected a Parquet file") from None
    if missing := [name for name in ("name", "vector") if name not in table.column_names]:
        found = ", ".join(table.column_names) or "none"
        raise InputError(f"{path}: no column '{missing[0]}' (found {found}); expected name, vector")
    names, vectors = table["name"].to_pylist(), table["vector"].to_pylist()
    return features_of(list(zip(names, vectors, strict=True)), str(path))


def clips_of_table(table: str | Path, faces: Features, voices: Features) -> list[FeatureClip]:
    """Returns the clips that a table lists.

    Raises:
        InputError: the table cannot be read, a row cannot be used, or names a vector that the files do not have.
    """
    rows = read_pair_table(table)
    if bad := next((row for row in rows if row.problem), None):
        raise InputError(f"table {table}, row {bad.number}: {bad.problem}")
    found = []
    for kind, features in (("face", faces), ("voice", voices)):
        places = features.find([row.values[kind] for row in rows])
        if (places < 0).any():
            values = rows[int(np.argmax(places < 0))].values
            raise InputError(f"table {table}, id '{values['id']}': no vector '{values[kind]}' among the {kind}s")
        found.append(places.tolist())
    return [
        FeatureClip(row.values["id"], [face], [voice], labels_of(row))
        for row, face, voice in zip(rows, *found, strict=True)
    ]


def clips_of_names(faces: Features, voices: Features, meta: Metadata) -> list[FeatureClip]:
    """Returns the clips by name: all vectors of one name, or of one identity and video, are one clip."""
    clips: dict[str, FeatureClip] = {}
    for kind, features in (("faces", faces), ("voices", voices)):
        for name, row in features.row_of.items():
            who, video = _place(name)
            who = meta.identity_of(who)
            key = f"{who}/{video}" if who else name
            labels = {"identity": who, **meta.labels.get(who, {}), "video": video} if who else {}
            getattr(clips.setdefault(key, FeatureClip(key, labels=labels)), kind).append(row)
    return [clips[key] for key in sorted(clips)]


def _place(name: str) -> tuple[str, str]:
    """Returns the identity and video of IDENTITY/VIDEO/FILE or IDENTITY/1.6/VIDEO/FILE, else two empty strings."""
    above = [part for part in os.path.dirname(name).split("/") if part and not SCALE.fullmatch(part)]
    return (above[-2], above[-1]) if len(above) >= 2 else ("", "")


def _pending(
    clips: Sequence[FeatureClip],
    faces: Features,
    voices: Features,
    where: str,
    made_by: Mapping,
    store: Store,
    summary: Summary,
) -> Iterator[tuple[Source, FeatureClip]]:
    """Yields the clips that are not in the store yet, and counts the others in the summary."""
    ledger = Ledger(store)
    seen: set[str] = set()
    for start in range(0, len(clips), BATCH):
        batch = []
        for clip in clips[start : start + BATCH]:
            digest = hashlib.blake2b(clip.name.encode(), digest_size=16)
            digest.update(faces.vectors[clip.faces].tobytes() + voices.vectors[clip.voices].tobytes())
            hash = config_hash({**made_by, "labels": dict(clip.labels)})
            uri = f"{os.path.abspath(where)}#{clip.name}"
            batch.append((Source((), uri, None, None, None, clip.labels, digest.hexdigest(), hash), clip))
        contents = [source.video_id for source, _ in batch]
        rows, deleted = ledger.by_content(contents), ledger.deleted(contents)
        for source, clip in batch:
            if source.video_id in deleted:
                summary.deleted += 1
            elif ledger.is_done(rows.get(source.video_id), source):
                summary.known += 1
            elif source.video_id not in seen:
                seen.add(source.video_id)
                yield source, clip


def _commit(
    todo: Sequence[tuple[Source, FeatureClip]],
    store: Store,
    faces: tuple[Features, str],
    voices: tuple[Features, str],
    inputs: list[str],
    summary: Summary,
) -> None:
    sweep(store)
    command = {"job": "import features", "unit": "clips", "inputs": inputs, "sources": len(todo)}
    with store.run(command, summary.config) as run, step("import", len(todo), "clips") as progress:
        summary.run_id = run.run_id
        say(f"clips to do; run {run.run_id}")
        for start in range(0, len(todo), BATCH):
            batch = [
                _result(source, clip, faces, voices, run.run_id).rows for source, clip in todo[start : start + BATCH]
            ]
            held = store.commit(batch)
            for rows in batch:
                if rows.video["video_id"] in held:
                    summary.count(rows)
                else:
                    summary.elsewhere += 1
            progress.advance(len(batch))
        run.summary = {name: value for name, value in summary.to_json().items() if name != "config"}


def _result(
    source: Source, clip: FeatureClip, faces: tuple[Features, str], voices: tuple[Features, str], run_id: str
) -> SourceResult:
    """Returns the clip with vectors; the number of a face or voice within its clip serves as its time."""
    count, whole = len(clip.voices), bool(clip.faces and clip.voices)
    lacks = "" if whole else "voice" if clip.faces else "face"
    funnel = {"faces": len(clip.faces), "voices": count, "clips": int(whole)}
    if not whole:
        funnel[f"drop:no_{lacks}"] = 1
        return SourceResult(source, run_id, Extraction("empty", f"no {lacks} of the same clip", 0.0, funnel=funnel))
    crops = tuple(FaceCrop(float(i), WHOLE, 0.0, 0.0, 0.0, 0.0, 0.0, NO_MEDIA) for i in range(len(clip.faces)))
    segments = tuple(SpeechSegment(float(i), float(i + 1), 0.0, math.nan, NO_MEDIA) for i in range(count))
    return SourceResult(
        source,
        run_id,
        Extraction("done", "", 0.0, (Clip(0.0, float(count), WHOLE, 1.0, crops, segments),), funnel),
        faces={faces[1]: faces[0].vectors[clip.faces]},
        voices={voices[1]: voices[0].vectors[clip.voices]},
    )
