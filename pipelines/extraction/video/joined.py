"""A child process that finds where the times of a recording begin anew, and puts its parts on one clock.

Recordings are joined by writing one file behind the other, or by an encoder that starts again. ffmpeg mends the times
of some containers (MPEG-TS, MPEG-PS); of others it ends at the join, or reads on and throws the later audio away.
Here all packets are read, without decoding them. Where that shows a join, the parts are written one after the other
into one Matroska file, each with one offset for all of its streams, so that audio and frames stay together.

Like `headers`, this runs apart from the worker and under limits, and imports PyAV and nothing of the project. One
JSON line in; lines with `at` while it works, then the answer, see `look`.
"""

import errno
import io
import json
import math
import os
import re
import sys
import time
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import av
from av.error import FFmpegError
from av.stream import Disposition

FALL_S = 1.0  # a smaller step back is left as it is
PAUSE_S = 10.0  # a longer pause between two parts is closed; ffmpeg does so in MPEG-TS
LAG_S = 1.5  # packets of one stream lie at most this far behind those of another around a join
BUFFER_BYTES = 1 << 20
SEARCH_BYTES = 1 << 24
MICROSECOND = Fraction(1, 1_000_000)
LEAST_STEP, MOST_REORDERED = 1000, 1_000_000  # microseconds
CONTAINERS = ("matroska", "asf", "flv", "nut")  # of the joined file: the first that takes its codecs
JOINABLE = "flv,matroska,nut,ogg,asf,mov"  # may follow a file of any format
NOT_MOVING = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image

FLV_HEADER = b"FLV\1\5\0\0\0\x09\0\0\0\0"
LONGEST_HEADER = 128
MOST_PARTS = 1000
OGG_FIRST = b"OggS\0\2"  # the first page of a stream
# How files of a kind begin: bytes to look for, and what must be there.
HEADERS = {
    b"FLV\1": re.compile(rb"FLV\x01[\x00\x01\x04\x05]\x00\x00\x00\x09\x00\x00\x00\x00"),
    b"\x1aE\xdf\xa3": re.compile(rb"\x1aE\xdf\xa3.{1,80}?\x42\x82.{1,8}?(?:webm|matroska)", re.DOTALL),
    OGG_FIRST: re.compile(rb"OggS\x00\x02\x00{8}"),
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c": None,  # ASF
    b"nut/multimedia container\0": None,
}
LIKE_THE_FIRST_BYTES = 16  # of any other kind: as this file begins
# Codecs whose key frames tell a decoder all, so that each part may have its own settings; and those where what a
# decoder must know can be written before each key frame.
SELF_CONTAINED = {"vp8", "vp9", "av1", "mpeg1video", "mpeg2video", "mjpeg", "flv"}
BEFORE_KEY_FRAMES = {"h264", "hevc", "mpeg4"}


class Unfit(Exception):
    """The codecs do not fit into one file."""


class Slice(io.RawIOBase):
    """A part of a file, behind `prefix`, as a file of its own."""

    def __init__(self, path: str, start: int, end: int, prefix: bytes) -> None:
        self._file = open(path, "rb")  # noqa: SIM115
        self._start, self._size, self._prefix, self._at = start, end - start + len(prefix), prefix, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = max(0, min(len(buffer), self._size - self._at))
        if self._at < len(self._prefix):
            data = self._prefix[self._at : self._at + count]
        else:
            self._file.seek(self._start + self._at - len(self._prefix))
            data = self._file.read(count)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        target = offset + {io.SEEK_CUR: self._at, io.SEEK_END: self._size}.get(whence, 0)
        self._at = max(0, min(target, self._size))  # damaged files ask for other places too
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        self._file.close()
        super().close()


@dataclass(frozen=True)
class Span:
    """Where a part lies in the file, in bytes."""

    start: int
    end: int
    format: str
    prefix: bytes = b""
    whole: bool = False

    @contextmanager
    def opened(self, path: str) -> Iterator[Any]:
        """Opens the part as a container of PyAV."""
        source: Any = f"file:{path}" if self.whole else Slice(path, self.start, self.end, self.prefix)
        options = {"format_whitelist": f"{JOINABLE},{self.format}", "protocol_whitelist": "file"}
        try:
            with av.open(source, options=options, metadata_errors="replace", buffer_size=BUFFER_BYTES) as container:
                yield container
        finally:
            if not self.whole:
                source.close()


