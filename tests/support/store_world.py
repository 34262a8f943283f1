"""A made-up world of videos: any number of them, the same for the same seed, with unit vectors in small spaces."""

from dataclasses import replace

import numpy as np
import pytest

import stores
from stores import Store, VideoRows
from tests.support.interposed import Interposed, killed

FACES = {"dlib/resnet-v1-128/crop1": 8}
VOICES = {"resemblyzer/ge2e-256": 6}
FACE_COLUMN = "vector_dlib_resnet_v1_128_crop1"
RUN = "20260101T000000000000-00000001"
LATER = "20260102T000000000000-00000002"


def video(number: int, run: str = RUN, config: str = "a", clips: int = 2) -> VideoRows:
    """One video whose rows follow from its number and configuration."""
    rng = np.random.default_rng([number, sum(config.encode()), clips])
    key = f"video{number:04d}"
    rows = VideoRows(
        {
            "video_id": key,
            "uris": [{"uri": f"/data/{key}.mp4", "size_bytes": 1000 + number, "mtime_s": 1.5}],
            "state": "done" if clips else "empty",
            "reason": "" if clips else "no speech",
            "run_id": run,
            "config_hash": config,
            "duration_s": 60.0,
            "funnel": {"shots": 3, "dropped: small": 1},
        }
    )
    for index in range(clips):
        rows = _with_clip(rows, rng, number, index)
    return rows


def _with_clip(rows: VideoRows, rng: np.random.Generator, number: int, index: int) -> VideoRows:
    start = round(10 * index + rng.uniform(0, 5), 3)
    box = (0.1, 0.2, 0.5, 0.75)
    clip = stores.clip_id(rows.video["video_id"], start, box)
    made = {
        "clip_id": clip,
        "video_uri": rows.video["uris"][0]["uri"],
        "start_s": start,
        "end_s": start + rng.uniform(1, 4),
        "box": box,
        "speaking_score": rng.uniform(),
        "identity": f"person{number % 7}" if number % 3 else None,
        "labels": {"gender": "f" if number % 2 else "m", "camera": "left"},
        "split": "train",
    }
    faces = [
        {
            "face_id": stores.face_id(clip, start + k),
            "clip_id": clip,
            "time_s": start + k,
            "box": np.array(box, np.float32),
            "size_px": 100 + 50 * rng.uniform(),
            "sharpness": 0.5,
            "frontality": 0.5,
            "exposure": 0.5,
            "quality": rng.uniform(),
            "image": rng.bytes(200),
            "vectors": {space: unit(rng, dim) for space, dim in FACES.items()},
        }
        for k in range(2)
    ]
    voice = {
        "voice_id": stores.voice_id(clip, start, start + 1),
        "clip_id": clip,
        "start_s": start,
        "end_s": start + 1,
        "speech_ratio": 0.9,
        "snr_db": float("nan") if number % 5 == 0 else 10 + 10 * rng.uniform(),
        "audio": rng.bytes(300),
        "vectors": {space: unit(rng, dim) for space, dim in VOICES.items()},
    }
    return replace(rows, clips=[*rows.clips, made], faces=[*rows.faces, *faces], voices=[*rows.voices, voice])


def unit(rng: np.random.Generator, dim: int) -> np.ndarray:
    vector = rng.normal(size=dim).astype(np.float32)
    return vector / np.linalg.norm(vector)


def crashed_commit(store: Store, batch: list[VideoRows]) -> None:
    """Commits a batch up to the ledger rows, as a process that dies there."""

    with pytest.raises(KeyboardInterrupt):
        Store(store.uri, Interposed(store.db).before("videos", "merge_insert", killed)).commit(batch)


def contents(store: Store, without: tuple[str, ...] = ("created_at", "revision")) -> dict[str, list[dict]]:
    """All that readers see, media and vectors included, sorted by id."""
    found = {}
    for table in ("videos", "clips", "faces", "voices"):
        names = [name for name in store.snapshot().schema(table).names if name not in without]
        rows = store.query(table, names).to_pylist()
        found[table] = sorted(rows, key=lambda row: row[names[0]])
    return found
