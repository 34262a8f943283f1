"""Where the times of a file's packets begin anew: runs of packets on one clock."""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from .packets import FALL_S, Packets, Slot

LAG_S = 1.5  # packets of one stream lie at most this far behind those of another around a join


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
