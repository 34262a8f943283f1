"""Active-speaker backends: what one is, the registry of their names, and how one is opened."""

from collections.abc import Callable
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
        evidence: weighs one track, whatever other tracks are in view; `scores` compares them.
        observe: makes an observer for each new track, which sees the frames while they are decoded; what it returns
            is `Track.observed`. None where the track's own signals are enough.
    """

    evidence: Evidence
    observe: Callable[[], TrackObserver] | None = None


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
    """Returns the backend of the configuration; unnamed, it is LR-ASD where its weights are given, else lip_sync.

    Raises:
        InputError: no such name, or a package or the weights are missing.
    """
    return ACTIVE_SPEAKER.open(config.backend or ("lr_asd" if config.lr_asd else "lip_sync"), config=config)
