"""Files that are no videos, and an extraction of them that costs next to nothing: for tests of the job itself.

A file is JSON: {"seed", "takes_s", "clips", "duration_s", "does"}. `does` says what becomes of who reads it.
"""

import io
import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import soundfile

from pipelines.config import Config
from pipelines.extraction.faces.detectors import FaceDetector
from pipelines.extraction.types import Candidate, Clip, Extraction, FaceCrop, SpeechSegment
from pipelines.ingest.commit import open_store
from pipelines.ingest.embed import Embedder, SourceResult
from pipelines.ingest.sources.listing import list_videos
from pipelines.ingest.sources.resume import pending
from pipelines.ingest.sources.source import Source
from stores import Store, config_hash
from vclip.config import load

OFFLINE = Path(__file__).parents[2] / "configs" / "offline.yaml"
BOX = (0.25, 0.25, 0.75, 0.75)
# What differs between two runs that did the same.
OF_THE_RUN = ("run_id", "created_at", "revision")


def write_files(folder: Path, count: int, first: int = 0, **more: object) -> Path:
    """Writes files with so many numbers, each its seed; every fifth gives no clip."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        what = {"seed": number, "takes_s": 0.02, "clips": number % 5 and 1, "duration_s": 4.0, "does": ""} | more
        (folder / f"{number:04d}.mp4").write_text(json.dumps(what))
    return folder


def sources_in(*folders: Path) -> list[Source]:
    return list(list_videos(folders))


def offline(*overrides: str) -> Config:
    return load(Config, OFFLINE, overrides)


def extract(source: Source, config: Config, detector: FaceDetector | None = None) -> Extraction:
    """Does what the file says."""
    what = json.loads(Path(source.paths[0]).read_text())
    _do(what["does"])
    time.sleep(what["takes_s"])
    rng = np.random.default_rng(what["seed"])
    clips = tuple(_clip(rng, 2.0 * number) for number in range(what["clips"]))
    candidates = (Candidate(0.0, 1.0, BOX, 0, 0.3, "silent"),)
    counts = {"shots": 1, "clips": len(clips), "drop:silent": 1}
    state, reason = ("done", "") if clips else ("empty", "nobody speaks")
    return Extraction(state, reason, what["duration_s"], clips, counts, candidates, {"decode": 0.5, "faces": 0.25})


def ingest_here(store_uri: str, *folders: Path) -> None:
    """Ingests the files without a cluster, one after the other: what a job on a cluster must give too."""
    config = offline()
    store, embedder = open_store(store_uri, config), Embedder(config.encoders, "cpu")
    with store.run({"job": "ingest"}, config.model_dump()) as run:
        for window in pending(sources_in(*folders), store, config_hash(config.clip_settings())):
            extracted = [SourceResult(source, run.run_id, extract(source, config)) for source in window.todo]
            store.commit([result.rows for result in embedder.embed(extracted)])


def _do(what: str) -> None:
    kind, _, place = what.partition(" ")
    if kind == "dies" or (kind == "dies-once" and _first_time(Path(place))):
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "dies-between-parts-once" and _first_time(Path(place)):
        parts = Embedder.parts
        Embedder.parts = lambda self, item: _until_second(parts(self, item))
    if kind == "raises":
        raise IndexError("out of range")


def _until_second(parts: Iterator[SourceResult]) -> Iterator[SourceResult]:
    yield next(parts)
    os.kill(os.getpid(), signal.SIGKILL)


def _first_time(mark: Path) -> bool:
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _clip(rng: np.random.Generator, start_s: float) -> Clip:
    picture = cv2.resize(rng.integers(0, 256, (8, 8, 3), np.uint8), (150, 150))
    speech = io.BytesIO()
    soundfile.write(speech, 0.1 * rng.standard_normal(16_000), 16_000, format="FLAC")
    image = cv2.imencode(".jpg", picture)[1].tobytes()
    face = FaceCrop(start_s + 0.5, BOX, 75.0, 0.5, 0.5, 0.5, 0.5, image)
    return Clip(
        start_s, start_s + 1, BOX, 0.9, (face,), (SpeechSegment(start_s, start_s + 1, 1, 20, speech.getvalue()),)
    )


class TinyFaces:
    """A face encoder without weights: a crop's mean and spread. `calls` has the number of crops of each call."""

    space, dim = "tiny-faces", 2

    def __init__(self) -> None:
        self.calls: list[int] = []

    def embed(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        self.calls.append(len(crops))
        return _mean_and_spread(crops)


class TinyVoices:
    """A voice encoder without weights: the mean and the spread of the samples."""

    space, dim, sample_rate_hz = "tiny-voices", 2, 16_000

    def embed(self, utterances: Sequence[np.ndarray]) -> np.ndarray:
        return _mean_and_spread(utterances)


# Settings that name these encoders.
TINY = (f"encoders.face=python:{__name__}:TinyFaces", f"encoders.voice=python:{__name__}:TinyVoices")


def _mean_and_spread(items: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([(np.mean(item), np.std(item)) for item in items], np.float32).reshape(-1, 2)


def contents(store: str) -> dict[str, dict[str, dict]]:
    """table -> id -> row, as readers see it, media and vectors included, without what only names the run."""
    opened, found = Store.open(store), {}
    for table in ("videos", "clips", "faces", "voices"):
        names = [name for name in opened.snapshot().schema(table).names if name not in OF_THE_RUN]
        rows = opened.query(table, names).to_pylist()
        found[table] = {row[names[0]]: row for row in rows}
        assert len(found[table]) == len(rows), f"{table}: an id is doubled"
    for row in found["videos"].values():
        row["uris"] = sorted(row["uris"], key=lambda entry: entry["uri"])
    return found


def assert_same(one: dict[str, dict[str, dict]], other: dict[str, dict[str, dict]]) -> None:
    """Fails unless both stores hold the same rows, vectors to 1e-4."""
    for table, rows in one.items():
        assert rows.keys() == other[table].keys(), table
        for key, row in rows.items():
            for name, a, b in _values(row, other[table][key]):
                if name.startswith("vector_"):
                    np.testing.assert_allclose(a, b, atol=1e-4, err_msg=f"{table} {key} {name}")
                else:
                    assert a == b, f"{table} {key} {name}"


def _values(one: dict, other: dict) -> Iterator[tuple[str, object, object]]:
    return ((name, one[name], other[name]) for name in one)
