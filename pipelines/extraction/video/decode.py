"""Pictures and sound of a video, decoded by ffmpeg on one clock.

One process per video gives small pictures at a constant rate through a pipe and 16 kHz mono sound into a temporary
file; where these pictures are shrunk, a second, seeking one gives chosen full-resolution pictures. Pictures are
streamed and the sound is mapped from disk as int16 (2 hours: 230 MB of disk), so memory does not grow with the length
of the video.

Pictures and sound have filters of their own, never one common graph: there, a change of the sound's format would also
start the pictures' clock anew.
"""

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np

from pipelines.extraction.config import MediaConfig
from pipelines.extraction.video.audio_file import BYTES, SAMPLE_RATE_HZ, SoundFile
from pipelines.extraction.video.ffmpeg import ffmpeg_binary, filters, run_ffmpeg
from pipelines.extraction.video.frame_clock import PictureClock
from pipelines.extraction.video.picture import Picture
from pipelines.extraction.video.probe import MediaError, Probe

__all__ = ["SAMPLE_RATE_HZ", "Decoder", "ffmpeg_binary", "full_pictures"]

SEEK_LEAD = 2  # pictures
LEAP_S = 8.0  # reading on is as fast as a new process, which starts at a key picture before, up to about here
BURST = 50  # pictures that are read in one go; 17 MB of 640x360
MOST_IN_A_PASS = 64  # pictures; ffmpeg compares the number of each with every one of them
PLANES, PPM = {"vcodec": "pgmyuv", "pix_fmt": "yuv420p"}, {"vcodec": "ppm", "pix_fmt": "rgb24"}
FULL_SIZE = "scale='round(iw*sar)':ih:flags=bicubic"
NAME = "<file>"  # stands for the file's name, which need not be the UTF-8 that ffmpeg-python wants
# BT.2020 PQ or HLG to BT.709, as BT.601 writes colours: in linear light, bright parts rolled off; 100 cd/m2 is the
# white of SDR.
TONE_MAP = (
    "zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0,zscale=t=bt709:m=170m:r=tv,"
    "format=yuv420p"
)


class Decoder:
    """Decodes one video. Iterate over `pictures` to the end, then read `sound`; a context manager.

    Args:
        path: the video.
        probe: what `probe_media` found in it; it must have both streams.
        config: rates and limits.
    """

    def __init__(self, path: str | Path, probe: Probe, config: MediaConfig):
        self.path, self.probe, self.config = path, probe, config
        self._sound = SoundFile()
        self._clock = PictureClock()

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(self, *error: Any) -> None:
        self._sound.close()
        self._clock.close()

    def pictures(self) -> Iterator[Picture]:
        """Yields the pictures, number i standing at second `i / rate_hz`.

        A stream that starts late repeats its first picture until then, and one of fewer pictures each of them: it is
        the same object again. After a change of resolution the pictures keep the size of the first.

        Raises:
            MediaError: ffmpeg fails, stalls or takes too much, or the video is longer than the limit.
        """
        config, count = self.config, 0
        limit, gap = round(config.max_duration_s * config.rate_hz), round(config.max_gap_s * config.rate_hz)
        most_bytes = round((config.max_duration_s + config.max_gap_s) * SAMPLE_RATE_HZ) * BYTES
        fds = (self._clock.target, *self._sound.fds)
        given = map(Picture, _in_bursts(run_ffmpeg(_arguments(self._outputs(), self.path), config, fds, most_bytes)))
        for count, picture in enumerate(self._clock.place(given, gap), start=1):
            if count > limit:
                raise MediaError(f"longer than the limit of {config.max_duration_s:g} s (media.max_duration_s)")
            yield picture
        start_s = self.probe.video_start_s
        if not count and start_s > config.max_gap_s:
            limit_s = f"more than {config.max_gap_s:g} s (media.max_gap_s)"
            raise MediaError(f"its first picture stands at {start_s:.1f} s, {limit_s} after its sound")
        self._sound.place()

    def _outputs(self) -> Any:
        config, probe = self.config, self.probe
        source, side = _input(probe, config), config.max_side_px
        # Display size: the pixels made square, shrunk to the limit but never enlarged; even sizes.
        shrink = f"min(1,{side}/max(iw*sar,ih))"
        size = f"'max(2,2*round(iw*sar*{shrink}/2))':'max(2,2*round(ih*{shrink}/2))'"
        video = source[str(probe.video_index)].output(
            # The time goes ahead of the picture, so that it is there when the picture is.
            f"[f=framecrc:flush_packets=1]pipe:{self._clock.target}|[f=data]pipe:1",
            vf=_chain(probe, config, f"scale={size}:flags=area+accurate_rnd:out_color_matrix=bt601:out_range=tv"),
            format="tee",
            fps_mode="passthrough",
            enc_time_base=f"1:{config.rate_hz:g}",
            **PLANES,
        )
        audio = source[str(probe.audio_index)].output(
            self._sound.target,
            af=_sound_filters(probe, config),
            format="tee",
            acodec="pcm_s16le",
            t=config.max_duration_s,
        )
        return ffmpeg.merge_outputs(video, audio)

    @property
    def sound(self) -> np.ndarray:
        """The sound, (samples,) int16 at 16 kHz, mapped from disk; only while the decoder is open."""
        return self._sound.samples()


