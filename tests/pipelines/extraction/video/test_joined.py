"""Recordings joined end to end, whose times begin anew, are read whole and on one clock, or say what is left out."""

import functools
import re
import subprocess
import sys

import numpy as np
import pytest

from pipelines.extraction import extract
from pipelines.extraction.config import MediaConfig
from pipelines.extraction.video.decode import Decoder
from pipelines.extraction.video.full_frames import full_resolution_frames
from pipelines.extraction.video.one_clock import open_on_one_clock
from pipelines.extraction.video.probe import probe_media
from tests.support import ROOT
from tests.support.flash_and_beep import audio_source, ffmpeg, frames_source

MEDIA = MediaConfig()
H264 = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -c:a aac"
MPEG4 = "-c:v mpeg4 -c:a aac"
VP8 = "-c:v libvpx -deadline realtime -cpu-used 8 -c:a libopus"
OGG = "-c:v libtheora -c:a libvorbis"
FLV_HEADER_BYTES = 13
# Name, container, codecs, and how many bytes of the header of later parts are cut off.
KINDS = {
    "flv": ("flv", f"{H264} -ar 44100", 0),
    "flv without later headers": ("flv", f"{H264} -ar 44100", FLV_HEADER_BYTES),
    "flv1": ("flv", "-c:v flv -c:a libmp3lame -ar 22050", FLV_HEADER_BYTES),
    "webm": ("webm", VP8, 0),
    "webm of a browser": ("webm", f"{VP8} -live 1 -f webm", 0),
    "mkv": ("mkv", H264, 0),
    "mkv hevc": ("mkv", "-c:v libx265 -preset ultrafast -x265-params log-level=none -c:a ac3", 0),
    "nut": ("nut", H264, 0),
    "nut mpeg4": ("nut", "-c:v mpeg4 -bf 2 -c:a libmp3lame", 0),
    "ogv": ("ogv", OGG, 0),
    "wmv": ("wmv", "-c:v wmv2 -c:a wmav2", 0),
    "asf": ("asf", "-c:v msmpeg4 -c:a libmp3lame", 0),
    "mp4": ("mp4", H264, 0),
    "fast-start mp4": ("mp4", f"{H264} -movflags faststart", 0),
    "fragmented mp4": ("mp4", f"{H264} -movflags frag_keyframe+empty_moov+default_base_moof", 0),
    "mov": ("mov", MPEG4, 0),
    "3gp": ("3gp", H264, 0),
    "ts": ("ts", H264, 0),
    "mpg": ("mpg", "-c:v mpeg2video -c:a mp2", 0),
    "avi": ("avi", "-c:v mpeg4 -c:a libmp3lame", 0),
    "mkv flac": ("mkv", "-c:v ffv1 -c:a flac", 0),
    "mov alac": ("mov", "-c:v mjpeg -pix_fmt yuvj420p -c:a alac", 0),
    "webm vp9": ("webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libvorbis", 0),
    "flv nellymoser": ("flv", "-c:v flv -c:a nellymoser -ar 22050", FLV_HEADER_BYTES),
    "wtv": ("wtv", "-c:v mpeg2video -c:a mp2", 0),
}
# Length of each part and when its flash and beep start.
PARTS = ((4.0, 1.0), (6.0, 3.5), (5.0, 2.0))


