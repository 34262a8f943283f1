"""FLV that was joined without later headers: its codecs' settings are packets too."""

from dataclasses import replace
from typing import IO

from av.error import FFmpegError

from .clocks import part_of
from .packets import FALL_S, Packets, read_packets
from .recording import MOST_PARTS, Recording, bytes_at

FLV_HEADER = b"FLV\1\5\0\0\0\x09\0\0\0\0"


def flv_parts(recording: Recording, packets: Packets) -> list[Packets]:
    """Returns the packets in as many parts as there are; those of another container as they are."""
    if "flv" not in packets.format or not packets.steps:
        return [packets]
    part, spans, last, now = part_of(packets, recording.gap_s), [packets.span], 0, 0
    base = packets.span.start - len(packets.span.prefix)
    with open(recording.path, "rb") as file:
        first = base + min((at for at in packets.at_bytes if at >= 0), default=0)
        begin = packets.span.start + len(FLV_HEADER)
        settings = bytes_at(file, begin, max(0, first - begin))
        for clock, at in zip(part.clock_of(), packets.at_bytes, strict=True):
            if clock > now and part.clocks[clock].stream is None and at > last:
                # Before the first packet of a part are its settings, and before these unseen ones of the old part.
                now, end, own, tag = clock, 0, False, _next(file, base + last)
                old_s, new_s = (_time_s(file, base + one) for one in (last, at))
                while tag < base + at:
                    time_s = _time_s(file, tag)
                    if not end and (time_s < old_s - FALL_S or abs(time_s - new_s) < abs(time_s - old_s)):
                        end = tag
                    own |= bool(end) and bytes_at(file, tag, 1) in (b"\x08", b"\x09")
                    tag = _next(file, tag)
                end = end or tag
                if tag == base + at:
                    prefix = FLV_HEADER if own else FLV_HEADER + settings
                    before = spans.pop()
                    spans.append(replace(before, end=end, whole=False))
                    spans.append(replace(before, start=end, prefix=prefix, whole=False))
            last = max(last, at)
    try:
        found = [read_packets(recording, span) for span in spans] if 1 < len(spans) <= MOST_PARTS else []
    except (FFmpegError, OSError, ValueError):
        found = []
    return found if found and all(one.owner for one in found) else [packets]


def _next(file: IO[bytes], at: int) -> int:
    """Returns where the tag behind the one at `at` begins."""
    return at + 15 + int.from_bytes(bytes_at(file, at + 1, 3), "big")


def _time_s(file: IO[bytes], at: int) -> float:
    low, high = bytes_at(file, at + 4, 3), bytes_at(file, at + 7, 1)
    return int.from_bytes(high + low, "big") / 1000
