"""Drawing: colours, fonts, a canvas, and the overlay that marks the faces in a frame.

The font is DejaVu Sans, which ships with matplotlib; OpenCV's own fonts are hard to read.
"""

import functools
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipelines.extraction.types import KEPT
from pipelines.inspection.view import FaceView, View

Colour = tuple[int, int, int]
BACK, PANEL, GRID = (13, 17, 23), (24, 30, 40), (64, 74, 90)
TEXT, FAINT, DARK = (235, 240, 246), (150, 163, 180), (10, 14, 20)
GOOD, BAD, SPEECH = (52, 211, 153), (242, 139, 120), (96, 165, 250)
# The scores 0 (not speaking), 0.5 and 1 (active speaker).
_RAMP = np.array([(132, 148, 168), (240, 184, 66), (52, 211, 153)], float)
OVERSAMPLE = 2  # because Pillow draws lines without anti-aliasing


def score_colour(score: float) -> Colour:
    """Returns the colour of an active-speaker score 0..1, from grey-blue over amber to green."""
    place = float(np.clip(score, 0, 1)) * (len(_RAMP) - 1)
    low = min(int(place), len(_RAMP) - 2)
    red, green, blue = (int(v) for v in _RAMP[low] + (place - low) * (_RAMP[low + 1] - _RAMP[low]))
    return red, green, blue


