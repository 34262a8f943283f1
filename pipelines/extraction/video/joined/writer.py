"""Writes the parts of a timeline into one file."""

import errno
import math
from collections import defaultdict
from fractions import Fraction
from typing import Any

import av
from av.error import FFmpegError

from .clocks import Part
from .codecs import BEFORE_KEY_FRAMES, parameter_sets, settings_of
from .packets import Slot, demuxed, moves
from .recording import Recording
from .timeline import Timeline

MICROSECOND = Fraction(1, 1_000_000)
LEAST_STEP, MOST_REORDERED = 1000, 1_000_000  # microseconds
CONTAINERS = ("matroska", "asf", "flv", "nut")  # of the joined file: the first that takes its codecs


class Unfit(Exception):
    """The codecs do not fit into one file."""


class Writer:
    """Writes a timeline into the file `into`, in a container that ffmpeg calls `format_name`."""

    def __init__(self, recording: Recording, timeline: Timeline, into: str, format_name: str) -> None:
        self._recording, self._timeline, self._into, self._format = recording, timeline, into, format_name
        self._last: dict[Slot, int] = {}
        by_codec = defaultdict(set)
        for part in timeline.parts:
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
                for part in self._timeline.parts:
                    with part.packets.span.opened(self._recording) as container:
                        for index, slot in part.packets.slots.items():
                            if slot not in targets:
                                targets[slot] = _target(out, container.streams[index])
                out.start_encoding()
            except (FFmpegError, ValueError) as error:
                if is_full(error):
                    raise
                raise Unfit(str(error)) from None
            for part in self._timeline.parts:
                self._add(out, part, targets)
        self._check()

    def _check(self) -> None:
        """Raises Unfit where the container forgot what a decoder must know."""
        options = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}
        with av.open(self._into, options=options, metadata_errors="replace") as container:
            written = sorted(settings_of(one).outline for one in container.streams if moves(one))
        if written != sorted(one.outline for one in self._timeline.settings.values()):
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
        kept = part is self._timeline.parts[0] and "matroska" in packets.format
        earliest = -math.inf if kept else round(packets.start_s / MICROSECOND) + offsets[0]
        self._recording.progress.start()
        with packets.span.opened(self._recording) as container:
            for packet in demuxed(container):
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
                self._recording.progress(number)

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


def is_full(error: BaseException) -> bool:
    """Returns whether an error says that there is no room for a file."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO)
