"""`vclip inspect`: what extraction saw of one video, drawn onto it."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from pipelines.extraction.config import ExtractionConfig
from pipelines.extraction.drop_reasons import in_words
from pipelines.extraction.pipeline import Hook, Trace, extract
from pipelines.extraction.types import KEPT
from pipelines.extraction.video.decode import SAMPLE_RATE_HZ, Decoder
from pipelines.extraction.video.probe import MediaError, Probe, probe_media
from pipelines.files import whole_file
from pipelines.inspection.draw import BACK, BAD, FAINT, GOOD, INK, SPEECH, Pen, draw_faces
from pipelines.inspection.sheet import ContactSheet
from pipelines.inspection.timeline import Timeline, clock
from pipelines.inspection.view import Seen
from pipelines.progress import Step, step
from vclip.errors import InputError

WIDTHS_PX, MAX_PICTURE_PX = (960, 1280), 720  # of the whole, least and most; height of the picture in it
HEADER_PX = 40
PAGE_S = 30.0


class Film:
    """Writes one video; call `add` for each picture, and `close` in the end.

    Args:
        path: of the MP4 file: H.264 and AAC, as browsers play it.
        seen: what is drawn.
        aspect: width of the pictures divided by their height.
    """

    def __init__(self, path: str | Path, seen: Seen, aspect: float):
        self.seen = seen
        width = _even(min(max(MAX_PICTURE_PX * aspect, WIDTHS_PX[0]), WIDTHS_PX[1]))
        self._room = width, _even(min(MAX_PICTURE_PX, width / aspect))
        count = max(1, int(np.ceil(seen.duration_s / PAGE_S)))
        length_s = max(seen.duration_s / count, 1 / seen.rate_hz)
        self._pages = [Timeline(seen, i * length_s, (i + 1) * length_s, width) for i in range(count)]
        self._page, self._strip = -1, np.zeros(0)
        self._lanes = max(len(page.lanes[0]) for page in self._pages)
        self._height = _even(HEADER_PX + self._room[1] + self._pages[0].height_px(self._lanes) + 8)
        self._number, self._heard = 0, 0
        self._open(path, width)

    def _open(self, path: str | Path, width: int) -> None:
        self._file = av.open(str(path), "w", format="mp4", options={"movflags": "faststart"})
        rate = Fraction(self.seen.rate_hz).limit_denominator(1001)
        self._video = self._file.add_stream("libx264", rate=rate, options={"crf": "22", "preset": "veryfast"})
        self._video.width, self._video.height, self._video.pix_fmt = width, self._height, "yuv420p"
        self._audio = self._file.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")

    def add(self, picture: np.ndarray) -> None:
        """Adds the next picture, (height, width, 3) uint8 RGB, and the sound up to its end."""
        frame = av.VideoFrame.from_ndarray(self._drawn(picture), format="rgb24")
        self._file.mux(self._video.encode(frame))
        self._number += 1
        self._hear(round(self._number / self.seen.rate_hz * SAMPLE_RATE_HZ))

    def close(self) -> None:
        """Ends the file; to be called also after an error."""
        try:
            self._file.mux(self._video.encode())
            self._file.mux(self._audio.encode())
        finally:
            self._file.close()

    def _hear(self, end: int) -> None:
        samples = np.zeros(end - self._heard, np.int16)
        piece = self.seen.trace.sound[self._heard : end]
        samples[: len(piece)] = piece
        frame = av.AudioFrame.from_ndarray((samples / np.float32(32768))[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, self._heard
        self._file.mux(self._audio.encode(frame))
        self._heard = end

    def _drawn(self, picture: np.ndarray) -> np.ndarray:
        """One whole frame, (height, width, 3) uint8 RGB."""
        number, (width, room) = self._number, self._room
        scale = min(width / picture.shape[1], room / picture.shape[0])
        size = round(picture.shape[1] * scale), round(picture.shape[0] * scale)
        large = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
        frame = np.full((self._height, width, 3), BACK, np.uint8)
        frame[:HEADER_PX] = self._headline(number)
        x, y = (width - size[0]) // 2, HEADER_PX + (room - size[1]) // 2
        frame[y : y + size[1], x : x + size[0]] = draw_faces(large, self.seen, number)
        if any(f.candidate and f.candidate.fate == KEPT for f in self.seen.faces_at(number)):
            cv2.rectangle(frame, (x, y), (x + size[0] - 1, y + size[1] - 1), GOOD, 6)
        strip, cursor = self._timeline(number)
        top = HEADER_PX + room
        frame[top : top + len(strip)] = strip
        cv2.line(frame, (cursor, top + 4), (cursor, top + len(strip) - 4), INK, 2)
        return frame

    def _timeline(self, number: int) -> tuple[np.ndarray, int]:
        time_s = number / self.seen.rate_hz
        page = min(int(time_s / self._pages[0].end_s), len(self._pages) - 1)
        if page != self._page:
            self._page, self._strip = page, self._pages[page].draw(self._lanes)
        return self._strip, round(self._pages[page].x(time_s))

    def _headline(self, number: int) -> np.ndarray:
        seen = self.seen
        pen = Pen(self._room[0], HEADER_PX)
        middle = HEADER_PX / 2
        time = f"{clock(number / seen.rate_hz, 0.1)} / {clock(seen.duration_s, 0.1)}"
        x = 14 + pen.text(14, middle, time, 17, INK, bold=True)
        heard = seen.speech_at(number)
        x += 22
        pen.box(x, middle - 6, x + 12, middle + 6, SPEECH if heard else None, SPEECH, 6)
        x += 20
        x += pen.text(x, middle, "speech" if heard else "no speech", 16, INK if heard else FAINT)
        kept = [f.candidate for f in seen.faces_at(number) if f.candidate and f.candidate.fate == KEPT]
        right = self._room[0] - 14
        if kept:
            right -= pen.text(right, middle, f"kept: {seen.verdict(kept[-1])}", 17, GOOD, "rm", bold=True)
        elif not seen.extraction.clips:
            right -= pen.text(right, middle, seen.extraction.reason, 15, BAD, "rm", fit_px=0.55 * right)
        right -= 24
        pen.text(x + 24, middle, seen.path.name, 15, FAINT, fit_px=right - x - 24)
        return pen.picture()


def _even(length: float) -> int:
    return 2 * round(length / 2)


SHOWN_PX = 1280  # the longer side of the pictures that are drawn on


def inspect(
    video: Path, config: ExtractionConfig, out: Path | None = None, sheet: Path | None = None
) -> dict[str, Any]:
    """Extracts one video, draws what was seen, and returns what became of it.

    Args:
        video: the file.
        config: of the extraction.
        out: an MP4 file to write: the video with its sound, drawn on, above its timeline.
        sheet: a JPEG file to write: the whole video in one picture.

    Returns:
        state, reason, duration_s, funnel, seconds per stage, and of each candidate its start_s, end_s, box, track,
        score, fate and that in words (`why`).

    Raises:
        InputError: the file cannot be read, or holds no pictures or no sound; or `out` or `sheet` cannot be written.
    """
    for path, suffixes in ((out, (".mp4",)), (sheet, (".jpg", ".jpeg"))):
        _check(path, suffixes, video)
    try:
        probe = probe_media(video, config.media)
        trace = Trace()
        with step("extract", probe.duration_s, "s of video") as progress:
            extraction = extract(video, config, _told(progress), trace)
        if trace.speech is None:
            raise InputError(f"{video}: nothing to draw: {extraction.reason}")
        _draw(Seen(video, extraction, trace, config), probe, out, sheet)
    except MediaError as error:
        raise InputError(f"{video}: {error}") from None
    return {
        "video": str(video),
        "state": extraction.state,
        "reason": extraction.reason,
        "duration_s": extraction.duration_s,
        "out": str(out) if out else None,
        "sheet": str(sheet) if sheet else None,
        "funnel": extraction.funnel,
        "seconds": extraction.seconds,
        "candidates": [
            {k: v for k, v in asdict(candidate).items() if k != "thumbnail"} | {"why": in_words(candidate.fate)}
            for candidate in extraction.candidates
        ],
    }


def _told(progress: Step) -> Hook:
    """Passes on how much of the video is decoded; what comes after is quick."""

    def hook(stage: str, done: float, total: float) -> None:
        progress.set(round(done if stage == "decode" else progress.done, 1), stage)

    return hook


def _check(path: Path | None, suffixes: tuple[str, ...], video: Path) -> None:
    if path is None:
        return
    if path.suffix.lower() not in suffixes:
        raise InputError(f"{path}: found the suffix '{path.suffix}', expected {' or '.join(suffixes)}")
    if path.resolve() == video.resolve():
        raise InputError(f"{path}: this is the video itself; expected another name")


def _draw(seen: Seen, probe: Probe, out: Path | None, sheet: Path | None) -> None:
    if not (out or sheet):
        return
    media = seen.config.media.model_copy(update={"max_side_px": SHOWN_PX})
    total = round(seen.duration_s * seen.rate_hz)
    with (
        Decoder(seen.path, probe, media) as decoder,
        step("draw", total, "pictures") as progress,
        _part(out) as film_part,
        _part(sheet) as sheet_part,
    ):
        film, frames = None, None
        try:
            for number, picture in zip(range(total), decoder.pictures(), strict=False):
                if number == 0:
                    aspect = picture.shape[1] / picture.shape[0]
                    film = Film(film_part, seen, aspect) if film_part else None
                    frames = ContactSheet(seen, aspect) if sheet_part else None
                if film:
                    film.add(picture.rgb)
                if frames:
                    frames.add(number, picture.rgb)
                progress.advance()
        finally:
            if film:
                film.close()
        if frames:
            frames.save(sheet_part)


def _part(path: Path | None) -> AbstractContextManager[Path | None]:
    return whole_file(path) if path else nullcontext()
