"""Where the streams of a transport stream (MPEG-TS, M2TS) become others: its tables, read along the file.

A table names the streams of a program by the numbers (PIDs) of their packets. ffmpeg reads those of the first tables
to the end, so that what a later table names is not read, or not with its codec.
"""

import zlib
from collections.abc import Iterator

import numpy as np

from .packets import UNREAD_BYTES
from .recording import Recording

PACKET_BYTES = 188
STEPS_BYTES = (188, 192, 204)  # from packet to packet: alone, behind a time of 4 bytes, before 16 bytes of parity
SYNC = 0x47
TIME_BYTES = 4
IN_A_ROW = 8  # packets that show where packets begin
BLOCK_BYTES, NEAR_BYTES = 1 << 23, 1 << 16
TABLE_OF_PROGRAMS, TABLE_OF_STREAMS = 0, 2
PRIVATE = 6  # kind of a stream whose descriptors tell its codec
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
NO_ERROR = 0xFFFFFFFF


def changes_in(recording: Recording) -> list[int]:
    """Returns the bytes where a table changes, each at the table of programs before it, and where no packets are."""
    tables, found = _Tables(), []
    recording.progress.start()
    end = 0
    for start, step, packets in _packets(recording):
        recording.progress(start)
        if start - end >= UNREAD_BYTES:
            found.append(end)
        end = start + len(packets) * step
        pids = (packets[:, 1].astype(np.uint16) & 0x1F) << 8 | packets[:, 2]
        at = 0
        while at < len(pids):
            known = tables.is_table.copy()
            for number in at + np.flatnonzero(known[pids[at:]]):
                at = int(number) + 1
                tables.add(int(pids[number]), packets[number].tobytes(), start + int(number) * step, found)
                if (known != tables.is_table).any():
                    break  # packets behind this one are tables too
            else:
                break
    return [*found, end] if recording.size_bytes - end >= UNREAD_BYTES else found


class _Tables:
    """The tables that are valid now."""

    def __init__(self) -> None:
        self.is_table = np.zeros(1 << 13, bool)  # by PID
        self.is_table[0] = True
        self._unfinished: dict[int, bytes] = {}
        self._sections: dict[tuple[int, int, bytes], object] = {}  # by PID, kind, and number of program and section
        self._seen: dict[int, bytes] = {}
        self._start = 0  # of the last table of programs

    def add(self, pid: int, packet: bytes, at: int, found: list[int]) -> None:
        """Reads a packet of a table; adds to `found` where a change begins."""
        if pid == 0:
            self._start = at
        if packet[4:] == self._seen.get(pid):
            return
        self._seen[pid] = packet[4:]
        for section in self._finished(pid, packet):
            kind, number = section[0], section[3:5] + section[6:7]
            if kind == TABLE_OF_PROGRAMS:
                content: object = _programs(section)
                self.is_table[list(_programs(section).values())] = True
            elif kind == TABLE_OF_STREAMS:
                content = _streams(section)
            else:
                continue
            key = pid, kind, number[2:] if kind == TABLE_OF_PROGRAMS else number
            if self._sections.setdefault(key, content) != content and self._start not in found[-1:]:
                found.append(self._start)
            self._sections[key] = content

    def _finished(self, pid: int, packet: bytes) -> Iterator[bytes]:
        """Yields the sections that end in a packet and are valid."""
        if not packet[3] & 0x10 or packet[1] & 0x80:
            return
        payload = packet[5 + packet[4] :] if packet[3] & 0x20 else packet[4:]
        data = self._unfinished.pop(pid, b"")
        if packet[1] & 0x40 and payload:  # a section begins in it
            first = 1 + payload[0]
            yield from _sections(data + payload[1:first])[0]
            data, payload = b"", payload[first:]
        elif not data:
            return
        whole, rest = _sections(data + payload)
        yield from whole
        if rest:
            self._unfinished[pid] = rest
            del self._seen[pid]


def _sections(data: bytes) -> tuple[list[bytes], bytes]:
    """Returns the whole sections in the bytes, those without errors, and what is left behind them."""
    found = []
    while len(data) >= 3 and data[0] != 0xFF:
        end = 3 + (int.from_bytes(data[1:3], "big") & 0xFFF)
        if len(data) < end:
            return found, data
        section, data = data[:end], data[end:]
        if end >= 12 and section[5] & 1 and zlib.crc32(section.translate(REVERSED)) == NO_ERROR:
            found.append(section)
    return found, b""


def _programs(section: bytes) -> dict[int, int]:
    """Returns the PID of the table of each program."""
    rows = [section[at : at + 4] for at in range(8, len(section) - 7, 4)]
    return {program: _pid(row[2:]) for row in rows if (program := int.from_bytes(row[:2], "big"))}


def _streams(section: bytes) -> dict[int, tuple[int, bytes]]:
    """Returns kind, and descriptors where they tell it, of each stream of a program by its PID."""
    streams, at = {}, 12 + (int.from_bytes(section[10:12], "big") & 0xFFF)
    while at + 5 <= len(section) - 4:
        end = at + 5 + (int.from_bytes(section[at + 3 : at + 5], "big") & 0xFFF)
        streams[_pid(section[at + 1 : at + 3])] = (
            section[at],
            section[at + 5 : end] if section[at] == PRIVATE else b"",
        )
        at = end
    return streams


def _pid(data: bytes) -> int:
    return int.from_bytes(data, "big") & 0x1FFF


def _packets(recording: Recording) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yields (byte where the first begins, bytes from one to the next, packets (count, 188)) of runs of packets."""
    at, step, size = 0, STEPS_BYTES[0], recording.size_bytes
    with open(recording.path, "rb") as file:
        while at < size:
            file.seek(at)
            data, used = np.frombuffer(file.read(BLOCK_BYTES), np.uint8), 0
            while len(data) - used >= (step if at + len(data) == size else IN_A_ROW * max(STEPS_BYTES)):
                count, before = (len(data) - used) // step, TIME_BYTES if step == 192 else 0
                rows = data[used : used + count * step].reshape(count, step)
                good = rows[:, before] == SYNC
                if good[0]:
                    count = count if good.all() else int(good.argmin())
                    yield at + used, step, rows[:count, before : before + PACKET_BYTES]
                    used += count * step
                    continue
                ahead = data[used:]
                offset, step = _first_packet(ahead[:NEAR_BYTES]) or _first_packet(ahead) or (len(ahead), step)
                used += offset
            if at + len(data) >= size:
                return  # what is left is less than a packet
            at += used


def _first_packet(data: np.ndarray) -> tuple[int, int] | None:
    """Returns where packets begin and the bytes from one to the next; None where there are none."""
    is_sync, found = data == SYNC, []
    for step in STEPS_BYTES:
        before, span = TIME_BYTES if step == 192 else 0, max(0, len(data) - (IN_A_ROW - 1) * step)
        in_a_row = np.all([is_sync[i * step : i * step + span] for i in range(IN_A_ROW)], axis=0)
        found += [(int(place) - before, step) for place in np.flatnonzero(in_a_row[before:])[:1] + before]
    return min(found, default=None)
