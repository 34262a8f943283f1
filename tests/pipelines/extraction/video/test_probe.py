"""Which streams are taken, and what a file that is no video is called."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.extraction.config import MediaConfig
from pipelines.extraction.video.probe import SCRIPT, HeaderReader, MediaError, probe_media, same_language
from tests.support.flash_and_beep import H264, MEDIA, audio_source, beep_s, decoded, ffmpeg, frames_source, make

# The beep of each language's stream.
BEEP_S = {"eng": 0.5, "ger": 1.0, "fra": 1.5}


@pytest.fixture(scope="module")
def three_languages(tmp_path_factory):
    path = tmp_path_factory.mktemp("languages") / "v.mkv"
    sources = [("-f", "lavfi", "-i", audio_source(at_s=at_s)) for at_s in BEEP_S.values()]
    tags = [(f"-metadata:s:a:{i}", f"language={name}") for i, name in enumerate(BEEP_S)]
    inputs = ("-f", "lavfi", "-i", frames_source(), *(option for audio in sources for option in audio))
    maps = [option for i in range(4) for option in ("-map", i)]
    ffmpeg(*inputs, *maps, *H264, *(o for tag in tags for o in tag), "-disposition:a:1", "default", path)
    return path


@pytest.mark.parametrize(
    ("wanted", "language"),
    [
        ("", "ger"),
        ("0", "eng"),
        ("2", "fra"),
        ("eng", "eng"),
        ("en", "eng"),
        ("de", "ger"),
        ("deu", "ger"),
        ("fr-CA", "fra"),
    ],
)
def test_the_audio_stream_is_chosen_by_language_or_number(three_languages, wanted, language):
    _, audio, _ = decoded(three_languages, MediaConfig(audio=wanted))
    assert beep_s(audio) == pytest.approx(BEEP_S[language], abs=0.05)


@pytest.mark.parametrize("wanted", ["3", "ja"])
def test_an_audio_stream_that_is_not_there_is_an_error_that_lists_them(three_languages, wanted):
    with pytest.raises(MediaError, match=rf"no audio stream '{wanted}'.*0: eng, 1: ger, 2: fra"):
        probe_media(three_languages, MediaConfig(audio=wanted))


def test_languages_are_compared_across_their_codes():
    assert same_language("de", "ger")
    assert same_language("deu", "de-AT")
    assert same_language("zh_Hant", "chi")
    assert same_language("qaa", "QAA")
    assert not same_language("de", "en")
    assert not same_language("", "en")


@pytest.mark.parametrize("suffix", ["mp4", "m4a", "mkv"])
def test_a_cover_is_no_video(tmp_path, suffix):
    cover, path = tmp_path / "cover.jpg", tmp_path / f"song.{suffix}"
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", 1, cover)
    audio = ("-f", "lavfi", "-i", audio_source())
    if suffix == "mkv":
        ffmpeg(*audio, "-c:a", "aac", "-attach", cover, "-metadata:s:t", "mimetype=image/jpeg", path)
    else:
        maps = ("-map", 0, "-map", 1, "-c:v", "copy", "-c:a", "aac")
        ffmpeg(*audio, "-i", cover, *maps, "-disposition:v", "attached_pic", path)
    probe = probe_media(path, MEDIA)
    assert (probe.video_index, probe.audio_index) == (None, 0)


NAMES = [
    "a b.mp4",
    "-i.mp4",
    "line\nbreak.mp4",
    "%03d.mp4",
    'it\'s "1".mp4',
    "größe_видео_影片.mp4",
    "a:b,c;d[0].mp4",
    "~#!$&.mp4",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name(tmp_path, name, monkeypatch):
    make(tmp_path / "plain.mp4").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    frames, audio, _ = decoded(name)
    assert len(frames) == 75
    assert beep_s(audio) == pytest.approx(1.0, abs=0.05)


def test_a_name_that_is_not_utf_8(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff\xfe.mp4")
    make(tmp_path / "plain.mp4").rename(path)
    assert len(decoded(path)[0]) == 75


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        ("#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{0}\n#EXT-X-ENDLIST\n", "HLS playlist"),
        ("ffconcat version 1.0\nfile '{0}'\n", "ffconcat list"),
    ],
)
def test_a_playlist_opens_no_other_file(tmp_path, start, kind):
    make(tmp_path / "secret.mp4")
    playlist = tmp_path / "video.mp4"
    playlist.write_text(start.format("secret.mp4"))
    with pytest.raises(MediaError, match=f"names other files.*|{kind}"):
        probe_media(playlist, MEDIA)


def test_a_photo_is_called_one(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)  # larger than what ffmpeg looks at
    Image.fromarray(pixels).save(tmp_path / "face.jpg")
    with pytest.raises(MediaError, match=r"a photo \(JPEG\), neither video nor audio"):
        probe_media(tmp_path / "face.jpg", MEDIA)


def test_a_row_of_frames_is_not_opened_by_its_pattern(tmp_path):
    ffmpeg("-f", "lavfi", "-i", frames_source(), tmp_path / "%03d.png")
    (tmp_path / "%03d.png").write_bytes(b"")
    with pytest.raises(MediaError, match="empty"):
        probe_media(tmp_path / "%03d.png", MEDIA)
    (tmp_path / "%03d.png").write_bytes(b"x")
    with pytest.raises(MediaError):
        probe_media(tmp_path / "%03d.png", MEDIA)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    for path, reason in (
        (tmp_path, "a folder"),
        (tmp_path / "pipe.mp4", "not a regular file"),
        (tmp_path / "no.mp4", "No such"),
    ):
        with pytest.raises(MediaError, match=reason):
            probe_media(path, MEDIA)


def reader_that(tmp_path, does):
    script = tmp_path / "headers.py"
    script.write_text(f"import os, sys, time\nfor line in sys.stdin:\n    {does}\n")
    return HeaderReader(script)


def test_a_file_that_crashes_the_reading_of_its_headers_fails_and_the_next_is_read(tmp_path):
    path = make(tmp_path / "v.mp4")
    reader = reader_that(tmp_path, "os.kill(os.getpid(), 11)")
    with pytest.raises(MediaError, match="ended by SIGSEGV"):
        reader.read(str(path), MEDIA)
    assert not reader.usable()  # so another takes its place
    assert probe_media(path, MEDIA).video_index == 0


def test_a_file_whose_headers_take_too_long_fails(tmp_path):
    path = make(tmp_path / "v.mp4")
    reader = reader_that(tmp_path, "time.sleep(60)")
    with pytest.raises(MediaError, match=r"within 0\.5 s"):
        reader.read(str(path), MediaConfig(open_limit_s=0.5))
    assert not reader.usable()


def test_a_reader_that_says_that_work_goes_on_gets_more_time(tmp_path):
    says = "print('{\"at\": 1}', flush=True)"
    reader = reader_that(tmp_path, f"[(time.sleep(0.2), {says}) for _ in range(10)]; print('{{}}', flush=True)")
    assert reader.ask({}, MediaConfig(open_limit_s=1), "the packets") == {}
    reader = reader_that(tmp_path, f"{says}; time.sleep(60)")
    with pytest.raises(MediaError, match=r"the packets could not be read within 0\.5 s"):
        reader.ask({}, MediaConfig(open_limit_s=0.5), "the packets")


@pytest.mark.skipif(sys.platform != "linux", reason="finds the child in /proc")
def test_a_reader_that_dies_is_replaced_and_leaves_no_pipe_open(tmp_path):
    path = make(tmp_path / "v.mp4")
    before, open_files = probe_media(path, MEDIA), len(os.listdir("/proc/self/fd"))
    for task in Path("/proc/self/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            if SCRIPT.name.encode() in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(child, signal.SIGKILL)
                os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert probe_media(path, MEDIA) == before
    assert len(os.listdir("/proc/self/fd")) <= open_files


def test_the_reader_of_headers_imports_nothing_of_the_project():
    code = f"import runpy, sys; runpy.run_path({str(SCRIPT)!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pipelines", "vclip", "torch", "cv2", "pydantic"} & set(done.stdout.split())
