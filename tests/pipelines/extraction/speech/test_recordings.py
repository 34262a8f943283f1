"""Audio files are read by their content, mixed and brought to scale by it too."""

import functools
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from pipelines.extraction.config import MediaConfig
from pipelines.extraction.speech.recordings import read_int16, read_recording
from tests.support.ffmpeg import shipped_ffmpeg
from tests.support.flash_and_beep import audio_source
from tests.support.talking_portrait import SAMPLE_RATE_HZ, voice
from vclip.audio import resample
from vclip.errors import InputError

SPEECH = (voice(2.0, 5) * 0.8).astype(np.float32)


@pytest.fixture(scope="module")
def wav(tmp_path_factory):
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    soundfile.write(path, SPEECH, SAMPLE_RATE_HZ, "FLOAT")
    return path


def ffmpeg(*arguments, stdout=None):
    subprocess.run([shipped_ffmpeg(), "-v", "error", "-y", *map(str, arguments)], check=True, stdout=stdout)


def likeness(path):
    """The best correlation with the speech, whatever a codec puts before it."""
    speech = read_recording(str(path))
    samples = resample(speech.samples, speech.rate_hz, SAMPLE_RATE_HZ)
    inner = SPEECH[4000:24_000]
    scores = np.correlate(samples, inner, "valid")
    place = int(np.abs(scores).argmax())
    return abs(np.corrcoef(samples[place : place + len(inner)], inner)[0, 1])


WRITTEN = {
    "wav": ("wav", "-c:a pcm_s16le"),
    "flac": ("flac", ""),
    "mp3": ("mp3", ""),
    "ogg": ("ogg", "-c:a libvorbis"),
    "opus": ("ogg", "-c:a libopus"),
    "m4a": ("ipod", "-c:a aac"),
    "aac": ("adts", "-c:a aac"),
    "webm": ("webm", "-c:a libopus"),
    "mka": ("matroska", "-c:a aac"),
    "3gp": ("3gp", "-c:a aac"),
    "wma": ("asf", "-c:a wmav2"),
    "ac3": ("ac3", ""),
    "caf": ("caf", "-c:a pcm_s16be"),
    "aiff": ("aiff", ""),
    "amr": ("amr", "-c:a libopencore_amrnb -ar 8000"),
}


@pytest.mark.parametrize("kind", WRITTEN)
@pytest.mark.parametrize("ending", ["own", "wav", "m4a", "mp3", "txt", ""])
def test_the_content_says_what_a_file_is(tmp_path, wav, kind, ending):
    name, codec = WRITTEN[kind]
    path = tmp_path / f"a.{kind if ending == 'own' else ending}"
    ffmpeg("-i", wav, "-f", name, *codec.split(), path)
    # The band of AMR ends at 3.4 kHz; MP3 and the others keep nearly all.
    assert likeness(path) > (0.7 if kind == "amr" else 0.95)


def test_a_video_is_read_as_well(tmp_path, wav):
    path = tmp_path / "v.mkv"
    ffmpeg("-f", "lavfi", "-i", "color=gray:s=64x48:d=2", "-i", wav, "-c:a", "aac", path)
    assert likeness(path) > 0.95


@pytest.mark.parametrize("kind", ["wav", "m4a"])
def test_channels_that_cancel_are_not_silence(tmp_path, wav, kind):
    path = tmp_path / f"a.{kind}"
    ffmpeg("-i", wav, "-af", "pan=stereo|c0=c0|c1=-1*c0", path)
    assert likeness(path) > 0.95


def test_a_silent_stream_before_one_that_speaks_is_passed_over(tmp_path, wav):
    path = tmp_path / "a.mka"
    silence = ("-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono:d=2")
    ffmpeg(*silence, "-i", wav, "-map", "0", "-map", "1", "-c:a", "flac", "-disposition:a:0", "default", path)
    assert likeness(path) > 0.99


@pytest.mark.parametrize("gain", [1e-4, 1.0, 30.0])
@pytest.mark.parametrize("kind", ["wav", "mka"])
def test_the_level_is_brought_to_scale_before_16_bits(tmp_path, wav, kind, gain):
    path = tmp_path / f"a.{kind}"
    ffmpeg("-i", wav, "-af", f"volume={gain}:precision=float", "-c:a", "pcm_f32le", path)
    samples, _ = read_int16(str(path), MediaConfig())
    assert np.corrcoef(samples[: len(SPEECH)], SPEECH[: len(samples)])[0, 1] > 0.999  # 16 bits leave no more
    assert 8_000 < np.abs(samples.astype(int)).max() <= 32_767


