"""The view model: the measurements of an extraction, looked up by frame."""

import functools
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.extraction.candidates import VideoAnalysis
from pipelines.extraction.config import ExtractionConfig
from pipelines.extraction.types import KEPT, Box, Candidate, Extraction, outcome_in_words
from pipelines.wording import count

PAGE = 256  # frames; tracks are looked up by page, so that hours of video need no search through all tracks


@dataclass(frozen=True)
class FaceView:
    """A face in one frame. Coordinates are fractions of the frame."""

    track: int
    box: Box
    landmarks: np.ndarray  # (5, 2)
    score: float  # probability that it is the active speaker, 0..1
    candidate: Candidate | None  # the candidate that covers this frame


@dataclass(frozen=True)
class View:
    """A video, its extraction, and the analysis behind the extraction."""

    path: Path
    extraction: Extraction
    analysis: VideoAnalysis
    config: ExtractionConfig

    @property
    def rate_hz(self) -> float:
        """Frames per second."""
        return self.analysis.rate_hz

    @property
    def duration_s(self) -> float:
        """Length of the decoded video."""
        return self.extraction.duration_s

    def faces_at(self, number: int) -> list[FaceView]:
        """Returns the tracked faces in a frame, the most likely speaker last, so that it is drawn on top."""
        tracks = self.analysis.tracks
        here = [i for i in self._pages.get(number // PAGE, ()) if tracks[i].first <= number < tracks[i].end]
        return sorted((self.face(i, number) for i in here), key=lambda face: face.score)

    def face(self, index: int, number: int) -> FaceView:
        """Returns the face of a track in a frame that the track covers."""
        track = self.analysis.tracks[index]
        row, size = number - track.first, np.array(track.size, float)
        x0, y0, x1, y1 = (track.boxes[row].reshape(2, 2) / size).ravel().tolist()
        time_s = (number + 0.5) / self.rate_hz
        now = (c for c in self.candidates_of.get(index, ()) if c.start_s <= time_s < c.end_s)
        score = float(self.analysis.scores[index][row])
        return FaceView(index, (x0, y0, x1, y1), track.landmarks[row] / size, score, next(now, None))

    def speech_at(self, number: int) -> bool:
        """Returns whether a frame lies within speech."""
        time_s = number / self.rate_hz
        return any(a <= time_s < b for a, b in self.analysis.speech.segments)

    @functools.cached_property
    def candidates_of(self) -> dict[int, list[Candidate]]:
        """The candidates of each track, by its index."""
        found = defaultdict(list)
        for candidate in self.extraction.candidates:
            found[candidate.track].append(candidate)
        return dict(found)

    def outcome(self, candidate: Candidate) -> str:
        """Returns the outcome of a candidate in words: `kept: clip 1`, or `dropped: ` and the reason."""
        return f"{'kept' if candidate.outcome == KEPT else 'dropped'}: {self.clip_or_reason(candidate)}"

    def clip_or_reason(self, candidate: Candidate) -> str:
        """Returns the clip that a candidate has become, as `clip 1`, or the drop reason in words."""
        if candidate.outcome == KEPT:
            return f"clip {self._clip_numbers[id(candidate)]}"
        return outcome_in_words(candidate.outcome)

    @functools.cached_property
    def _clip_numbers(self) -> dict[int, int]:
        kept = [c for c in self.extraction.candidates if c.outcome == KEPT]
        return {id(candidate): i for i, candidate in enumerate(kept, 1)}

    @functools.cached_property
    def _pages(self) -> dict[int, list[int]]:
        pages = defaultdict(list)
        for i, track in enumerate(self.analysis.tracks):
            for page in range(track.first // PAGE, (track.end - 1) // PAGE + 1):
                pages[page].append(i)
        return dict(pages)


def title_of(view: View) -> str:
    """Returns a summary of a video in one line."""
    kept = sum(c.outcome == KEPT for c in view.extraction.candidates)
    speech_s = sum(min(b, view.duration_s) - a for a, b in view.analysis.speech.segments)
    parts = [
        f"{view.duration_s:.1f} s",
        count(len(view.analysis.shots), "shot"),
        count(len(view.analysis.tracks), "face track"),
        f"{speech_s:.1f} s of speech",
        count(len(view.extraction.candidates), "candidate"),
        f"{count(kept, 'clip')} kept",
    ]
    return " · ".join(parts)
