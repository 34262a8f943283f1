"""The packets of a file, read without decoding them."""

import math
from array import array
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import av
from av.error import FFmpegError
from av.stream import Disposition

from .codecs import Settings, settings_of
from .recording import Recording, Span

FALL_S = 1.0  # a smaller step back in the times is left as it is
UNREAD_BYTES, UNREAD_SHARE = 1 << 16, 0.05  # that may lie behind the last packet
NOT_MOVING = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image

Slot = tuple[str, int]  # the kind of a stream, and its number among those of its kind


@dataclass
class Packets:
    """The packets of one span in the order of reading; times in seconds, NaN where there is none."""

    span: Span
    format: str
    start_s: float
    slots: dict[int, Slot]  # by the index of the stream
    settings: dict[Slot, Settings]
    owner: array = field(default_factory=lambda: array("H"))
    dts_s: array = field(default_factory=lambda: array("d"))
    pts_s: array = field(default_factory=lambda: array("d"))
    length_s: array = field(default_factory=lambda: array("d"))
    at_bytes: array = field(default_factory=lambda: array("q"))  # -1 where it is not known
    end_bytes: int = 0
    steps: bool = False  # some time is not near the one before

    @property
    def audio_only(self) -> bool:
        """Whether there is no video."""
        return all(kind == "audio" for kind, _ in self.settings)

    @property
    def unread_bytes(self) -> int:
        """How many bytes lie behind the last packet, where these are more than an index or tags would need."""
        size = len(self.span.prefix) + self.span.end - self.span.start
        unread = size - self.end_bytes if self.end_bytes > 0 else 0
        return unread if unread > max(UNREAD_BYTES, UNREAD_SHARE * size) else 0

    def lengths_s(self) -> dict[int, float]:
        """Returns the length of the packets of each stream together; 0 where they have none."""
        lengths = dict.fromkeys(self.slots, 0.0)
        for stream, length_s in zip(self.owner, self.length_s, strict=True):
            lengths[stream] += length_s
        return lengths

    def times_s(self, stream: int) -> list[tuple[int, float]]:
        """Returns (number of the packet, time) of a stream's packets: decoding times where there are any."""
        numbers = [i for i, owner in enumerate(self.owner) if owner == stream]
        times = self.dts_s if any(not math.isnan(self.dts_s[i]) for i in numbers) else self.pts_s
        return [(i, times[i]) for i in numbers if not math.isnan(times[i])]


def read_packets(recording: Recording, span: Span) -> Packets:
    """Returns the packets of audio and video in a span."""
    with span.opened(recording) as container:
        streams = {s.index: s for s in container.streams if moves(s)}
        counts: dict[str, int] = defaultdict(int)
        slots = {}
        for index, stream in streams.items():
            slots[index] = stream.type, counts[stream.type]
            counts[stream.type] += 1
        settings = {slots[i]: settings_of(s) for i, s in streams.items()}
        found = Packets(span, container.format.name, (container.start_time or 0) / av.time_base, slots, settings)
        bases = {i: float(s.time_base) for i, s in streams.items()}
        last_s: dict[int, float] = {}
        first_s = math.inf
        recording.progress.start()
        for packet in demuxed(container):
            index = packet.stream_index
            if index not in slots:
                continue
            base, dts, pts = bases[index], packet.dts, packet.pts
            time_s = base * (dts if dts is not None else pts) if dts is not None or pts is not None else math.nan
            found.owner.append(index)
            found.dts_s.append(math.nan if dts is None else base * dts)
            found.pts_s.append(math.nan if pts is None else base * pts)
            found.length_s.append(base * (packet.duration or 0))
            at = -1 if packet.pos is None else packet.pos
            found.at_bytes.append(at)
            found.end_bytes = max(found.end_bytes, at + packet.size)
            recording.progress(at if at >= 0 else len(found.owner))
            if time_s == time_s:
                if not -FALL_S <= time_s - last_s.get(index, time_s) <= recording.gap_s:
                    found.steps = True
                elif time_s - first_s > recording.most_s:
                    found.end_bytes = span.end
                    break
                last_s[index] = time_s
                first_s = min(first_s, time_s)
        return found


def demuxed(container: Any) -> Iterator[Any]:
    """Yields the packets of a container that can be read; ffmpeg ends at an error too."""
    try:
        yield from (packet for packet in container.demux() if packet.size)
    except (FFmpegError, ValueError, IndexError):
        return  # of PyAV, an IndexError at the end where streams appeared while reading


def moves(stream: Any) -> bool:
    """Returns whether a stream of a container is audio or video, and no still image."""
    return (
        stream.type in ("video", "audio")
        and stream.codec_context is not None
        and not (stream.type == "video" and stream.disposition & NOT_MOVING)
    )
