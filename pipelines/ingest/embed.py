"""From clips to rows of the store: decodes and embeds crops and segments, and gives each row its id."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import cv2
import numpy as np

from pipelines.cluster.failures import Failure
from pipelines.config import EncodersConfig
from pipelines.extraction.types import Clip, Extraction
from pipelines.ingest.sources.source import Source
from stores import VideoRows, clip_id, face_id, voice_id
from vclip.audio import prepare_speech, read_audio
from vclip.encoders import FaceEncoder, VoiceEncoder, open_face_encoder, open_voice_encoder


@dataclass(frozen=True)
class Extracted:
    """One source with its extraction: the item between the two stages of a job."""

    source: Source
    extraction: Extraction


@dataclass(frozen=True)
class Ingested:
    """The result for one source: its rows for the store, and its extraction without the clips."""

    rows: VideoRows
    extraction: Extraction
    failure: Failure | None = None  # set where it failed by a defect, an unreadable file or the death of its worker

    @property
    def size_bytes(self) -> int:
        """The total size of its images and audio."""
        return sum(len(face["image"]) for face in self.rows.faces) + sum(len(v["audio"]) for v in self.rows.voices)


class Embedder:
    """Embeds batches of extractions; an actor of the ingest job, with both encoders loaded once.

    Args:
        encoders: the section `encoders` of the configuration.
        run_id: the id of the run, for the rows.
        device: a torch device; by default the first GPU, or the CPU if there is none.
        clips_at_once: clips in one part of a video.
        media_at_once: crops, or segments, that are decoded in memory at once.
    """

    def __init__(
        self,
        encoders: EncodersConfig,
        run_id: str,
        device: str | None = None,
        clips_at_once: int = 32,
        media_at_once: int = 256,
    ):
        self._clips_at_once, self._media_at_once = clips_at_once, media_at_once
        self.face: FaceEncoder = open_face_encoder(encoders.face, device)
        self.voice: VoiceEncoder = open_voice_encoder(encoders.voice, device)
        self.run_id = run_id

    def parts(self, item: Extracted) -> Iterator[Ingested]:
        """Yields the result for one source in parts of a few clips each, so that hours of speech are never decoded or
        copied at once. `joined` puts them together; the last part carries the rest of the extraction."""
        clips = item.extraction.clips
        for start in range(0, max(1, len(clips)), self._clips_at_once):
            part = replace(item.extraction, clips=clips[start : start + self._clips_at_once])
            if start + self._clips_at_once < len(clips):
                part = replace(part, candidates=())
            yield from self.embed([Extracted(item.source, part)])

    def embed(self, batch: Sequence[Extracted]) -> list[Ingested]:
        """Returns the rows of each extraction; the crops of all are embedded together, and so are the segments."""
        clips = [clip for item in batch for clip in item.extraction.clips]
        decode = partial(decode_speech, sample_rate_hz=self.voice.sample_rate_hz)
        faces = self._embedded(self.face, decode_image, [face.image for clip in clips for face in clip.faces])
        voices = self._embedded(self.voice, decode, [voice.audio for clip in clips for voice in clip.voices])
        face_vectors, voice_vectors = iter(faces), iter(voices)
        rows = [self._video(item, face_vectors, voice_vectors) for item in batch]
        return [Ingested(row, replace(item.extraction, clips=())) for row, item in zip(rows, batch, strict=True)]

    def _video(self, item: Extracted, face_vectors: Any, voice_vectors: Any) -> VideoRows:
        source, extraction = item.source, item.extraction
        clips, faces, voices = [], [], []
        for clip in extraction.clips:
            row = _clip_row(source, clip)
            key = {"clip_id": row["clip_id"]}
            clips.append(row)
            for face in clip.faces:
                vectors = {"vectors": {self.face.space: next(face_vectors)}}
                faces.append({"face_id": face_id(row["clip_id"], face.time_s), **key, **asdict(face), **vectors})
            for voice in clip.voices:
                vectors = {"vectors": {self.voice.space: next(voice_vectors)}}
                name = voice_id(row["clip_id"], voice.start_s, voice.end_s)
                voices.append({"voice_id": name, **key, **asdict(voice), **vectors})
        return VideoRows(_video_row(source, self.run_id, extraction), clips, faces, voices)

    def _embedded(
        self, encoder: FaceEncoder | VoiceEncoder, decode: Callable[[bytes], np.ndarray], media: Sequence[bytes]
    ) -> np.ndarray:
        """Returns the vectors, (media, dim) float32."""
        starts = range(0, max(1, len(media)), self._media_at_once)
        pieces = (media[start : start + self._media_at_once] for start in starts)
        return np.concatenate([encoder.embed([decode(one) for one in piece]) for piece in pieces])


def joined(parts: Sequence[Ingested]) -> Ingested:
    """Returns the result for one source, joined from its parts in order."""
    whole = parts[-1]
    if len(parts) == 1:
        return whole
    rows = {of: [row for part in parts for row in getattr(part.rows, of)] for of in ("clips", "faces", "voices")}
    return replace(whole, rows=replace(whole.rows, **rows))


def failed(source: Source, run_id: str, failure: Failure) -> Ingested:
    """Returns the failed row of a source: it cannot be read, its worker died, or it met a defect."""
    extraction = Extraction("failed", failure.reason, 0.0)
    return Ingested(VideoRows(_video_row(source, run_id, extraction)), extraction, failure)


def refused(done: Ingested, failure: Failure) -> Ingested:
    """Returns the failed row that replaces rows which the store refused."""
    extraction = Extraction("failed", failure.reason, 0.0)
    row = {"state": extraction.state, "reason": extraction.reason, "funnel": {}}
    return Ingested(VideoRows({**done.rows.video, **row}), extraction, failure)


def _video_row(source: Source, run_id: str, extraction: Extraction) -> dict[str, Any]:
    return {
        "video_id": source.video_id,
        "uris": [source.ledger_entry],
        "state": extraction.state,
        "reason": extraction.reason,
        "run_id": run_id,
        "config_hash": source.config_hash,
        "duration_s": extraction.duration_s,
        "funnel": extraction.funnel,
    }


def _clip_row(source: Source, clip: Clip) -> dict[str, Any]:
    own = ("identity", "split")
    return {
        "clip_id": clip_id(source.video_id, clip.start_s, clip.box),
        "video_uri": source.uri,
        "start_s": clip.start_s,
        "end_s": clip.end_s,
        "box": clip.box,
        "speaking_score": clip.speaking_score,
        **{name: source.labels.get(name) for name in own},
        "labels": {name: value for name, value in source.labels.items() if name not in own},
    }


def decode_image(data: bytes) -> np.ndarray:
    """Returns the pixels of a JPEG, (height, width, 3) uint8 RGB.

    Raises:
        ValueError: the bytes are not an image.
    """
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"found {len(data)} bytes that are no image, expected a JPEG")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def decode_speech(data: bytes, sample_rate_hz: int = 16_000) -> np.ndarray:
    """Returns the samples of a FLAC file, (samples,) float32, prepared for a voice encoder of that sample rate."""
    return prepare_speech(*read_audio(data), sample_rate_hz)
