"""Frames and audio of a video, decoded by ffmpeg on one clock.

One process per video writes small frames at a constant rate into a pipe and 16 kHz mono audio into a temporary file.
Frames are streamed and the audio is mapped from disk as int16 (2 hours take 230 MB of disk), so memory does not grow
with the length of the video. Where the frames are shrunk, `full_frames` reads chosen ones again.

Frames and audio have separate filter graphs: in a common one, a change of the audio format would restart the clock of
the frames too.
"""

import itertools
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np

from pipelines.extraction.config import MediaConfig
from pipelines.extraction.video.audio_file import SAMPLE_BYTES, SAMPLE_RATE_HZ, AudioFile
from pipelines.extraction.video.ffmpeg import ffmpeg_binary, filters, run_ffmpeg
from pipelines.extraction.video.frame import Frame
from pipelines.extraction.video.frame_clock import LISTING, FrameClock, FrameIndex
from pipelines.extraction.video.probe import AudioStream, MediaError, MediaProbe

__all__ = ["SAMPLE_RATE_HZ", "Decoder"]

BURST = 50  # frames read in one go; 17 MB at 640x360
PLANES = {"vcodec": "pgmyuv", "pix_fmt": "yuv420p"}
NAME = "<file>"  # placeholder of the file name, which need not be UTF-8 as ffmpeg-python expects
# BT.2020 PQ or HLG to BT.709 with the BT.601 matrix: in linear light, highlights rolled off; SDR white is 100 cd/m2.
TONE_MAP = (
    "zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0,zscale=t=bt709:m=170m:r=tv,"
    "format=yuv420p"
)


class Decoder:
    """Decodes one video; a context manager. Iterate over `frames` to the end, then read `audio`.

    Args:
        path: the video.
        probe: the result of `probe_media`; it must have a video stream. Without an audio stream `audio` is empty.
        config: rates and limits.
    """

    def __init__(self, path: str | Path, probe: MediaProbe, config: MediaConfig):
        self.path, self.probe, self.config = path, probe, config
        self._audio = AudioFile()
        self._clock = FrameClock()

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(self, *error: Any) -> None:
        self._audio.close()
        self._clock.packets.close()

    def frames(self) -> Iterator[Frame]:
        """Yields the frames; number i is the frame at `i / rate_hz` seconds.

        Before a late start the first frame is repeated, and a source of a lower rate repeats each frame; a repeated
        frame is the same object. After a change of resolution the frames keep the size of the first.

        Raises:
            MediaError: ffmpeg fails, stalls or exceeds its limits, or the video is longer than
                `config.max_duration_s`.
        """
        config, count = self.config, 0
        limit, gap = round(config.max_duration_s * config.rate_hz), round(config.max_gap_s * config.rate_hz)
        most_bytes = round((config.max_duration_s + config.max_gap_s) * SAMPLE_RATE_HZ) * SAMPLE_BYTES
        fds = (self._clock.packets.target, *self._audio.fds)
        arguments = arguments_of(self._outputs(), self.path)
        given = map(Frame, _in_bursts(run_ffmpeg(arguments, config, fds, most_bytes)))
        for count, frame in enumerate(self._clock.place(given, gap), start=1):
            if count > limit:
                raise MediaError(f"longer than the limit of {config.max_duration_s:g} s (media.max_duration_s)")
            yield frame
        start_s = self.probe.video_start_s
        if not count and start_s > config.max_gap_s:
            limit_s = f"more than {config.max_gap_s:g} s (media.max_gap_s)"
            raise MediaError(f"the first frame is at {start_s:.1f} s, {limit_s} after the start of the file")
        self._audio.place()

    def _outputs(self) -> Any:
        config, probe = self.config, self.probe
        source = open_input(probe, config)
        video = source[str(probe.video_index)].output(
            # The time is written before the frame, so that it is there when the frame is.
            f"[f={LISTING}:flush_packets=1]pipe:{self._clock.packets.target}|[f=data]pipe:1",
            vf=video_filters(probe, config, analysis_size(config)),
            format="tee",
            **analysis_frames(config),
        )
        if probe.audio_index is None:
            return video
        return ffmpeg.merge_outputs(video, _audio_output(source, probe.audio_streams[0], None, self._audio, config))

    def other_audio(self, stream: AudioStream, channel: int | None = None) -> AudioFile:
        """Returns another audio of the recording, decoded as float and brought to scale; to be closed or used.

        Args:
            stream: one of `probe.audio_streams`.
            channel: one channel of it, from 0; None takes the mix of all.

        Raises:
            MediaError: it cannot be decoded.
        """
        config, probe = self.config, self.probe
        source, file = open_input(probe, config), AudioFile(floats=True)
        outputs = [_audio_output(source, stream, channel, file, config)]
        # ffmpeg counts time from the first packet of the streams in use: of the same two as in the first pass.
        for index in (probe.video_index, probe.audio_index):
            if index != stream.index:
                outputs.append(source[str(index)].output("-", format="null", codec="copy"))
        most_bytes = round((config.max_duration_s + config.max_gap_s) * SAMPLE_RATE_HZ) * 4
        try:
            arguments = arguments_of(ffmpeg.merge_outputs(*outputs), self.path)
            for _ in run_ffmpeg(arguments, patient(config, self.probe.duration_s), file.fds, most_bytes):
                pass
            file.place()
        except MediaError:
            file.close()
            raise
        return file

    def use(self, file: AudioFile) -> None:
        """Makes another audio that of the video."""
        self._audio.close()
        self._audio = file

    @property
    def index(self) -> FrameIndex:
        """The decoded frame for each number so far."""
        return self._clock.index

    @property
    def audio(self) -> np.ndarray:
        """The audio, (samples,) int16 at 16 kHz, mapped from disk. Read the property while the decoder is open."""
        return self._audio.samples()


