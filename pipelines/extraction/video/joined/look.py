"""The whole way: one recording is looked at and, where it is joined of several, put on one clock."""

import os
from typing import Any

from av.error import FFmpegError

from .parts import parts_in
from .recording import BUFFER_BYTES, Progress, Recording
from .timeline import Timeline
from .writer import CONTAINERS, Unfit, Writer, is_full


def look(request: dict[str, Any]) -> dict[str, Any]:
    """Returns what was found in a file, and writes its parts into one file where there are several.

    Args:
        request: `path` and `format` of the file; `gap_s` and `most_s`, the longest gap in its times and the longest
            recording; `into`, the file to write.

    Returns:
        `written`: whether `into` is to be read instead. `left_out`: for each part that was left out where it would
        begin, its seconds and bytes, and why. `lengths_s` of the streams of a recording of one part. `note`: what
        else a user should know. Or `error`: why there is no room for the file.
    """
    into = request.pop("into")
    recording, timeline = Recording(**request, progress=Progress()), Timeline()
    try:
        found = parts_in(recording)
    except (FFmpegError, OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        return {"written": False, "note": f"not searched for times that begin anew: {why}"}
    for packets in found:
        timeline.add(packets, recording.gap_s)
    parts = timeline.parts
    if not parts:
        return {"written": False}
    start_s = parts[0].clocks[0].start_s
    for one in timeline.left_out:
        one["at_s"] -= start_s
    if len(found) == 1 and len(parts[0].clocks) == 1:
        return {"written": False, "left_out": timeline.left_out, "lengths_s": found[0].lengths_s()}
    for format_name in CONTAINERS:
        try:
            Writer(recording, timeline, into, format_name).write()
            return {"written": True, "left_out": timeline.left_out}
        except (Unfit, FFmpegError, OSError, ValueError) as error:
            if is_full(error):
                return {"error": getattr(error, "strerror", None) or str(error)}
            os.truncate(into, 0)
    try:
        return _only_the_first(recording, timeline, into)
    except OSError as error:
        return {"error": error.strerror}


def _only_the_first(recording: Recording, timeline: Timeline, into: str) -> dict[str, Any]:
    """Copies the bytes of the first part, for codecs that no container takes; returns the answer."""
    part = timeline.parts[0]
    span, joins = part.packets.span, [clock for clock in part.clocks[1:] if clock.stream is None]
    if not joins and len(timeline.parts) == 1:
        return {"written": False, "note": "the times of one stream begin anew, and no container takes its codec"}
    at = part.packets.at_bytes[joins[0].first] if joins else -1
    end = span.start - len(span.prefix) + at if at >= 0 else span.end
    with open(recording.path, "rb") as source, open(into, "wb") as target:
        source.seek(span.start)
        while piece := source.read(min(BUFFER_BYTES, end - source.tell())):
            target.write(piece)
    for one in timeline.parts[1:]:
        joins += [clock for clock in one.clocks if clock.stream is None]
    entry = {
        "at_s": part.clocks[0].end_s - part.clocks[0].start_s,
        "seconds": sum(clock.end_s - clock.start_s for clock in joins),
        "bytes": recording.size_bytes - end,
        "why": "no container takes its codecs",
    }
    return {"written": True, "left_out": [entry, *timeline.left_out]}
