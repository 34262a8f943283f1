"""Part of a video's time from left to right: sound and speech, and a lane of speaking scores for each face.

Tracks that are not in view together share a lane. Below its scores a lane shows what was tried of it: kept clips in
green, and what was dropped, with the reason.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipelines.extraction.faces.tracks import Track
from pipelines.extraction.speech.activity import FRAME_S
from pipelines.extraction.types import KEPT, Candidate
from pipelines.inspection.draw import (
    BACK,
    BAD,
    DARK,
    FAINT,
    GOOD,
    GRID,
    INK,
    PANEL,
    SPEECH,
    Colour,
    Pen,
    score_colour,
)
from pipelines.inspection.view import Seen

MAX_LANES = 5
LOUDNESS_DB = (-60.0, -5.0)  # the range of the sound's envelope
VOICED: Colour = (50, 92, 150)
# Heights of a row's parts, in units.
AXIS, SOUND, SPEECH_BAR, SCORES, VERDICT, GAP, LABELS = 26, 46, 9, 38, 24, 10, 84

# (pen, tracks of a lane, y of its top, timeline)
DrawFaces = Callable[[Pen, list[int], float, "Timeline"], None]


@dataclass(frozen=True)
class Timeline:
    """The layout of the time from `start_s` to `end_s` in a picture `width_px` wide."""

    seen: Seen
    start_s: float
    end_s: float
    width_px: int
    unit: float = 1.0  # what all sizes are multiples of; letters are 13 units high
    faces_px: int = 0  # room for pictures of the faces above their scores

    @property
    def left_px(self) -> float:
        """Where the time begins."""
        return LABELS * self.unit

    @property
    def right_px(self) -> float:
        """Where it ends."""
        return self.width_px - 14 * self.unit

    def x(self, time_s: float) -> float:
        """Returns where a time stands, within the picture."""
        share = (time_s - self.start_s) / (self.end_s - self.start_s)
        return self.left_px + min(max(share, 0.0), 1.0) * (self.right_px - self.left_px)

    def time_s(self, x: float) -> float:
        """Returns the time that stands at x."""
        share = (x - self.left_px) / (self.right_px - self.left_px)
        return self.start_s + share * (self.end_s - self.start_s)

    @functools.cached_property
    def lanes(self) -> tuple[list[list[int]], int]:
        """The tracks of each lane, and how many tracks found no room."""
        tracks, rate_hz = self.seen.trace.tracks, self.seen.rate_hz
        first, end = self.start_s * rate_hz, self.end_s * rate_hz
        here = [i for i, t in enumerate(tracks) if t.first < end and t.end > first]
        # Candidates first: what is left over is what nobody asks for.
        here.sort(key=lambda i: (i not in self.seen.candidates_of, tracks[i].first))
        lanes: list[list[int]] = []
        hidden = 0
        for i in here:
            free = [lane for lane in lanes if not any(_meet(tracks[i], tracks[j]) for j in lane)]
            if free:
                free[0].append(i)
            elif len(lanes) < MAX_LANES:
                lanes.append([i])
            else:
                hidden += 1
        return lanes, hidden

    def height_px(self, lanes: int) -> int:
        """Returns the height of a picture with so many lanes."""
        lane = SCORES + VERDICT + GAP
        return round(self.unit * (AXIS + SOUND + SPEECH_BAR + 2 * GAP + lanes * lane)) + lanes * self.faces_px

    def draw(self, lanes: int | None = None, draw_faces: DrawFaces | None = None) -> np.ndarray:
        """Returns the picture, (height, width_px, 3) uint8 RGB.

        Args:
            lanes: room for so many; for as many as there are where None.
            draw_faces: draws faces above the scores of a lane, in `faces_px`.
        """
        found, hidden = self.lanes
        pen = Pen(self.width_px, self.height_px(len(found) if lanes is None else lanes))
        y = self._axis(pen)
        y = self._sound(pen, y)
        for lane in found:
            if draw_faces:
                draw_faces(pen, lane, y, self)
                y += self.faces_px
            y = self._lane(pen, lane, y)
        self._cuts(pen)
        if hidden:
            pen.text(self.left_px - 8 * self.unit, y - 4 * self.unit, f"+{hidden} more", 12 * self.unit, FAINT, "rs")
        return pen.picture()

    def _axis(self, pen: Pen) -> float:
        u, step_s = self.unit, _tick_s(self.end_s - self.start_s)
        tick = np.ceil(self.start_s / step_s) * step_s
        while tick <= self.end_s + 1e-6:
            x = self.x(tick)
            pen.line([(x, (AXIS - 7) * u), (x, (AXIS - 2) * u)], GRID, u)
            last = self.right_px - x < 20 * u  # at the very end the letters stand to the left
            pen.text(x, (AXIS - 9) * u, clock(tick, step_s), 13 * u, FAINT, "rs" if last else "ms")
            tick += step_s
        return AXIS * u

    def _sound(self, pen: Pen, y: float) -> float:
        u, speech = self.unit, self.seen.trace.speech
        height, left, right = SOUND * u, self.left_px, self.right_px
        pen.box(left, y, right, y + height, PANEL)
        pen.text(left - 8 * u, y + height / 2, "sound", 13 * u, FAINT, "rm")
        low, high = LOUDNESS_DB
        level = np.clip((10 * np.log10(speech.power + 1e-12) - low) / (high - low), 0.02, 1)
        curve = []
        for x in np.arange(left, right, 0.5):
            frame = int(self.time_s(x) / FRAME_S)
            if frame < len(level):
                half = level[frame] * height / 2
                colour = VOICED if speech.voiced[frame] else GRID
                pen.line([(x, y + height / 2 - half), (x, y + height / 2 + half)], colour, 0.5)
                curve.append((x, y + 2 * u + (1 - speech.probability[frame]) * (height - 4 * u)))
        if len(curve) > 1:
            pen.line(curve, INK, 1.4 * u)
        y += height + 3 * u
        for a, b in speech.stretches:
            if a < self.end_s and b > self.start_s:
                pen.box(self.x(a), y, self.x(b), y + SPEECH_BAR * u, SPEECH, round_px=2 * u)
        pen.text(left - 8 * u, y + SPEECH_BAR * u / 2, "speech", 13 * u, FAINT, "rm")
        return y + (SPEECH_BAR + GAP) * u

    def _lane(self, pen: Pen, lane: list[int], y: float) -> float:
        u, height, seen = self.unit, SCORES * self.unit, self.seen
        pen.box(self.left_px, y, self.right_px, y + height, PANEL)
        names = ", ".join(f"#{i}" for i in sorted(lane, key=lambda i: seen.trace.tracks[i].first))
        pen.text(self.left_px - 8 * u, y + height / 2, names, 14 * u, INK, "rm", bold=True, fit_px=(LABELS - 10) * u)
        for i in lane:
            self._scores(pen, i, y, height)
        limit = y + (1 - seen.config.speaking.threshold) * height
        pen.dashes((self.left_px, limit), (self.right_px, limit), INK, u, 5 * u)
        y += height + 3 * u
        for candidate in (c for i in lane for c in seen.candidates_of.get(i, ())):
            if candidate.start_s < self.end_s and candidate.end_s > self.start_s:
                self._verdict(pen, candidate, y)
        return y + (VERDICT - 3 + GAP) * u

    def _scores(self, pen: Pen, i: int, y: float, height: float) -> None:
        u, track, score = self.unit, self.seen.trace.tracks[i], self.seen.trace.scores[i]
        rate_hz = self.seen.rate_hz
        x0, x1 = self.x(track.first / rate_hz), self.x(track.end / rate_hz)
        for x in np.arange(x0, x1, 0.5):
            row = min(max(int(self.time_s(x) * rate_hz) - track.first, 0), len(track) - 1)
            top, colour = y + (1 - float(score[row])) * (height - 3 * u), score_colour(float(score[row]))
            pen.line([(x, top + 2 * u), (x, y + height)], tuple(v * 2 // 5 for v in colour), 0.5)
            pen.line([(x, top), (x, top + 3 * u)], colour, 0.5)
        for x in (x0, x1):
            pen.line([(x, y), (x, y + height)], FAINT, u)
        if x1 - x0 > 30 * u and len(self.seen.trace.tracks) > 1:
            pen.text(x0 + 6 * u, y + height - 5 * u, f"#{i}", 13 * u, INK, "ls", bold=True)

    def _verdict(self, pen: Pen, candidate: Candidate, y: float) -> None:
        u = self.unit
        x0, x1, y1 = self.x(candidate.start_s), self.x(candidate.end_s), y + (VERDICT - 5) * u
        kept = candidate.fate == KEPT
        pen.box(x0, y, x1, y1, GOOD if kept else BACK, GOOD if kept else BAD, round_px=3 * u, edge_px=1.2 * u)
        text = f"{self.seen.verdict(candidate)} · {candidate.score:.2f}" if kept else self.seen.verdict(candidate)
        colour = DARK if kept else BAD
        pen.text((x0 + x1) / 2, (y + y1) / 2, text, 13 * u, colour, "mm", bold=kept, fit_px=x1 - x0 - 8 * u)

    def _cuts(self, pen: Pen) -> None:
        for first in self.seen.trace.shots[1:]:
            time_s = first / self.seen.rate_hz
            if self.start_s < time_s < self.end_s:
                x = self.x(time_s)
                pen.dashes((x, (AXIS - 4) * self.unit), (x, pen.size[1]), INK, 1.2 * self.unit, 5 * self.unit)


def _meet(a: Track, b: Track) -> bool:
    return a.first < b.end and b.first < a.end


def clock(time_s: float, step_s: float = 1.0) -> str:
    """Returns a time as 0:05, with a decimal where the steps are smaller than a second."""
    minutes, seconds = divmod(round(time_s, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    digits = f"{seconds:04.1f}" if step_s < 1 else f"{int(seconds):02d}"
    return f"{hours}:{minutes:02d}:{digits}" if hours else f"{minutes}:{digits}"


def _tick_s(span_s: float) -> float:
    steps = (0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800)
    return next((s for s in steps if span_s / s <= 16), 3600)
