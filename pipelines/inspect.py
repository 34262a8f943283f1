"""`vclip inspect`: what extraction saw of one video, drawn onto it."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipelines.extraction.config import ExtractionConfig
from pipelines.extraction.extract import Hook, Trace, extract
from pipelines.extraction.media.decode import Decoder
from pipelines.extraction.media.probe import MediaError, Probe, probe_media
from pipelines.fates import in_words
from pipelines.inspection.film import Film
from pipelines.inspection.seen import Seen
from pipelines.inspection.sheet import ContactSheet
from pipelines.progress import Step, step
from pipelines.whole_file import whole_file
from vclip.errors import InputError

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