class Progress:
    """Tells the parent every second that reading came further, but only where it did."""

    def __init__(self) -> None:
        self._most, self._told_s = 0, time.monotonic()

    def start(self) -> None:
        """Begins another pass over the file."""
        self._most = 0

    def __call__(self, done: int) -> None:
        if done > self._most and (now_s := time.monotonic()) > self._told_s + 1:
            self._most, self._told_s = done, now_s
            print(json.dumps({"at": done}), flush=True)


@dataclass(frozen=True)
class Settings:
    """What must be the same in all parts, of one stream."""

    kind: str
    codec: str
    width_px: int = 0
    height_px: int = 0
    rate_hz: int = 0
    layout: str = ""
    profile: str = ""
    extradata: bytes = b""


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

    def times_s(self, stream: int) -> list[tuple[int, float]]:
        """Returns (number of the packet, time) of a stream's packets: decoding times where there are any."""
        numbers = [i for i, owner in enumerate(self.owner) if owner == stream]
        times = self.dts_s if any(not math.isnan(self.dts_s[i]) for i in numbers) else self.pts_s
        return [(i, times[i]) for i in numbers if not math.isnan(times[i])]


def read_packets(path: str, span: Span, limits: tuple[float, float], progress: Progress) -> Packets:
    """Returns the packets of audio and video.

    Args:
        limits: the longest gap in the times and the longest recording, in seconds.
    """
    gap_s, most_s = limits
    with span.opened(path) as container:
        streams = {s.index: s for s in container.streams if _moves(s)}
        counts: dict[str, int] = defaultdict(int)
        slots = {}
        for index, stream in streams.items():
            slots[index] = stream.type, counts[stream.type]
            counts[stream.type] += 1
        settings = {slots[i]: _settings(s) for i, s in streams.items()}
        found = Packets(span, container.format.name, (container.start_time or 0) / av.time_base, slots, settings)
        bases = {i: float(s.time_base) for i, s in streams.items()}
        last_s: dict[int, float] = {}
        first_s = math.inf
        progress.start()
        for packet in _demuxed(container):
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
            progress(at if at >= 0 else len(found.owner))
            if time_s == time_s:
                if not -FALL_S <= time_s - last_s.get(index, time_s) <= gap_s:
                    found.steps = True
                elif time_s - first_s > most_s:
                    found.end_bytes = span.end
                    break
                last_s[index] = time_s
                first_s = min(first_s, time_s)
        return found


def _demuxed(container: Any) -> Iterator[Any]:
    """Yields the packets that can be read; ffmpeg ends at an error too."""
    try:
        yield from (packet for packet in container.demux() if packet.size)
    except (FFmpegError, ValueError, IndexError):
        return  # of PyAV, an IndexError at the end where streams appeared while reading


def _moves(stream: Any) -> bool:
    return (
        stream.type in ("video", "audio")
        and stream.codec_context is not None
        and not (stream.type == "video" and stream.disposition & NOT_MOVING)
    )


def _settings(stream: Any) -> Settings:
    codec = stream.codec_context
    extradata = bytes(codec.extradata or b"")
    if stream.type == "video":
        return Settings("video", codec.name, codec.width, codec.height, extradata=extradata)
    profile = str(codec.profile or "")
    layout = codec.layout.name if codec.channels else ""
    return Settings("audio", codec.name, 0, 0, codec.sample_rate, layout, profile, extradata)


@dataclass
class Clock:
    """A run of packets whose times belong together: of all streams, or of one whose times alone began anew."""

    first: int  # number of its first packet
    stream: int | None = None
    start_s: float = math.inf
    end_s: float = -math.inf
    ends_s: dict[Slot, float] = field(default_factory=dict)
    first_dts_s: dict[Slot, float] = field(default_factory=dict)
    last_dts_s: dict[Slot, float] = field(default_factory=dict)
    beside: tuple[int, float] | None = None  # clock and time of another stream's packet just before the first
    offset_s: float = 0.0


@dataclass
class Part:
    """A span with its clocks. `switches`: for each stream, the packets from which on it follows another clock."""

    packets: Packets
    clocks: list[Clock]
    switches: dict[int, list[tuple[int, int]]]

    def clock_of(self) -> Iterator[int]:
        """Yields the clock of each packet."""
        now, ahead = dict.fromkeys(self.packets.slots, 0), {s: list(found) for s, found in self.switches.items()}
        for number, stream in enumerate(self.packets.owner):
            while ahead.get(stream) and ahead[stream][0][0] <= number:
                now[stream] = ahead[stream].pop(0)[1]
            yield now[stream]


