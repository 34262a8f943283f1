"""From extractions to rows of the store: embeds face crops and speech segments, and gives each row its id.

A clip stays a `Clip` with its `FaceCrop`s and `SpeechSegment`s from extraction to the commit. Embedding adds a vector
for each crop and segment, and only the commit turns them into rows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import cv2
import numpy as np

from pipelines.cluster.failures import Failure
from pipelines.config import EncodersConfig
from pipelines.extraction.types import Clip, Extraction
from pipelines.files.addresses import storable
from pipelines.ingest.sources.source import Source
from stores import VideoRows, clip_id, face_id, voice_id
from vclip.audio import prepare_speech, read_audio
from vclip.encoders import FaceEncoder, VoiceEncoder, open_face_encoder, open_voice_encoder

OWN_COLUMNS = ("identity", "split")  # labels that every clip has a column for


@dataclass(frozen=True)
class Ingested:
    """What became of one source, without media and vectors: for the progress, the metrics and the report."""

    source: Source
    rows: VideoRows
    extraction: Extraction  # without its clips
    failure: Failure | None = None


@dataclass(frozen=True)
class SourceResult:
    """One source with its extraction and, once it is embedded, a vector for each face crop and speech segment."""

    source: Source
    run_id: str
    extraction: Extraction
    faces: Mapping[str, np.ndarray] = field(default_factory=dict)  # space -> (crops, dim) float32, clip by clip
    voices: Mapping[str, np.ndarray] = field(default_factory=dict)  # space -> (segments, dim) float32, clip by clip
    failure: Failure | None = None  # set where it failed by a defect, an unreadable file or the death of its worker

    @property
    def size_bytes(self) -> int:
        """The total size of its images and audio."""
        clips = self.extraction.clips
        return sum(len(crop.image) for clip in clips for crop in clip.faces) + sum(
            len(segment.audio) for clip in clips for segment in clip.voices
        )

    @cached_property
    def rows(self) -> VideoRows:
        """The rows of the source in the store."""
        clips: list[dict[str, Any]] = []
        faces: list[dict[str, Any]] = []
        voices: list[dict[str, Any]] = []
        for clip in self.extraction.clips:
            row = self._clip_row(clip)
            clips.append(row)
            id = row["clip_id"]
            for crop in clip.faces:
                key = {"face_id": face_id(id, crop.time_s), "clip_id": id}
                faces.append(key | vars(crop) | {"vectors": _row(self.faces, len(faces))})
            for segment in clip.voices:
                key = {"voice_id": voice_id(id, segment.start_s, segment.end_s), "clip_id": id}
                voices.append(key | vars(segment) | {"vectors": _row(self.voices, len(voices))})
        return VideoRows(self._video_row(), clips, faces, voices)

    @property
    def ingested(self) -> Ingested:
        """The same without media and vectors."""
        faces, voices = ([_light(row) for row in rows] for rows in (self.rows.faces, self.rows.voices))
        rows = VideoRows(self.rows.video, self.rows.clips, faces, voices)
        return Ingested(self.source, rows, replace(self.extraction, clips=()), self.failure)

    def _video_row(self) -> dict[str, Any]:
        return {
            "video_id": self.source.video_id,
            "uris": [self.source.ledger_entry],
            "state": self.extraction.state,
            "reason": storable(self.extraction.reason),
            "run_id": self.run_id,
            "config_hash": self.source.config_hash,
            "duration_s": self.extraction.duration_s,
            "funnel": self.extraction.funnel,
        }

    def _clip_row(self, clip: Clip) -> dict[str, Any]:
        labels = self.source.labels
        return {
            "clip_id": clip_id(self.source.video_id, clip.start_s, clip.box),
            "video_uri": self.source.uri,
            "start_s": clip.start_s,
            "end_s": clip.end_s,
            "box": clip.box,
            "speaking_score": clip.speaking_score,
            **{name: labels.get(name) for name in OWN_COLUMNS},
            "labels": {name: value for name, value in labels.items() if name not in OWN_COLUMNS},
        }


def failed_result(source: Source, run_id: str, failure: Failure, duration_s: float = 0.0) -> SourceResult:
    """Returns the result of a source that cannot be read or stored, or whose worker died or met a defect."""
    return SourceResult(source, run_id, Extraction("failed", failure.reason, duration_s), failure=failure)


def join_parts(parts: Sequence[SourceResult]) -> SourceResult:
    """Returns the result for one source from its parts, see `Embedder.parts`; their vectors are copied."""
    clips = tuple(clip for part in parts for clip in part.extraction.clips)
    return replace(
        parts[-1],
        extraction=replace(parts[-1].extraction, clips=clips),
        faces={space: np.concatenate([part.faces[space] for part in parts]) for space in parts[-1].faces},
        voices={space: np.concatenate([part.voices[space] for part in parts]) for space in parts[-1].voices},
    )


class Embedder:
    """Embeds batches of extractions; an actor of the ingest job, with both encoders loaded once.

    Args:
        encoders: the section `encoders` of the configuration.
        device: a torch device; by default the first GPU, or the CPU if there is none.
        clips_at_once: clips in one part of a video.
        media_at_once: crops, or segments, that are decoded in memory at once.
    """

    def __init__(
        self, encoders: EncodersConfig, device: str | None = None, clips_at_once: int = 32, media_at_once: int = 256
    ):
        self._clips_at_once, self._media_at_once = clips_at_once, media_at_once
        self.face: FaceEncoder = open_face_encoder(encoders.face, device)
        self.voice: VoiceEncoder = open_voice_encoder(encoders.voice, device)

    def parts(self, item: SourceResult) -> Iterator[SourceResult]:
        """Yields an embedded source in parts of a few clips each, so that hours of speech are never copied at once.

        The last part carries the candidates of the extraction; `join_parts` puts the parts together.
        """
        clips = item.extraction.clips
        for start in range(0, max(1, len(clips)), self._clips_at_once):
            part = replace(item.extraction, clips=clips[start : start + self._clips_at_once])
            if start + self._clips_at_once < len(clips):
                part = replace(part, candidates=())
            yield from self.embed([replace(item, extraction=part)])

    def embed(self, batch: Sequence[SourceResult]) -> list[SourceResult]:
        """Returns each source with its vectors; the crops of all are embedded together, and so are the segments."""
        crops = [[crop.image for clip in item.extraction.clips for crop in clip.faces] for item in batch]
        segments = [[segment.audio for clip in item.extraction.clips for segment in clip.voices] for item in batch]
        decode = partial(decode_speech, sample_rate_hz=self.voice.sample_rate_hz)
        faces = self._embed_each(self.face, decode_image, crops)
        voices = self._embed_each(self.voice, decode, segments)
        return [
            replace(item, faces={self.face.space: own_faces}, voices={self.voice.space: own_voices})
            for item, own_faces, own_voices in zip(batch, faces, voices, strict=True)
        ]

    def _embed_each(
        self,
        encoder: FaceEncoder | VoiceEncoder,
        decode: Callable[[bytes], np.ndarray],
        media: Sequence[Sequence[bytes]],
    ) -> list[np.ndarray]:
        """Returns the vectors of the media of each source, (media, dim) float32 each."""
        flat = [one for own in media for one in own]
        starts = range(0, max(1, len(flat)), self._media_at_once)
        pieces = (flat[start : start + self._media_at_once] for start in starts)
        vectors = np.concatenate([encoder.embed([decode(one) for one in piece]) for piece in pieces])
        return np.split(vectors, np.cumsum([len(own) for own in media])[:-1])


def _light(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("image", "audio", "vectors")}


def _row(vectors: Mapping[str, np.ndarray], index: int) -> dict[str, np.ndarray]:
    return {space: matrix[index] for space, matrix in vectors.items()}


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
