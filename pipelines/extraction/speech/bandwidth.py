"""Bandwidth of a recording of speech: the frequency up to which it reaches.

Telephone speech ends at 3.4 kHz, and audio of 8,000 samples a second at 4 kHz, also after it was resampled to 16 kHz.
Noise that was recorded together with the speech ends there too. Noise that was added later does not, and hides the
end of the speech.
"""

import numpy as np

from pipelines.extraction.video.audio_file import SAMPLE_RATE_HZ

SPECTRUM, HOP = 512, 256  # samples
BAND_HZ = 250
LOUD = 95  # percentile over time: a band is judged by its loud moments, the upper ones by sibilants
REFERENCE_HZ = (1000, 3000)  # speech of every bandwidth has these
LEAST_DB = -27.0  # of a band that counts, below the reference; what resamplers and codecs leave above is weaker
# The rounding to 16 bits has a power of 16 in a spectral line. Levels are over 18 dB more, and count from 3 dB on.
ROUNDING, HEARD_DB = 1e3, 3.0


def bandwidth_hz(samples: np.ndarray) -> float | None:
    """Returns the frequency up to which a recording of speech reaches, a multiple of BAND_HZ; None for silence.

    Args:
        samples: (samples,) int16 at 16 kHz, a second of speech or more.
    """
    if len(samples) < SPECTRUM:
        return None
    spectra = np.lib.stride_tricks.sliding_window_view(samples, SPECTRUM)[::HOP] * _WINDOW
    lines = np.abs(np.fft.rfft(spectra, axis=1)[:, 1:]) ** 2
    bands = lines.reshape(len(lines), -1, BAND_HZ * SPECTRUM // SAMPLE_RATE_HZ).mean(2)  # (spectra, bands)
    loud_db = 10 * np.log10(np.percentile(bands, LOUD, axis=0) / ROUNDING + 1)
    reference_db = loud_db[REFERENCE_HZ[0] // BAND_HZ : REFERENCE_HZ[1] // BAND_HZ].mean()
    reached = np.flatnonzero(loud_db >= max(reference_db + LEAST_DB, HEARD_DB))
    return float((reached[-1] + 1) * BAND_HZ) if reached.size else None


_WINDOW = np.hanning(SPECTRUM).astype(np.float32)