@dataclass(frozen=True)
class Step:
    """The times of a stream go on from another one."""

    number: int  # of the packet
    stream: int
    old_s: float
    new_s: float


def steps_of(times: list[tuple[int, float]], stream: int, gap_s: float) -> Iterator[Step]:
    """Yields the steps in the times of a stream. One time that the next does not bear out is damage, no step."""
    if not times:
        return
    last_s, odd = times[0][1], None
    aside: Step | None = None  # a step after which times may come back to where they had been without it
    for number, time_s in times[1:]:
        if abs(time_s - last_s) <= FALL_S:
            last_s, odd = time_s, None
            continue
        if odd is None or not -FALL_S <= time_s - odd[1] <= gap_s:
            odd = number, time_s
            continue
        step = Step(odd[0], stream, last_s, odd[1])
        back = aside is not None and abs(aside.old_s + last_s - aside.new_s - step.new_s) <= FALL_S
        large = not -FALL_S <= step.new_s - last_s <= gap_s
        if back and aside and 0 < aside.new_s - aside.old_s <= gap_s:
            yield aside
        if back or large:
            yield step
        aside = None if back else step
        last_s, odd = (time_s, None) if abs(time_s - odd[1]) <= FALL_S else (odd[1], (number, time_s))


def part_of(packets: Packets, gap_s: float) -> Part:
    """Returns the packets with their clocks."""
    clocks, switches = [Clock(0)], defaultdict(list)
    if not packets.steps:
        return Part(packets, clocks, {})
    times = {stream: packets.times_s(stream) for stream in packets.slots}
    steps = sorted(
        (step for stream, found in times.items() for step in steps_of(found, stream, gap_s)),
        key=lambda step: step.number,
    )
    while steps:
        step = steps[0]
        group, others_go_on = _group(step, steps, times)
        steps = [one for one in steps if one.stream not in group or one.number > group[one.stream]]
        if others_go_on and step.new_s > step.old_s:
            continue  # a gap in one stream
        alone = others_go_on
        for stream, number in group.items():
            if alone or stream == step.stream:
                clocks.append(Clock(number if alone else min(group.values()), stream if alone else None))
            switches[stream].append((number, len(clocks) - 1))
        if not alone:
            for stream in packets.slots:
                if stream not in group:
                    switches[stream].append((clocks[-1].first, len(clocks) - 1))
    return Part(packets, clocks, switches)


def _group(step: Step, steps: list[Step], times: dict[int, list[tuple[int, float]]]) -> tuple[dict[int, int], bool]:
    """Returns the streams that begin anew with this one, each with its first packet, and whether another goes on."""
    group, others_go_on = {step.stream: step.number}, False
    own_times = times[step.stream]
    # Packets of other streams may come before this one, but not before the last one of the part before.
    latest = own_times[bisect_left(own_times, (step.number, -math.inf)) - 1][0]
    for stream, found in times.items():
        if stream == step.stream:
            continue
        at = bisect_left(found, (step.number, -math.inf))
        before_s = found[at - 1][1] if at else None
        own = next((one for one in steps if one.stream == stream), None)
        if own is not None and (before_s is None or own.old_s - before_s <= LAG_S):
            group[stream] = own.number
            continue
        later = found[bisect_left(found, (latest, math.inf)) :]
        anew = [number for number, time_s in later if abs(time_s - step.new_s) < abs(time_s - step.old_s)]
        if anew and (anew[0] <= step.number or anew[0] == found[at][0]):
            group[stream] = anew[0]
        elif at < len(found) and before_s is not None:
            others_go_on = True
    return group, others_go_on


