"""Parts put one behind the other."""

from dataclasses import dataclass, field
from typing import Any

from .clocks import Clock, Part, measure, part_of
from .codecs import Settings, difference
from .packets import FALL_S, Packets, Slot

PAUSE_S = 10.0  # a longer pause between two parts is closed; ffmpeg does so in MPEG-TS


@dataclass
class Timeline:
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
        if unread := packets.unread_bytes:
            self.left_out.append({"at_s": self.end_s, "seconds": 0.0, "bytes": unread, "why": "not readable"})

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
