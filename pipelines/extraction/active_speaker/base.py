"""Active-speaker detection: the backends, and the probability that each visible face is the active speaker.

A backend gives each track a likelihood ratio per frame. The ratios of all tracks in view are then compared with each
other and with nobody, by Bayes' rule over the hypotheses "track i is speaking" and "none of them is":

    P(i) = r_i / (r_1 + ... + r_n + (1 - prior) / prior),      r_i = likelihood ratio of track i

so a lone face needs evidence of its own, and of two faces only one can win.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.extraction.config import ActiveSpeakerConfig
from pipelines.extraction.faces.tracks import Track, TrackObserver
from vclip.registry import Plugin, Registry

# (track, audio (samples,) int16 at 16 kHz of the whole video, frames per second, config)
#   -> (frames,) log-likelihood ratio of "this face is speaking" to "this face is only visible"
Evidence = Callable[[Track, np.ndarray, float, ActiveSpeakerConfig], np.ndarray]


@dataclass(frozen=True)
class Backend:
    """An active-speaker backend.

    Args:
        evidence: weighs one track, whatever other tracks are in view; `active_speaker_scores` compares them.
        observe: makes an observer for each new track. The observer receives the frames while they are decoded and
            returns `Track.observed`. None if the signals of the track suffice.
    """

    evidence: Evidence
    observe: Callable[[], TrackObserver] | None = None


# Beyond this a ratio says no more, and exp stays finite.
MOST_LOG_RATIO = 20.0

_PACKAGE = __name__.rpartition(".")[0]

ACTIVE_SPEAKER: Registry[Backend] = Registry(
    "active-speaker backend",
    "vclip.active_speaker",
    ("evidence", "observe"),
    f"{__name__}.Backend",
    (
        Plugin("lip_sync", f"{_PACKAGE}.lip_sync:lip_sync", about="lip motion against the loudness of the speech"),
        Plugin("lr_asd", f"{_PACKAGE}.lr_asd:lr_asd", "WEIGHTS", about="LR-ASD, with lip motion beside it"),
    ),
)


def open_backend(config: ActiveSpeakerConfig) -> Backend:
    """Returns the backend that the configuration names; by default LR-ASD if its weights are given, else lip_sync.

    Raises:
        InputError: no such name, or a package or the weights are missing.
    """
    return ACTIVE_SPEAKER.open(config.backend or ("lr_asd" if config.lr_asd else "lip_sync"), config=config)


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
    in_view = np.zeros(max((track.end for track in tracks), default=0))  # sum of the ratios in each frame
    for track, own in zip(tracks, ratios, strict=True):
        in_view[track.first : track.end] += own
    chance = (1 - config.prior) / config.prior
    return [
        (own / (in_view[track.first : track.end] + chance)).astype(np.float32)
        for track, own in zip(tracks, ratios, strict=True)
    ]
