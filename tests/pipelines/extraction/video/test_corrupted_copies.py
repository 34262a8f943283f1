"""500 copies of good videos, each damaged at random: every one ends as a result or an error, within limits."""

import re
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pipelines.extraction import ExtractionConfig, extract
from pipelines.extraction.config import MediaConfig
from pipelines.extraction.video.decode import Decoder
from pipelines.extraction.video.limits import MediaError
from pipelines.extraction.video.probe import probe_media
from tests.support.flash_and_beep import H264, audio_source, frames_source, make

COPIES, WHOLE = 500, 40  # of them, so many go through all of extraction
SECONDS = 1.5
LIMITS = MediaConfig(open_limit_s=20, stall_limit_s=20, slow_limit_s=20, max_duration_s=60, max_gap_s=20)
ENCODINGS = {
    "mp4": H264,
    "mov": ("-c:v", "mjpeg", "-c:a", "pcm_s16le"),
    "mkv": (*H264[:6], "-c:a", "libopus"),
    "webm": ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libvorbis"),
    "avi": ("-c:v", "mpeg4", "-c:a", "libmp3lame"),
    "mpg": ("-c:v", "mpeg2video", "-c:a", "mp2"),
    "ts": H264,
}


@pytest.fixture(scope="module")
def copies(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("copies")
    sources = {
        "frames": frames_source("128x96", seconds=SECONDS),
        "audio": audio_source(seconds=SECONDS),
    }
    good = [
        make(folder / f"good.{suffix}", *encoding, **sources).read_bytes() for suffix, encoding in ENCODINGS.items()
    ]
    paths = []
    for seed in range(COPIES):
        suffix = list(ENCODINGS)[seed % len(ENCODINGS)]
        paths.append(folder / f"{seed:03d}.{suffix}")
        paths[-1].write_bytes(damaged(good[seed % len(ENCODINGS)], np.random.default_rng(seed)))
    return paths


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes of the head, the tail or anywhere made random, a block zeroed, repeated or cut out, the end cut off."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        size = len(out)
        at, length = int(rng.integers(size)), int(rng.integers(1, max(2, size // 8)))
        match rng.integers(7):
            case 0 | 1 | 2 as where:
                first, end = [(0, min(size, 2000)), (max(0, size - 3000), size), (0, size)][where]
                for place in rng.integers(first, end, rng.integers(1, 30)):
                    out[place] = rng.integers(256)
            case 3:
                out[at : at + length] = bytes(len(out[at : at + length]))
            case 4:
                out[at:at] = out[at : at + length]
            case 5:
                del out[at : at + length]
            case 6:
                del out[max(1, at) :]
        if not out:
            return data[:1]
    return bytes(out)


@pytest.mark.slow
def test_every_damaged_copy_ends_as_a_result_within_limits(copies):
    before = temporary_files()
    with ThreadPoolExecutor(2) as pool:
        ends = Counter(pool.map(end_of, copies))
    assert set(ends) <= {"decoded", "no frames", "without a stream", "failed"}
    # The damage was neither harmless nor hopeless.
    assert ends["decoded"] > COPIES / 4
    assert ends["failed"] > COPIES / 20
    assert temporary_files() == before


def temporary_files() -> set[Path]:
    """The named temporary files of extraction."""
    return set(Path(tempfile.gettempdir()).glob("vclip-*"))


def end_of(path: Path) -> str:
    try:
        probe = probe_media(path, LIMITS)
        if probe.video_index is None or probe.audio_index is None:
            return "without a stream"
        with Decoder(path, probe, LIMITS) as decoder:
            count = sum(1 for _ in decoder.frames())
            assert count <= LIMITS.max_duration_s * LIMITS.rate_hz
            assert len(decoder.audio) <= 16_000 * (LIMITS.max_duration_s + LIMITS.max_gap_s)
        return "decoded" if count else "no frames"
    except MediaError as error:
        return "failed" if str(error) and "\n" not in str(error) else f"no reason: {path.name}"


@pytest.mark.slow
def test_damaged_copies_end_as_an_extraction(copies):
    config = ExtractionConfig(media=LIMITS)
    for path in copies[:: COPIES // WHOLE]:
        extraction = extract(path, config)
        assert extraction.state in ("empty", "failed"), path.name
        assert extraction.reason, path.name
        assert "\n" not in extraction.reason
        assert not re.search(r"within [\d.]+ s", extraction.reason), extraction.reason  # none hangs until a limit