def _in_bursts(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    # ffmpeg and the models then alternate by seconds, not by frames, and find their caches warm.
    while burst := deque(itertools.islice(frames, BURST)):
        while burst:
            yield burst.popleft()


def analysis_size(config: MediaConfig) -> str:
    """Returns the filter that gives the display size, shrunk to the limit but never enlarged; even sizes."""
    shrink = f"min(1,{config.max_side_px}/max(iw*sar,ih))"
    size = f"'max(2,2*round(iw*sar*{shrink}/2))':'max(2,2*round(ih*{shrink}/2))'"
    return f"scale={size}:flags=area+accurate_rnd:out_color_matrix=bt601:out_range=tv"


def analysis_frames(config: MediaConfig) -> dict[str, Any]:
    """Returns the output options of the analysis frames; packets are in units of the clock."""
    return {"fps_mode": "passthrough", "enc_time_base": f"1:{config.rate_hz:g}", **PLANES}


def open_input(probe: MediaProbe, config: MediaConfig, **options: Any) -> Any:
    """Returns the file as an input of ffmpeg-python, under the placeholder `NAME`."""
    # The probed format and no other: a playlist named .mp4 must not make ffmpeg open addresses.
    return ffmpeg.input(
        NAME,
        f=probe.format,
        protocol_whitelist="file",
        threads=config.threads,
        max_pixels=round(config.max_picture_mpx * 1e6),
        **({} if probe.interlaced else {"reinit_filter:v": 0}),
        **options,
    )


def video_filters(probe: MediaProbe, config: MediaConfig, *then: str) -> str:
    """Returns the video filters: deinterlace, at most one frame for each number on the clock, `then`, tone map."""
    steps = ["bwdif=mode=send_frame:deint=interlaced"] if probe.interlaced else []
    near = _near("pts", config.max_gap_s * config.rate_hz)
    steps += [f"settb=1/{config.rate_hz:g}", f"select='not(eq(pts,prev_selected_pts))*{near}'", *then]
    if probe.transfer and can_tone_map(config):
        steps.append(TONE_MAP)
    return ",".join(steps)


def _audio_output(source: Any, stream: AudioStream, channel: int | None, file: AudioFile, config: MediaConfig) -> Any:
    steps = [f"aselect='{_near('t', config.max_gap_s)}'", *_to_mono(stream, channel)]
    # Gaps become silence; packets of a second, so that their list stays short.
    kind = "flt" if file.codec == "pcm_f32le" else "s16"
    steps.append(f"aresample={SAMPLE_RATE_HZ}:async=1:min_hard_comp=0.04:ochl=mono:osf={kind}")
    steps.append(f"asetnsamples={SAMPLE_RATE_HZ}:p=0")
    options = {"acodec": file.codec, "t": config.max_duration_s}
    return source[str(stream.index)].output(file.target, af=",".join(steps), format="tee", **options)


def _to_mono(stream: AudioStream, channel: int | None) -> list[str]:
    """Returns the filter that mixes the channels where `aresample` has no weights for them."""
    if channel is None and stream.layout.startswith("ambisonic"):
        channel = 0  # the first channel is the omnidirectional one
    if channel is not None:
        return [f"pan=mono|c0=c{channel}"]
    if "channels" in stream.layout or stream.layout == "binaural":
        # The layout is unknown: all channels get the same weight.
        return ["pan=mono|c0=" + "+".join(f"{1 / stream.channels:.6f}*c{i}" for i in range(stream.channels))]
    return []


def patient(config: MediaConfig, span_s: float) -> MediaConfig:
    """Returns limits for a pass that may give its first frame only at its end.

    Args:
        config: the limits of a pass that gives frames all along.
        span_s: length of the video that is read.
    """
    return config.model_copy(update={"stall_limit_s": config.stall_limit_s + 2 * span_s})


def _near(time: str, gap: float) -> str:
    # Beyond a longer gap the timestamps are damaged; else hours of silence or of one frame would fill the gap.
    return f"lte({time}-if(isnan(prev_selected_{time}),0,prev_selected_{time}),{gap:g})"


def can_tone_map(config: MediaConfig) -> bool:
    """Returns whether this ffmpeg can turn HDR into SDR; without it, HDR videos look flat and grey."""
    return {"zscale", "tonemap"} <= filters(ffmpeg_binary(config.ffmpeg))


def arguments_of(output: Any, path: str | Path) -> list[str]:
    """Returns ffmpeg's command line for outputs of `open_input`."""
    quiet = ("-nostdin", "-v", "error", "-y", "-filter_threads", "1")
    # With the protocol and an absolute path, no file name is taken for an option, an address or a pattern.
    name = f"file:{Path(path).absolute()}"
    return [name if argument == NAME else argument for argument in output.global_args(*quiet).get_args()]
