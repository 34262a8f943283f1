"""Draws onto one picture what was seen in it: boxes, landmarks, scores, and what becomes of each face."""

import cv2
import numpy as np
from PIL import Image, ImageDraw

from pipelines.extraction.rows import KEPT
from pipelines.inspection.ink import BACK, BAD, DARK, GOOD, Colour, font, score_colour
from pipelines.inspection.seen import FaceNow, Seen

THIN_PX, THICK_PX = 2, 4


def draw_faces(picture: np.ndarray, seen: Seen, number: int, unit: float = 1.0, verdicts: bool = True) -> np.ndarray:
    """Returns a copy of a picture with its faces marked.

    Args:
        picture: (height, width, 3) uint8 RGB, of any size.
        seen: of its video.
        number: of the picture.
        unit: the size of lines and letters, 1 for letters of 16 pixels.
        verdicts: whether to say below each face what becomes of it.
    """
    faces = seen.faces_at(number)
    drawn = picture.copy()
    for face in faces:
        _mark(drawn, face, unit, face.score >= seen.config.speaking.threshold)
    image = Image.fromarray(drawn)
    labels = _Labels(image)
    for face in reversed(faces):  # the most likely speaker's label gets its place first
        _name(labels, face, seen, unit, verdicts)
    return np.asarray(image)


def _mark(picture: np.ndarray, face: FaceNow, unit: float, speaks: bool) -> None:
    size = np.array([picture.shape[1], picture.shape[0]])
    (x0, y0), (x1, y1) = (np.array(face.box).reshape(2, 2) * size).astype(int).tolist()
    colour, width = score_colour(face.score), round(max(1.0, (THICK_PX if speaks else THIN_PX) * unit))
    cv2.rectangle(picture, (x0, y0), (x1, y1), DARK, width + 2, cv2.LINE_AA)
    cv2.rectangle(picture, (x0, y0), (x1, y1), colour, width, cv2.LINE_AA)
    radius = max(1, round(min(3 * unit, 0.03 * (x1 - x0))))
    for point in (face.landmarks * size).round().astype(int).tolist():
        cv2.circle(picture, point, radius + 1, DARK, -1, cv2.LINE_AA)
        cv2.circle(picture, point, radius, colour, -1, cv2.LINE_AA)


def _name(labels: "_Labels", face: FaceNow, seen: Seen, unit: float, verdicts: bool) -> None:
    width, height = labels.size
    x0, y0, _, y1 = np.array(face.box) * (width, height, width, height)
    labels.write(x0, y0, y1, f"#{face.track}  {face.score:.2f}", 16 * unit, DARK, score_colour(face.score))
    if verdicts and face.candidate:
        kept = face.candidate.fate == KEPT
        text = f"kept: {seen.verdict(face.candidate)}" if kept else f"dropped: {seen.verdict(face.candidate)}"
        ink, back = (DARK, GOOD) if kept else (BAD, BACK)
        labels.write(x0, None, y1, text, 15 * unit, ink, back)


class _Labels:
    """Writes labels beside boxes, within the picture, and each where there is none yet."""

    def __init__(self, image: Image.Image):
        self.size = image.size
        self._pen, self._taken = ImageDraw.Draw(image), []

    def write(
        self, x: float, top: float | None, bottom: float, text: str, size_px: float, ink: Colour, back: Colour
    ) -> None:
        """Writes a line above `top`, or else below `bottom`."""
        letters = font(round(size_px), bold=True)
        width, height = letters.getlength(text) + size_px, 1.5 * size_px
        x = max(0.0, min(x, self.size[0] - width))
        above = [] if top is None else [top - height - 2]
        tops = np.clip([*above, *(bottom + 2 + i * (height + 2) for i in range(3))], 0, self.size[1] - height)
        places = [(x, y, x + width, y + height) for y in tops.tolist()]
        place = next((p for p in places if not any(_meet(p, taken) for taken in self._taken)), places[0])
        self._taken.append(place)
        self._pen.rounded_rectangle(place, size_px / 4, fill=back)
        self._pen.text((x + size_px / 2, place[1] + height / 2), text, font=letters, fill=ink, anchor="lm")


def _meet(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
