"""The packets of each file that lies in a recording."""

from dataclasses import replace

from av.error import FFmpegError

from .codecs import difference
from .flv import flv_parts
from .packets import Packets, read_packets
from .recording import MOST_PARTS, Recording, Span
from .starts import LONGEST_HEADER, boxes, files_in, headers_in
from .streams import starts_of_other_streams


def parts_in(recording: Recording) -> list[Packets]:
    """Returns the packets of a recording, of each file in it on its own; nothing where its times are in one table."""
    starts, whole, size = [0], None, recording.size_bytes
    if recording.format == "mov":
        names = list(boxes(recording))
        starts = files_in(recording, names)
        if any(name == b"moof" for name, _ in names):
            whole = read_packets(recording, Span(0, size, whole=True))
            if not whole.steps and (len(starts) < 2 or whole.end_bytes > starts[-1]):
                return [whole]
        elif len(starts) < 2 and names[-1][0].isalnum() and sum(name == b"moov" for name, _ in names) < 2:
            return []
    elif recording.format in ("avi", "mxf"):
        # ffmpeg puts AVI on one clock, but reads all of it by the first headers. Of MXF it reads nothing.
        starts = [0, *(at for at in headers_in(recording, 0, False) if at)]
        if len(starts) < 2 and recording.format == "avi":
            return []
    elif recording.format in ("mpegts", "mpeg"):  # ffmpeg puts them on one clock, but reads only the first streams
        starts, unread_end = starts_of_other_streams(recording)
        if len(starts) < 2 and not unread_end:
            return []
    if len(starts) < 2:
        whole = whole or read_packets(recording, Span(0, size, whole=True))
        # Behind a join the demuxer ends, or reads on and, in bare audio, takes a header for samples.
        behind = max(1, whole.end_bytes - LONGEST_HEADER)  # of some demuxers the last packet seems to end later
        alike = not whole.steps and bool(headers_in(recording, behind, True))
        if whole.steps or alike or whole.audio_only:
            starts = [0, *(at for at in headers_in(recording, 0, alike) if at)]
        if len(starts) < 2:
            return flv_parts(recording, whole)
    starts = [0, *starts[1:MOST_PARTS]]
    found: list[Packets] = []
    unread: Span | None = None
    for start, end in zip(starts, [*starts[1:], size], strict=True):
        packets = _read(recording, Span(start, end))
        if not packets.owner:
            unread = Span(start if unread is None else unread.start, end)
            continue
        found += _unread(recording, unread, found)
        found.append(packets)
        unread = None
    found += _unread(recording, unread, found)
    if recording.format == "avi" and all(_fits(found[0], one) for one in found):
        return []
    return [one for packets in found for one in flv_parts(recording, packets)]


def _fits(first: Packets, other: Packets) -> bool:
    """Returns whether a file can be read by the headers of another one."""
    own, others = first.settings, other.settings
    return own.keys() == others.keys() and not any(difference(own[slot], others[slot]) for slot in own)


def _read(recording: Recording, span: Span) -> Packets:
    """Returns the packets of a span, none where it cannot be opened."""
    try:
        return read_packets(recording, span)
    except (FFmpegError, OSError, ValueError):
        return Packets(span, "", 0.0, {}, {})


def _unread(recording: Recording, span: Span | None, found: list[Packets]) -> list[Packets]:
    """Returns what could not be opened as an empty part; nothing where the part before goes on in it."""
    if span is None:
        return []
    if found and recording.format != "mpeg":
        longer = read_packets(recording, replace(found[-1].span, end=span.end))
        if len(longer.owner) > len(found[-1].owner):
            found[-1] = longer
            return []
    return [Packets(span, "", 0.0, {}, {})]
