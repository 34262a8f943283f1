"""From scores per picture to the stretches that become clips, and why the others do not."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.extraction.config import ExtractionConfig
from pipelines.extraction.faces.tracks import Track
from pipelines.extraction.speech.activity import FRAME_S, Speech


@dataclass(frozen=True)
class Stretch:
    """One track, from one picture to another, under speech."""

    track: Track
    first: int  # number of the first picture
    end: int  # one after the last
    score: float  # mean over its pictures, 0..1
    drop: str = ""  # why it is no clip

    @property
    def rows(self) -> slice:
        """Its rows in the track."""
        return slice(self.first - self.track.first, self.end - self.track.first)


def speaking_stretches(
    tracks: Sequence[Track], scores: Sequence[np.ndarray], speech: Speech, config: ExtractionConfig
) -> list[Stretch]:
    """Returns where a track is in view while speech is heard, in order of time.

    A track during one stretch of speech is a candidate. It is dropped where it is too short or is nowhere likely
    enough to be the one heard; what is left of it is cut at `clips.max_s`.
    """
    found = [
        stretch
        for track, score in zip(tracks, scores, strict=True)
        for span in speech.stretches
        for stretch in _judged(track, score, span, speech, config)
    ]
    return sorted(found, key=lambda stretch: stretch.first)


def _judged(
    track: Track, score: np.ndarray, span_s: tuple[float, float], speech: Speech, config: ExtractionConfig
) -> Iterator[Stretch]:
    rate_hz = config.media.rate_hz
    least = round(config.clips.min_s * rate_hz)
    first, end = max(track.first, round(span_s[0] * rate_hz)), min(track.end, round(span_s[1] * rate_hz))
    if first >= end:
        return

    def stretch(a: int, b: int, drop: str = "") -> Stretch:
        return Stretch(track, a, b, float(score[a - track.first : b - track.first].mean()), drop)

    runs = _runs(score[first - track.first : end - track.first] >= config.speaking.threshold, first, least)
    if end - first < least:
        yield stretch(first, end, "too_short")
    elif not runs:
        yield stretch(first, end, "not_speaking")
    for a, b in runs:
        yield from (stretch(*piece) for piece in _pieces(a, b, speech, config))


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
