"""Videos made for the tests by ffmpeg alone: black, with a white flash and a beep at second 1."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from pipelines.extraction.config import MediaConfig
from pipelines.extraction.video.decode import Decoder
from pipelines.extraction.video.probe import MediaProbe, probe_media
from tests.support.ffmpeg import shipped_ffmpeg

SECONDS, EVENT_S = 3, 1.0
MEDIA = MediaConfig()


def frames_source(size: str = "96x64", rate: str = "25", seconds: float = SECONDS, at_s: float = EVENT_S) -> str:
    """An ffmpeg `lavfi` source of noisy frames (some encoders leave still ones out), dark but white for 0.2 s."""
    flash = f"drawbox=color=white:t=fill:enable='between(t,{at_s},{at_s + 0.2})'"
    return f"color=0x141414:s={size}:r={rate}:d={seconds},format=yuv420p,noise=alls=8:allf=t,{flash}"


def audio_source(rate_hz: int = 48_000, seconds: float = SECONDS, at_s: float = EVENT_S, layout: str = "mono") -> str:
    """An ffmpeg `lavfi` source of audio, silent but for a beep of 0.2 s."""
    beep = f"0.5*sin(2*PI*1000*t)*between(t,{at_s},{at_s + 0.2})"
    return f"aevalsrc='{beep}':s={rate_hz}:d={seconds},aformat=channel_layouts={layout}"


def ffmpeg(*arguments: object) -> None:
    """Runs ffmpeg; a build that lacks an encoder skips the test."""
    command = [shipped_ffmpeg(), "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode and ("Unknown encoder" in done.stderr or "Encoder not found" in done.stderr):
        pytest.skip(f"this ffmpeg has no encoder for it: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr


def make(path: Path, *encoding: object, frames: str | None = None, audio: str | None = None) -> Path:
    """Writes a video of both sources with the output options `encoding`; returns its path."""
    sources = [frames or frames_source(), audio or audio_source()]
    inputs = [option for source in sources for option in ("-f", "lavfi", "-i", source)]
    ffmpeg(*inputs, *(encoding or H264), f"file:{path}")
    return path


H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac")


def decoded(path: Path, config: MediaConfig = MEDIA) -> tuple[list[np.ndarray], np.ndarray, MediaProbe]:
    """Returns all frames, the audio and the probe of a video."""
    probe = probe_media(path, config)
    with Decoder(path, probe, config) as decoder:
        return [frame.rgb for frame in decoder.frames()], np.array(decoder.audio), probe


def flash_s(frames: list[np.ndarray]) -> float:
    """Returns the time of the first white frame."""
    return next(i for i, frame in enumerate(frames) if frame.mean() > 128) / MEDIA.rate_hz


def beep_s(audio: np.ndarray) -> float:
    """Returns the time at which the first beep starts."""
    return int(np.flatnonzero(np.abs(audio.astype(int)) > 4000)[0]) / 16_000
