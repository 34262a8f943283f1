"""The contact sheet: one picture of a whole video, frames and faces over the timeline, and what became of it all."""

from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

from pipelines.extraction.types import KEPT
from pipelines.inspection.draw import BACK, BAD, FAINT, GOOD, INK, Pen, draw_faces, score_colour
from pipelines.inspection.timeline import Timeline, clock
from pipelines.inspection.view import Seen, title_of

WIDTH_PX, FRAME_PX, FACE_PX = 1600, 176, 92  # of the sheet; heights of the frames and of the faces in it
SECTION_S, MAX_SECTIONS = 20.0, 6  # a longer video goes on in another row of frames and timeline
MAX_LISTED = 16
UNIT, MARGIN = 1.25, 18


class ContactSheet:
    """Collects what it needs while the pictures go by; call `add` for each, then `draw`.

    Args:
        seen: what is drawn.
        aspect: width of the pictures divided by their height.
    """

    def __init__(self, seen: Seen, aspect: float):
        self.seen = seen
        count = int(np.clip(np.ceil(seen.duration_s / SECTION_S), 1, MAX_SECTIONS))
        length_s = max(seen.duration_s / count, 1 / seen.rate_hz)
        self._sections = [
            Timeline(seen, i * length_s, (i + 1) * length_s, WIDTH_PX, UNIT, FACE_PX + 4) for i in range(count)
        ]
        room = self._sections[0].right_px - self._sections[0].left_px
        # As many frames as fill the row.
        self._cell = int(room / max(1, round(room / (FRAME_PX * aspect + 6)))) - 6
        self._frames: dict[int, np.ndarray] = {}
        self._faces: dict[tuple[int, int], np.ndarray] = {}  # (track, picture)
        self._wanted_frames = {number for part in self._sections for _, number in self._frame_places(part)}
        self._wanted_faces: dict[int, set[int]] = defaultdict(set)  # picture -> tracks
        for part in self._sections:
            for lane in part.lanes[0]:
                for _, track, number in self._face_places(part, lane):
                    self._wanted_faces[number].add(track)

    def add(self, number: int, picture: np.ndarray) -> None:
        """Takes what the sheet shows of a picture, (height, width, 3) uint8 RGB."""
        for track in self._wanted_faces.get(number, ()):
            self._faces[track, number] = _face(picture, self.seen.face(track, number).box)
        if number in self._wanted_frames:
            height = min(2 * FRAME_PX, round(self._cell * picture.shape[0] / picture.shape[1]))
            small = cv2.resize(picture, (self._cell, height), interpolation=cv2.INTER_AREA)
            self._frames[number] = draw_faces(small, self.seen, number, 0.72, verdicts=False)

    def draw(self) -> np.ndarray:
        """Returns the sheet, (height, WIDTH_PX, 3) uint8 RGB."""
        parts = [self._head()]
        for part in self._sections:
            parts += [self._film(part), part.draw(draw_faces=self._lane_faces), _blank(MARGIN)]
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
            here = [i for i in lane if self.seen.trace.tracks[i].first <= number < self.seen.trace.tracks[i].end]
            places += [(x, here[0], number)] if here else []
        return places

    def _number(self, part: Timeline, x: float) -> int:
        last = round(self.seen.duration_s * self.seen.rate_hz) - 1
        return min(max(int(part.time_s(x) * self.seen.rate_hz), 0), last)

    def _film(self, part: Timeline) -> np.ndarray:
        height = max((len(frame) for frame in self._frames.values()), default=FRAME_PX)
        pen = Pen(WIDTH_PX, height + 6)
        pen.text(part.left_px - 8 * UNIT, height / 2, "video", 13 * UNIT, FAINT, "rm")
        for x, number in self._frame_places(part):
            if number in self._frames:
                pen.paste(x, 0, self._frames[number])
        return pen.picture()

    def _lane_faces(self, pen: Pen, lane: list[int], y: float, part: Timeline) -> None:
        for x, track, number in self._face_places(part, lane):
            if (track, number) in self._faces:
                face = self._faces[track, number].copy()
                colour = score_colour(self.seen.face(track, number).score)
                cv2.rectangle(face, (0, 0), (FACE_PX - 1, FACE_PX - 1), colour, 3)
                pen.paste(x, y, face)

    def _head(self) -> np.ndarray:
        seen, extraction = self.seen, self.seen.extraction
        pen = Pen(WIDTH_PX, round(84 * UNIT))
        pen.text(MARGIN, 26 * UNIT, seen.path.name, 22 * UNIT, INK, bold=True, fit_px=WIDTH_PX * 0.62)
        pen.text(MARGIN, 54 * UNIT, title_of(seen), 15 * UNIT, FAINT)
        if extraction.reason:
            pen.text(WIDTH_PX - MARGIN, 54 * UNIT, extraction.reason, 15 * UNIT, BAD, "rm", fit_px=WIDTH_PX * 0.4)
        x, y = WIDTH_PX - MARGIN - 150 * UNIT, 26 * UNIT
        pen.text(x - 10 * UNIT, y, "speaking score 0", 14 * UNIT, FAINT, "rm")
        for i in range(round(130 * UNIT)):
            pen.line([(x + i, y - 6 * UNIT), (x + i, y + 6 * UNIT)], score_colour(i / (130 * UNIT)), 1)
        pen.text(x + 138 * UNIT, y, "1", 14 * UNIT, FAINT)
        return pen.picture()

    def _list(self) -> np.ndarray:
        candidates = self.seen.extraction.candidates
        listed, row = candidates[:MAX_LISTED], 24 * UNIT
        if not listed:
            return _blank(0)
        more = len(candidates) - len(listed)
        pen = Pen(WIDTH_PX, round(row * (len(listed) + 1 + bool(more))))
        places = [MARGIN, *(MARGIN + v * UNIT for v in (150, 230, 310))]
        for x, name in zip(places, ("time", "face", "score", "what became of it"), strict=True):
            pen.text(x, row / 2, name, 14 * UNIT, FAINT)
        for i, candidate in enumerate(listed, 1):
            y, kept = (i + 0.5) * row, candidate.fate == KEPT
            span = f"{clock(candidate.start_s, 0.1)} – {clock(candidate.end_s, 0.1)}"
            fate = f"kept: {self.seen.verdict(candidate)}" if kept else f"dropped: {self.seen.verdict(candidate)}"
            cells = (span, f"#{candidate.track}", f"{candidate.score:.2f}", fate)
            colours = (INK, INK, score_colour(candidate.score), GOOD if kept else BAD)
            for x, text, colour in zip(places, cells, colours, strict=True):
                pen.text(x, y, text, 15 * UNIT, colour, bold=kept and text is fate)
        if more:
            pen.text(MARGIN, row * (len(listed) + 1.5), f"and {more} more", 14 * UNIT, FAINT)
        return pen.picture()


def _cells(part: Timeline, width: int, gap: int) -> list[float]:
    """The left edges of as many cells as fit, spread over the timeline."""
    room = part.right_px - part.left_px
    count = max(1, int((room + gap) / (width + gap)))
    spread = (room - count * width) / max(1, count - 1)
    return [part.left_px + i * (width + spread) for i in range(count)]


def _face(picture: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
    """The face with a little around it, (FACE_PX, FACE_PX, 3) uint8 RGB."""
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = np.array(box) * (width, height, width, height)
    side = 1.15 * max(x1 - x0, y1 - y0)
    scale = FACE_PX / max(side, 1.0)
    middle = (x0 + x1) / 2, (y0 + y1) / 2
    matrix = np.array([[scale, 0, FACE_PX / 2 - scale * middle[0]], [0, scale, FACE_PX / 2 - scale * middle[1]]])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.warpAffine(picture, matrix, (FACE_PX, FACE_PX), flags=how, borderValue=BACK)


def _blank(height: int) -> np.ndarray:
    return np.full((height, WIDTH_PX, 3), BACK, np.uint8)
