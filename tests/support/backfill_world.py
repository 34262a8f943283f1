"""Videos whose images and audio can be decoded, and an engine that computes from them in this process."""

import io
from dataclasses import replace

import cv2
import numpy as np
import soundfile

from pipelines.maintenance.backfill import RayEngine
from stores import VideoRows
from tests.support.store_world import video


class Engine(RayEngine):
    """Runs tasks in this process, and counts their rows; the cluster has tests of its own.

    Args:
        dies_after: number of rows after which the job is killed; None for never.
    """

    def __init__(self, dies_after: int | None = None):
        self.rows, self._dies_after = 0, dies_after

    def gpus(self) -> int:
        return 0

    def run(self, batches, open_work, name, task_cpus, actors):
        assert not actors.count()
        work = open_work()
        for part in (part for batch in batches for part in batch):
            self.rows += len(part.keys)
            result = work(part, False)
            if self._dies_after is not None and self.rows > self._dies_after:
                raise KeyboardInterrupt
            yield part, result


def decodable(number: int) -> VideoRows:
    """A video whose images and audio can be decoded."""
    rows, rng = video(number), np.random.default_rng(number)
    images = [_jpeg(rng) for _ in rows.faces]
    audio = [_flac(rng) for _ in rows.voices]
    faces = [face | {"image": image} for face, image in zip(rows.faces, images, strict=True)]
    voices = [voice | {"audio": flac} for voice, flac in zip(rows.voices, audio, strict=True)]
    return replace(rows, faces=faces, voices=voices)


def _jpeg(rng: np.random.Generator) -> bytes:
    return cv2.imencode(".jpg", rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))[1].tobytes()


def _flac(rng: np.random.Generator) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, rng.normal(0, 0.1, 1600), 16_000, format="FLAC")
    return stream.getvalue()
