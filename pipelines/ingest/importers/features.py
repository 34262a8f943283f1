"""`vclip import features`: ready-made vectors into a store, with no pictures and no sound.

A file holds vectors by name: .npz, .pkl (as of Self-Lifting) or .parquet. Which face belongs with which voice is told
by a table (the columns of `import pairs`, with names of vectors for files), or else by the names themselves: a name
that both files hold, or names like those of VoxCeleb's files, IDENTITY/VIDEO/FILE.

Such a store is like any other, but its `image` and `audio` are empty bytes: there is nothing to see or hear in it,
nor to embed anew.
"""

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.ingest.importers.pairs import read_pair_table
from pipelines.ingest.importers.voxceleb import SCALE, Metadata, read_metadata
from pipelines.ingest.job import Summary
from pipelines.ingest.sources.resume import Ledger
from pipelines.ingest.sources.source import Source
from pipelines.progress import say, step
from stores import Store, VideoRows, clip_id, config_hash, face_id, voice_id
from stores.maintenance.compact import sweep
from vclip.association.trials.features import Features, features_of, read_features
from vclip.errors import InputError

NO_MEDIA = b""
WHOLE = (0.0, 0.0, 1.0, 1.0)  # where nobody knows the box
BATCH = 2048  # clips in one commit


@dataclass
class Clip:
    """One clip to be: rows of the two files, and what is known of it."""

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
    """Imports vectors by name; a clip without a face or a voice is an empty row.

    Args:
        faces, voices: the files of vectors.
        store_uri: made if there is none.
        face_space, voice_space: what the vectors are vectors of; stores and models of other spaces refuse them.
        table: CSV of id, identity, gender, face, voice, the last two names of vectors; others become labels.
        metadata: VoxCeleb's, for names like those of its files.

    Raises:
        InputError, StoreError: a file is not as expected, a name is missing, nothing belongs together, or the store
            is of other spaces. Nothing is written.
    """
    if table and metadata:
        raise InputError("import features: found both --table and --meta; expected one, each says who is who")
    started_s = time.monotonic()
    face, voice = read_vectors(faces), read_vectors(voices)
    known = read_metadata(metadata) if metadata else Metadata({}, {})
    clips = clips_of_table(table, face, voice) if table else clips_of_names(face, voice, known)
    if not any(clip.faces and clip.voices for clip in clips):
        firsts = " and ".join(f"'{next(iter(features.row_of))}'" for features in (face, voice))
        raise InputError(
            f"{faces}, {voices}: no name of a face belongs with one of a voice (the first are {firsts}); "
            "give --table, or --meta for VoxCeleb's"
        )
    spaces = {"faces": {face_space: face.vectors.shape[1]}, "voices": {voice_space: voice.vectors.shape[1]}}
    store = Store.open_or_create(store_uri, **spaces)
    made_by = {"import": "features", "face_space": face_space, "voice_space": voice_space}
    summary = Summary(store_uri, config=made_by)
    todo = list(_unknown(clips, face, voice, str(faces), made_by, store, summary))
    if todo:
        _commit(todo, store, (face, face_space), (voice, voice_space), [str(faces), str(voices)], summary)
    summary.took_s = time.monotonic() - started_s
    return summary


def read_vectors(path: str | Path) -> Features:
    """Returns the vectors of a file, by name.

    Args:
        path: as `read_features` says; or .parquet with the columns `name` and `vector`.

    Raises:
        InputError: as `read_features`; or a vector is all zero.
    """
    found = _of_parquet(Path(path)) if Path(path).suffix == ".parquet" else read_features(path)
    zero = ~found.vectors.any(axis=1)
    if zero.any():
        name = list(found.row_of)[int(np.argmax(zero))]
        raise InputError(f"{path}: vector '{name}' is all zero, expected a direction ({zero.sum()} in all)")
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
    if len(set(names)) < len(names):
        raise InputError(f"{path}: a name stands there twice, expected each once")
    return features_of(dict(zip(names, vectors, strict=True)), str(path))


def clips_of_table(table: str | Path, faces: Features, voices: Features) -> list[Clip]:
    """Returns the clips that a table names.

    Raises:
        InputError: not such a table, or it names what the files do not hold.
    """
    rows = read_pair_table(table)
    found = []
    for kind, features in (("face", faces), ("voice", voices)):
        places = features.find([row[kind] for row in rows])
        if (places < 0).any():
            row = rows[int(np.argmax(places < 0))]
            raise InputError(f"table {table}, id '{row['id']}': no vector '{row[kind]}' among the {kind}s")
        found.append(places.tolist())
    return [
        Clip(row["id"], [face], [voice], {k: v for k, v in row.items() if k not in ("face", "voice") and k and v})
        for row, face, voice in zip(rows, *found, strict=True)
    ]


