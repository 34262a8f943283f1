"""Audio files of speech, read by their content whatever their names end in.

libsndfile reads WAV, FLAC, OGG, MP3 and more; all else that ffmpeg demuxes (M4A, WebM, AMR, 3GP, MKA, videos) is read
by ffmpeg, under the limits of videos.
"""

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipelines.extraction.config import MediaConfig
from pipelines.extraction.video.audio_file import to_scale
from pipelines.extraction.video.ffmpeg import ffmpeg_binary
from pipelines.extraction.video.limits import dies_with_parent, limit_memory
from pipelines.extraction.video.one_clock import OneClock, open_on_one_clock
from pipelines.extraction.video.probe import AudioStream, MediaError
from vclip.audio import read_audio, resample, to_mono
from vclip.errors import InputError

# What folders are searched for; a file that is named may end in anything.
AUDIO_SUFFIXES = (
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".m4b", ".aac", ".mp4", ".mka", ".webm", ".3gp"),
    *(".amr", ".wma", ".aif", ".aiff", ".aifc", ".caf", ".au", ".w64", ".rf64", ".ac3", ".mp2", ".wv", ".tta"),
)
SILENT = 1e-5  # peak; full scale is 1
PADDING_S = 0.5  # that a codec may add at both ends, and libsndfile leaves out


@dataclass(frozen=True)
class RecordedSpeech:
    """The audio of a file."""

    samples: np.ndarray  # (samples,) float32, mono
    rate_hz: int
    note: str  # what of the file was left out, and why; empty where nothing was

    @property
    def length_s(self) -> float:
        return len(self.samples) / self.rate_hz


def read_recording(path: str, config: MediaConfig | None = None, rate_hz: int = 16_000) -> RecordedSpeech:
    """Returns the speech of a file, of all its parts where several files were joined into it.

    Args:
        path: a local audio file or video.
        config: the ffmpeg and its limits; `audio` chooses a stream.
        rate_hz: sample rate of what ffmpeg decodes; libsndfile keeps that of the file.

    Raises:
        InputError: the file cannot be decoded, or holds no samples; the message names it.
    """
    try:
        found = RecordedSpeech(*read_audio(path), "")
    except InputError as error:
        if "No such file" in str(error):
            raise
        found = None
    config = config or MediaConfig()
    try:
        with open_on_one_clock(path, config) as recording:
            stream_s = recording.lengths_s.get(recording.probe.audio_index or 0, 0.0)
            # libsndfile reads the first of several parts.
            if found and recording.path == Path(path) and stream_s <= found.length_s + PADDING_S:
                return replace(found, note=recording.note)
            return _first_audible(recording, config, rate_hz)
    except MediaError as error:
        if found:
            return found  # ffmpeg does not know all that libsndfile reads
        raise InputError(f"audio {path}: {error}; expected an audio file or a video") from None


def read_int16(path: str, config: MediaConfig, rate_hz: int = 16_000) -> tuple[np.ndarray, str]:
    """Returns the audio of a file, (samples,) int16, mono, and the note of `read_recording`.

    The audio is brought to scale as float where it is far from it. Args and errors as of `read_recording`.
    """
    speech = read_recording(path, config, rate_hz)
    samples = resample(speech.samples, speech.rate_hz, rate_hz)
    gain = to_scale(float(np.abs(samples).max(initial=0)))
    return np.round(np.clip(samples * np.float32(gain), -1, 1) * 32767).astype(np.int16), speech.note


def _first_audible(recording: OneClock, config: MediaConfig, rate_hz: int) -> RecordedSpeech:
    """Returns the audio of the first stream that is not silent, as ffmpeg decodes it."""
    speech = None
    for stream in recording.probe.audio_streams:
        samples = _decoded(str(recording.path), recording.probe.format, stream, config, rate_hz)
        stream_s, speech = (
            recording.lengths_s.get(stream.index, 0.0),
            RecordedSpeech(samples, rate_hz, recording.note),
        )
        if not speech.note and stream_s > speech.length_s + PADDING_S:
            speech = replace(speech, note=f"{speech.length_s:.3g} s of {stream_s:.3g} s could be decoded")
        if np.abs(samples).max(initial=0) > SILENT:
            break
    if speech is None:
        raise MediaError("found no audio stream")
    return speech


def _decoded(path: str, demuxer: str, stream: AudioStream, config: MediaConfig, rate_hz: int) -> np.ndarray:
    # With the demuxer given, ffmpeg reads no playlist that names other files.
    command = [*dies_with_parent(), ffmpeg_binary(config.ffmpeg), "-v", "error", "-nostdin", "-f", demuxer]
    command += ["-protocol_whitelist", "file", "-i", f"file:{path}", "-map", f"0:{stream.index}"]
    command += ["-t", f"{config.max_duration_s:g}", "-ar", str(rate_hz), "-f", "f32le", "-"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process:
        limit_memory(process.pid, config.memory_limit_mb)
        try:
            audio, log = process.communicate(timeout=config.slow_limit_s)
        except subprocess.TimeoutExpired:
            raise MediaError(f"not decoded within {config.slow_limit_s:g} s (media.slow_limit_s)") from None
        finally:
            process.kill()
    samples = np.frombuffer(audio, "<f4")
    channels = max(stream.channels, 1)
    if len(samples) < channels:
        messages = log.decode(errors="replace").strip().splitlines()
        raise MediaError(messages[-1] if messages else "found no audio")
    table = np.nan_to_num(samples[: len(samples) // channels * channels].reshape(-1, channels))
    return table[:, 0] if stream.layout.startswith("ambisonic") else to_mono(table)