def headers_in(path: str, start: int, end: int, alike: bool, progress: Progress) -> list[int]:
    """Returns where in a part of a file another file begins; `alike`: one of any kind that begins as this one."""
    kinds, found = dict(HEADERS), []
    progress.start()
    with open(path, "rb") as file:
        first = file.read(LIKE_THE_FIRST_BYTES)
        if alike and not any(first.startswith(begin) for begin in HEADERS):
            kinds[first] = None
        for at in range(start, end, SEARCH_BYTES):
            progress(at)
            file.seek(at)
            data = file.read(min(end - at, SEARCH_BYTES + LONGEST_HEADER))
            for begin, pattern in kinds.items():
                place = data.find(begin)
                while 0 <= place < SEARCH_BYTES:
                    if pattern is None or pattern.match(data, place):
                        found.append(at + place)
                    place = data.find(begin, place + 1)
        # Ogg begins with one such page for each stream.
        lengths = {at: _ogg_page_bytes(_bytes(file, at, 282)) for at in found}
    follows = {at + length for at, length in lengths.items() if length}
    return sorted(set(found) - follows)


def _ogg_page_bytes(page: bytes) -> int:
    """Returns the length of a page that begins a stream; 0 where it is none."""
    return 27 + page[26] + sum(page[27 : 27 + page[26]]) if page.startswith(OGG_FIRST) and len(page) > 26 else 0


def _bytes(file: Any, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)


def boxes(path: str, size: int) -> Iterator[tuple[bytes, int]]:
    """Yields (name, start) of the outermost boxes of an MP4 file."""
    with open(path, "rb") as file:
        at = 0
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            yield head[4:8], at
            if length < 8:
                return  # to the end of the file, or damaged
            at += length


def parts_in(
    path: str, size: int, format_name: str, limits: tuple[float, float], progress: Progress
) -> list[Packets]:
    """Returns the packets of the file, in more than one span where other files begin in it."""
    starts, whole = [0], None
    if format_name == "mov":
        names = list(boxes(path, size))
        starts = [at for name, at in names if name == b"ftyp"]
        if any(name == b"moof" for name, _ in names):
            whole = read_packets(path, Span(0, size, format_name, whole=True), limits, progress)
            if not whole.steps and (len(starts) < 2 or whole.end_bytes > starts[-1]):
                return [whole]
        elif len(starts) < 2:
            return []  # the times are in one table
    if len(starts) < 2:
        whole = whole or read_packets(path, Span(0, size, format_name, whole=True), limits, progress)
        # Behind a join the demuxer reads on or not.
        if whole.steps or headers_in(path, whole.end_bytes, size, True, progress):
            starts = [0, *(at for at in headers_in(path, 0, size, not whole.steps, progress) if at)]
    if len(starts) < 2:
        return _flv_parts(path, whole, limits, progress) if whole else []
    found: list[Packets] = []
    unread: Span | None = None
    starts = [0, *starts[1:MOST_PARTS]]
    for start, end in zip(starts, [*starts[1:], size], strict=True):
        span = Span(start if unread is None else unread.start, end, format_name)
        try:
            packets = read_packets(path, replace(span, start=start), limits, progress)
        except (FFmpegError, OSError, ValueError):
            packets = Packets(span, "", 0.0, {}, {})
        if not packets.owner:
            unread = span
            continue
        found += _unread(path, unread, found, limits, progress)
        found.append(packets)
        unread = None
    found += _unread(path, unread, found, limits, progress)
    return [one for packets in found for one in _flv_parts(path, packets, limits, progress)]


def _unread(
    path: str, span: Span | None, found: list[Packets], limits: tuple[float, float], progress: Progress
) -> list[Packets]:
    """Returns what could not be opened as an empty part; nothing where the part before goes on in it."""
    if span is None:
        return []
    if found:
        longer = read_packets(path, replace(found[-1].span, end=span.end), limits, progress)
        if len(longer.owner) > len(found[-1].owner):
            found[-1] = longer
            return []
    return [Packets(span, "", 0.0, {}, {})]


