"""Which audio of a recording is listened to.

Most recordings have one audio stream, and the mix of its channels holds the speech. Where that mix has none, the
channels may be each other's negative (a swapped wire, a balanced line on a stereo jack), or the default stream may be
empty while another one speaks (OBS, a stream for each microphone). So the other streams and the single channels are
decoded, and the one with the most speech is used.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipelines.extraction.config import SpeechConfig
from pipelines.extraction.speech.vad import Speech, find_speech
from pipelines.extraction.video.audio_file import out_of_scale, release_pages
from pipelines.extraction.video.decode import Decoder
from pipelines.extraction.video.probe import AudioStream, MediaError

MOST_CHANNELS = 8  # of a stream that are tried one by one
SAME = 0.1  # a channel that differs from the mix by less than this share of its power is not tried


@dataclass(frozen=True)
class ChosenAudio:
    """The audio of a recording and its voice activity."""

    samples: np.ndarray  # (samples,) int16 at 16 kHz, mapped from disk
    speech: Speech
    note: str  # what a user should know of the choice; empty for the mix of the default stream


def choose_audio(decoder: Decoder, config: SpeechConfig) -> ChosenAudio:
    """Returns the audio of a recording that holds speech, the mix of the default stream where it does.

    Args:
        decoder: of the video, after all of its frames; it then has the chosen audio.
        config: how speech is found.
    """
    note = _brought_to_scale(decoder)
    first = ChosenAudio(decoder.audio, find_speech(decoder.audio, config), note)
    if first.speech.segments:
        return first
    best, most_s, name = None, 0.0, ""
    for label, stream, channel in _others(decoder.probe.audio_streams):
        try:
            file = decoder.other_audio(stream, channel)
        except MediaError:
            continue
        samples = file.samples()
        seconds = 0.0 if _alike(samples, first.samples) else _seconds(find_speech(samples, config))
        if seconds <= most_s:
            file.close()
            continue
        if best is not None:
            best.close()
        best, most_s, name = file, seconds, label
    if best is None:
        return first
    decoder.use(best)
    note = f"{name} was listened to: the mix of the default audio stream holds no speech"
    return ChosenAudio(decoder.audio, find_speech(decoder.audio, config), note)


def _brought_to_scale(decoder: Decoder) -> str:
    if not decoder.probe.audio_streams or not out_of_scale(decoder.audio):
        return ""
    try:
        file = decoder.other_audio(decoder.probe.audio_streams[0])
    except MediaError:
        return ""
    if file.gain == 1.0:
        file.close()
        return ""
    decoder.use(file)
    return f"the audio was brought to scale, by {20 * np.log10(file.gain):+.0f} dB"


def _others(streams: tuple[AudioStream, ...]) -> Iterator[tuple[str, AudioStream, int | None]]:
    """Yields (name, stream, channel or None for the mix): the other streams, then single channels."""
    for stream in streams[1:]:
        yield f"audio stream {stream.number}", stream, None
    for stream in streams:
        for channel in range(min(stream.channels, MOST_CHANNELS) if stream.channels > 1 else 0):
            yield f"channel {channel + 1} of {stream.channels} of audio stream {stream.number}", stream, channel


def _seconds(speech: Speech) -> float:
    return sum(end_s - start_s for start_s, end_s in speech.segments)


def _alike(samples: np.ndarray, mix: np.ndarray) -> bool:
    count, power, rest = min(len(samples), len(mix)), 0.0, 0.0
    for i in range(0, count, 1 << 20):
        one, other = (part[i : i + (1 << 20)][: count - i].astype(np.float32) for part in (samples, mix))
        power += float(np.square(one).sum())
        rest += float(np.square(one - other).sum())
        release_pages(samples)
        release_pages(mix)
    return rest <= SAME * power
