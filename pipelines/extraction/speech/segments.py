"""The speech of a clip, cut into segments and packed as FLAC."""

import io
import itertools

import numpy as np
import soundfile

from pipelines.extraction.config import ClipConfig
from pipelines.extraction.speech.activity import FRAME_S, Speech
from pipelines.extraction.types import SpeechSegment
from pipelines.extraction.video.audio_file import SAMPLE_RATE_HZ, forget


def cut_segments(
    sound: np.ndarray, speech: Speech, start_s: float, end_s: float, config: ClipConfig
) -> tuple[SpeechSegment, ...]:
    """Returns the segments of one clip in order of time; together they cover it, but for any without a sound.

    Args:
        sound: (samples,) int16 at 16 kHz, of the whole video.
        speech: of the whole video.
        start_s, end_s: the clip.
        config: segments are at most `segment_max_s` long, cut at the quietest moments, and at least
            `segment_min_s` where the clip is.
    """
    edges = [start_s]
    while end_s - edges[-1] > config.segment_max_s:
        # Leave enough for the last one, so that none is shorter than the least length.
        latest = min(edges[-1] + config.segment_max_s, end_s - config.segment_min_s)
        earliest = max(edges[-1] + config.segment_min_s, latest - config.segment_max_s / 2)
        edges.append(_quietest(speech, earliest, latest))
    edges.append(end_s)
    parts = [(a, b) for a, b in itertools.pairwise(edges) if sound[_samples(a, b)].any()]
    segments = tuple(_segment(sound, speech, a, b) for a, b in parts)
    forget(sound)
    return segments


def _quietest(speech: Speech, start_s: float, end_s: float) -> float:
    first = int(np.ceil(start_s / FRAME_S))
    part = speech.probability[first : int(end_s / FRAME_S)]
    return (first + int(np.argmin(part))) * FRAME_S if part.size else end_s


def _segment(sound: np.ndarray, speech: Speech, start_s: float, end_s: float) -> SpeechSegment:
    samples = np.asarray(sound[_samples(start_s, end_s)])
    flac = io.BytesIO()
    soundfile.write(flac, samples, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return SpeechSegment(
        start_s=start_s,
        end_s=start_s + len(samples) / SAMPLE_RATE_HZ,
        speech_ratio=speech.ratio(start_s, end_s),
        snr_db=speech.snr_db(start_s, end_s),
        audio=flac.getvalue(),
    )


def _samples(start_s: float, end_s: float) -> slice:
    return slice(round(start_s * SAMPLE_RATE_HZ), round(end_s * SAMPLE_RATE_HZ))
