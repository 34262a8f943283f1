"""A file whose packets are on one clock, whatever the recording was joined of.

Most often this is the recording itself. Where the times of its packets begin anew, `joined` writes the parts into one
temporary file, which is read instead.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.extraction.config import MediaConfig
from pipelines.extraction.video.probe import (
    MediaError,
    MediaProbe,
    SharedReader,
    probe_media,
    probe_of,
    read_headers,
)

# ffmpeg mends the times of these itself, or takes them from the order of the packets.
MENDED = {"mpegtsraw", "mpegvideo", "dv"}
# Where files are joined in these, the first may be readable and all of them not.
BY_PARTS = {"mpegts", "mpeg", "mxf"}
# What the headers say of a stream and a temporary file may not.
KEPT = ("default", "language", "title", "transfer", "interlaced", "pixel_aspect")

_joins = SharedReader(Path(__file__).with_name("joined"))


@dataclass(frozen=True)
class OneClock:
    """A recording whose packets are on one clock."""

    path: Path  # the file to read
    probe: MediaProbe
    note: str  # what of it was left out, and why; empty where nothing was
    lengths_s: Mapping[int, float]  # of the packets of each stream of a recording that is read as it is, where known


@contextmanager
def open_on_one_clock(path: str | Path, config: MediaConfig) -> Iterator[OneClock]:
    """Opens a recording; a context manager. The file to read is there until it ends.

    Raises:
        MediaError: as `probe_media`, or there is no room to put the parts of the recording together.
    """
    name_of_format, probe = _probed(path, config)
    if isinstance(probe, MediaProbe) and probe.format in MENDED:
        yield OneClock(Path(path), probe, "", {})
        return
    with _temporary() as name:
        found, note = _look(path, name_of_format, name, config)
        if found.get("written"):
            yield OneClock(Path(name), _probe_again(path, name, config), note, {})
        elif isinstance(probe, MediaError):
            raise probe
        else:
            lengths_s = {int(stream): length_s for stream, length_s in found.get("lengths_s", {}).items()}
            yield OneClock(Path(path), probe, note, lengths_s)


def _probed(path: str | Path, config: MediaConfig) -> tuple[str, MediaProbe | MediaError]:
    """Returns the format of a recording and its streams, or why only its parts may be readable."""
    try:
        probe = probe_media(path, config)
        return probe.format, probe
    except MediaError as error:
        if error.format not in BY_PARTS:
            raise
        return error.format, error


def _look(path: str | Path, name_of_format: str, into: str, config: MediaConfig) -> tuple[dict[str, Any], str]:
    """Returns the answer of `look`, and a note where there is none."""
    request = {
        "path": str(Path(path).absolute()),
        "format": name_of_format,
        "gap_s": config.max_gap_s,
        "most_s": config.max_duration_s,
        "into": into,
    }
    most_bytes = 2 * os.path.getsize(path) + (64 << 20)
    try:
        found = _joins.ask(request, config, "its packets", most_bytes)
    except MediaError as error:
        # Most likely nothing is joined; decoding has limits of its own.
        return {}, f"not searched for times that begin anew: {error}"
    if "error" in found:
        folder = tempfile.gettempdir()
        raise MediaError(f"its times begin anew, and its parts could not be joined in {folder} ({found['error']})")
    where = "times begin anew" if found["written"] else "it ends"
    return found, found.get("note", "") or _left_out(found.get("left_out", ()), where)


def _probe_again(path: str | Path, name: str, config: MediaConfig) -> MediaProbe:
    before, now = read_headers(str(Path(path).absolute()), config), read_headers(name, config)
    if "error" in now:
        raise MediaError(f"its times begin anew, and its joined parts are not readable ({now['error']})")
    for kind in ("video", "audio"):
        streams = [
            [one for one in found.get("streams", ()) if one["kind"] == kind and not one.get("cover")]
            for found in (before, now)
        ]
        for old, new in zip(*streams, strict=False):
            new.update({key: old[key] for key in KEPT if key in old})
    return probe_of(now, config)


def _left_out(parts: Sequence[dict[str, Any]], where: str) -> str:
    """Returns what a user should know of parts that were left out."""
    if not parts:
        return ""
    found = []
    for why in dict.fromkeys(part["why"] for part in parts):
        same = [part for part in parts if part["why"] == why]
        length_s, length_bytes = sum(part["seconds"] for part in same), sum(part["bytes"] for part in same)
        length = _seconds(length_s) if length_s else _size(length_bytes)
        found.append(f"{length} after that were left out: {why}")
    return f"{where} at {_seconds(parts[0]['at_s'])}; " + "; ".join(found)


def _seconds(time_s: float) -> str:
    return f"{time_s:.3g} s" if time_s < 100 else f"{time_s:,.0f} s"


def _size(count: int) -> str:
    return f"{count} bytes" if count < 1000 else f"{count / 1e3:.3g} kB" if count < 1e6 else f"{count / 1e6:,.4g} MB"


@contextmanager
def _temporary() -> Iterator[str]:
    """Opens a temporary file that ends with the worker, under the name by which children find it."""
    with tempfile.TemporaryFile(prefix="vclip-joined-") as file:
        name = f"/proc/{os.getpid()}/fd/{file.fileno()}"
        if os.path.exists(name):
            yield name
            return
    with tempfile.NamedTemporaryFile(prefix="vclip-joined-") as named:
        yield named.name
