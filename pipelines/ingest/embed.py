"""From extractions to rows of the store: embeds face crops and speech segments, and gives each row its id.

A clip stays a `Clip` with its `FaceCrop`s and `SpeechSegment`s from extraction to the commit. Embedding adds a vector
for each crop and segment, and only the commit turns them into rows.

Where GPUs embed, an actor must not spend its time on JPEG and FLAC: the extraction tasks decode and prepare the media
(`Preparation`), and embed with the encoders that gain nothing from a GPU.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, cast

import cv2
import numpy as np

from pipelines.cluster.failures import Failure
from pipelines.config import EncodersConfig
from pipelines.extraction.types import Clip, Extraction
from pipelines.files.addresses import storable
from pipelines.ingest.sources.source import Source
from pipelines.progress import say
from stores import VideoRows, clip_id, face_id, voice_id
from stores.schema import EMBEDDED, VIDEO_TABLES
from vclip.audio import prepare_speech, read_audio
from vclip.encoders import (
    FaceEncoder,
    Prepares,
    VoiceEncoder,
    licence_of,
    open_face_encoder,
    open_voice_encoder,
)
from vclip.encoders.batches import Batches

CLIPS_AT_ONCE = 32
PREPARED_AT_ONCE = 1024  # several batches of an encoder, so that a GPU computes one while the CPU stacks the next
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
    # table -> what `Preparation` made of each crop or segment; empty once they are embedded
    prepared: Mapping[str, Sequence[np.ndarray]] = field(default_factory=dict)
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
            **vars(clip.measures),
            **{name: labels.get(name) for name in OWN_COLUMNS},
            "labels": {name: value for name, value in labels.items() if name not in OWN_COLUMNS},
        }


def failed_result(source: Source, run_id: str, failure: Failure, duration_s: float = 0.0) -> SourceResult:
    """Returns the result of a source that cannot be read or stored, or whose worker died or met a defect."""
    return SourceResult(source, run_id, Extraction("failed", failure.reason, duration_s), failure=failure)


def joined(parts: Sequence[Ingested]) -> Ingested:
    """Returns one source from its parts, see `parts_of`."""
    clips, faces, voices = ([row for part in parts for row in getattr(part.rows, name)] for name in VIDEO_TABLES)
    return replace(parts[-1], rows=VideoRows(parts[-1].rows.video, clips, faces, voices))


def parts_of(item: SourceResult, clips_at_once: int = CLIPS_AT_ONCE) -> Iterator[SourceResult]:
    """Yields a source in parts of a few clips each, so that hours of speech are never copied at once.

    The last part carries the candidates of the extraction.
    """
    clips = item.extraction.clips
    for start in range(0, max(1, len(clips)), clips_at_once):
        part = replace(item.extraction, clips=clips[start : start + clips_at_once])
        if start + clips_at_once < len(clips):
            part = replace(part, candidates=())
        yield replace(item, extraction=part)


def count_parts(item: SourceResult, clips_at_once: int = CLIPS_AT_ONCE) -> int:
    """Returns how many parts `parts_of` makes of a source."""
    return max(1, math.ceil(len(item.extraction.clips) / clips_at_once))


def media_of(item: SourceResult, table: str) -> list[bytes]:
    """Returns the images or the audio of a source, clip by clip, for the table `faces` or `voices`."""
    clips = item.extraction.clips
    if table == "faces":
        return [crop.image for clip in clips for crop in clip.faces]
    return [segment.audio for clip in clips for segment in clip.voices]


def decoder_of(table: str, encoder: FaceEncoder | VoiceEncoder) -> Callable[[bytes], np.ndarray]:
    """Returns the function that decodes a medium of a table for an encoder; it can be pickled."""
    if table == "faces":
        return decode_image
    return partial(decode_speech, sample_rate_hz=cast(VoiceEncoder, encoder).sample_rate_hz)


class Preparation:
    """Decodes and prepares media for encoders in another process; it can be pickled and holds no weights.

    Args:
        encoders: table -> the encoder.
    """

    def __init__(self, encoders: Mapping[str, FaceEncoder | VoiceEncoder]):
        self._decode = {table: decoder_of(table, encoder) for table, encoder in encoders.items()}
        self._prepare = {
            table: encoder.prepare for table, encoder in encoders.items() if isinstance(encoder, Prepares)
        }

    def __call__(self, item: SourceResult) -> SourceResult:
        """Returns a source with its prepared media.

        Raises:
            InputError: a segment is silent, or a file cannot be read.
        """
        return replace(
            item, prepared={table: [self.of(one, table) for one in media_of(item, table)] for table in self._decode}
        )

    def of(self, medium: bytes, table: str) -> np.ndarray:
        """Returns one prepared medium of a table."""
        decoded = self._decode[table](medium)
        return self._prepare[table](decoded) if table in self._prepare else decoded


class Embedder:
    """Embeds batches of extractions, with its encoders loaded once.

    Args:
        encoders: the section `encoders` of the configuration.
        device: a torch device; None for a GPU if there is one.
        clips_at_once: clips in one part of a video.
        media_at_once: crops, or segments, that are decoded in memory at once.
        tables: `faces`, `voices` or both; the others keep the vectors that they have.
    """

    def __init__(
        self,
        encoders: EncodersConfig,
        device: str | None = None,
        clips_at_once: int = CLIPS_AT_ONCE,
        media_at_once: int = 32,
        tables: Collection[str] = EMBEDDED,
    ):
        self._clips_at_once, self._media_at_once = clips_at_once, media_at_once
        self.encoders = open_encoders(encoders, device, tables)
        self.preparation = Preparation(self.encoders)
        self._batches = {table: batches_of(encoder) for table, encoder in self.encoders.items()}

    def parts(self, item: SourceResult) -> Iterator[SourceResult]:
        """Yields an embedded source in parts, see `parts_of`."""
        for part in parts_of(item, self._clips_at_once):
            yield from self.embed([part])

    def embed(self, batch: Sequence[SourceResult]) -> list[SourceResult]:
        """Returns each source with its vectors; the crops of all are embedded together, and so are the segments."""
        vectors = {table: self._vectors(batch, table) for table in self.encoders}
        return [
            replace(item, prepared={}, **{table: vectors[table][number] for table in vectors})
            for number, item in enumerate(batch)
        ]

    def _vectors(self, batch: Sequence[SourceResult], table: str) -> list[dict[str, np.ndarray]]:
        """Returns the vectors of one table of each source, by their space."""
        media = [item.prepared.get(table) or media_of(item, table) for item in batch]
        flat = [one for own in media for one in own]
        size = self._media_at_once if any(isinstance(one, bytes) for one in flat) else max(1, len(flat))
        pieces = (flat[start : start + size] for start in range(0, max(1, len(flat)), size))
        vectors = np.concatenate([self._batches[table](self._prepared(piece, table)) for piece in pieces])
        own = np.split(vectors, np.cumsum([len(of_one) for of_one in media])[:-1])
        return [{self.encoders[table].space: matrix} for matrix in own]

    def _prepared(self, media: Sequence[Any], table: str) -> list[np.ndarray]:
        return [one if isinstance(one, np.ndarray) else self.preparation.of(one, table) for one in media]


def batches_of(encoder: FaceEncoder | VoiceEncoder) -> Batches:
    """Returns what embeds prepared media, see `Preparation`, in batches."""
    return Batches(encoder.embed_prepared if isinstance(encoder, Prepares) else encoder.embed, PREPARED_AT_ONCE)


def open_encoders(
    config: EncodersConfig, device: str | None, tables: Collection[str] = EMBEDDED
) -> dict[str, FaceEncoder | VoiceEncoder]:
    """Returns the encoder of each table.

    Raises:
        InputError: a package, weights or the device are missing.
    """
    opened: dict[str, FaceEncoder | VoiceEncoder] = {}
    if "faces" in tables:
        opened["faces"] = open_face_encoder(config.face, device)
    if "voices" in tables:
        opened["voices"] = open_voice_encoder(config.voice, device)
    return opened


def say_licence(table: str, encoder: FaceEncoder | VoiceEncoder) -> None:
    """Reports the licence of an encoder's weights, where the encoder says it."""
    if licence := licence_of(encoder):
        say(f"{table}: licence of {encoder.space}: {licence}")


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
