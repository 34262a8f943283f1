"""Which visible face, if any, is the one heard.

For each track a backend weighs windows of a few seconds: the log-likelihood ratio of "this face is heard" to "it is
only visible". The ratios of all tracks in view at a moment are then contrasted with each other and with chance, by
Bayes' rule over the hypotheses "track i is heard" and "none of them is":

    P(i) = r_i / (r_1 + ... + r_n + n (1 - prior) / prior),      r_i = likelihood ratio of track i

so that a lone face has to prove itself, and of two faces only one can win. Outside speech there is nothing to decide.
"""

from collections.abc import Callable, Sequence

import numpy as np

from pipelines.extraction.config import SpeakingConfig
from pipelines.extraction.speech import Speech
from pipelines.extraction.tracks import Track

# (track, speech, rate_hz, first row, end row) -> log-likelihood ratio. Another backend is another such function.
Evidence = Callable[[Track, Speech, float, int, int], float]


def speaking_scores(
    tracks: Sequence[Track], speech: Speech, rate_hz: float, config: SpeakingConfig, evidence: Evidence
) -> list[np.ndarray]:
    """Returns, for each track, the probability 0..1 per picture that it is the face heard.

    Args:
        tracks: all tracks of the video.
        speech: of the whole video.
        rate_hz: pictures per second.
        config: see there.
        evidence: weighs one window of one track.
    """
    ratios = [_per_picture(track, speech, rate_hz, config, evidence) for track in tracks]
    chance = (1 - config.prior) / config.prior
    scores = []
    for track, own in zip(tracks, ratios, strict=True):
        total, visible = np.zeros(len(track)), np.zeros(len(track))
        for other, theirs in zip(tracks, ratios, strict=True):
            start, end = max(track.first, other.first), min(track.end, other.end)
            if start < end:
                total[start - track.first : end - track.first] += theirs[start - other.first : end - other.first]
                visible[start - track.first : end - track.first] += 1
        scores.append((own / (total + visible * chance)).astype(np.float32))
    return scores


def _per_picture(
    track: Track, speech: Speech, rate_hz: float, config: SpeakingConfig, evidence: Evidence
) -> np.ndarray:
    """The likelihood ratio per picture: the mean log ratio of the windows around it, nearer ones counting more."""
    width, hop = round(config.window_s * rate_hz), max(1, round(config.hop_s * rate_hz))
    last = max(0, len(track) - width)
    total, weight = np.zeros(len(track)), np.full(len(track), 1e-9)
    for start in [*range(0, last, hop), last]:
        end = min(len(track), start + width)
        begin_s, end_s = (track.first + start) / rate_hz, (track.first + end) / rate_hz
        value = evidence(track, speech, rate_hz, start, end) if speech.ratio(begin_s, end_s) > 0 else -np.inf
        shape = np.hanning(end - start + 2)[1:-1]
        total[start:end] += shape * np.clip(value, -20, 20)
        weight[start:end] += shape
    return np.exp(total / weight)
