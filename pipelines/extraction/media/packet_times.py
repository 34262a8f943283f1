"""The times of packets, as ffmpeg's `framecrc` muxer lists them: a line each, in units of the stream's time base."""

from typing import NamedTuple


class PacketTime(NamedTuple):
    """When a packet stands, in units of its time base."""

    start: int
    duration: int
    size_bytes: int


def packet_time(line: bytes) -> PacketTime | None:
    """Returns what a line says; None for the comments at the top."""
    if line.startswith(b"#"):
        return None
    _, _, start, duration, size, *_ = line.split(b",")  # stream, decoding time, presentation time, ...
    return PacketTime(int(start), int(duration), int(size))
