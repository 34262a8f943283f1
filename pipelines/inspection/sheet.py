"""The contact sheet: a whole video in one image, with frames and faces over the timeline, and every candidate."""

from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

from pipelines.extraction.types import KEPT
from pipelines.inspection.drawing import BACK, BAD, FAINT, GOOD, TEXT, Canvas, draw_faces, score_colour
from pipelines.inspection.timeline import Timeline, clock
from pipelines.inspection.view import View, title_of

WIDTH_PX, FRAME_PX, FACE_PX = 1600, 176, 92  # of the sheet; heights of the frames and of the faces in it
SECTION_S, MAX_SECTIONS = 20.0, 6  # a longer video gets several rows of frames and timeline
MAX_LISTED = 16
UNIT, MARGIN = 1.25, 18


class ContactSheet:
    """Collects frames and faces as they are decoded; call `add` for each frame, then `draw` or `save`.

    Args:
        view: what to draw.
        aspect: width of the frames divided by their height.
    """

    def __init__(self, view: View, aspect: float):
        self.view = view
        count = int(np.clip(np.ceil(view.duration_s / SECTION_S), 1, MAX_SECTIONS))
        length_s = max(view.duration_s / count, 1 / view.rate_hz)
        self.sections = [
            Timeline(view, i * length_s, (i + 1) * length_s, WIDTH_PX, UNIT, FACE_PX + 4) for i in range(count)
        ]
        room = self.sections[0].right_px - self.sections[0].left_px
        # As many frames as fill the row.
        self._cell = int(room / max(1, round(room / (FRAME_PX * aspect + 6)))) - 6
        self.frames: dict[int, np.ndarray] = {}
        self.faces: dict[tuple[int, int], np.ndarray] = {}  # (track, frame)
        self._wanted_frames = {number for part in self.sections for _, number in self._frame_places(part)}
        self._wanted_faces: dict[int, set[int]] = defaultdict(set)  # frame -> tracks
        for part in self.sections:
            for lane in part.lanes[0]:
                for _, track, number in self._face_places(part, lane):
                    self._wanted_faces[number].add(track)

    def add(self, number: int, frame: np.ndarray) -> None:
        """Keeps the parts of a frame, (height, width, 3) uint8 RGB, that the sheet shows."""
        for track in self._wanted_faces.get(number, ()):
            self.faces[track, number] = _face(frame, self.view.face(track, number).box)
        if number in self._wanted_frames:
            height = min(2 * FRAME_PX, round(self._cell * frame.shape[0] / frame.shape[1]))
            small = cv2.resize(frame, (self._cell, height), interpolation=cv2.INTER_AREA)
            self.frames[number] = draw_faces(small, self.view, number, 0.72, outcomes=False)

    def draw(self) -> np.ndarray:
        """Returns the sheet, (height, WIDTH_PX, 3) uint8 RGB."""
        parts = [self._head()]
        for part in self.sections:
            parts += [self._frame_row(part), part.draw(draw_faces=self._lane_faces), _blank(MARGIN)]
        return np.concatenate([*parts, self._list(), _blank(MARGIN)])

    def save(self, path: str | Path) -> None:
        """Writes the sheet as JPEG."""
        cv2.imwrite(str(path), cv2.cvtColor(self.draw(), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])

    def _frame_places(self, part: Timeline) -> list[tuple[float, int]]:
        return [(x, self._number(part, x + self._cell / 2)) for x in _cells(part, self._cell, 6)]

    def _face_places(self, part: Timeline, lane: list[int]) -> list[tuple[float, int, int]]:
        places = []
        for x in _cells(part, FACE_PX, 4):
            number = self._number(part, x + FACE_PX / 2)
            here = [
                i for i in lane if self.view.analysis.tracks[i].first <= number < self.view.analysis.tracks[i].end
            ]
            places += [(x, here[0], number)] if here else []
        return places

    def _number(self, part: Timeline, x: float) -> int:
        last = round(self.view.duration_s * self.view.rate_hz) - 1
        return min(max(int(part.time_s(x) * self.view.rate_hz), 0), last)

    def _frame_row(self, part: Timeline) -> np.ndarray:
        height = max((len(frame) for frame in self.frames.values()), default=FRAME_PX)
        canvas = Canvas(WIDTH_PX, height + 6)
        canvas.text(part.left_px - 8 * UNIT, height / 2, "video", 13 * UNIT, FAINT, "rm")
        for x, number in self._frame_places(part):
            if number in self.frames:
                canvas.paste(x, 0, self.frames[number])
        return canvas.image()

    def _lane_faces(self, canvas: Canvas, lane: list[int], y: float, part: Timeline) -> None:
        for x, track, number in self._face_places(part, lane):
            if (track, number) in self.faces:
                face = self.faces[track, number].copy()
                colour = score_colour(self.view.face(track, number).score)
                cv2.rectangle(face, (0, 0), (FACE_PX - 1, FACE_PX - 1), colour, 3)
                canvas.paste(x, y, face)

    def _head(self) -> np.ndarray:
        view, extraction = self.view, self.view.extraction
        canvas = Canvas(WIDTH_PX, round(84 * UNIT))
        canvas.text(MARGIN, 26 * UNIT, view.path.name, 22 * UNIT, TEXT, bold=True, fit_px=WIDTH_PX * 0.62)
        canvas.text(MARGIN, 54 * UNIT, title_of(view), 15 * UNIT, FAINT)
        if extraction.reason:
            canvas.text(WIDTH_PX - MARGIN, 54 * UNIT, extraction.reason, 15 * UNIT, BAD, "rm", fit_px=WIDTH_PX * 0.4)
        x, y = WIDTH_PX - MARGIN - 150 * UNIT, 26 * UNIT
        canvas.text(x - 10 * UNIT, y, "active speaker score 0", 14 * UNIT, FAINT, "rm")
        for i in range(round(130 * UNIT)):
            canvas.line([(x + i, y - 6 * UNIT), (x + i, y + 6 * UNIT)], score_colour(i / (130 * UNIT)), 1)
        canvas.text(x + 138 * UNIT, y, "1", 14 * UNIT, FAINT)
        return canvas.image()

    def _list(self) -> np.ndarray:
        candidates = self.view.extraction.candidates
        listed, row = candidates[:MAX_LISTED], 24 * UNIT
        if not listed:
            return _blank(0)
        more = len(candidates) - len(listed)
        canvas = Canvas(WIDTH_PX, round(row * (len(listed) + 1 + bool(more))))
        places = [MARGIN, *(MARGIN + v * UNIT for v in (150, 230, 310))]
        for x, name in zip(places, ("time", "face", "score", "outcome"), strict=True):
            canvas.text(x, row / 2, name, 14 * UNIT, FAINT)
        for i, candidate in enumerate(listed, 1):
            y, kept = (i + 0.5) * row, candidate.outcome == KEPT
            span = f"{clock(candidate.start_s, 0.1)} – {clock(candidate.end_s, 0.1)}"
            outcome = self.view.outcome(candidate)
            cells = (span, f"#{candidate.track}", f"{candidate.score:.2f}", outcome)
            colours = (TEXT, TEXT, score_colour(candidate.score), GOOD if kept else BAD)
            for x, text, colour in zip(places, cells, colours, strict=True):
                canvas.text(x, y, text, 15 * UNIT, colour, bold=kept and text is outcome)
        if more:
            canvas.text(MARGIN, row * (len(listed) + 1.5), f"and {more} more", 14 * UNIT, FAINT)
        return canvas.image()


def _cells(part: Timeline, width: int, gap: int) -> list[float]:
    """Returns the left edges of as many cells as fit, spread over the timeline."""
    room = part.right_px - part.left_px
    count = max(1, int((room + gap) / (width + gap)))
    spread = (room - count * width) / max(1, count - 1)
    return [part.left_px + i * (width + spread) for i in range(count)]


def _face(frame: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
    """Returns the face with a margin, (FACE_PX, FACE_PX, 3) uint8 RGB."""
    height, width = frame.shape[:2]
    x0, y0, x1, y1 = np.array(box) * (width, height, width, height)
    side = 1.15 * max(x1 - x0, y1 - y0)
    scale = FACE_PX / max(side, 1.0)
    middle = (x0 + x1) / 2, (y0 + y1) / 2
    matrix = np.array([[scale, 0, FACE_PX / 2 - scale * middle[0]], [0, scale, FACE_PX / 2 - scale * middle[1]]])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.warpAffine(frame, matrix, (FACE_PX, FACE_PX), flags=how, borderValue=BACK)


def _blank(height: int) -> np.ndarray:
    return np.full((height, WIDTH_PX, 3), BACK, np.uint8)