def clips_of_names(faces: Features, voices: Features, known: Metadata) -> list[Clip]:
    """Returns the clips that names tell: of one name, or of one identity and video; sorted by name."""
    clips: dict[str, Clip] = {}
    for kind, features in (("faces", faces), ("voices", voices)):
        for name, row in features.row_of.items():
            who, video = _place(name)
            who = known.identity_of(who)
            key = f"{who}/{video}" if who else name
            labels = {"identity": who, **known.labels.get(who, {}), "video": video} if who else {}
            getattr(clips.setdefault(key, Clip(key, labels=labels)), kind).append(row)
    return [clips[key] for key in sorted(clips)]


def _place(name: str) -> tuple[str, str]:
    """Returns identity and video of IDENTITY/VIDEO/FILE or IDENTITY/1.6/VIDEO/FILE; two empty ones of other names."""
    above = [part for part in os.path.dirname(name).split("/") if part and not SCALE.fullmatch(part)]
    return (above[-2], above[-1]) if len(above) >= 2 else ("", "")


def _unknown(
    clips: Sequence[Clip],
    faces: Features,
    voices: Features,
    where: str,
    made_by: Mapping,
    store: Store,
    summary: Summary,
) -> Iterator[tuple[Source, Clip]]:
    """Yields what the store does not hold yet, and counts what it does."""
    ledger = Ledger(store)
    met: set[str] = set()
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
            elif source.video_id not in met:
                met.add(source.video_id)
                yield source, clip


def _commit(
    todo: Sequence[tuple[Source, Clip]],
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
            batch = [_rows(source, clip, faces, voices, run.run_id) for source, clip in todo[start : start + BATCH]]
            held = store.commit(batch)
            for rows in batch:
                if rows.video["video_id"] in held:
                    summary.count(rows)
                else:
                    summary.elsewhere += 1
            progress.advance(len(batch))
        run.summary = {name: value for name, value in summary.to_json().items() if name != "config"}


def _rows(
    source: Source, clip: Clip, faces: tuple[Features, str], voices: tuple[Features, str], run_id: str
) -> VideoRows:
    whole = bool(clip.faces and clip.voices)
    lacks = "" if whole else "voice" if clip.faces else "face"
    funnel = {"faces": len(clip.faces), "voices": len(clip.voices), "clips": int(whole)}
    video = {
        "video_id": source.video_id,
        "uris": [source.ledger_entry],
        "state": "done" if whole else "empty",
        "reason": f"no {lacks} belongs with it" if lacks else "",
        "run_id": run_id,
        "config_hash": source.config_hash,
        "duration_s": 0.0,
        "funnel": funnel | ({f"drop:no_{lacks}": 1} if lacks else {}),
    }
    if not whole:
        return VideoRows(video)
    labels = dict(source.labels)
    own = {name: labels.pop(name, None) for name in ("identity", "split")}
    key = {"clip_id": clip_id(source.video_id, 0.0, WHOLE)}
    place = {"video_uri": source.uri, "start_s": 0.0, "end_s": float(len(clip.voices)), "box": WHOLE}
    row = {**key, **place, "speaking_score": 1.0, **own, "labels": labels}
    return VideoRows(
        video,
        [row],
        [key | _face(key["clip_id"], i, _vector(*faces, at)) for i, at in enumerate(clip.faces)],
        [key | _voice(key["clip_id"], i, _vector(*voices, at)) for i, at in enumerate(clip.voices)],
    )


def _vector(features: Features, space: str, row: int) -> dict[str, np.ndarray]:
    return {space: features.vectors[row]}


def _face(clip: str, number: int, vectors: dict[str, Any]) -> dict[str, Any]:
    """A face of which only the vector is known; its time is its number."""
    judged = dict.fromkeys(("size_px", "sharpness", "frontality", "exposure", "quality"), 0.0)
    name = face_id(clip, float(number))
    return {"face_id": name, "time_s": float(number), "box": WHOLE, **judged, "image": NO_MEDIA, "vectors": vectors}


def _voice(clip: str, number: int, vectors: dict[str, Any]) -> dict[str, Any]:
    start_s, end_s = float(number), float(number + 1)
    span = {"start_s": start_s, "end_s": end_s, "speech_ratio": 0.0, "snr_db": None}
    return {"voice_id": voice_id(clip, start_s, end_s), **span, "audio": NO_MEDIA, "vectors": vectors}
