"""What a file holds, read from its headers with PyAV.

`ffmpeg.probe` would want an ffprobe, which imageio-ffmpeg does not ship.

The clock: second 0 is the file's earliest timestamp, as players and `ffmpeg -ss` count. Both streams keep their
place on it, so one that starts late is not moved to the front.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import av

from pipelines.extraction.config import MediaConfig


class MediaError(Exception):
    """A file cannot be decoded, or not any further. One line that says what was found."""


@dataclass(frozen=True)
class Probe:
    """The streams of a file. Of several, the one that the container calls its default, else the first."""

    duration_s: float  # as declared; 0 where the file does not say
    video_index: int | None  # index among all streams; None: there is none
    video_start_s: float
    audio_index: int | None
    audio_start_s: float


def probe_media(path: str | Path, config: MediaConfig) -> Probe:
    """Returns what the headers of a file say.

    Raises:
        MediaError: there is no such file, or no container that ffmpeg knows.
    """
    try:
        size = os.stat(path).st_size
        if size == 0:
            raise MediaError("the file is empty (0 bytes)")
        with av.open(str(Path(path).absolute()), timeout=(config.open_limit_s, config.open_limit_s)) as container:
            return _streams(container)
    except av.FFmpegError as error:
        raise MediaError(f"not a readable video ({error.strerror or type(error).__name__}, {size} bytes)") from None
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror or error})") from None


def _streams(container: av.container.InputContainer) -> Probe:
    start_s = (container.start_time or 0) / av.time_base
    video = _choose([s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic])
    audio = _choose([s for s in container.streams.audio if s.codec_context is not None and s.rate])
    lengths = [float(s.duration * s.time_base) for s in (video, audio) if s and s.duration]
    declared_s = container.duration / av.time_base if container.duration else max(lengths, default=0.0)
    return Probe(
        duration_s=max(declared_s, 0.0),
        video_index=video.index if video else None,
        video_start_s=_start_s(video, start_s),
        audio_index=audio.index if audio else None,
        audio_start_s=_start_s(audio, start_s),
    )


def _choose(streams: list[av.stream.Stream]) -> av.stream.Stream | None:
    default = [s for s in streams if s.disposition & av.stream.Disposition.default]
    return next(iter(default + streams), None)


def _start_s(stream: av.stream.Stream | None, container_start_s: float) -> float:
    if stream is None or stream.start_time is None:
        return 0.0
    return max(0.0, float(stream.start_time * stream.time_base) - container_start_s)
