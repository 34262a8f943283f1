"""What an ingest costs before it has run: core hours, hours, and the size of the store.

The rates are those of docs/sizing.md, measured at 640x360 and 25 frames per second, scaled by each probed video:

    core seconds of a video = PER_FILE_S + seconds x (faces and speech + analysis + decoding)

Analysis grows with the area of the analysis frames, decoding with the pixels of the file. Where a store has had runs
before, the whole is scaled by how long these took for what they did.
"""

import math
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.config import Config
from pipelines.extraction.video.probe import MediaError, MediaProbe, probe_media
from pipelines.files.addresses import is_remote
from pipelines.files.download import local_copy
from pipelines.ingest.sources.source import Source
from pipelines.progress import step
from stores import Store

PROBED, PROBED_REMOTE, PROBE_S = 200, 5, 60.0  # files whose headers are read; a remote one is copied for that
START_S = 12.0  # until the first video is extracted
# Core seconds for each second of video, at 640x360 and 25 frames per second (docs/sizing.md).
ANALYSIS = {"centerface": 0.051 + 0.012, "yunet": 0.028 + 0.012}
FACES_AND_SPEECH, DECODING, SECOND_PASS, LR_ASD = 0.009 + 0.004, 0.014, 0.020, 0.125
FACE_ENCODER, VOICE_ENCODER = {"dlib": 0.0054, "open_clip": 0.070}, 0.0048
PER_FILE_S = 0.1  # core seconds for each file, of whatever length
FRAME_PX, RATE_HZ = 640 * 360, 25.0
STORE_BYTES = 88e6 / 3600  # of a store for each second of kept video; all of it is taken as kept
WORKER_GB = 1.5  # of memory, for each core


@dataclass(frozen=True)
class Probed:
    """One file whose headers were read."""

    size_bytes: int
    probe: MediaProbe | None  # None where it is no readable video


@dataclass(frozen=True)
class Cost:
    """The cost of all videos to do, from the headers of some of them."""

    probed: int  # files whose headers were read
    unreadable: int  # of these, files that would fail
    video_s: float  # length of all videos to do
    longest_s: float  # core seconds of the longest probed video, which one worker does alone
    core_s: float  # on one core of the machine of docs/sizing.md, without the start
    frames: str  # of the middle video, for people: "640x360, 25 per second"


class Sample:
    """Some of a stream of sources, each as likely as another, and the same ones every time.

    Args:
        most: sources to keep.
    """

    def __init__(self, most: int = PROBED):
        self._most, self._seen, self._chance = most, 0, random.Random(0)
        self._kept = list[Source]()

    def add(self, source: Source) -> None:
        """Considers one more source."""
        self._seen += 1
        if len(self._kept) < self._most:
            self._kept.append(source)
        elif (place := self._chance.randrange(self._seen)) < self._most:
            self._kept[place] = source

    def sources(self) -> list[Source]:
        """Returns the sources in an order by chance, so that a part of them is a sample as well."""
        return random.Random(0).sample(self._kept, len(self._kept))


def probed(sources: Sequence[Source], config: Config) -> list[Probed]:
    """Returns the headers of the sources, as far as PROBE_S seconds go; of PROBED_REMOTE where files are remote.

    Args:
        sources: a `Sample`.
        config: the sections `extraction` and `remote` are read.
    """
    sample = sources[:PROBED_REMOTE] if any(is_remote(source.paths[0]) for source in sources) else sources
    found, until_s = list[Probed](), time.monotonic() + PROBE_S
    with step("probe", len(sample), "files") as progress:
        for source in sample:
            found.append(_probed(source, config))
            progress.advance()
            if time.monotonic() > until_s:
                break
    return found


def cost_of(found: Sequence[Probed], config: Config, files: int, size_bytes: int) -> Cost | None:
    """Returns the cost of `files` files of `size_bytes` in all; None where no probed file says its length."""
    known = [one for one in found if one.probe is None or one.probe.duration_s]
    videos = [one.probe for one in known if one.probe]
    if not videos:
        return None
    sampled_bytes = sum(one.size_bytes for one in known)
    scale = size_bytes / sampled_bytes if size_bytes and sampled_bytes else files / len(known)
    if len(found) == len(known) == files:
        scale = 1.0  # all of them were probed
    work_s = [seconds_of(probe, config) for probe in videos]
    video_s = scale * sum(probe.duration_s for probe in videos)
    return Cost(
        probed=len(found),
        unreadable=sum(one.probe is None for one in found),
        video_s=video_s,
        longest_s=max(work_s),
        core_s=scale * sum(work_s) + PER_FILE_S * files,
        frames=_frames(videos),
    )