def _flv_parts(path: str, packets: Packets, limits: tuple[float, float], progress: Progress) -> list[Packets]:
    """Returns FLV that was joined without a second header as several parts: its codecs' settings are packets too."""
    if "flv" not in packets.format or not packets.steps:
        return [packets]
    part, spans, last, now = part_of(packets, limits[0]), [packets.span], 0, 0
    base = packets.span.start - len(packets.span.prefix)
    with open(path, "rb") as file:
        first = base + min((at for at in packets.at_bytes if at >= 0), default=0)
        begin = packets.span.start + len(FLV_HEADER)
        settings = _bytes(file, begin, max(0, first - begin))
        for clock, at in zip(part.clock_of(), packets.at_bytes, strict=True):
            if clock > now and part.clocks[clock].stream is None and at > last:
                # Before the first packet of a part are its settings, and before these unseen ones of the old part.
                now, end, own, tag = clock, 0, False, _flv_next(file, base + last)
                old_s, new_s = (_flv_time_s(file, base + one) for one in (last, at))
                while tag < base + at:
                    time_s = _flv_time_s(file, tag)
                    if not end and (time_s < old_s - FALL_S or abs(time_s - new_s) < abs(time_s - old_s)):
                        end = tag
                    own |= bool(end) and _bytes(file, tag, 1) in (b"\x08", b"\x09")
                    tag = _flv_next(file, tag)
                end = end or tag
                if tag == base + at:
                    prefix = FLV_HEADER if own else FLV_HEADER + settings
                    before = spans.pop()
                    spans.append(replace(before, end=end, whole=False))
                    spans.append(replace(before, start=end, prefix=prefix, whole=False))
            last = max(last, at)
    try:
        found = [read_packets(path, span, limits, progress) for span in spans] if 1 < len(spans) <= MOST_PARTS else []
    except (FFmpegError, OSError, ValueError):
        found = []
    return found if found and all(one.owner for one in found) else [packets]


def _flv_next(file: Any, at: int) -> int:
    """Returns where the tag behind the one at `at` begins."""
    return at + 15 + int.from_bytes(_bytes(file, at + 1, 3), "big")


def _flv_time_s(file: Any, at: int) -> float:
    low, high = _bytes(file, at + 4, 3), _bytes(file, at + 7, 1)
    return int.from_bytes(high + low, "big") / 1000


def difference(first: Settings, other: Settings) -> str:
    """Returns why a part cannot follow another in one stream, or nothing."""
    if first.codec != other.codec:
        return f"other {first.kind} codec ({other.codec} after {first.codec})"
    if first.kind == "video":
        if first.codec in BEFORE_KEY_FRAMES:
            return "" if _length_bytes(first) == _length_bytes(other) else "other codec settings"
        if first.codec in SELF_CONTAINED:
            return ""
        sizes = [f"{one.width_px}x{one.height_px}" for one in (first, other)]
        if sizes[0] != sizes[1]:
            return f"other frame size ({sizes[1]} after {sizes[0]})"
        return "" if _essence(first) == _essence(other) else "other codec settings"
    if first.rate_hz != other.rate_hz:
        return f"other audio rate ({other.rate_hz} Hz after {first.rate_hz} Hz)"
    if first.layout != other.layout:
        return f"other audio channels ({other.layout or 'none'} after {first.layout or 'none'})"
    return "" if _essence(first) == _essence(other) else "other audio codec settings"


def _outline(settings: Settings) -> tuple[str, str, int, int, int]:
    return settings.kind, settings.codec, settings.width_px, settings.height_px, settings.rate_hz


def _essence(settings: Settings) -> object:
    """Returns what of the decoder's settings must be the same."""
    data, codec = settings.extradata, settings.codec.removeprefix("lib")
    if codec == "opus":
        return data[9:10] + data[18:]  # channels and their mapping; not how much to skip at the start
    if codec in ("vorbis", "theora"):
        headers = _xiph_headers(data)
        return (headers[0], headers[2]) if len(headers) == 3 else data  # without the comments
    if codec == "flac":
        return data[:4], data[10:13], data[13:14] and data[13] >> 4  # not its length, its largest frame and its hash
    if codec == "alac":
        return data[:24], data[32:]  # not its largest frame and its mean rate
    if codec.startswith("aac"):
        return data[:2], settings.profile
    return data


def _xiph_headers(data: bytes) -> list[bytes]:
    """Returns the three headers of Vorbis and Theora: identification, comments, set-up."""
    headers, at = [], 0
    if data[:1] == b"\2":
        sizes, at = [], 1
        while len(sizes) < 2 and at < len(data):
            size = 0
            while data[at : at + 1] == b"\xff":
                size, at = size + 255, at + 1
            sizes.append(size + int.from_bytes(data[at : at + 1], "big"))
            at += 1
        ends = [at + sum(sizes[:i]) for i in range(3)]
        return [data[start:end] for start, end in zip(ends, [*ends[1:], len(data)], strict=True)]
    while at + 2 <= len(data):
        size = int.from_bytes(data[at : at + 2], "big")
        headers.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return headers


