"""`vclip inspect`: the measurements of an extraction, drawn onto the video.

Steps: extract the video and keep its analysis -> decode the frames again, larger -> draw each frame into the MP4 and
collect the parts that the sheet shows -> write both files whole.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.extraction.config import ExtractionConfig
from pipelines.extraction.pipeline import KeepAnalysis, extract
from pipelines.extraction.types import Extraction, outcome_in_words
from pipelines.extraction.video.decode import Decoder
from pipelines.extraction.video.one_clock import OneClock, open_on_one_clock
from pipelines.extraction.video.probe import MediaError, probe_media
from pipelines.inspection.sheet import ContactSheet
from pipelines.inspection.video_writer import VideoWriter
from pipelines.inspection.view import View
from pipelines.progress import Step, step
from vclip.errors import InputError
from vclip.files import whole_file

SHOWN_PX = 1280  # the longer side of the frames that are drawn on


@dataclass(frozen=True)
class Inspection:
    """The extraction of one video, and the files that were written."""

    video: Path
    extraction: Extraction
    out: Path | None
    sheet: Path | None

    def to_json(self) -> dict[str, Any]:
        """Returns the result as JSON values: `fate` is a candidate's outcome, `why` the same in words."""
        candidates = []
        for candidate in self.extraction.candidates:
            row = {k: v for k, v in asdict(candidate).items() if k not in ("thumbnail", "outcome")}
            candidates.append(row | {"fate": candidate.outcome, "why": outcome_in_words(candidate.outcome)})
        return {
            "video": str(self.video),
            "state": self.extraction.state,
            "reason": self.extraction.reason,
            "duration_s": self.extraction.duration_s,
            "out": str(self.out) if self.out else None,
            "sheet": str(self.sheet) if self.sheet else None,
            "funnel": self.extraction.funnel,
            "seconds": self.extraction.seconds,
            "candidates": candidates,
        }


def inspect(video: Path, config: ExtractionConfig, out: Path | None = None, sheet: Path | None = None) -> Inspection:
    """Extracts one video and draws the measurements onto it.

    Args:
        video: the video file.
        config: the extraction's configuration.
        out: an MP4 file to write: the video with its audio and overlays, above a timeline.
        sheet: a JPEG file to write: the whole video in one image.

    Raises:
        InputError: the file cannot be read or has no video or no audio stream, or `out` or `sheet` cannot be written.
    """
    for path, suffixes in ((out, (".mp4",)), (sheet, (".jpg", ".jpeg"))):
        _check(path, suffixes, video)
    try:
        probe = probe_media(video, config.media)
        with step("extract", probe.duration_s, "s of video") as progress:
            hook = _ShowProgress(progress)
            extraction = extract(video, config, hook)
            progress.set(probe.duration_s, "")
        if hook.analysis is None:
            raise InputError(f"{video}: nothing to draw: {extraction.reason}")
        if out or sheet:
            with open_on_one_clock(video, config.media) as recording:
                _draw(View(video, extraction, hook.analysis, config), recording, out, sheet)
    except MediaError as error:
        raise InputError(f"{video}: {error}") from None
    return Inspection(video, extraction, out, sheet)


class _ShowProgress(KeepAnalysis):
    """A hook that also shows how much of the video is decoded; the later steps are quick."""

    def __init__(self, shown: Step):
        super().__init__()
        self._shown = shown

    def __call__(
        self, name: str, artifact: object = None, total: float | None = None, completed: float | None = None
    ) -> None:
        super().__call__(name, artifact, total, completed)
        seconds = completed if name == "decode" and completed is not None else self._shown.done
        self._shown.set(round(seconds, 1), name)


def _check(path: Path | None, suffixes: tuple[str, ...], video: Path) -> None:
    if path is None:
        return
    if path.suffix.lower() not in suffixes:
        raise InputError(f"{path}: found the suffix '{path.suffix}', expected {' or '.join(suffixes)}")
    if path.resolve() == video.resolve():
        raise InputError(f"{path}: this is the video itself; expected another name")


def _draw(view: View, recording: OneClock, out: Path | None, sheet: Path | None) -> None:
    media = view.config.media.model_copy(update={"max_side_px": SHOWN_PX})
    total = round(view.duration_s * view.rate_hz)
    with (
        Decoder(recording.path, recording.probe, media) as decoder,
        step("draw", total, "frames") as progress,
        _part(out) as video_part,
        _part(sheet) as sheet_part,
    ):
        writer, contact_sheet = None, None
        try:
            for number, frame in zip(range(total), decoder.frames(), strict=False):
                if number == 0:
                    aspect = frame.shape[1] / frame.shape[0]
                    writer = VideoWriter(video_part, view, aspect) if video_part else None
                    contact_sheet = ContactSheet(view, aspect) if sheet_part else None
                if writer:
                    writer.add(frame.rgb)
                if contact_sheet:
                    contact_sheet.add(number, frame.rgb)
                progress.advance()
        finally:
            if writer:
                writer.close()
        if contact_sheet and sheet_part:
            contact_sheet.save(sheet_part)


def _part(path: Path | None) -> AbstractContextManager[Path | None]:
    return whole_file(path) if path else nullcontext()
