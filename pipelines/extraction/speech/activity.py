"""Where speech is heard: silero-vad's probabilities, and stretches and levels made of them.

The sound is read in pieces, so a mapped file of any length will do.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.extraction.config import SpeechConfig
from pipelines.extraction.speech.vad import FRAME, speech_probabilities
from pipelines.extraction.video.audio_file import SAMPLE_RATE_HZ

FRAME_S = FRAME / SAMPLE_RATE_HZ
# Levels are measured against this, not against silence, so that a ratio stays finite. About one step of 16 bits.
FLOOR = 1e-9
SNR_RANGE_DB = (-20.0, 60.0)


@dataclass(frozen=True)
class Speech:
    """What is heard in a whole video, a value per frame of FRAME_S seconds."""

    probability: np.ndarray  # (frames,) float32
    power: np.ndarray  # (frames,) float32, mean square, full scale is 1
    stretches: tuple[tuple[float, float], ...]  # start and end in seconds; pauses shorter than join_s included
    voiced: np.ndarray  # (frames,) bool: within speech, pauses excluded

    def ratio(self, start_s: float, end_s: float) -> float:
        """Returns the share of a stretch that holds speech, 0..1."""
        part = self.voiced[_frames(start_s, end_s)]
        return float(part.mean()) if part.size else 0.0

    def snr_db(self, start_s: float, end_s: float, around_s: float = 5.0) -> float:
        """Returns how far the speech of a stretch stands above what is heard between speech, in dB.

        The noise is the lower quartile of the frames without speech up to `around_s` away, or what the quietest tenth
        of the stretch itself does not exceed, whichever is less.
        """
        part, near = _frames(start_s, end_s), _frames(max(0.0, start_s - around_s), end_s + around_s)
        speech = self.power[part][self.voiced[part]]
        quiet = self.power[near][~self.voiced[near] & (self.probability[near] < 0.1)]
        if not speech.size:
            return SNR_RANGE_DB[0]
        # Quartile, because among the frames without speech are some that the network missed, the loudest of them.
        # Tenth, because what is loud between speech (laughter, a jingle) need not lie under it.
        noise = np.percentile(self.power[part], 10)
        if quiet.size >= 10:
            noise = min(noise, np.percentile(quiet, 25))
        signal = max(float(speech.mean()) - float(noise), FLOOR)
        return float(np.clip(10 * np.log10(signal / (float(noise) + FLOOR)), *SNR_RANGE_DB))


def find_speech(sound: np.ndarray, config: SpeechConfig) -> Speech:
    """Returns where speech is heard.

    Args:
        sound: (samples,) int16 at 16 kHz.
        config: see there.
    """
    probability, power = speech_probabilities(sound)
    voiced = _with_hysteresis(probability, config.threshold, config.threshold - config.hysteresis)
    runs = [(a, b) for a, b in _runs(voiced) if (b - a) * FRAME_S >= config.min_speech_s]
    kept = np.zeros_like(voiced)
    for a, b in runs:
        kept[a:b] = True
    end_s = len(sound) / SAMPLE_RATE_HZ
    stretches: list[tuple[float, float]] = []
    for a, b in runs:
        start, end = max(0.0, a * FRAME_S - config.pad_s), min(end_s, b * FRAME_S + config.pad_s)
        if stretches and start - stretches[-1][1] <= config.join_s - 2 * config.pad_s:
            stretches[-1] = (stretches[-1][0], end)
        else:
            stretches.append((start, end))
    return Speech(probability, power, tuple(stretches), kept)


def _with_hysteresis(probability: np.ndarray, start: float, end: float) -> np.ndarray:
    inside, result = False, np.zeros(len(probability), bool)
    for i, value in enumerate(probability):
        inside = value >= (end if inside else start)
        result[i] = inside
    return result


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _frames(start_s: float, end_s: float) -> slice:
    return slice(int(start_s / FRAME_S), max(int(start_s / FRAME_S) + 1, round(end_s / FRAME_S)))
