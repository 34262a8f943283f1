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
    pen = ImageDraw.Draw(image)
    for face in faces:
        _name(pen, face, seen, unit, verdicts)
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


def _name(pen: ImageDraw.ImageDraw, face: FaceNow, seen: Seen, unit: float, verdicts: bool) -> None:
    width, height = pen.im.size
    x0, y0, _, y1 = np.array(face.box) * (width, height, width, height)
    _pill(pen, x0, y0, f"#{face.track}  {face.score:.2f}", 16 * unit, DARK, score_colour(face.score), below=False)
    if verdicts and face.candidate:
        kept = face.candidate.fate == KEPT
        text = f"kept: {seen.verdict(face.candidate)}" if kept else f"dropped: {seen.verdict(face.candidate)}"
        ink, back = (DARK, GOOD) if kept else (BAD, BACK)
        _pill(pen, x0, y1, text, 15 * unit, ink, back, below=True)


def _pill(
    pen: ImageDraw.ImageDraw, x: float, y: float, text: str, size_px: float, ink: Colour, back: Colour, below: bool
) -> None:
    """Writes a line above or below a point, moved into the picture where it would leave it."""
    letters = font(round(size_px), bold=True)
    width, height = letters.getlength(text) + size_px, 1.5 * size_px
    x = max(0.0, min(x, pen.im.size[0] - width))
    y = max(0.0, min(y + 2 if below else y - height - 2, pen.im.size[1] - height))
    pen.rounded_rectangle((x, y, x + width, y + height), size_px / 4, fill=back)
    pen.text((x + size_px / 2, y + height / 2), text, font=letters, fill=ink, anchor="lm")
