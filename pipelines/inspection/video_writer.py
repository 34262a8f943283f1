"""Writes the inspected video: each frame with its overlay, above a timeline over which a cursor moves.

Frames are encoded as they arrive, so hours of video need no more memory than seconds. The timeline of a long video is
shown in pages.
"""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from pipelines.extraction.types import KEPT
from pipelines.extraction.video.audio_file import SAMPLE_RATE_HZ
from pipelines.inspection.drawing import BACK, BAD, FAINT, GOOD, SPEECH, TEXT, Canvas, draw_faces
from pipelines.inspection.timeline import Timeline, clock
from pipelines.inspection.view import View

WIDTHS_PX, MAX_FRAME_PX = (960, 1280), 720  # least and most width of the whole; height of the frame in it
HEADER_PX = 40
PAGE_S = 30.0


class VideoWriter:
    """Writes one video; call `add` for each frame, and `close` in the end.

    Args:
        path: of the MP4 file: H.264 and AAC, as browsers play it.
        view: what to draw.
        aspect: width of the frames divided by their height.
    """

    def __init__(self, path: str | Path, view: View, aspect: float):
        self.view = view
        width = _even(min(max(MAX_FRAME_PX * aspect, WIDTHS_PX[0]), WIDTHS_PX[1]))
        self._room = width, _even(min(MAX_FRAME_PX, width / aspect))
        count = max(1, int(np.ceil(view.duration_s / PAGE_S)))
        length_s = max(view.duration_s / count, 1 / view.rate_hz)
        self.pages = [Timeline(view, i * length_s, (i + 1) * length_s, width) for i in range(count)]
        self._page, self._strip = -1, np.zeros(0)
        self._lanes = max(len(page.lanes[0]) for page in self.pages)
        self._height = _even(HEADER_PX + self._room[1] + self.pages[0].height_px(self._lanes) + 8)
        self._number, self._samples = 0, 0  # frames and audio samples written
        self._file = av.open(str(path), "w", format="mp4", options={"movflags": "faststart"})
        rate = Fraction(view.rate_hz).limit_denominator(1001)
        self._video = self._file.add_stream("libx264", rate=rate, options={"crf": "22", "preset": "veryfast"})
        self._video.width, self._video.height, self._video.pix_fmt = width, self._height, "yuv420p"
        self._audio = self._file.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")

    def add(self, frame: np.ndarray) -> None:
        """Adds the next frame, (height, width, 3) uint8 RGB, and the audio up to its end."""
        drawn = av.VideoFrame.from_ndarray(self._drawn(frame), format="rgb24")
        self._file.mux(self._video.encode(drawn))
        self._number += 1
        self._add_audio(round(self._number / self.view.rate_hz * SAMPLE_RATE_HZ))

    def close(self) -> None:
        """Ends the file; call it also after an error."""
        try:
            self._file.mux(self._video.encode())
            self._file.mux(self._audio.encode())
        finally:
            self._file.close()

    def _add_audio(self, end: int) -> None:
        samples = np.zeros(end - self._samples, np.int16)
        piece = self.view.analysis.audio[self._samples : end]
        samples[: len(piece)] = piece
        audio = av.AudioFrame.from_ndarray((samples / np.float32(32768))[None], format="fltp", layout="mono")
        audio.sample_rate, audio.pts = SAMPLE_RATE_HZ, self._samples
        self._file.mux(self._audio.encode(audio))
        self._samples = end

    def _drawn(self, frame: np.ndarray) -> np.ndarray:
        """Returns the whole image: headline, frame and timeline, (height, width, 3) uint8 RGB."""
        number, (width, room) = self._number, self._room
        scale = min(width / frame.shape[1], room / frame.shape[0])
        size = round(frame.shape[1] * scale), round(frame.shape[0] * scale)
        large = cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
        image = np.full((self._height, width, 3), BACK, np.uint8)
        image[:HEADER_PX] = self._headline(number)
        x, y = (width - size[0]) // 2, HEADER_PX + (room - size[1]) // 2
        image[y : y + size[1], x : x + size[0]] = draw_faces(large, self.view, number)
        if any(f.candidate and f.candidate.outcome == KEPT for f in self.view.faces_at(number)):
            cv2.rectangle(image, (x, y), (x + size[0] - 1, y + size[1] - 1), GOOD, 6)
        strip, cursor = self._timeline(number)
        top = HEADER_PX + room
        image[top : top + len(strip)] = strip
        cv2.line(image, (cursor, top + 4), (cursor, top + len(strip) - 4), TEXT, 2)
        return image

    def _timeline(self, number: int) -> tuple[np.ndarray, int]:
        time_s = number / self.view.rate_hz
        page = min(int(time_s / self.pages[0].end_s), len(self.pages) - 1)
        if page != self._page:
            self._page, self._strip = page, self.pages[page].draw(self._lanes)
        return self._strip, round(self.pages[page].x(time_s))

    def _headline(self, number: int) -> np.ndarray:
        view = self.view
        canvas = Canvas(self._room[0], HEADER_PX)
        middle = HEADER_PX / 2
        time = f"{clock(number / view.rate_hz, 0.1)} / {clock(view.duration_s, 0.1)}"
        x = 14 + canvas.text(14, middle, time, 17, TEXT, bold=True)
        speech = view.speech_at(number)
        x += 22
        canvas.box(x, middle - 6, x + 12, middle + 6, SPEECH if speech else None, SPEECH, 6)
        x += 20
        x += canvas.text(x, middle, "speech" if speech else "no speech", 16, TEXT if speech else FAINT)
        kept = [f.candidate for f in view.faces_at(number) if f.candidate and f.candidate.outcome == KEPT]
        right = self._room[0] - 14
        if kept:
            right -= canvas.text(right, middle, view.outcome(kept[-1]), 17, GOOD, "rm", bold=True)
        elif not view.extraction.clips:
            right -= canvas.text(right, middle, view.extraction.reason, 15, BAD, "rm", fit_px=0.55 * right)
        right -= 24
        canvas.text(x + 24, middle, view.path.name, 15, FAINT, fit_px=right - x - 24)
        return canvas.image()


def _even(length: float) -> int:
    return 2 * round(length / 2)
