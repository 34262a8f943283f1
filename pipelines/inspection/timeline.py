"""The timeline of part of a video: audio and speech, and a lane with the active-speaker scores of each face.

Tracks that are not in view together share a lane. Below its scores a lane shows its candidates: kept clips in green,
dropped ones with the reason.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipelines.extraction.faces.tracks import Track
from pipelines.extraction.speech.vad import FRAME_S
from pipelines.extraction.types import KEPT, Candidate
from pipelines.inspection.drawing import (
    BACK,
    BAD,
    DARK,
    FAINT,
    GOOD,
    GRID,
    PANEL,
    SPEECH,
    TEXT,
    Canvas,
    Colour,
    fits,
    score_colour,
)
from pipelines.inspection.view import View
from pipelines.wording import count

MAX_LANES = 5
LOUDNESS_DB = (-60.0, -5.0)  # the range of the audio's envelope
VOICED: Colour = (50, 92, 150)
# Heights of a row's parts, in units.
AXIS, AUDIO, SPEECH_BAR, SCORES, OUTCOME, GAP, LABELS = 26, 46, 9, 38, 24, 10, 84

# (canvas, tracks of a lane, y of its top, timeline)
DrawFaces = Callable[[Canvas, list[int], float, "Timeline"], None]


@dataclass(frozen=True)
class Timeline:
    """The layout of the time from `start_s` to `end_s` in an image `width_px` wide."""

    view: View
    start_s: float
    end_s: float
    width_px: int
    unit: float = 1.0  # all sizes are multiples of it; letters are 13 units high
    faces_px: int = 0  # height for images of the faces above their scores

    @property
    def left_px(self) -> float:
        """The x of `start_s`."""
        return LABELS * self.unit

    @property
    def right_px(self) -> float:
        """The x of `end_s`."""
        return self.width_px - 14 * self.unit

    def x(self, time_s: float) -> float:
        """Returns the x of a time, within the image."""
        share = (time_s - self.start_s) / (self.end_s - self.start_s)
        return self.left_px + min(max(share, 0.0), 1.0) * (self.right_px - self.left_px)

    def time_s(self, x: float) -> float:
        """Returns the time at x."""
        share = (x - self.left_px) / (self.right_px - self.left_px)
        return self.start_s + share * (self.end_s - self.start_s)

    @functools.cached_property
    def lanes(self) -> tuple[list[list[int]], int]:
        """The tracks of each lane, and the number of tracks without a lane."""
        tracks, rate_hz = self.view.analysis.tracks, self.view.rate_hz
        first, end = self.start_s * rate_hz, self.end_s * rate_hz
        here = [i for i, t in enumerate(tracks) if t.first < end and t.end > first]
        # Tracks with candidates come first, so that tracks without candidates are the hidden ones.
        here.sort(key=lambda i: (i not in self.view.candidates_of, tracks[i].first))
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
        """Returns the height of the image with a number of lanes."""
        lane = SCORES + OUTCOME + GAP
        return round(self.unit * (AXIS + AUDIO + SPEECH_BAR + 2 * GAP + lanes * lane)) + lanes * self.faces_px

    def draw(self, lanes: int | None = None, draw_faces: DrawFaces | None = None) -> np.ndarray:
        """Returns the image, (height, width_px, 3) uint8 RGB.

        Args:
            lanes: number of lanes to leave room for; None leaves room for the timeline's own.
            draw_faces: draws faces above the scores of a lane, in `faces_px`.
        """
        own, hidden = self.lanes
        canvas = Canvas(self.width_px, self.height_px(len(own) if lanes is None else lanes))
        y = self._axis(canvas)
        y = self._audio(canvas, y)
        for lane in own:
            if draw_faces:
                draw_faces(canvas, lane, y, self)
                y += self.faces_px
            y = self._lane(canvas, lane, y)
        self._cuts(canvas)
        if hidden:
            canvas.text(
                self.left_px - 8 * self.unit, y - 4 * self.unit, f"+{hidden} more", 12 * self.unit, FAINT, "rs"
            )
        return canvas.image()

    def _axis(self, canvas: Canvas) -> float:
        u, step_s = self.unit, _tick_s(self.end_s - self.start_s)
        tick = np.ceil(self.start_s / step_s) * step_s
        while tick <= self.end_s + 1e-6:
            x = self.x(tick)
            canvas.line([(x, (AXIS - 7) * u), (x, (AXIS - 2) * u)], GRID, u)
            last = self.right_px - x < 20 * u  # at the very end the label goes to the left
            canvas.text(x, (AXIS - 9) * u, clock(tick, step_s), 13 * u, FAINT, "rs" if last else "ms")
            tick += step_s
        return AXIS * u

    def _audio(self, canvas: Canvas, y: float) -> float:
        u, speech = self.unit, self.view.analysis.speech
        height, left, right = AUDIO * u, self.left_px, self.right_px
        canvas.box(left, y, right, y + height, PANEL)
        canvas.text(left - 8 * u, y + height / 2, "audio", 13 * u, FAINT, "rm")
        low, high = LOUDNESS_DB
        level = np.clip((10 * np.log10(speech.power + 1e-12) - low) / (high - low), 0.02, 1)
        curve = []
        for x in np.arange(left, right, 0.5):
            frame = int(self.time_s(x) / FRAME_S)
            if frame < len(level):
                half = level[frame] * height / 2
                colour = VOICED if speech.voiced[frame] else GRID
                canvas.line([(x, y + height / 2 - half), (x, y + height / 2 + half)], colour, 0.5)
                curve.append((x, y + 2 * u + (1 - speech.probability[frame]) * (height - 4 * u)))
        if len(curve) > 1:
            canvas.line(curve, TEXT, 1.4 * u)
        y += height + 3 * u
        for a, b in speech.segments:
            if a < self.end_s and b > self.start_s:
                canvas.box(self.x(a), y, self.x(b), y + SPEECH_BAR * u, SPEECH, round_px=2 * u)
        canvas.text(left - 8 * u, y + SPEECH_BAR * u / 2, "speech", 13 * u, FAINT, "rm")
        return y + (SPEECH_BAR + GAP) * u

    def _lane(self, canvas: Canvas, lane: list[int], y: float) -> float:
        u, height, view = self.unit, SCORES * self.unit, self.view
        canvas.box(self.left_px, y, self.right_px, y + height, PANEL)
        names = ", ".join(f"#{i}" for i in sorted(lane, key=lambda i: view.analysis.tracks[i].first))
        if not fits(names, 14 * u, (LABELS - 10) * u, bold=True):  # the names are in the lane as well
            names = count(len(lane), "face")
        canvas.text(self.left_px - 8 * u, y + height / 2, names, 14 * u, TEXT, "rm", bold=True)
        for i in lane:
            self._scores(canvas, i, y, height)
        limit = y + (1 - view.config.speaking.threshold) * height
        canvas.dashes((self.left_px, limit), (self.right_px, limit), TEXT, u, 5 * u)
        y += height + 3 * u
        for candidate in (c for i in lane for c in view.candidates_of.get(i, ())):
            if candidate.start_s < self.end_s and candidate.end_s > self.start_s:
                self._outcome(canvas, candidate, y)
        return y + (OUTCOME - 3 + GAP) * u

    def _scores(self, canvas: Canvas, i: int, y: float, height: float) -> None:
        u, track, score = self.unit, self.view.analysis.tracks[i], self.view.analysis.scores[i]
        rate_hz = self.view.rate_hz
        x0, x1 = self.x(track.first / rate_hz), self.x(track.end / rate_hz)
        for x in np.arange(x0, x1, 0.5):
            row = min(max(int(self.time_s(x) * rate_hz) - track.first, 0), len(track) - 1)
            top, colour = y + (1 - float(score[row])) * (height - 3 * u), score_colour(float(score[row]))
            canvas.line([(x, top + 2 * u), (x, y + height)], _dim(colour), 0.5)
            canvas.line([(x, top), (x, top + 3 * u)], colour, 0.5)
        for x in (x0, x1):
            canvas.line([(x, y), (x, y + height)], FAINT, u)
        if x1 - x0 > 30 * u and len(self.view.analysis.tracks) > 1:
            canvas.text(x0 + 6 * u, y + height - 5 * u, f"#{i}", 13 * u, TEXT, "ls", bold=True)

    def _outcome(self, canvas: Canvas, candidate: Candidate, y: float) -> None:
        u = self.unit
        x0, x1, y1 = self.x(candidate.start_s), self.x(candidate.end_s), y + (OUTCOME - 5) * u
        kept = candidate.outcome == KEPT
        canvas.box(x0, y, x1, y1, GOOD if kept else BACK, GOOD if kept else BAD, round_px=3 * u, edge_px=1.2 * u)
        text = (
            f"{self.view.clip_or_reason(candidate)} · {candidate.score:.2f}"
            if kept
            else self.view.clip_or_reason(candidate)
        )
        colour = DARK if kept else BAD
        canvas.text((x0 + x1) / 2, (y + y1) / 2, text, 13 * u, colour, "mm", bold=kept, fit_px=x1 - x0 - 8 * u)

    def _cuts(self, canvas: Canvas) -> None:
        for first in self.view.analysis.shots[1:]:
            time_s = first / self.view.rate_hz
            if self.start_s < time_s < self.end_s:
                x = self.x(time_s)
                canvas.dashes((x, (AXIS - 4) * self.unit), (x, canvas.size[1]), TEXT, 1.2 * self.unit, 5 * self.unit)


def _dim(colour: Colour) -> Colour:
    red, green, blue = colour
    return red * 2 // 5, green * 2 // 5, blue * 2 // 5


def _meet(a: Track, b: Track) -> bool:
    return a.first < b.end and b.first < a.end


def clock(time_s: float, step_s: float = 1.0) -> str:
    """Returns a time as minutes and seconds, with a decimal where the steps are smaller than a second.

    Example:
        >>> clock(65.04), clock(65.04, 0.1), clock(3725)
        ('1:05', '1:05.0', '1:02:05')
    """
    minutes, seconds = divmod(round(time_s, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    digits = f"{seconds:04.1f}" if step_s < 1 else f"{int(seconds):02d}"
    return f"{hours}:{minutes:02d}:{digits}" if hours else f"{minutes}:{digits}"


def _tick_s(span_s: float) -> float:
    steps = (0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800)
    return next((s for s in steps if span_s / s <= 16), 3600)
