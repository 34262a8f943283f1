"""Whether a clip is dubbed: the probability that its audio is not the voice of the face that talks.

A dubbed clip shows lips that move like speech, so only their fit with the audio tells. `lip_sync.sync_evidence` says
how well they fit; how much a poor fit means depends on the noise and the length of the clip. The
coefficients are a logistic regression on clips that active speaker detection keeps, half of them under the audio of
another person (`tools/fit_dubbed.py`).
"""

import numpy as np

from pipelines.extraction.candidates import TrackSegment, VideoAnalysis

PRIOR = 0.1  # share of dubbed clips among those that are kept
# Of `dubbing_features`; the intercept is for a share of one half.
WEIGHTS, INTERCEPT = np.array([-1.24, -0.96, -1.09]), 6.56
CLEAN_DB = 10.0  # noise counts below this signal-to-noise ratio


def dubbing_features(segment: TrackSegment, analysis: VideoAnalysis, sync: np.ndarray) -> np.ndarray:
    """Returns what the probability of a clip is computed from, (3,).

    These are the mean evidence of sync, the noise in tens of dB, and the logarithm of the length in frames.

    Args:
        segment: the clip.
        analysis: of its video.
        sync: `lip_sync.sync_evidence` of its track, (frames,).
    """
    noise = max(0.0, CLEAN_DB - analysis.speech.snr_db(*analysis.span_s(segment))) / 10
    return np.array([sync[segment.rows].mean(), noise, np.log(segment.end - segment.first)])


def dubbed_probability(features: np.ndarray) -> float:
    """Returns the probability that the audio of a clip is not the voice of its face, 0..1.

    Args:
        features: `dubbing_features`.
    """
    logit = float(WEIGHTS @ features) + INTERCEPT + np.log(PRIOR / (1 - PRIOR))
    return float(1 / (1 + np.exp(-logit)))
