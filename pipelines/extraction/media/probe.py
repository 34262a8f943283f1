"""What a file holds, read from its headers with PyAV in a child process (see `headers`).

`ffmpeg.probe` would want an ffprobe, which imageio-ffmpeg does not ship.

The clock: second 0 is the file's earliest timestamp, as players and `ffmpeg -ss` count. Both streams keep their
place on it, so one that starts late is not moved to the front.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.extraction.config import MediaConfig
from pipelines.extraction.media.header_reader import MediaError, read_headers
from pipelines.extraction.media.languages import same_language

__all__ = ["MediaError", "Probe", "probe_media"]

# The first bytes of text that names other files.
PLAYLISTS = {b"#EXTM3U": "HLS playlist", b"ffconcat": "ffconcat list", b"<?xml": "XML file (a DASH manifest?)"}


@dataclass(frozen=True)
class Probe:
    """The streams of a file. Of several videos, the one that the container calls its default, else the first."""

    format: str  # ffmpeg's name of the container
    duration_s: float  # of the pictures, as declared; 0 where the file does not say
    video_index: int | None  # index among all streams; None: there is none
    video_start_s: float
    side_px: float  # the longer side of its pictures as shown
    audio_index: int | None
    audio_start_s: float
    transfer: str  # "pq" or "hlg" where the pictures are HDR, else ""
    interlaced: bool
    channels: int
    layout: str  # of the channels, as "stereo" or "5.1(side)"; "9 channels" where nobody knows what they are


def probe_media(path: str | Path, config: MediaConfig) -> Probe:
    """Returns what the headers of a file say.

    Raises:
        MediaError: there is no such file, no container that ffmpeg knows, one that only names other files, no such
            audio stream as `config.audio` asks for, or larger pictures than `config.max_picture_mpx`.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise MediaError("a folder, not a file" if stat.S_ISDIR(status.st_mode) else "not a regular file")
        if status.st_size == 0:
            raise MediaError("the file is empty (0 bytes)")
        with open(path, "rb") as file:
            head = file.read(8)
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror or error})") from None
    found = read_headers(str(Path(path).absolute()), config)
    if "error" in found:
        playlist = next((name for start, name in PLAYLISTS.items() if head.startswith(start)), None)
        if playlist or found["refused"]:
            raise MediaError(f"no video itself but a {playlist or 'list'}, which names other files")
        raise MediaError(f"not a readable video ({found['error']}, {status.st_size} bytes)")
    return _probe(found, config)


def _probe(found: dict[str, Any], config: MediaConfig) -> Probe:
    streams = found["streams"]
    if not streams:
        raise MediaError(f"neither pictures nor sound in it (format {found['format']})")
    video = _choose([s for s in streams if s["kind"] == "video" and not s.get("cover")])
    audio = _choose_audio([s for s in streams if s["kind"] == "audio"], config.audio)
    for stream in (video, audio):
        if stream and not stream["decodable"]:
            raise MediaError(f"the {stream['kind']} cannot be decoded (codec {stream['codec']})")
    if video and (mpx := video["width_px"] * video["height_px"] / 1e6) > config.max_picture_mpx:
        size = f"{video['width_px']}x{video['height_px']}"
        raise MediaError(
            f"pictures of {size} ({mpx:.0f} megapixels), more than {config.max_picture_mpx:g} (media.max_picture_mpx)"
        )
    video_start_s = _start_s(video, found["start_s"])
    # The pictures' own length, where it is told: the sound may be longer.
    own_s = video_start_s + video["duration_s"] if video and video["duration_s"] > 0 else 0.0
    return Probe(
        format=found["format"],
        duration_s=own_s or max(found["duration_s"], 0.0),
        video_index=video["index"] if video else None,
        video_start_s=video_start_s,
        side_px=max(video["width_px"] * video["pixel_aspect"], video["height_px"]) if video else 0.0,
        audio_index=audio["index"] if audio else None,
        audio_start_s=_start_s(audio, found["start_s"]),
        transfer=video["transfer"] if video else "",
        interlaced=bool(video and video["interlaced"]),
        channels=audio["channels"] if audio else 0,
        layout=audio["layout"] if audio else "",
    )


def _choose(streams: list[dict[str, Any]]) -> dict[str, Any] | None:
    usable = [s for s in streams if s["decodable"]]
    default = [s for s in usable if s["default"]]
    return next(iter(default + usable + streams), None)


def _choose_audio(streams: list[dict[str, Any]], wanted: str) -> dict[str, Any] | None:
    if not wanted or not streams:
        return _choose(streams)
    if wanted.isdecimal():
        chosen = streams[int(wanted) : int(wanted) + 1]
    else:
        chosen = [s for s in streams if same_language(s["language"], wanted)]
    if not chosen:
        listed = ", ".join(f"{i}: {s['language'] or 'no language'}" for i, s in enumerate(streams))
        raise MediaError(f"no audio stream '{wanted}' (media.audio); found {listed}")
    return _choose(chosen)


def _start_s(stream: dict[str, Any] | None, container_start_s: float) -> float:
    if stream is None or stream["start_s"] is None:
        return 0.0
    return max(0.0, stream["start_s"] - container_start_s)