def full_pictures(
    path: str | Path, probe: Probe, config: MediaConfig, numbers: Sequence[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (number, picture at full resolution) for the numbers, rising, of some of a decoder's pictures.

    Those that stand close together are read in one go, and what lies between two that do not is leapt over. A number
    whose picture cannot be read is left out.
    """
    left = list(numbers)
    while left:
        run = _close_together(left, config.rate_hz)
        try:
            for number, picture in _one_pass(path, probe, config, run):
                yield number, picture
                left = left[1:]
            left = [number for number in left if number > run[-1]]
        except MediaError:
            left = left[1:]  # it is in the way of those after it


def _in_bursts(pictures: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    # ffmpeg and the models then take turns of seconds, not of pictures, and find their caches warm.
    while burst := deque(itertools.islice(pictures, BURST)):
        while burst:
            yield burst.popleft()


def _close_together(numbers: Sequence[int], rate_hz: float) -> list[int]:
    leap = round(LEAP_S * rate_hz)
    far = (i for i, (a, b) in enumerate(itertools.pairwise(numbers), start=1) if b - a > leap)
    return list(numbers[: min(MOST_IN_A_PASS, next(far, len(numbers)))])


def _one_pass(
    path: str | Path, probe: Probe, config: MediaConfig, numbers: Sequence[int]
) -> Iterator[tuple[int, np.ndarray]]:
    # Start a little early: a seek to a picture's very time may land after it.
    start = max(0, numbers[0] - SEEK_LEAD)
    wanted = "+".join(f"eq(n,{number - start})" for number in numbers)
    source = _input(probe, config, ss=f"{start / config.rate_hz:.6f}")
    # The same clock as in the first pass, so that the same number is the same instant.
    clock = f"fps={config.rate_hz:g}:start_time=0,select='{wanted}'"
    chain = _chain(probe, config, f"{clock},{FULL_SIZE}")
    video = source[str(probe.video_index)].output(
        "pipe:", vf=chain, format="image2pipe", fps_mode="passthrough", vframes=len(numbers), **PPM
    )
    yield from zip(numbers, run_ffmpeg(_arguments(video, path), config), strict=False)


def _input(probe: Probe, config: MediaConfig, **options: Any) -> Any:
    # The format that was found, no other: a playlist that calls itself .mp4 must not make ffmpeg open addresses.
    return ffmpeg.input(
        NAME,
        f=probe.format,
        protocol_whitelist="file",
        threads=config.threads,
        max_pixels=round(config.max_picture_mpx * 1e6),
        **({} if probe.interlaced else {"reinit_filter:v": 0}),
        **options,
    )


def _chain(probe: Probe, config: MediaConfig, size: str) -> str:
    """The filters of the pictures: fields joined, at most one for each number on the clock, then their size."""
    steps = ["bwdif=mode=send_frame:deint=interlaced"] if probe.interlaced else []
    near = _near("pts", config.max_gap_s * config.rate_hz)
    steps += [f"settb=1/{config.rate_hz:g}", f"select='not(eq(pts,prev_selected_pts))*{near}'", size]
    if probe.transfer and can_tone_map():
        steps.append(TONE_MAP)
    return ",".join(steps)


def _sound_filters(probe: Probe, config: MediaConfig) -> str:
    steps = [f"aselect='{_near('t', config.max_gap_s)}'"]
    if "channels" in probe.layout:
        # Nobody says what the channels are: all count alike.
        steps.append("pan=mono|c0=" + "+".join(f"{1 / probe.channels:.6f}*c{i}" for i in range(probe.channels)))
    # Gaps become silence; packets of a second, so that their list stays short.
    steps.append(f"aresample={SAMPLE_RATE_HZ}:async=1:min_hard_comp=0.04:ochl=mono:osf=s16")
    return ",".join([*steps, f"asetnsamples={SAMPLE_RATE_HZ}:p=0"])


def _near(time: str, gap: float) -> str:
    # What lies beyond a longer gap is damage; or hours of silence or of one picture would be made up to reach it.
    return f"lte({time}-if(isnan(prev_selected_{time}),0,prev_selected_{time}),{gap:g})"


def can_tone_map() -> bool:
    """Whether this ffmpeg can turn HDR into SDR; without that, HDR videos look flat and grey."""
    return {"zscale", "tonemap"} <= filters()


def _arguments(output: Any, path: str | Path) -> list[str]:
    quiet = ("-nostdin", "-v", "error", "-y", "-filter_threads", "1")
    # With the protocol named and from the root, no name is taken for an option, an address or a pattern.
    name = f"file:{Path(path).absolute()}"
    return [name if argument == NAME else argument for argument in output.global_args(*quiet).get_args()]
