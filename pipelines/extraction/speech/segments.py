"""The speech of a clip, cut into segments and packed as FLAC."""

import io
import itertools

import numpy as np
import soundfile

from pipelines.extraction.config import ClipConfig
from pipelines.extraction.speech.bandwidth import bandwidth_hz
from pipelines.extraction.speech.vad import FRAME_S, Speech
from pipelines.extraction.types import SpeechSegment
from pipelines.extraction.video.audio_file import SAMPLE_RATE_HZ, release_pages


def cut_segments(
    audio: np.ndarray, speech: Speech, start_s: float, end_s: float, config: ClipConfig
) -> tuple[SpeechSegment, ...]:
    """Returns the speech segments of one clip in order of time. They cover the clip, except where it is silent.

    Args:
        audio: (samples,) int16 at 16 kHz, of the whole video.
        speech: voice activity of the whole video.
        start_s, end_s: of the clip.
        config: segments last at most `segment_max_s`, are cut at the quietest moments, and last at least
            `segment_min_s` where the clip does.
    """
    edges = [start_s]
    while end_s - edges[-1] > config.segment_max_s:
        # Leaves enough for the last one, so that none is shorter than the least length.
        latest = min(edges[-1] + config.segment_max_s, end_s - config.segment_min_s)
        earliest = max(edges[-1] + config.segment_min_s, latest - config.segment_max_s / 2)
        edges.append(_quietest(speech, earliest, latest))
    edges.append(end_s)
    parts = [(a, b) for a, b in itertools.pairwise(edges) if audio[_samples(a, b)].any()]
    segments = tuple(_segment(audio, speech, a, b) for a, b in parts)
    release_pages(audio)
    return segments


def _quietest(speech: Speech, start_s: float, end_s: float) -> float:
    first = int(np.ceil(start_s / FRAME_S))
    part = speech.probability[first : int(end_s / FRAME_S)]
    return (first + int(np.argmin(part))) * FRAME_S if part.size else end_s


def _segment(audio: np.ndarray, speech: Speech, start_s: float, end_s: float) -> SpeechSegment:
    samples = np.asarray(audio[_samples(start_s, end_s)])
    flac = io.BytesIO()
    soundfile.write(flac, samples, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return SpeechSegment(
        start_s=start_s,
        end_s=start_s + len(samples) / SAMPLE_RATE_HZ,
        speech_ratio=speech.ratio(start_s, end_s),
        snr_db=speech.snr_db(start_s, end_s),
        audio=flac.getvalue(),
        bandwidth_hz=bandwidth_hz(samples),
    )


def _samples(start_s: float, end_s: float) -> slice:
    return slice(round(start_s * SAMPLE_RATE_HZ), round(end_s * SAMPLE_RATE_HZ))
