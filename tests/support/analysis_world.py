"""A small store with images, audio, identities, splits, a crashed commit and people in several videos."""

import io

import cv2
import numpy as np
import soundfile

from stores import Store, VideoRows
from tests.support.store_world import FACES, LATER, VOICES, crashed_commit, unit, video

PEOPLE, VIDEOS = 8, 24


def analysis_store(uri: str, name: str = "") -> Store:
    """A store of 24 videos with two clips each, a failed one, and one whose commit crashed.

    Args:
        uri: of the new store.
        name: a text to append to every name and label.
    """
    store = Store.create(uri, FACES, VOICES)
    with store.run({"job": "ingest", "inputs": [f"/data{name}"]}, {"extraction": {"rate_hz": 25}}) as run:
        videos = [_whole(number, run.run_id, name) for number in range(VIDEOS)]
        lost = video(900, run.run_id, clips=0)
        store.commit([*videos, VideoRows(lost.video | {"state": "failed", "reason": f"cut off at 17 s{name}"})])
    store.add_uris({"video0001": ["/copies/of/1.mp4"]})
    crashed_commit(store, [video(950, LATER)])
    return store


def _whole(number: int, run: str, name: str) -> VideoRows:
    rows = video(number, run)
    rng = np.random.default_rng(number)
    person = number % PEOPLE
    clips = [
        {
            **clip,
            "video_uri": clip["video_uri"] + name,
            "identity": f"person{person}{name}" if number % 4 else None,
            "split": "train" if person % 2 else "test",
        }
        | {
            "labels": {"gender": "f" if person % 2 else "m", "camera": "left"}
            | ({"nationality": name} if name else {})
        }
        | ({"language": f"en{name}"} if number % 3 == 0 else {})
        for clip in rows.clips
    ]
    faces = [
        {**face, "image": jpeg(rng), "vectors": {s: near(person, d, rng) for s, d in FACES.items()}}
        for face in rows.faces
    ]
    voices = [
        {**voice, "audio": flac(rng), "vectors": {s: near(100 + person, d, rng) for s, d in VOICES.items()}}
        for voice in rows.voices
    ]
    return VideoRows(rows.video, clips, faces, voices)


def near(seed: int, dim: int, rng: np.random.Generator, spread: float = 0.05) -> np.ndarray:
    """A unit vector near that of a seed."""
    vector = unit(np.random.default_rng(seed), dim) + spread * rng.normal(size=dim).astype(np.float32)
    return vector / np.linalg.norm(vector)


def jpeg(rng: np.random.Generator) -> bytes:
    """A JPEG of one random colour."""
    colour = rng.integers(0, 255, 3)
    return cv2.imencode(".jpg", np.full((32, 32, 3), colour, np.uint8))[1].tobytes()


def flac(rng: np.random.Generator) -> bytes:
    """A FLAC of 0.1 s of noise."""
    file = io.BytesIO()
    soundfile.write(file, 0.1 * rng.normal(size=1600), 16_000, format="FLAC")
    return file.getvalue()
