"""Frames of a video read again at full resolution, each proved to be the frame that the analysis saw.

A seek is fast but lands where the container lets it: MPEG-TS, MPEG-PS and AVI with B-frames answer with frames of
another moment (JuliaIO/VideoIO.jl#427, jellyfin#13942), perhaps behind a cut. So each pass also makes the small
analysis frame, and a frame counts only if its place on the clock and the checksum of its analysis frame are those of
the first pass. What a seek does not give is tried again from further ahead, then by reading from the start, which is
slow and repeats what the first pass did. What fails there too is left out.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import ffmpeg
import numpy as np

from pipelines.extraction.config import MediaConfig
from pipelines.extraction.video.decode import (
    Decoder,
    analysis_frames,
    analysis_size,
    arguments_of,
    open_input,
    patient,
    video_filters,
)
from pipelines.extraction.video.ffmpeg import run_ffmpeg
from pipelines.extraction.video.frame_clock import FrameIndex, PacketPipe
from pipelines.extraction.video.probe import MediaError, MediaProbe

LEADS_S = (1, 12, math.inf)  # how far ahead of a frame reading starts, one attempt after the other
LEAP_S = 8.0  # up to about here, reading on is as fast as a new process, which starts at an earlier key frame
MOST_IN_A_PASS = 64  # frames; ffmpeg compares the place of each frame with all of them
MOST_FROM_START = 1000
PPM = {"vcodec": "ppm", "pix_fmt": "rgb24", "fps_mode": "passthrough"}
FULL_SIZE = "scale='round(iw*sar)':ih:flags=bicubic"


def full_resolution_frames(
    path: str | Path, probe: MediaProbe, config: MediaConfig, numbers: Sequence[int], index: FrameIndex | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (number, frame) for some of a decoder's frames, at full resolution, (height, width, 3) uint8 RGB.

    The order is that of reading, not always that of the numbers. A frame that cannot be read again is left out.

    Args:
        path, probe: the video.
        config: rates and limits, as in the first pass.
        numbers: of the frames, rising.
        index: `Decoder.index` after the first pass; where None, the video is decoded once more to make it.
    """
    try:
        index = index or _indexed(path, probe, config)
    except MediaError:
        return
    left = [number for number in numbers if number < len(index)]
    for lead_s in LEADS_S:
        given: set[int] = set()
        for part in _passes(left, lead_s, config.rate_hz):
            try:
                for number, frame in _one_pass(path, probe, config, part, index, lead_s):
                    given.add(number)
                    yield number, frame
            except MediaError:
                continue  # damaged somewhere ahead of these frames, or gone
        left = [number for number in left if number not in given]


def _indexed(path: str | Path, probe: MediaProbe, config: MediaConfig) -> FrameIndex:
    with Decoder(path, probe, config) as decoder:
        for _ in decoder.frames():
            pass
        return decoder.index


def _passes(numbers: Sequence[int], lead_s: float, rate_hz: float) -> Iterator[list[int]]:
    """Yields the numbers that are read in one pass: close to each other, or many where reading starts at 0."""
    most, leap = (MOST_FROM_START, math.inf) if math.isinf(lead_s) else (MOST_IN_A_PASS, LEAP_S * rate_hz)
    part: list[int] = []
    for number in numbers:
        if part and (number - part[-1] > leap or len(part) >= most):
            yield part
            part = []
        part.append(number)
    if part:
        yield part


def _one_pass(
    path: str | Path,
    probe: MediaProbe,
    config: MediaConfig,
    numbers: Sequence[int],
    index: FrameIndex,
    lead_s: float,
) -> Iterator[tuple[int, np.ndarray]]:
    rate_hz = config.rate_hz
    wanted: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number in numbers:
        wanted[index[number]].append(number)
    places = sorted({place for place, _ in wanted})
    first = _seek_place(places[0], lead_s, rate_hz)
    span_s = (places[-1] + 2 - first) / rate_hz
    source = open_input(probe, config, t=f"{span_s:.6f}", **({"ss": f"{first / rate_hz:.6f}"} if first else {}))
    pick = "+".join(f"eq(pts,{place - first})" for place in places)
    steps = [f"select='{pick}'"]
    video = source[str(probe.video_index)]
    with PacketPipe() as packets:
        # The packet is written before the frame is, or by another thread at about the same time.
        small = video.output(
            f"pipe:{packets.target}",
            vf=video_filters(probe, config, *steps, analysis_size(config)),
            format="framehash",
            hash="murmur3",
            flush_packets=1,
            **analysis_frames(config),
        )
        full = video.output("pipe:1", vf=video_filters(probe, config, *steps, FULL_SIZE), format="image2pipe", **PPM)
        outputs = [small, full]
        if probe.audio_index is not None:
            # ffmpeg counts time from the first packet of the streams in use: of the same two as in the first pass.
            outputs.append(source[str(probe.audio_index)].output("-", format="null", acodec="copy"))
        arguments = arguments_of(ffmpeg.merge_outputs(*outputs), path)
        for frame in run_ffmpeg(arguments, patient(config, span_s), (packets.target,)):
            packet = packets.next(config.stall_limit_s)
            for number in wanted.pop((packet.start + first, packet.checksum), ()):
                yield number, frame
            if not wanted:
                return


def _seek_place(place: int, lead_s: float, rate_hz: float) -> int:
    """Returns where on the clock reading starts: a whole second where the rate allows it.

    A whole second is exact in every container's time base, so that each frame keeps its place on the clock.
    """
    start_s = math.floor(place / rate_hz - lead_s) if math.isfinite(lead_s) else 0
    while start_s > 0 and not (start_s * rate_hz).is_integer() and lead_s < LEADS_S[1]:
        start_s, lead_s = start_s - 1, lead_s + 1
    return max(0, round(start_s * rate_hz))