def seconds_of(probe: MediaProbe, config: Config) -> float:
    """Returns the core seconds of one video, without PER_FILE_S; 0 for a file without frames or without audio."""
    frame_px = probe.width_px * probe.height_px
    if not frame_px or probe.audio_index is None:
        return 0.0
    extraction = config.extraction
    shrunk = min(1.0, extraction.media.max_side_px / probe.side_px)
    analysed = frame_px * shrunk**2 / FRAME_PX * extraction.media.rate_hz / RATE_HZ
    decoded = frame_px * (probe.rate_hz or RATE_HZ) / (FRAME_PX * RATE_HZ)
    rate = FACES_AND_SPEECH + VOICE_ENCODER + DECODING * decoded + SECOND_PASS * (shrunk < 1)
    rate += _of(ANALYSIS, extraction.tracks.detector) * analysed
    rate += _of(FACE_ENCODER, config.encoders.face) * (1 + config.encoders.face.startswith("mirrored:"))
    rate += LR_ASD * bool(extraction.speaking.lr_asd)
    return rate * probe.duration_s


def seconds_on(core_s: float, longest_s: float, cores: float, config: Config) -> float:
    """Returns the seconds that the work takes on so many cores, the start included."""
    return START_S + max(core_s / max(1.0, cores / config.ingest.extract_cpus), longest_s)


def workers_for(core_s: float, within_s: float, files: int) -> int:
    """Returns how many workers, one core each, finish the work in a time; no more than there are files."""
    return max(1, min(files, math.ceil(core_s / max(within_s - START_S, 1.0))))


@dataclass(frozen=True)
class Earlier:
    """The ingests of a store so far."""

    runs: int
    videos: int
    video_s: float
    size_bytes: int
    took_s: float
    store_bytes: float  # of the whole store

    def ratio(self, cost: Cost, files: int, cores: float, config: Config) -> float:
        """Returns how many times the rates of docs/sizing.md the runs took, for videos such as those of `cost`."""
        expected_s = self.runs * START_S
        per_video_s = (cost.core_s - PER_FILE_S * files) / cost.video_s if cost.video_s else 0.0
        core_s = per_video_s * self.video_s + PER_FILE_S * self.videos
        return self.took_s / (expected_s + core_s / max(1.0, cores / config.ingest.extract_cpus))


def earlier_runs(store: Store, cores: float, summaries: Iterable[Mapping[str, Any]]) -> Earlier | None:
    """Returns what the ingests of a store have taken, as if on `cores` cores; None if there was none.

    Args:
        store: the store.
        cores: of the cluster at hand; runs that do not say how many they had are taken to have had as many.
        summaries: of its runs.
    """
    runs = [run for run in summaries if run.get("size_bytes") and run.get("took_s") and run.get("video_s")]
    if not runs:
        return None
    bytes_of = store.info()["bytes"]
    return Earlier(
        runs=len(runs),
        videos=sum(sum(run["videos"].values()) for run in runs),
        video_s=sum(run["video_s"] for run in runs),
        size_bytes=sum(run["size_bytes"] for run in runs),
        took_s=sum(START_S + max(0.0, run["took_s"] - START_S) * (run.get("cores") or cores) / cores for run in runs),
        store_bytes=sum(bytes_of[table] for table in ("videos", "clips", "faces", "voices")),
    )


def _probed(source: Source, config: Config) -> Probed:
    try:
        with local_copy(source.paths[0], config.remote, source.size_bytes, source.etag) as path:
            return Probed(source.size_bytes or 0, probe_media(path, config.extraction.media))
    except (MediaError, OSError):
        return Probed(source.size_bytes or 0, None)


def _frames(videos: Sequence[MediaProbe]) -> str:
    """The frames of the median video, by pixels."""
    median = sorted(videos, key=lambda probe: probe.width_px * probe.height_px)[len(videos) // 2]
    rate = f", {median.rate_hz:.3g} per second" if median.rate_hz else ""
    return f"{median.width_px}x{median.height_px}{rate}"


def _of(rates: Mapping[str, float], spec: str) -> float:
    """The rate of an encoder or detector; one that docs/sizing.md does not know is taken as the first."""
    return next((rate for name, rate in rates.items() if name in spec.lower()), next(iter(rates.values())))


def unmeasured(config: Config) -> Iterator[str]:
    """Yields the specs that docs/sizing.md has no rates of."""
    for rates, spec in ((ANALYSIS, config.extraction.tracks.detector), (FACE_ENCODER, config.encoders.face)):
        if not any(name in spec.lower() for name in rates):
            yield spec
