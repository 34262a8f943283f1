"""Reads audio files, and prepares speech for voice encoders."""

import io
from pathlib import Path

import numpy as np
import soundfile
import soxr

from vclip.errors import InputError

# Resemblyzer's mel frames are not logarithmic, so quiet speech gets another embedding: its cosine with the same
# speech at this level falls to 0.63 (850 utterances). Quieter speech is amplified to it, as in Resemblyzer's own
# `preprocess_wav`.
MIN_LEVEL_DBFS = -30.0
CANCELLED = 0.01  # share of the channels' power that is left in their mean; independent channels leave 1/channels


def read_audio(source: str | Path | bytes) -> tuple[np.ndarray, int]:
    """Returns mono samples (n,) float32 in -1..1 and their sample rate in Hz.

    Args:
        source: the path of an audio file (WAV, FLAC, OGG, MP3), or the content of one.

    Raises:
        InputError: the file is unreadable or empty; the message names it.
    """
    name = "audio" if isinstance(source, bytes) else f"audio {source}"
    try:
        samples, rate = soundfile.read(
            io.BytesIO(source) if isinstance(source, bytes) else str(source), dtype="float32", always_2d=True
        )
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        reason = str(error).rpartition(": ")[2].rstrip(".")
        raise InputError(f"{name}: {reason}; expected WAV, FLAC, OGG or MP3") from None
    if not len(samples):
        raise InputError(f"{name}: found no samples")
    return to_mono(samples), rate


def to_mono(samples: np.ndarray) -> np.ndarray:
    """Returns the mean of the channels, or the loudest channel where they cancel each other in the mean.

    Channels in opposite phase (a swapped wire, a balanced line on a stereo jack) would be silence.

    Args:
        samples: (samples, channels) float32.

    Example:
        >>> import numpy as np
        >>> to_mono(np.array([[0.5, -0.5], [0.25, -0.25]], np.float32)).tolist()
        [0.5, 0.25]
    """
    mean = samples.mean(axis=1)
    power = np.square(samples, dtype=np.float64).mean(axis=0)
    if np.square(mean, dtype=np.float64).mean() >= CANCELLED * power.mean():
        return mean
    return samples[:, int(power.argmax())]


def expect_speech(samples: np.ndarray) -> None:
    """Raises InputError if samples (n,) are empty, silent or not finite."""
    if not len(samples) or not np.any(samples):
        raise InputError("found silence, expected speech")
    if not np.isfinite(samples).all():
        raise InputError("found NaN or infinity among the samples, expected -1..1")


def prepare_speech(samples: np.ndarray, sample_rate_hz: int, target_rate_hz: int = 16_000) -> np.ndarray:
    """Returns speech (samples,) float32 at the rate of a voice encoder, amplified to -30 dBFS if it is quieter."""
    samples = resample(samples, sample_rate_hz, target_rate_hz)
    level_dbfs = 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-12)
    gain = 10 ** (max(0.0, MIN_LEVEL_DBFS - level_dbfs) / 20)
    return (samples * gain).astype(np.float32)


def resample(samples: np.ndarray, sample_rate_hz: int, target_rate_hz: int) -> np.ndarray:
    """Returns samples (samples,) float32 at the target rate."""
    return samples if sample_rate_hz == target_rate_hz else soxr.resample(samples, sample_rate_hz, target_rate_hz)