def _length_bytes(settings: Settings) -> int:
    """Returns with how many bytes the length of a unit of H.264 or HEVC is written; 0 where there are start codes."""
    data, at = settings.extradata, 4 if settings.codec == "h264" else 21
    return (data[at] & 3) + 1 if data[:1] == b"\1" and len(data) > at else 0


def parameter_sets(settings: Settings) -> bytes:
    """Returns what tells a decoder of H.264, HEVC or MPEG-4 all, as it is written before a key frame."""
    data, width = settings.extradata, _length_bytes(settings)
    if not width:
        return data
    units, at = [], 0
    try:
        if settings.codec == "h264":
            at = 5
            for mask in (0x1F, 0xFF):
                count, at = data[at] & mask, at + 1
                for _ in range(count):
                    size = int.from_bytes(data[at : at + 2], "big")
                    units.append(data[at + 2 : at + 2 + size])
                    at += 2 + size
        else:
            arrays, at = data[22], 23
            for _ in range(arrays):
                count, at = int.from_bytes(data[at + 1 : at + 3], "big"), at + 3
                for _ in range(count):
                    size = int.from_bytes(data[at : at + 2], "big")
                    units.append(data[at + 2 : at + 2 + size])
                    at += 2 + size
    except IndexError:
        return b""
    return b"".join(len(unit).to_bytes(width, "big") + unit for unit in units)


def measure(part: Part) -> None:
    """Sets the times of the part's clocks."""
    packets = part.packets
    steps: dict[int, float] = {}
    shown: dict[int, tuple[int, float]] = {}
    for number, clock_number in enumerate(part.clock_of()):
        clock, stream = part.clocks[clock_number], packets.owner[number]
        slot, time_s, dts_s = packets.slots[stream], _shown(packets, number), packets.dts_s[number]
        if clock.stream is not None and clock.beside is None:
            clock.beside = next((seen for other, seen in shown.items() if other != stream), None)
        if math.isnan(time_s):
            continue
        step_s = time_s - shown[stream][1] if stream in shown else 0.0
        steps[stream] = packets.length_s[number] or (step_s if 0 < step_s < 1 else steps.get(stream, 0.0))
        shown[stream] = clock_number, time_s
        end_s = time_s + steps[stream]
        clock.start_s, clock.end_s = min(clock.start_s, time_s), max(clock.end_s, end_s)
        clock.ends_s[slot] = max(clock.ends_s.get(slot, end_s), end_s)
        if not math.isnan(dts_s) and (end_s > packets.start_s or slot[0] == "video"):
            clock.first_dts_s.setdefault(slot, dts_s)
            clock.last_dts_s[slot] = dts_s
    # Audio may start before 0, with what the decoder drops.
    part.clocks[0].start_s = max(part.clocks[0].start_s, packets.start_s)
    part.clocks = [
        clock if clock.end_s > clock.start_s else Clock(clock.first, clock.stream, 0, 0) for clock in part.clocks
    ]


def _shown(packets: Packets, number: int) -> float:
    time_s = packets.pts_s[number]
    return packets.dts_s[number] if math.isnan(time_s) else time_s


