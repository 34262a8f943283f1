"""Decoding: one clock for frames and audio, limits, and frames that look as a player would show them."""

import mmap
import os

import numpy as np
import pytest

from pipelines.extraction.config import MediaConfig
from pipelines.extraction.video.audio_file import AudioFile, out_of_scale, release_pages
from pipelines.extraction.video.decode import Decoder
from pipelines.extraction.video.full_frames import full_resolution_frames
from pipelines.extraction.video.probe import MediaError, probe_media
from tests.support.mapped_memory import resident_kb
from tests.support.talking_portrait import write_video

MEDIA = MediaConfig()


def flashes(count, at, size=(96, 64)):
    frames = [np.full((size[1], size[0], 3), 20, np.uint8) for _ in range(count)]
    for number in at:
        frames[number][:] = 235
    return frames


def clicks(seconds, at_s):
    audio = np.zeros(int(seconds * 16_000), np.float32)
    for start_s in at_s:
        first = int(start_s * 16_000)
        audio[first : first + 640] = 0.8 * np.sin(np.arange(640) * 0.6)
    return audio


def decoded(path):
    probe = probe_media(path, MEDIA)
    with Decoder(path, probe, MEDIA) as decoder:
        return [frame.rgb for frame in decoder.frames()], np.array(decoder.audio)


def first_flash_s(frames, after=0):
    return next(i for i, p in enumerate(frames) if i >= after and p.mean() > 128) / MEDIA.rate_hz


def first_click_s(audio):
    return int(np.flatnonzero(np.abs(audio.astype(int)) > 6000)[0]) / 16_000


@pytest.mark.parametrize(
    "late", [{}, {"audio_late_s": 0.7}, {"frames_late_s": 0.6}], ids=["neither", "audio", "frame"]
)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_flash_and_click_keep_their_distance_when_a_stream_starts_late(tmp_path, suffix, late):
    path = write_video(tmp_path / f"v.{suffix}", flashes(75, [50]), clicks(3, [1.0]), **late)
    frames, audio = decoded(path)
    expected_s = 2.0 + late.get("frames_late_s", 0) - 1.0 - late.get("audio_late_s", 0)
    assert first_flash_s(frames) - first_click_s(audio) == pytest.approx(expected_s, abs=0.05)


@pytest.mark.parametrize("rate_hz", [12, 30, 50])
def test_any_frame_rate_gives_25_frames_a_second_at_their_times(tmp_path, rate_hz):
    path = write_video(
        tmp_path / "v.mp4", flashes(3 * rate_hz, range(2 * rate_hz, 3 * rate_hz)), clicks(3, [2.0]), rate_hz=rate_hz
    )
    frames, _ = decoded(path)
    assert len(frames) == pytest.approx(75, abs=2)
    assert first_flash_s(frames) == pytest.approx(2.0, abs=0.05)


def test_second_pass_leaps_over_what_nobody_asked_for_and_goes_on_after_damage(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (2, 96, 128), np.uint8)  # so that damage lies in frames
    greys = [np.repeat(noise[i % 2][..., None], 3, 2) // 4 + np.uint8(i // 4) for i in range(30 * 25)]
    path = write_video(tmp_path / "v.mp4", greys, clicks(30, [1.0]))
    probe, numbers = probe_media(path, MEDIA), [0, 3, 400, 402, 745]
    whole = dict(full_resolution_frames(path, probe, MEDIA, numbers))
    assert list(whole) == numbers
    frames, _ = decoded(path)
    for number in numbers:
        assert whole[number].mean() == pytest.approx(frames[number].mean(), abs=1)
    data = bytearray(path.read_bytes())
    first, end = data.index(b"mdat"), data.rindex(b"moov")
    middle, reach = first + (end - first) * 400 // 750, (end - first) // 20
    data[middle - reach : middle + reach] = bytes(2 * reach)
    path.write_bytes(data)
    left = dict(full_resolution_frames(path, probe, MEDIA, numbers))
    assert {0, 3, 745} <= set(left)
    for number in (0, 3, 745):
        np.testing.assert_array_equal(left[number], whole[number])


def test_second_pass_of_a_file_that_is_gone_gives_nothing(tmp_path):
    path = write_video(tmp_path / "v.mp4", flashes(50, [10]), clicks(2, [1.0]))
    probe = probe_media(path, MEDIA)
    path.unlink()
    assert list(full_resolution_frames(path, probe, MEDIA, [1, 2, 30])) == []


def test_second_pass_gives_the_frames_of_the_first_at_full_size(tmp_path):
    greys = [np.full((360, 1280, 3), 30 + i * 37 % 200, np.uint8) for i in range(75)]
    path = write_video(tmp_path / "v.mp4", greys, clicks(3, [1.0]))
    probe = probe_media(path, MEDIA)
    frames, _ = decoded(path)
    assert frames[0].shape == (180, 640, 3)
    again = dict(full_resolution_frames(path, probe, MEDIA, [20, 21, 60]))
    assert list(again) == [20, 21, 60]
    for number, frame in again.items():
        assert frame.shape == (360, 1280, 3)
        assert frame.mean() == pytest.approx(frames[number].mean(), abs=5)


def test_anamorphic_pixels_are_made_square(tmp_path):
    path = write_video(tmp_path / "v.mp4", flashes(30, []), clicks(1.2, [0.5]), "-vf", "setsar=2/1")
    assert decoded(path)[0][0].shape == (64, 192, 3)


def test_a_stalled_ffmpeg_is_stopped(tmp_path):
    path = write_video(tmp_path / "v.mp4", flashes(30, []), clicks(1.2, [0.5]))
    sleeper = tmp_path / "ffmpeg"
    sleeper.write_text('#!/bin/sh\n[ "$1" = -version ] && echo "ffmpeg version 9.0" || exec sleep 60\n')
    sleeper.chmod(0o755)
    config = MediaConfig(stall_limit_s=0.3, ffmpeg=str(sleeper))
    with (
        Decoder(path, probe_media(path, config), config) as decoder,
        pytest.raises(MediaError, match=r"nothing for 0\.3"),
    ):
        list(decoder.frames())


def test_a_video_beyond_the_limit_fails(tmp_path):
    path = write_video(tmp_path / "v.mp4", flashes(60, []), clicks(2.4, [0.5]))
    config = MediaConfig(max_duration_s=1.0)
    with Decoder(path, probe_media(path, config), config) as decoder, pytest.raises(MediaError, match="limit of 1 s"):
        list(decoder.frames())


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="no madvise here")
def test_pages_of_mapped_audio_can_be_released_and_read_again(tmp_path):
    path = write_video(tmp_path / "v.mp4", flashes(250, [], size=(16, 16)), clicks(10, [1.0]))
    with Decoder(path, probe_media(path, MEDIA), MEDIA) as decoder:
        list(decoder.frames())
        audio = decoder.audio
        read = np.array(audio)
        assert resident_kb(audio) >= len(read) * 2 // 1024 - 64
        release_pages(audio[1000:][:50])  # a part stands for the whole
        assert resident_kb(audio) < 64
        assert np.array_equal(audio, read)
        release_pages(read)  # not mapped: nothing happens


def test_a_look_at_the_whole_audio_leaves_none_of_it_in_memory():
    """Two hours of it are 230 MB."""
    file = AudioFile()
    os.write(file.fds[0], np.tile(np.arange(-9_000, 9_000, dtype=np.int16), 200).tobytes())
    audio = file.samples()
    assert not out_of_scale(audio)
    assert resident_kb(audio) == 0
    file.close()