@pytest.mark.parametrize("content", [b"", b"no audio at all", b"ffconcat version 1.0\nfile /etc/passwd\n"])
def test_what_is_no_audio_is_one_line(tmp_path, content):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.wav: .*; expected an audio file or a video$"):
        read_recording(str(path))


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a child")
def test_ffmpeg_reads_audio_under_the_limit_of_memory(tmp_path, wav):
    ffmpeg("-i", wav, tmp_path / "speech.m4a")
    limits, binary = tmp_path / "limits", tmp_path / "waiting"
    wait = "for i in $(seq 100); do grep -q 'address space *unlimited' /proc/$$/limits || break; sleep 0.1; done"
    binary.write_text(
        f'#!/bin/sh\n[ "$1" = -version ] && exec {shipped_ffmpeg()} -version\n{wait}\n'
        f'cp /proc/$$/limits {limits}\nexec {shipped_ffmpeg()} "$@"\n'
    )
    binary.chmod(0o755)
    config = MediaConfig(ffmpeg=str(binary), memory_limit_mb=3000)
    assert read_recording(str(tmp_path / "speech.m4a"), config).length_s == pytest.approx(2.0, abs=0.1)
    assert re.search(rf"address space +{3000 << 20} ", limits.read_text())


def test_a_missing_file_is_told():
    with pytest.raises(InputError, match=r"nowhere\.wav"):
        read_recording("nowhere.wav")


# Muxer and codec; ffmpeg or libsndfile reads of most of them the first part alone, or takes a header for samples.
JOINED = {
    "wav": "-c:a pcm_s16le",
    "wav float": "-c:a pcm_f32le -ar 44100 -ac 2",
    "wav adpcm": "-c:a adpcm_ms",
    "wav mulaw": "-c:a pcm_mulaw -ar 8000",
    "wav without lengths": "-c:a pcm_s16le",
    "w64": "",
    "aiff": "",
    "au": "",
    "caf": "-c:a pcm_s16le",
    "flac": "",
    "wv": "",
    "mp3": "",
    "mp3 without header": "-write_xing 0 -id3v2_version 0",
    "mp2": "",
    "ogg": "-c:a libvorbis",
    "ogg flac": "-c:a flac",
    "opus": "-c:a libopus",
    "adts": "",
    "ac3": "",
    "amr": "-c:a libopencore_amrnb -ar 8000",
    "ipod": "",
    "3gp": "-c:a aac",
    "asf": "-c:a wmav2",
    "webm": "-c:a libopus",
    "matroska": "-c:a flac",
    "nut": "",
    "avi": "",
    "mpegts": "",
    "rm": "-c:a ac3",
    "voc": "",
    "sox": "",
    "swf": "-c:a libmp3lame -ar 44100",
    "mpegts with other PIDs": "",
}
LENGTHS_S = (1.2, 1.6, 1.4)


@functools.cache
def beeping(folder, kind, number):
    """Audio of `LENGTHS_S`, silent but for a beep from 0.3 s to 0.5 s."""
    path = folder / f"{kind}-{number}"
    source = audio_source(seconds=LENGTHS_S[number], at_s=0.3)
    with open(path, "wb") as file:
        target = "pipe:1" if kind.endswith("without lengths") else path
        pids = ("-mpegts_start_pid", 256 * (number + 1)) if "PIDs" in kind else ()
        ffmpeg("-f", "lavfi", "-i", source, *JOINED[kind].split(), *pids, "-f", kind.split()[0], target, stdout=file)
    return path.read_bytes()


def beeps_s(speech):
    at = np.flatnonzero(np.abs(speech.samples) > 0.1) / speech.rate_hz
    return at[np.diff(at, prepend=-1) > 0.25].tolist()


@pytest.mark.parametrize("kind", JOINED)
def test_all_parts_of_a_joined_file_are_read(tmp_path, wav, kind):
    parts = [beeping(wav.parent, kind, number) for number in range(3)]
    path = tmp_path / "a"
    for count in (1, 2, 3):
        path.write_bytes(b"".join(parts[:count]))
        speech = read_recording(str(path))
        starts = np.cumsum((0, *LENGTHS_S))
        assert speech.note == ""
        assert beeps_s(speech) == pytest.approx(starts[:count] + 0.3, abs=0.09 * count)
        assert len(speech.samples) / speech.rate_hz == pytest.approx(starts[count], abs=0.09 * count)


@pytest.mark.parametrize("kind", ["adx", "argo_asf", "wsaud", "tta"])
def test_what_cannot_be_read_of_a_joined_file_is_told(tmp_path, wav, kind):
    JOINED[kind] = ""
    parts = [beeping(wav.parent, kind, number) for number in range(2)]
    path = tmp_path / "a"
    path.write_bytes(parts[0] + parts[1] * 4)
    speech = read_recording(str(path))
    assert len(speech.samples) / speech.rate_hz == pytest.approx(LENGTHS_S[0], abs=0.09)
    left_out = r"(it ends|times begin anew) at 1\.2\d* s; \S+ (kB|s) after that were left out: .*"
    assert re.fullmatch(rf"{left_out}|1\.2\d* s of \S+ s could be decoded", speech.note)