@dataclass
class Joined:
    """Parts that follow each other on one clock, and what was left out of them."""

    parts: list[Part] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    end_s: float = 0.0
    last_dts_s: dict[Slot, float] = field(default_factory=dict)
    ends_s: dict[Slot, float] = field(default_factory=dict)
    settings: dict[Slot, Settings] = field(default_factory=dict)

    def add(self, packets: Packets, gap_s: float) -> None:
        """Adds a part behind the others, or to what is left out."""
        span, part = packets.span, part_of(packets, gap_s)
        measure(part)
        why = "" if packets.owner else "not readable"
        for slot, own in packets.settings.items():
            why = why or difference(self.settings.get(slot, own), own)
        if why:
            seconds = sum(clock.end_s - clock.start_s for clock in part.clocks if clock.stream is None)
            self.left_out.append({"at_s": self.end_s, "seconds": seconds, "bytes": span.end - span.start, "why": why})
            return
        self.settings = {**packets.settings, **self.settings}
        before = [clock.offset_s for one in self.parts for clock in one.clocks if clock.stream is None]
        before_s = before[-1] if before else 0.0
        for i, clock in enumerate(part.clocks):
            if clock.stream is not None:
                clock.offset_s = self._alone(part, clock)
            elif i == 0 and (not self.parts or self._goes_on(part, before_s)):
                clock.offset_s = before_s
            else:
                shared = clock.first_dts_s.keys() & self.last_dts_s.keys()
                least = [self.last_dts_s[slot] - clock.first_dts_s[slot] for slot in shared]
                clock.offset_s = max([self.end_s - clock.start_s, *least])
            self.end_s = max(self.end_s, clock.end_s + clock.offset_s)
            for slot, end_s in clock.ends_s.items():
                self.ends_s[slot] = end_s + clock.offset_s
            for slot, dts_s in clock.last_dts_s.items():
                self.last_dts_s[slot] = dts_s + clock.offset_s
        self.parts.append(part)

    def _goes_on(self, part: Part, before_s: float) -> bool:
        """Returns whether the times of a file go on from those of the file before, perhaps after a pause."""
        pause_s = part.clocks[0].start_s + before_s - self.end_s
        return not part.packets.span.prefix and -FALL_S / 2 <= pause_s <= PAUSE_S

    def _alone(self, part: Part, clock: Clock) -> float:
        """Returns the offset of a stream that began anew alone: it goes on, or with the others if these are ahead."""
        assert clock.stream is not None
        own_s = self.ends_s.get(part.packets.slots[clock.stream], 0.0)
        others_s = part.clocks[clock.beside[0]].offset_s + clock.beside[1] if clock.beside else own_s
        return (others_s if others_s - own_s > FALL_S else own_s) - clock.start_s


class Writer:
    """Writes parts into one file."""

    def __init__(self, path: str, joined: Joined, into: str, format_name: str, progress: Progress) -> None:
        self._path, self._joined, self._into, self._format = path, joined, into, format_name
        self._progress = progress
        self._last: dict[Slot, int] = {}
        by_codec = defaultdict(set)
        for part in joined.parts:
            for slot, one in part.packets.settings.items():
                by_codec[slot].add(one.extradata)
        self._differing = {slot for slot, found in by_codec.items() if len(found) > 1}

    def write(self) -> None:
        """Writes the file.

        Raises:
            Unfit: the container does not take the codecs.
            FFmpegError, OSError: it cannot be written.
        """
        options = {"avoid_negative_ts": "disabled"}
        with av.open(self._into, "w", self._format, container_options=options, metadata_errors="replace") as out:
            targets: dict[Slot, Any] = {}
            try:
                for part in self._joined.parts:
                    with part.packets.span.opened(self._path) as container:
                        for index, slot in part.packets.slots.items():
                            if slot not in targets:
                                targets[slot] = _target(out, container.streams[index])
                out.start_encoding()
            except (FFmpegError, ValueError) as error:
                if _is_full(error):
                    raise
                raise Unfit(str(error)) from None
            for part in self._joined.parts:
                self._add(out, part, targets)
        self._check()

    def _check(self) -> None:
        """Raises Unfit where the container forgot what a decoder must know."""
        options = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}
        with av.open(self._into, options=options, metadata_errors="replace") as container:
            written = sorted(_outline(_settings(stream)) for stream in container.streams if _moves(stream))
        if written != sorted(_outline(one) for one in self._joined.settings.values()):
            raise Unfit

    def _add(self, out: Any, part: Part, targets: dict[Slot, Any]) -> None:
        packets, number, clocks = part.packets, -1, part.clock_of()
        count = len(packets.owner)
        sets = {
            slot: parameter_sets(one)
            for slot, one in packets.settings.items()
            if slot in self._differing and one.codec in BEFORE_KEY_FRAMES
        }
        offsets = [round(clock.offset_s / MICROSECOND) for clock in part.clocks]
        # Audio may begin before the start of a part, with what the decoder drops. Only in Matroska that stays known.
        kept = part is self._joined.parts[0] and "matroska" in packets.format
        earliest = -math.inf if kept else round(packets.start_s / MICROSECOND) + offsets[0]
        self._progress.start()
        with packets.span.opened(self._path) as container:
            for packet in _demuxed(container):
                slot = packets.slots.get(packet.stream_index)
                if slot is None:
                    continue
                number += 1
                if number >= count:
                    break
                clock = next(clocks)
                offset = offsets[clock]
                if sets.get(slot) and packet.is_keyframe:
                    packet = _before(sets[slot], packet)
                if self._timed(packet, slot, offset, earliest if clock == 0 else -math.inf):
                    packet.stream = targets[slot]
                    out.mux(packet)
                self._progress(number)

    def _timed(self, packet: Any, slot: Slot, offset: int, earliest: float) -> bool:
        """Gives a packet its times; returns False where it has none, or ends before the start."""
        base = packet.time_base / MICROSECOND
        times = [round(units * base) for units in (packet.pts, packet.dts) if units is not None]
        if not times:
            return False
        pts, dts = times[0] + offset, times[-1] + offset
        duration = round((packet.duration or 0) * base)
        if slot[0] == "audio" and pts < earliest:
            if pts + duration <= earliest:
                return False
            pts = int(earliest)
        if packet.dts is None and slot[0] == "video":
            dts -= MOST_REORDERED  # frames that are shown later may come first
        if slot in self._last:
            dts = max(dts, self._last[slot] + LEAST_STEP)
        self._last[slot] = dts
        packet.time_base = MICROSECOND
        packet.pts, packet.dts, packet.duration = max(pts, dts), dts, duration
        return True


