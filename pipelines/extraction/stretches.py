"""From scores per picture to the stretches that become clips, and why the others do not."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.extraction.config import ExtractionConfig
from pipelines.extraction.speech import FRAME_S, Speech
from pipelines.extraction.tracks import Track


@dataclass(frozen=True)
class Stretch:
    """One track, from one picture to another, heard speaking."""

    track: Track
    first: int  # number of the first picture
    end: int  # one after the last
    score: float  # mean over its pictures, 0..1

    @property
    def rows(self) -> slice:
        """Its rows in the track."""
        return slice(self.first - self.track.first, self.end - self.track.first)


def speaking_stretches(
    tracks: Sequence[Track],
    scores: Sequence[np.ndarray],
    speech: Speech,
    config: ExtractionConfig,
    funnel: Counter[str],
) -> list[Stretch]:
    """Returns where a track is heard, in order of time; counts candidates and drops in the funnel.

    A candidate is a track during one stretch of speech. It is dropped where it is too short or is nowhere likely
    enough to be the one heard; what is left of it is cut at `clips.max_s`.
    """
    rate_hz = config.media.rate_hz
    least = round(config.clips.min_s * rate_hz)
    kept: list[Stretch] = []
    for track, score in zip(tracks, scores, strict=True):
        for start_s, end_s in speech.stretches:
            first = max(track.first, round(start_s * rate_hz))
            end = min(track.end, round(end_s * rate_hz))
            if first >= end:
                continue
            funnel["candidates"] += 1
            if end - first < least:
                funnel["drop:too_short"] += 1
                continue
            own = score[first - track.first : end - track.first]
            runs = _runs(own >= config.speaking.threshold, first, least)
            funnel["drop:not_speaking"] += not runs
            for a, b in runs:
                for c, d in _pieces(a, b, speech, config):
                    kept.append(Stretch(track, c, d, float(score[c - track.first : d - track.first].mean())))
    return sorted(kept, key=lambda stretch: stretch.first)


def _runs(mask: np.ndarray, offset: int, least: int) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))) + offset
    return [(a, b) for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True) if b - a >= least]


def _pieces(first: int, end: int, speech: Speech, config: ExtractionConfig) -> list[tuple[int, int]]:
    """Cuts a stretch into even pieces of at most `max_s`, each cut moved to the quietest moment near it."""
    rate_hz = config.media.rate_hz
    longest = round(config.clips.max_s * rate_hz)
    count = -(-(end - first) // longest)
    # A cut may move by less than the slack that even pieces leave, so that no piece gets longer than the limit.
    slack = (longest - (end - first) // count) // 2
    cuts = [first]
    for i in range(1, count):
        even = first + (end - first) * i // count
        near = np.arange(even - slack, even + slack + 1)
        frames = np.clip((near / rate_hz / FRAME_S).astype(int), 0, len(speech.probability) - 1)
        cuts.append(int(near[np.argmin(speech.probability[frames])]))
    cuts.append(end)
    return list(itertools.pairwise(cuts))
