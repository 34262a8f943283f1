"""Active speaker scores: for each track, the probability per frame that its face is the one speaking.

A backend gives each track a likelihood ratio per frame. The ratios of all tracks in view are then compared with each
other and with nobody, by Bayes' rule over the hypotheses "track i is speaking" and "none of them is":

    P(i) = r_i / (r_1 + ... + r_n + (1 - prior) / prior),      r_i = likelihood ratio of track i

so a lone face needs evidence of its own, and of two faces only one can win.
"""

from collections.abc import Sequence

import numpy as np

from pipelines.extraction.active_speaker.base import Evidence
from pipelines.extraction.config import ActiveSpeakerConfig
from pipelines.extraction.faces.tracks import Track

# Beyond this a ratio says no more, and exp stays finite.
MOST_LOG_RATIO = 20.0


def active_speaker_scores(
    tracks: Sequence[Track], audio: np.ndarray, rate_hz: float, config: ActiveSpeakerConfig, evidence: Evidence
) -> list[np.ndarray]:
    """Returns, for each track, the probability 0..1 per frame that it is the active speaker; (frames,) float32.

    Args:
        tracks: all tracks of the video.
        audio: (samples,) int16 at 16 kHz, of the whole video.
        rate_hz: frames per second.
        config: the prior, and what the evidence needs.
        evidence: the backend's evidence of one track.
    """
    ratios = [np.exp(np.clip(evidence(t, audio, rate_hz, config), -MOST_LOG_RATIO, MOST_LOG_RATIO)) for t in tracks]
    chance = (1 - config.prior) / config.prior
    scores = []
    for track, own in zip(tracks, ratios, strict=True):
        everyone = np.zeros(len(track))
        for other, theirs in zip(tracks, ratios, strict=True):
            first, end = max(track.first, other.first), min(track.end, other.end)
            if first < end:
                theirs_here = theirs[first - other.first : end - other.first]
                everyone[first - track.first : end - track.first] += theirs_here
        scores.append((own / (everyone + chance)).astype(np.float32))
    return scores
