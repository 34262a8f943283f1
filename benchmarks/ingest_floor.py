"""The time of the models alone, in a plain loop on one thread, on the inputs that the ingest job gives them.

A video is extracted while the inputs of its models are recorded. The models then process these inputs again under the
clock, in pieces, so that memory stays bounded. Decoding, shots, tracks, quality, JPEG and FLAC are not timed.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import silero_vad
import torch

from pipelines.config import Config
from pipelines.extraction import extract
from pipelines.extraction.active_speaker.base import active_speaker_scores, open_backend
from pipelines.extraction.active_speaker.lip_motion import LipMotion
from pipelines.extraction.candidates import VideoAnalysis
from pipelines.extraction.faces.detectors import open_detector
from pipelines.extraction.pipeline import KeepAnalysis
from pipelines.extraction.speech import speaker_change
from pipelines.extraction.speech.vad import FRAME
from pipelines.extraction.video.decode import SAMPLE_RATE_HZ
from pipelines.ingest.embed import decode_image, decode_speech
from vclip.encoders import open_face_encoder, open_voice_encoder

HELD_BYTES = 256 << 20  # most memory of recorded inputs


def floor(files: list[Path], config: Config) -> dict[str, float]:
    """Returns the seconds of each model over all files, their sum as `all`, and the CPU seconds as `cpu_s`."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    models = _Models(config)
    for number, path in enumerate(files, start=1):
        models.run(path)
        if number % config.ingest.embed_batch == 0 or number == len(files):
            models.embed()
    return {**models.took_s, "all": sum(models.took_s.values()), "cpu_s": models.cpu_s}


class _Models:
    def __init__(self, config: Config):
        self.config, self.took_s, self.cpu_s = config.extraction, Counter(), 0.0
        self.detector = open_detector(self.config.tracks.detector)
        self.backend = open_backend(self.config.speaking)
        self.face = open_face_encoder(config.encoders.face, "cpu")
        self.voice = open_voice_encoder(config.encoders.voice, "cpu")
        self._frames: list[np.ndarray] = []  # for the detector
        self._lips: list[tuple[LipMotion, np.ndarray, np.ndarray]] = []
        self._motions: dict[LipMotion, LipMotion] = {}  # of the extraction -> of the loop
        self._windows: list[list[torch.Tensor]] = []  # of the voice encoder, for speaker change
        self._crops: list[np.ndarray] = []
        self._segments: list[np.ndarray] = []

    def run(self, path: Path) -> None:
        """Extracts one video and runs its models once more on the same inputs."""
        kept = KeepAnalysis()
        with self._recording():
            clips = extract(path, self.config, kept).clips
        self._replay()
        self._motions.clear()
        if kept.analysis:
            self._vad(np.array(kept.analysis.audio))
            self._score(kept.analysis)
        with self._clock("speaker change"):
            for windows in self._windows:
                speaker_change.encode_windows(windows)
        self._windows.clear()
        self._crops += [decode_image(face.image) for clip in clips for face in clip.faces]
        self._segments += [decode_speech(voice.audio) for clip in clips for voice in clip.voices]

    def embed(self) -> None:
        """Embeds the crops and segments of the videos since the last call, a batch of the job."""
        with self._clock("face encoder"):
            self.face.embed(self._crops)
        with self._clock("voice encoder"):
            self.voice.embed(self._segments)
        self._crops, self._segments = [], []

    @contextmanager
    def _recording(self) -> Iterator[None]:
        move, encoded = LipMotion.__call__, speaker_change.encode_windows

        def detect(frame: np.ndarray) -> list:
            self._frames.append(frame)
            self._replay(HELD_BYTES)
            return self.detector(frame)

        def encode(windows: list[torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
            self._windows.append(windows)
            return encoded(windows)

        def moved(motion: LipMotion, grey: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
            self._lips.append((motion, grey, landmarks))
            return move(motion, grey, landmarks)

        with (
            mock.patch("pipelines.extraction.pipeline.open_detector", return_value=detect),
            mock.patch.object(LipMotion, "__call__", moved),
            mock.patch.object(speaker_change, "encode_windows", encode),
        ):
            self._move = move
            yield

    def _replay(self, unless_bytes: int = 0) -> None:
        held = sum(frame.nbytes for frame in self._frames) + sum(grey.nbytes for _, grey, _ in self._lips)
        if held <= unless_bytes:
            return
        frames, lips = self._frames, self._lips
        self._frames, self._lips = [], []
        with self._clock("detector"):
            for frame in frames:
                self.detector(frame)
        steps = [(self._motions.setdefault(m, LipMotion()), grey, landmarks) for m, grey, landmarks in lips]
        with self._clock("lips"):
            for motion, grey, landmarks in steps:
                self._move(motion, grey, landmarks)

    def _vad(self, audio: np.ndarray) -> None:
        whole = len(audio) // FRAME * FRAME
        frames = torch.from_numpy(audio[:whole].reshape(-1, 1, FRAME) / np.float32(32768))
        network = silero_vad.load_silero_vad()
        network.reset_states()
        with torch.inference_mode(), self._clock("speech"):
            for frame in frames:
                network(frame, SAMPLE_RATE_HZ).item()

    def _score(self, analysis: VideoAnalysis) -> None:
        with self._clock("active speaker"):
            active_speaker_scores(
                analysis.tracks, analysis.audio, analysis.rate_hz, self.config.speaking, self.backend.evidence
            )

    @contextmanager
    def _clock(self, model: str) -> Iterator[None]:
        start_s, cpu_s = time.perf_counter(), time.process_time()
        yield
        self.took_s[model] += time.perf_counter() - start_s
        self.cpu_s += time.process_time() - cpu_s
