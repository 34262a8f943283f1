"""Which visible face, if any, is the one heard.

A backend weighs each track on its own: the log-likelihood ratio of "this face is heard" to "it is only visible", per
picture. The ratios of all tracks in view are then contrasted with each other and with chance, by Bayes' rule over the
hypotheses "track i is heard" and "none of them is":

    P(i) = r_i / (r_1 + ... + r_n + (1 - prior) / prior),      r_i = likelihood ratio of track i

so that a lone face has to prove itself, and of two faces only one can win.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from pipelines.extraction.config import SpeakingConfig
from pipelines.extraction.faces.tracks import Track, Watcher
from vclip.errors import InputError
from vclip.registry import Plugin, Registry

# (track, sound (samples,) int16 at 16 kHz, pictures per second, config) -> (pictures,) log-likelihood ratios
Evidence = Callable[[Track, np.ndarray, float, SpeakingConfig], np.ndarray]


class Backend(NamedTuple):
    """How a track is weighed, and who has to look at its pictures for that while they are there."""

    evidence: Evidence
    watch: Callable[[], Watcher] | None = None  # makes the watcher of one track


# Beyond this a ratio says no more, and exp stays finite.
MOST_LOG_RATIO = 20.0


ACTIVE_SPEAKER: Registry[Backend] = Registry(
    "active-speaker backend",
    "vclip.active_speaker",
    ("evidence", "watch"),
    "pipelines.extraction.active_speaker.scores.Backend",
    (
        Plugin("lip_sync", f"{__name__}:lip_sync", about="lip motion against the loudness of the speech"),
        Plugin("lr_asd", f"{__name__}:lr_asd", "WEIGHTS", about="LR-ASD, with lip motion beside it"),
    ),
)


def open_backend(config: SpeakingConfig) -> Backend:
    """Returns the backend that the configuration names; where it names none, LR-ASD if it has weights, else lip_sync.

    Raises:
        InputError: no such name, or a package or the weights are missing.
    """
    return ACTIVE_SPEAKER.open(config.backend or ("lr_asd" if config.lr_asd else "lip_sync"), config=config)


def lip_sync() -> Backend:
    """Returns the backend that needs no network."""
    from pipelines.extraction.active_speaker.lip_sync import lip_evidence

    return Backend(lip_evidence)


def lr_asd(weights: str = "", config: SpeakingConfig | None = None) -> Backend:
    """Returns LR-ASD with these weights, or those that the configuration names.

    Raises:
        InputError: neither names any, or they cannot be had.
    """
    from pipelines.extraction.active_speaker.lr_asd import open_lr_asd

    config = config or SpeakingConfig()
    if not (weights or config.lr_asd):
        raise InputError("active-speaker backend 'lr_asd': expected lr_asd:WEIGHTS, or their path in speaking.lr_asd")
    return open_lr_asd(weights or config.lr_asd, config.lr_asd_sha256)


def speaking_scores(
    tracks: Sequence[Track], sound: np.ndarray, rate_hz: float, config: SpeakingConfig, evidence: Evidence
) -> list[np.ndarray]:
    """Returns, for each track, the probability 0..1 per picture that it is the face heard; (pictures,) float32.

    Args:
        tracks: all tracks of the video.
        sound: (samples,) int16 at 16 kHz, of the whole video.
        rate_hz: pictures per second.
        config: see there.
        evidence: the backend's.
    """
    ratios = [np.exp(np.clip(evidence(t, sound, rate_hz, config), -MOST_LOG_RATIO, MOST_LOG_RATIO)) for t in tracks]
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
