"""Where another program stream (MPEG-PS, VOB) may begin: its packs and the ids of their packets, read along the file.

ffmpeg reads the ids that it finds at the beginning, each with the codec that it has there, to the end.
"""

import mmap
import struct
from typing import Any

from .packets import FALL_S, UNREAD_BYTES
from .recording import Recording

PACK, END, PRIVATE = 0x1BA, 0x1B9, 0x1BD
FIRST_OF_A_PACK = b"\0\0\1\xba"
CLOCK_HZ = 90_000
PROBED_BYTES = 5_000_000  # ffmpeg looks for streams up to here
LEAST_BYTES = 14  # of a pack's header


def changes_in(recording: Recording) -> list[int]:
    """Returns the bytes of the packs where another file may begin: clock or ids are others, or one has ended.

    Also returned are the bytes where no packets are.
    """
    seen: dict[tuple[str, int], list[int]] = {}  # packs of the first and the last packet, by kind and id
    found, pack, clock, ended = [], -1, 0, False
    head, size = struct.Struct(">IH").unpack_from, recording.size_bytes
    most, fall = recording.gap_s * CLOCK_HZ, FALL_S * CLOCK_HZ
    recording.progress.start()
    with open(recording.path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(FIRST_OF_A_PACK)
        while 0 <= at <= size - LEAST_BYTES:
            code, length = head(data, at)
            if code == PACK:
                recording.progress(at)
                now = _clock(data[at + 4 : at + 9])
                if pack >= 0 and (ended or not -fall <= now - clock <= most):
                    found.append(at)
                pack, clock, ended = at, now, False
                at += 14 + (data[at + 13] & 7) if data[at + 4] & 0x40 else 12
            elif PACK < code < 0x200:
                kind = _kind(data, at, code)
                if kind:
                    seen.setdefault(kind, [pack, pack])[1] = pack
                at += 6 + length
            elif code == END:
                at, ended = at + 4, True
            else:
                following = data.find(FIRST_OF_A_PACK, at + 1)
                if (size if following < 0 else following) - at >= UNREAD_BYTES:
                    found.append(at)
                at = following
    for (kind, _), (first, _) in seen.items():
        earlier = [last for (other, _), (begin, last) in seen.items() if other == kind and begin < first]
        if max(earlier) < first if earlier else first > PROBED_BYTES:
            found.append(first)
    return sorted(set(found))


def _clock(data: bytes) -> int:
    """Returns the clock of a pack in units of 1/90000 s, from the bytes behind its start code."""
    bits = int.from_bytes(data, "big")
    if data[0] & 0x40:  # MPEG-2: 32 to 30, 29 to 15 and 14 to 0, each before a marker
        return (bits >> 35 & 7) << 30 | (bits >> 19 & 0x7FFF) << 15 | bits >> 3 & 0x7FFF
    return (bits >> 33 & 7) << 30 | (bits >> 17 & 0x7FFF) << 15 | bits >> 1 & 0x7FFF


def _kind(data: Any, at: int, code: int) -> tuple[str, int] | None:
    """Returns kind and id of a packet of audio or video; None of another one."""
    if code == PRIVATE and at + 9 + data[at + 8] < len(data):
        code = data[at + 9 + data[at + 8]]
        return ("audio", code) if 0x80 <= code < 0xD0 else None
    return ("audio", code) if 0x1C0 <= code < 0x1E0 else ("video", code) if 0x1E0 <= code < 0x1F0 else None