@functools.cache
def encoded(folder, container, codecs, seconds, at_s, size="96x64"):
    path = folder / f"{abs(hash((codecs, seconds, at_s, size)))}.{container}"
    inputs = ("-f", "lavfi", "-i", frames_source(size, seconds=seconds, at_s=at_s))
    inputs += ("-f", "lavfi", "-i", audio_source(seconds=seconds, at_s=at_s))
    ffmpeg(*inputs, *codecs.split(), path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("parts")


def read(path, config=MEDIA):
    """Returns the recording, when flashes and beeps start, in seconds, and the lengths of frames and audio."""
    with open_on_one_clock(path, config) as recording, Decoder(recording.path, recording.probe, config) as decoder:
        bright = np.array([frame.rgb.mean() > 128 for frame in decoder.frames()])
        loud = np.abs(np.array(decoder.audio).astype(int)) > 4000
    flashes = np.flatnonzero(bright & ~np.roll(bright, 1)) / config.rate_hz
    at = np.flatnonzero(loud) / 16_000
    beeps = at[np.diff(at, prepend=-1) > 0.25]
    return recording, flashes.tolist(), beeps.tolist(), len(bright) / config.rate_hz, len(loud) / 16_000


def assert_whole(path, parts=PARTS):
    recording, flashes, beeps, frames_s, audio_s = read(path)
    starts = np.cumsum([0, *(seconds for seconds, _ in parts)])
    assert len(flashes) == len(parts)
    # Each part is as long as the longer of its streams, so that later parts start some hundredths of a second late.
    late = [flash - start - at_s for flash, start, (_, at_s) in zip(flashes, starts, parts, strict=False)]
    assert -0.01 <= late[0] <= 0.13
    assert all(-0.05 <= late_s <= 0.13 for late_s in np.diff(late))
    assert beeps == pytest.approx(flashes, abs=0.07)
    assert frames_s == pytest.approx(starts[-1], abs=0.12 * len(parts))
    assert audio_s == pytest.approx(starts[-1], abs=0.12 * len(parts))
    assert recording.note == ""
    return recording


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_all_parts_are_read_on_one_clock(tmp_path, folder, kind, count):
    container, codecs, cut = KINDS[kind]
    parts = [encoded(folder, container, codecs, *part) for part in PARTS[:count]]
    path = tmp_path / f"v.{container}"
    path.write_bytes(parts[0] + b"".join(part[cut:] for part in parts[1:]))
    recording = assert_whole(path, PARTS[:count])
    assert (recording.path == path) == (kind in ("ts", "mpg", "avi"))
    if recording.path != path:
        assert not recording.path.exists()  # it went with the recording


@pytest.mark.parametrize("kind", KINDS)
def test_a_recording_of_one_part_is_read_from_its_own_file(tmp_path, folder, kind):
    container, codecs, _ = KINDS[kind]
    path = tmp_path / f"v.{container}"
    path.write_bytes(encoded(folder, container, codecs, *PARTS[0]))
    with open_on_one_clock(path, MEDIA) as recording:
        assert (recording.path, recording.probe, recording.note) == (path, probe_media(path, MEDIA), "")


@pytest.mark.parametrize("kind", ["ogv", "webm vp9", "mkv", "wmv"])
def test_parts_of_different_titles_are_joined(tmp_path, folder, kind):
    container, codecs, _ = KINDS[kind]
    named = zip("xy", PARTS, strict=False)
    parts = [encoded(folder, container, f"{codecs} -metadata title={title}", *part) for title, part in named]
    assert_whole(joined(tmp_path / f"v.{container}", *parts), PARTS[:2])


def test_a_pause_of_seconds_between_two_files_stays(tmp_path, eight_s):
    later = flv_with(eight_s, lambda kind, t: t + 11_000)
    _, flashes, beeps, frames_s, _ = read(joined(tmp_path / "v.flv", eight_s, later))
    assert flashes == pytest.approx([6, 17], abs=0.1)
    assert beeps == pytest.approx(flashes, abs=0.07)
    assert frames_s == pytest.approx(19, abs=0.1)


def joined(path, *parts):
    path.write_bytes(b"".join(parts))
    return path


UNEQUAL = {
    "other settings": ("mkv", OGG, f"{OGG} -q:a 9", "96x64", 0, "other audio codec settings"),
    "other frame size": ("ogv", OGG, OGG, "160x128", 0, r"160x128 after 96x64"),
    "another video codec": ("mkv", H264, MPEG4, "96x64", 0, r"other video codec \(mpeg4 after h264\)"),
    "other audio rate": (
        "flv",
        f"{H264} -ar 44100",
        f"{H264} -ar 22050",
        "96x64",
        13,
        r"other audio rate \(22050 Hz after 44100 Hz\)",
    ),
    "other channels": ("mkv", H264, f"{H264} -ac 2", "96x64", 0, r"other audio channels \(stereo after mono\)"),
    "avi of another codec": ("avi", "-c:v mpeg4 -c:a mp2", f"{H264} -c:a mp2", "96x64", 0, r"h264 after mpeg4"),
    "another audio codec": ("flv", f"{H264} -ar 44100", f"{H264} -c:a libmp3lame -ar 44100", "96x64", 13, "audio"),
}


@pytest.mark.parametrize("case", UNEQUAL)
def test_a_part_that_does_not_fit_is_left_out_and_told(tmp_path, folder, case):
    container, codecs, others, size, cut, why = UNEQUAL[case]
    first = encoded(folder, container, codecs, *PARTS[0])
    other = encoded(folder, container, others, *PARTS[1], size)
    last = encoded(folder, container, codecs, *PARTS[2])
    path = joined(tmp_path / f"v.{container}", first, other[cut:], last[cut:])
    recording, flashes, beeps, _, _ = read(path)
    told = re.fullmatch(r"times begin anew at (\S+) s; (\S+) s after that were left out: (.*)", recording.note)
    assert told, recording.note
    assert float(told[1]) == pytest.approx(4, abs=0.1)
    assert float(told[2]) == pytest.approx(6, abs=0.1)
    assert re.search(why, told[3])
    assert flashes == pytest.approx([1, 6], abs=0.12)
    assert beeps == pytest.approx(flashes, abs=0.07)
    assert recording.note in extract(path).reason


FAST = "-c:v libx264 -preset ultrafast -c:a aac"
MPEG2 = "-c:v mpeg2video -c:a mp2"
OTHER_PIDS = "-mpegts_start_pid 768"
OTHER_STREAMS = {
    "other PIDs": ("ts", FAST, f"{FAST} {OTHER_PIDS}"),
    "other steps from packet to packet": ("ts", FAST, f"{FAST} -mpegts_m2ts_mode 1"),
    "MXF, of which ffmpeg reads nothing": ("mxf", "-c:v mpeg2video -c:a pcm_s16le", ""),
}


@pytest.mark.parametrize("case", OTHER_STREAMS)
def test_parts_whose_streams_have_other_numbers_are_read(tmp_path, folder, case):
    container, first, other = OTHER_STREAMS[case]
    parts = [encoded(folder, container, first, *PARTS[0]), encoded(folder, container, other or first, *PARTS[1])]
    path = joined(tmp_path / "v.bin", *parts)
    assert assert_whole(path, PARTS[:2]).path != path


ONE_TO_FFMPEG = {
    "another service of the same PIDs": ("ts", FAST, f"{FAST} -mpegts_service_id 7 -mpegts_pmt_start_pid 480"),
    "another frame size and rate": ("ts", FAST, f"{FAST} -vf scale=64:64 -ar 22050"),
    "another layer of MPEG audio": ("mpg", MPEG2, "-c:v mpeg1video -c:a libmp3lame"),
}


@pytest.mark.parametrize("case", ONE_TO_FFMPEG)
def test_parts_that_ffmpeg_reads_as_one_are_read_from_the_file(tmp_path, folder, case):
    container, first, other = ONE_TO_FFMPEG[case]
    path = tmp_path / f"v.{container}"
    joined(path, encoded(folder, container, first, *PARTS[0]), encoded(folder, container, other, *PARTS[1]))
    with open_on_one_clock(path, MEDIA) as recording:
        assert (recording.path, recording.note) == (path, "")


def test_a_damaged_transport_stream_is_read_from_the_file(tmp_path, folder):
    data = encoded(folder, "ts", FAST, *PARTS[0])
    path = joined(tmp_path / "v.ts", data[:60_001], bytes(100_000), data[60_000:90_000], b"G" * 999, data[90_000:])
    with open_on_one_clock(path, MEDIA) as recording:
        assert (recording.path, recording.note) == (path, "")


OTHER_CODECS = {
    "ts video": ("ts", FAST, "-c:v mpeg2video -c:a aac", "other video codec (mpeg2video after h264)"),
    "ts audio": ("ts", FAST, f"{FAST} -c:a mp2", "other audio codec (mp2 after aac)"),
    "ts private, other PIDs": (
        "ts",
        f"{FAST} -c:a libopus",
        f"{FAST} -c:a ac3 {OTHER_PIDS}",
        "other audio codec (ac3 after opus)",
    ),
    "m2ts video": (
        "m2ts",
        f"{FAST} -mpegts_m2ts_mode 1",
        f"{MPEG2} -mpegts_m2ts_mode 1",
        "other video codec (mpeg2video after h264)",
    ),
    "mpg video": ("mpg", MPEG2, f"{FAST} -c:a mp2", "other video codec (h264 after mpeg2video)"),
    "mpg audio": ("mpg", MPEG2, f"{MPEG2} -c:a ac3", "other audio codec (ac3 after mp2)"),
}


@pytest.mark.parametrize("case", OTHER_CODECS)
def test_a_part_of_another_codec_under_the_same_number_is_told(tmp_path, folder, case):
    container, first, other, why = OTHER_CODECS[case]
    one, two = encoded(folder, container, first, *PARTS[0]), encoded(folder, container, other, *PARTS[1])
    recording, flashes, beeps, _, _ = read(joined(tmp_path / f"v.{container}", one, two, one))
    told = re.fullmatch(r"times begin anew at (\S+) s; (\S+) s after that were left out: (.*)", recording.note)
    assert told, recording.note
    assert (float(told[1]), float(told[2])) == (pytest.approx(4, abs=0.1), pytest.approx(6, abs=0.1))
    assert told[3] == why
    assert flashes == pytest.approx([1, 5], abs=0.12)
    assert beeps == pytest.approx(flashes, abs=0.07)


@pytest.mark.parametrize("container", ["ts", "mpg"])
def test_audio_that_only_a_later_part_has_is_read(tmp_path, folder, container):
    silent = encoded(folder, container, f"{MPEG2} -an", *PARTS[0])
    path = joined(tmp_path / f"v.{container}", silent, encoded(folder, container, MPEG2, *PARTS[1]))
    _, flashes, beeps, _, _ = read(path)
    assert flashes == pytest.approx([1, 7.5], abs=0.12)
    assert beeps == pytest.approx([flashes[1]], abs=0.07)


@pytest.mark.parametrize("options", [FAST, f"{FAST} -movflags faststart"])
def test_mov_without_a_box_that_names_its_type(tmp_path, folder, options):
    parts = [encoded(folder, "mov", options, *part).replace(b"ftyp", b"free", 1) for part in PARTS[:2]]
    assert_whole(joined(tmp_path / "v.mov", *parts), PARTS[:2])


@pytest.mark.parametrize("first", ["ts", "mp4", "mpg"])
def test_a_file_of_another_format_behind_the_first_is_told(tmp_path, folder, first):
    codecs, other = (MPEG2, "ts") if first == "mpg" else (FAST, "ts" if first == "mp4" else "mpg")
    behind = encoded(folder, other, MPEG2, *PARTS[1])
    path = joined(tmp_path / f"v.{first}", encoded(folder, first, codecs, *PARTS[0]), behind)
    recording, flashes, _, _, _ = read(path)
    assert re.fullmatch(r".* at 4\S* s; \S+ kB after that were left out: not readable", recording.note)
    assert flashes == pytest.approx([1], abs=0.1)


@pytest.mark.parametrize(("container", "codecs", "cut"), [("flv", H264, 13), ("mkv", H264, 0), ("webm", VP8, 0)])
def test_parts_of_other_frame_sizes_are_read_where_the_codec_allows_it(tmp_path, folder, container, codecs, cut):
    codecs += " -ar 48000"
    one, two, three = (
        encoded(folder, container, codecs if container != "flv" else codecs.replace("48000", "44100"), *part, size)
        for part, size in zip(PARTS, ("96x64", "160x96", "96x64"), strict=True)
    )
    assert_whole(joined(tmp_path / f"v.{container}", one, two[cut:], three[cut:]))


@pytest.mark.parametrize(("container", "cut"), [("flv", 0), ("flv", 13), ("mkv", 0), ("nut", 0)])
def test_a_first_part_without_audio(tmp_path, folder, container, cut):
    codecs = f"{H264} -ar 44100"
    silent = encoded(folder, container, f"{codecs} -an", *PARTS[0])
    path = joined(tmp_path / f"v.{container}", silent, encoded(folder, container, codecs, *PARTS[1])[cut:])
    _, flashes, beeps, _, _ = read(path)
    assert flashes == pytest.approx([1, 7.5], abs=0.12)
    assert beeps == pytest.approx([flashes[1]], abs=0.07)


def test_parts_of_two_containers(tmp_path, folder):
    first = encoded(folder, "flv", f"{H264} -ar 44100", *PARTS[0])
    second = encoded(folder, "mkv", f"{H264} -ar 44100", *PARTS[1])
    assert_whole(joined(tmp_path / "v.flv", first, second), PARTS[:2])


def test_a_part_that_broke_off_ends_there_and_the_next_one_is_read(tmp_path, folder):
    for container, codecs in (("mkv", H264), ("flv", f"{H264} -ar 44100"), ("webm", VP8), ("ogv", OGG)):
        first, second = (encoded(folder, container, codecs, *part) for part in PARTS[:2])
        path = joined(tmp_path / f"v.{container}", first[: len(first) * 3 // 4], second)
        _, flashes, beeps, frames_s, _ = read(path)
        assert len(flashes) == 2
        assert beeps == pytest.approx(flashes, abs=0.09)
        assert flashes[1] == pytest.approx(frames_s - 2.5, abs=0.15)


@pytest.mark.parametrize("left_bytes", [1, 100, 187])
def test_a_joined_transport_stream_that_ends_within_a_packet_is_read_to_its_end(tmp_path, folder, left_bytes):
    parts = [encoded(folder, *KINDS["ts"][:2], *part) for part in PARTS[:2]]
    path = joined(tmp_path / "v.ts", *parts, parts[0][:left_bytes])
    assert_whole(path, PARTS[:2])


def test_a_header_without_a_recording_behind_it_is_told_in_bytes(tmp_path, folder):
    first, second = (encoded(folder, "webm", VP8, *part) for part in PARTS[:2])
    recording, flashes, _, frames_s, _ = read(joined(tmp_path / "v.webm", first, second[:200]))
    assert recording.note == "times begin anew at 4 s; 200 bytes after that were left out: not readable"
    assert (flashes, frames_s) == (pytest.approx([1], abs=0.05), pytest.approx(4, abs=0.1))


def retimed(folder, path, *filters, container="mkv", codecs=H264, seconds=8.0):
    """Writes a recording whose packets get other times, by ffmpeg's `setts`; returns its path."""
    source = folder / f"plain-{abs(hash((container, codecs, seconds)))}.{container}"
    source.write_bytes(encoded(folder, container, codecs, seconds, 6.0))
    options = [option for one in filters for option in one]
    ffmpeg("-i", source, "-c", "copy", *options, "-fflags", "+igndts", "-copyts", path)
    return path


def flv_with(data, times_ms):
    """Returns FLV data with the times of its packets passed through `times_ms(kind, time)`."""
    changed, at = bytearray(data), FLV_HEADER_BYTES
    while at + 11 <= len(data):
        kind, size = data[at], int.from_bytes(data[at + 1 : at + 4], "big")
        time_ms = int.from_bytes(bytes([data[at + 7]]) + data[at + 4 : at + 7], "big")
        if kind in (8, 9) and data[at + 12] != 0:  # not the settings of a codec
            new = times_ms("video" if kind == 9 else "audio", time_ms).to_bytes(4, "big")
            changed[at + 4 : at + 8] = new[1:] + new[:1]
        at += size + 15
    return bytes(changed)


@pytest.fixture(scope="module")
def eight_s(folder):
    """FLV of 8 s with flash and beep at 6 s."""
    return encoded(folder, "flv", f"{H264} -bf 0 -ar 44100", 8.0, 6.0)


ONE_PART = {
    "as it is": lambda kind, t: t,
    "live, times far from 0": lambda kind, t: t + 9_000_000,
    "half a second back": lambda kind, t: t if t < 4000 else t - 500,
    "a pause": lambda kind, t: t if t < 4000 else t + 60_000,
    "one frame's time is damaged": lambda kind, t: 77 if kind == "video" and 4000 <= t < 4040 else t,
    "one packet's time is damaged, somewhat ahead": lambda kind, t: t + 12_000 if 4000 <= t < 4020 else t,
    "one frame's time is damaged, far ahead": lambda kind, t: 90_000_000 if 4000 <= t < 4020 else t,
}


@pytest.mark.parametrize("case", ONE_PART)
def test_a_recording_on_one_clock_stays_as_it_is(tmp_path, eight_s, case):
    path = joined(tmp_path / "v.flv", flv_with(eight_s, ONE_PART[case]))
    with open_on_one_clock(path, MEDIA) as recording:
        assert (recording.path, recording.note) == (path, "")


ANEW = {
    "both streams begin anew": lambda kind, t: t if t < 4000 else t - 4000,
    "only the audio begins anew": lambda kind, t: t if kind == "video" or t < 4000 else t - 4000,
    "only the frames begin anew": lambda kind, t: t if kind == "audio" or t < 4000 else t - 4000,
    "the audio begins anew twice": lambda kind, t: t if kind == "video" else t % 2500,
    "both begin anew twice": lambda kind, t: t % 3000,
    "of a live stream": lambda kind, t: t + (9_000_000 if t < 4000 else 8_000_000),
    "a second is damaged, ahead": lambda kind, t: t + 30_000 if 4000 <= t < 5000 else t,
    "a second is damaged, behind": lambda kind, t: t - 4000 if 4000 <= t < 5000 else t,
    "both jump by hours": lambda kind, t: t if t < 4000 else t + 9_000_000,
    "the first times are 0, then those of a live stream": lambda kind, t: 0 if t < 40 else t + 9_000_000,
}


@pytest.mark.parametrize("case", ANEW)
def test_times_that_begin_anew_within_a_file_go_on(tmp_path, eight_s, case):
    path = joined(tmp_path / "v.flv", flv_with(eight_s, ANEW[case]))
    recording, flashes, beeps, frames_s, audio_s = read(path)
    assert recording.note == ""
    assert flashes == pytest.approx([6], abs=0.16)
    assert beeps == pytest.approx(flashes, abs=0.09)
    assert (frames_s, audio_s) == (pytest.approx(8, abs=0.2), pytest.approx(8, abs=0.2))


def test_a_fragmented_mp4_that_repeats_its_header_and_goes_on_stays_as_it_is(tmp_path, folder):
    codecs = KINDS["fragmented mp4"][1]
    data = encoded(folder, "mp4", f"{codecs} -g 25", *PARTS[1])
    boxes, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        boxes.append((data[at + 4 : at + 8], data[at : at + size]))
        at += size
    header = b"".join(box for name, box in boxes if name in (b"ftyp", b"moov"))
    repeated = [
        box if name != b"moof" else header + box for name, box in boxes if name not in (b"ftyp", b"moov", b"mfra")
    ]
    path = joined(tmp_path / "v.mp4", *repeated)
    assert_whole(path, PARTS[1:2])
    with open_on_one_clock(path, MEDIA) as recording:
        assert recording.path == path


@pytest.mark.parametrize("rate", ["1", "0.5"])
def test_few_frames_a_second_that_are_shown_in_another_order_are_no_join(tmp_path, rate):
    path = tmp_path / "v.mkv"
    frames, audio = frames_source(rate=rate, seconds=20, at_s=10), audio_source(seconds=20)
    codecs = ("-c:v", "libx264", "-bf", "4", "-x264-params", "b-adapt=0:bframes=4", "-c:a", "aac")
    ffmpeg("-f", "lavfi", "-i", frames, "-f", "lavfi", "-i", audio, *codecs, path)
    with open_on_one_clock(path, MEDIA) as recording:
        assert (recording.path, recording.note) == (path, "")


@pytest.mark.parametrize("kind", ["flv without later headers", "mkv", "mkv hevc", "wmv", "ogv", "mp4"])
def test_frames_of_every_part_are_read_again(tmp_path, folder, kind):
    container, codecs, cut = KINDS[kind]
    config = MediaConfig(max_side_px=64)
    parts = [encoded(folder, container, codecs, *part) for part in PARTS]
    path = joined(tmp_path / f"v.{container}", parts[0], *(part[cut:] for part in parts[1:]))
    with open_on_one_clock(path, config) as recording:
        with Decoder(recording.path, recording.probe, config) as decoder:
            shown = [frame.rgb.mean() for frame in decoder.frames()]
            index = decoder.index
        numbers = [0, 26, 90, 120, 190, 200, 300, 304, len(shown) - 1]
        again = dict(full_resolution_frames(recording.path, recording.probe, config, numbers, index))
        assert set(again) == set(numbers)
        assert [again[n].mean() for n in numbers] == pytest.approx([shown[n] for n in numbers], abs=4)
        assert again[0].shape == (64, 96, 3)


def test_the_default_audio_of_the_first_part_is_that_of_all(tmp_path, folder):
    parts = []
    for i, (seconds, at_s) in enumerate(PARTS[:2]):
        source = tmp_path / f"{i}.mkv"
        sources = [frames_source(seconds=seconds, at_s=at_s), audio_source(seconds=seconds, at_s=0.2)]
        sources.append(audio_source(seconds=seconds, at_s=at_s))
        inputs = [option for one in sources for option in ("-f", "lavfi", "-i", one)]
        maps = [option for n in range(3) for option in ("-map", n)]
        tags = ("-disposition:a:0", "0", "-disposition:a:1", "default", "-metadata:s:a:1", "language=ger")
        ffmpeg(*inputs, *maps, *H264.split(), *tags, source)
        parts.append(source.read_bytes())
    path = joined(tmp_path / "v.mkv", *parts)
    assert_whole(path, PARTS[:2])
    with open_on_one_clock(path, MediaConfig(audio="de")) as recording:
        assert recording.probe.audio_streams[0].number == 1


NO_ROOM = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
from pipelines.extraction import extract
extraction = extract(sys.argv[1])
print(extraction.state, extraction.reason)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_without_room_for_the_parts_the_reason_says_so(tmp_path, folder):
    path = joined(tmp_path / "v.mkv", *(encoded(folder, "mkv", H264, *part) for part in PARTS[:2]))
    done = subprocess.run([sys.executable, "-c", NO_ROOM, path], capture_output=True, text=True, check=True, cwd=ROOT)
    words = "failed its times begin anew, and its parts could not be joined in .* (File too large)"
    assert re.fullmatch(words.replace("(", r"\(").replace(")", r"\)"), done.stdout.strip()), done.stdout