@functools.cache
def font(size_px: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Returns DejaVu Sans in a size."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / f"DejaVuSans{'-Bold' if bold else ''}.ttf"), max(6, size_px))


def fitted(text: str, letters: ImageFont.FreeTypeFont, width_px: float) -> str:
    """Returns the text, shortened to a width with an ellipsis; empty where not even three letters fit."""
    if letters.getlength(text) <= width_px:
        return text
    while text and letters.getlength(text + "…") > width_px:
        text = text[:-1]
    return text.rstrip() + "…" if len(text) >= 3 else ""


def fits(text: str, size_px: float, width_px: float, bold: bool = False) -> bool:
    """Returns whether a canvas can write a line in a size without shortening it to a width."""
    return font(round(size_px * OVERSAMPLE), bold).getlength(text) <= width_px * OVERSAMPLE


class Canvas:
    """A blank image to draw on. Coordinates and lengths are pixels of what `image` returns."""

    def __init__(self, width_px: int, height_px: int, back: Colour = BACK):
        self.size = width_px, height_px
        self._image = Image.new("RGB", (width_px * OVERSAMPLE, height_px * OVERSAMPLE), back)
        self._draw = ImageDraw.Draw(self._image)
        self._pasted: list[tuple[int, int, np.ndarray]] = []

    def box(
        self, x0: float, y0: float, x1: float, y1: float, fill: Colour | None, edge: Colour | None = None,
        round_px: float = 0, edge_px: float = 1,
    ) -> None:  # fmt: skip
        corners = [v * OVERSAMPLE for v in (x0, y0, max(x0 + 0.5, x1), max(y0 + 0.5, y1))]
        corners[2:] = [v - 1 for v in corners[2:]]
        width = round(edge_px * OVERSAMPLE)
        self._draw.rounded_rectangle(corners, round_px * OVERSAMPLE, fill=fill, outline=edge, width=width)

    def line(self, points: list[tuple[float, float]], colour: Colour, width_px: float = 1) -> None:
        scaled = [(x * OVERSAMPLE, y * OVERSAMPLE) for x, y in points]
        self._draw.line(scaled, fill=colour, width=max(1, round(width_px * OVERSAMPLE)), joint="curve")

    def dashes(
        self, start: tuple[float, float], end: tuple[float, float], colour: Colour, width_px: float, dash_px: float
    ) -> None:
        (x0, y0), (x1, y1) = start, end
        count = max(1, int(np.hypot(x1 - x0, y1 - y0) / dash_px))
        for i in range(0, count, 2):
            a, b = i / count, (i + 1) / count
            piece = [(x0 + a * (x1 - x0), y0 + a * (y1 - y0)), (x0 + b * (x1 - x0), y0 + b * (y1 - y0))]
            self.line(piece, colour, width_px)

    def text(
        self, x: float, y: float, text: str, size_px: float, colour: Colour = TEXT, anchor: str = "lm",
        bold: bool = False, fit_px: float | None = None,
    ) -> float:  # fmt: skip
        """Writes one line and returns its width.

        Args:
            x, y: where the anchor goes.
            text: one line.
            size_px: of the letters.
            colour, bold: of the letters.
            anchor: as in Pillow.
            fit_px: maximum width; longer text is shortened.
        """
        letters = font(round(size_px * OVERSAMPLE), bold)
        text = text if fit_px is None else fitted(text, letters, fit_px * OVERSAMPLE)
        self._draw.text((x * OVERSAMPLE, y * OVERSAMPLE), text, font=letters, fill=colour, anchor=anchor)
        return letters.getlength(text) / OVERSAMPLE

    def paste(self, x: float, y: float, image: np.ndarray) -> None:
        """Puts an image, (height, width, 3) uint8 RGB, with its top left corner at x, y, above everything drawn."""
        self._pasted.append((round(x), round(y), image))

    def image(self) -> np.ndarray:
        """Returns the image, (height, width, 3) uint8 RGB."""
        small = np.array(self._image.resize(self.size, Image.Resampling.BOX))
        for x, y, image in self._pasted:
            part = small[y : y + image.shape[0], x : x + image.shape[1]]
            part[:] = image[: part.shape[0], : part.shape[1]]
        return small


THIN_PX, THICK_PX = 2, 4


def draw_faces(frame: np.ndarray, view: View, number: int, unit: float = 1.0, outcomes: bool = True) -> np.ndarray:
    """Returns a copy of a frame with an overlay that marks its faces.

    Args:
        frame: (height, width, 3) uint8 RGB, of any size.
        view: of the video.
        number: of the frame.
        unit: the size of lines and letters, 1 for letters of 16 pixels.
        outcomes: whether to write below each face the outcome of its candidate.
    """
    faces = view.faces_at(number)
    drawn = frame.copy()
    for face in faces:
        _mark(drawn, face, unit, face.score >= view.config.speaking.threshold)
    image = Image.fromarray(drawn)
    labels = _Labels(image)
    for face in reversed(faces):  # the most likely speaker's label gets its place first
        _name(labels, face, view, unit, outcomes)
    return np.asarray(image)


def _mark(frame: np.ndarray, face: FaceView, unit: float, speaks: bool) -> None:
    size = np.array([frame.shape[1], frame.shape[0]])
    (x0, y0), (x1, y1) = (np.array(face.box).reshape(2, 2) * size).astype(int).tolist()
    colour, width = score_colour(face.score), round(max(1.0, (THICK_PX if speaks else THIN_PX) * unit))
    cv2.rectangle(frame, (x0, y0), (x1, y1), DARK, width + 2, cv2.LINE_AA)
    cv2.rectangle(frame, (x0, y0), (x1, y1), colour, width, cv2.LINE_AA)
    radius = max(1, round(min(3 * unit, 0.03 * (x1 - x0))))
    for point in (face.landmarks * size).round().astype(int).tolist():
        cv2.circle(frame, point, radius + 1, DARK, -1, cv2.LINE_AA)
        cv2.circle(frame, point, radius, colour, -1, cv2.LINE_AA)


def _name(labels: "_Labels", face: FaceView, view: View, unit: float, outcomes: bool) -> None:
    width, height = labels.size
    x0, y0, _, y1 = np.array(face.box) * (width, height, width, height)
    labels.write(x0, y0, y1, f"#{face.track}  {face.score:.2f}", 16 * unit, DARK, score_colour(face.score))
    if outcomes and face.candidate:
        kept, text = face.candidate.outcome == KEPT, view.outcome(face.candidate)
        text_colour, back = (DARK, GOOD) if kept else (BAD, BACK)
        labels.write(x0, None, y1, text, 15 * unit, text_colour, back)


class _Labels:
    """Writes labels beside boxes, within the frame, so that they do not overlap where there is room."""

    def __init__(self, image: Image.Image):
        self.size = image.size
        self._pen, self._taken = ImageDraw.Draw(image), []

    def write(
        self, x: float, top: float | None, bottom: float, text: str, size_px: float, text_colour: Colour, back: Colour
    ) -> None:
        """Writes a line above `top`, or below `bottom` where `top` is None or its place is taken."""
        letters = font(round(size_px), bold=True)
        width, height = letters.getlength(text) + size_px, 1.5 * size_px
        x = max(0.0, min(x, self.size[0] - width))
        above = [] if top is None else [top - height - 2]
        tops = np.clip([*above, *(bottom + 2 + i * (height + 2) for i in range(3))], 0, self.size[1] - height)
        places = [(x, y, x + width, y + height) for y in tops.tolist()]
        place = next((p for p in places if not any(_meet(p, taken) for taken in self._taken)), places[0])
        self._taken.append(place)
        self._pen.rounded_rectangle(place, size_px / 4, fill=back)
        self._pen.text((x + size_px / 2, place[1] + height / 2), text, font=letters, fill=text_colour, anchor="lm")


def _meet(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