def _target(out: Any, template: Any) -> Any:
    # "Opaque" makes PyAV ask for no encoder of the codec.
    target = out.add_stream_from_template(template, opaque=True)
    target.metadata.update(template.metadata)
    return target


def _before(data: bytes, packet: Any) -> Any:
    longer = av.Packet(data + bytes(packet))
    longer.time_base, longer.pts, longer.dts = packet.time_base, packet.pts, packet.dts
    longer.duration, longer.is_keyframe = packet.duration, True
    return longer


def _is_full(error: BaseException) -> bool:
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO)


def look(request: dict[str, Any]) -> dict[str, Any]:
    """Returns what was found in a file, and writes its parts into one file where there are several.

    Args:
        request: `path` and `format` of the file; `gap_s` and `most_s`, the longest gap in its times and the longest
            recording; `into`, the file to write.

    Returns:
        `written`: whether `into` is to be read instead. `left_out`: for each part that was left out where it would
        begin, its seconds and bytes, and why. `note`: what else a user should know. Or `error`: why there is no
        room for the file.
    """
    path, into, progress = request["path"], request["into"], Progress()
    limits = request["gap_s"], request["most_s"]
    joined = Joined()
    try:
        found = parts_in(path, os.path.getsize(path), request["format"], limits, progress)
    except (FFmpegError, OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        return {"written": False, "note": f"not searched for times that begin anew: {why}"}
    for packets in found:
        joined.add(packets, request["gap_s"])
    parts = joined.parts
    if (len(parts) == 1 and len(parts[0].clocks) == 1 and not joined.left_out) or not parts:
        return {"written": False}
    start_s = parts[0].clocks[0].start_s
    for one in joined.left_out:
        one["at_s"] -= start_s
    for format_name in CONTAINERS:
        try:
            Writer(path, joined, into, format_name, progress).write()
            return {"written": True, "left_out": joined.left_out}
        except (Unfit, FFmpegError, OSError, ValueError) as error:
            if _is_full(error):
                return {"error": getattr(error, "strerror", None) or str(error)}
            os.truncate(into, 0)
    try:
        return _only_the_first(path, joined, into)
    except OSError as error:
        return {"error": error.strerror}


def _only_the_first(path: str, joined: Joined, into: str) -> dict[str, Any]:
    """Copies the bytes of the first part, for codecs that no container takes; returns the answer."""
    part = joined.parts[0]
    span, joins = part.packets.span, [clock for clock in part.clocks[1:] if clock.stream is None]
    if not joins and len(joined.parts) == 1:
        return {"written": False, "note": "the times of one stream begin anew, and no container takes its codec"}
    at = part.packets.at_bytes[joins[0].first] if joins else -1
    end = span.start - len(span.prefix) + at if at >= 0 else span.end
    with open(path, "rb") as source, open(into, "wb") as target:
        source.seek(span.start)
        while piece := source.read(min(BUFFER_BYTES, end - source.tell())):
            target.write(piece)
    for one in joined.parts[1:]:
        joins += [clock for clock in one.clocks if clock.stream is None]
    entry = {
        "at_s": part.clocks[0].end_s - part.clocks[0].start_s,
        "seconds": sum(clock.end_s - clock.start_s for clock in joins),
        "bytes": os.path.getsize(path) - end,
        "why": "no container takes its codecs",
    }
    return {"written": True, "left_out": [entry, *joined.left_out]}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(look(json.loads(line))), flush=True)
