"""What extraction saw of a video, asked by picture."""

import functools
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.extraction.config import ExtractionConfig
from pipelines.extraction.drop_reasons import in_words
from pipelines.extraction.pipeline import Trace
from pipelines.extraction.types import KEPT, Box, Candidate, Extraction

PAGE = 256  # pictures; tracks are looked up by page, so that hours of video need no search through all of them


@dataclass(frozen=True)
class FaceNow:
    """A face in one picture. Places are fractions of the frame."""

    track: int
    box: Box
    landmarks: np.ndarray  # (5, 2)
    score: float  # probability that it is the one heard, 0..1
    candidate: Candidate | None  # what is tried at this moment


@dataclass(frozen=True)
class Seen:
    """A video, what extraction gave, and what it saw on the way."""

    path: Path
    extraction: Extraction
    trace: Trace
    config: ExtractionConfig

    @property
    def rate_hz(self) -> float:
        """Pictures per second."""
        return self.trace.rate_hz

    @property
    def duration_s(self) -> float:
        """Of all pictures."""
        return self.extraction.duration_s

    def faces_at(self, number: int) -> list[FaceNow]:
        """Returns the faces followed in a picture, the most likely speaker last, so that it is drawn on top."""
        tracks = self.trace.tracks
        here = [i for i in self._pages.get(number // PAGE, ()) if tracks[i].first <= number < tracks[i].end]
        return sorted((self.face(i, number) for i in here), key=lambda face: face.score)

    def face(self, track: int, number: int) -> FaceNow:
        """Returns the face of a track in a picture that the track covers."""
        found = self.trace.tracks[track]
        row, size = number - found.first, np.array(found.size, float)
        x0, y0, x1, y1 = (found.boxes[row].reshape(2, 2) / size).ravel().tolist()
        time_s = (number + 0.5) / self.rate_hz
        now = (c for c in self.candidates_of.get(track, ()) if c.start_s <= time_s < c.end_s)
        score = float(self.trace.scores[track][row])
        return FaceNow(track, (x0, y0, x1, y1), found.landmarks[row] / size, score, next(now, None))

    def speech_at(self, number: int) -> bool:
        """Returns whether speech is heard in a picture."""
        time_s = number / self.rate_hz
        return any(a <= time_s < b for a, b in self.trace.speech.stretches)

    @functools.cached_property
    def candidates_of(self) -> dict[int, list[Candidate]]:
        """The candidates of each track."""
        found = defaultdict(list)
        for candidate in self.extraction.candidates:
            found[candidate.track].append(candidate)
        return dict(found)

    def verdict(self, candidate: Candidate) -> str:
        """Returns which clip a candidate has become, or why none, in words."""
        if candidate.fate == KEPT:
            return f"clip {self._clip_numbers[id(candidate)]}"
        return in_words(candidate.fate)

    @functools.cached_property
    def _clip_numbers(self) -> dict[int, int]:
        kept = [c for c in self.extraction.candidates if c.fate == KEPT]
        return {id(candidate): i for i, candidate in enumerate(kept, 1)}

    @functools.cached_property
    def _pages(self) -> dict[int, list[int]]:
        pages = defaultdict(list)
        for i, track in enumerate(self.trace.tracks):
            for page in range(track.first // PAGE, (track.end - 1) // PAGE + 1):
                pages[page].append(i)
        return dict(pages)


def title_of(seen: Seen) -> str:
    """Returns what was found in a video, in one line."""
    kept = sum(c.fate == KEPT for c in seen.extraction.candidates)
    speech_s = sum(b - a for a, b in seen.trace.speech.stretches)
    parts = [
        f"{seen.duration_s:.1f} s",
        _count(len(seen.trace.shots), "shot"),
        f"{_count(len(seen.trace.tracks), 'face')} followed",
        f"{speech_s:.1f} s of speech",
        _count(len(seen.extraction.candidates), "candidate"),
        f"{_count(kept, 'clip')} kept",
    ]
    return " · ".join(parts)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
