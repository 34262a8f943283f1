"""Which audio of a recording is listened to, and at what level."""

import subprocess

import numpy as np
import pytest

from pipelines.extraction.config import MediaConfig, SpeechConfig
from pipelines.extraction.speech.audio_choice import choose_audio
from pipelines.extraction.video.decode import Decoder
from pipelines.extraction.video.probe import probe_media
from tests.support.ffmpeg import shipped_ffmpeg
from tests.support.talking_portrait import SAMPLE_RATE_HZ, voice

SECONDS = 4
FRAMES = ("-f", "lavfi", "-i", f"color=gray:s=64x48:r=25:d={SECONDS}")
SILENCE = ("-f", "lavfi", "-i", f"anullsrc=r=16000:cl=mono:d={SECONDS}")
STEREO = "aformat=channel_layouts=mono,pan=stereo"


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    path = tmp_path_factory.mktemp("speech") / "speech.f32"
    (voice(SECONDS, 3) * 0.8).astype("<f4").tofile(path)
    return path


def make(path, speech, *options):
    """A grey video (input 0) with audio made from speech (input 1) and silence (input 2)."""
    given = ("-f", "f32le", "-ar", str(SAMPLE_RATE_HZ), "-ac", "1", "-i", str(speech))
    command = [shipped_ffmpeg(), "-v", "error", "-y", *FRAMES, *given, *SILENCE, "-map", "0:v", *options]
    subprocess.run([*command, "-c:v", "libx264", "-preset", "ultrafast", str(path)], check=True)
    return path


def chosen(path, **media):
    config = MediaConfig(**media)
    with Decoder(path, probe_media(path, config), config) as decoder:
        assert sum(1 for _ in decoder.frames())
        audio = choose_audio(decoder, SpeechConfig())
        assert np.array_equal(audio.samples, decoder.audio)
        return np.array(audio.samples), audio.speech.segments, audio.note


@pytest.fixture(scope="module")
def plain(speech, tmp_path_factory):
    return chosen(make(tmp_path_factory.mktemp("plain") / "v.mkv", speech, "-map", "1:a", "-c:a", "pcm_s16le"))


def as_plain(found, plain, gain=1.0):
    samples, segments, note = found
    (expected, times, _), count = plain, min(len(samples), len(plain[0]))
    assert np.asarray(segments) == pytest.approx(np.asarray(times), abs=0.1)  # three frames of the detector
    # Two resamplings and 16 bits: the least correlation seen is .9999.
    assert np.corrcoef(samples[:count], expected[:count])[0, 1] > 0.99
    return note


def test_the_mix_of_the_default_stream_is_taken_without_a_word(plain):
    assert plain[1]
    assert plain[2] == ""


@pytest.mark.parametrize("weights", ["c0=c0|c1=-1*c0", "c0=-0.5*c0|c1=0.5*c0"])
@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_f32le"])
def test_channels_that_cancel_are_heard_one_by_one(tmp_path, speech, plain, weights, codec):
    path = make(tmp_path / "v.mkv", speech, "-map", "1:a", "-af", f"{STEREO}|{weights}", "-c:a", codec)
    samples, segments, note = chosen(path)
    sign = np.sign(np.corrcoef(samples[: len(plain[0])], plain[0][: len(samples)])[0, 1])
    assert note_of(as_plain((samples * int(sign), segments, note), plain)) == "channel 1 of 2 of audio stream 0"


def note_of(text):
    assert "holds no speech" in text
    return text.partition(" was listened to")[0]


def test_another_stream_is_heard_where_the_default_one_is_silent(tmp_path, speech, plain):
    maps = ("-map", "2:a", "-map", "1:a", "-map", "2:a", "-c:a", "pcm_s16le", "-disposition:a:0", "default")
    path = make(tmp_path / "v.mkv", speech, *maps)
    assert note_of(as_plain(chosen(path), plain)) == "audio stream 1"
    assert chosen(path, audio="0")[1:] == ((), "")  # which the user has asked for


def test_one_channel_of_another_stream_is_heard(tmp_path, speech, plain):
    both = f"[1:a]{STEREO}|c0=c0|c1=-1*c0[a]"
    maps = ("-filter_complex", both, "-map", "2:a", "-map", "[a]", "-c:a", "pcm_s16le", "-disposition:a:0", "default")
    path = make(tmp_path / "v.mkv", speech, *maps)
    assert note_of(as_plain(chosen(path), plain)) == "channel 1 of 2 of audio stream 1"


@pytest.mark.parametrize("layout", ["ambisonic 1", "binaural", "quad", "5.1", "7.1", "hexadecagonal", "22.2"])
def test_every_layout_is_heard(tmp_path, speech, plain, layout):
    channels = {"ambisonic 1": 4, "binaural": 2, "quad": 4, "5.1": 6, "7.1": 8, "hexadecagonal": 16, "22.2": 24}
    weights = "|".join(f"c{i}=c0" for i in range(channels[layout]))
    path = make(tmp_path / "v.mov", speech, "-map", "1:a", "-af", f"pan={layout}|{weights}", "-c:a", "pcm_s16le")
    assert as_plain(chosen(path), plain) == ""


@pytest.mark.parametrize(("gain", "codec"), [(8, "pcm_f32le"), (1e-4, "pcm_f32le"), (5e-4, "pcm_s24le")])
def test_audio_far_from_full_scale_keeps_its_bits(tmp_path, speech, plain, gain, codec):
    path = make(tmp_path / "v.mkv", speech, "-map", "1:a", "-af", f"volume={gain}:precision=float", "-c:a", codec)
    found = chosen(path)
    assert "brought to scale" in as_plain(found, plain)
    assert 5_000 < np.abs(found[0].astype(int)).max() <= 32_768


def test_a_silent_recording_is_silent(tmp_path, speech):
    samples, segments, note = chosen(make(tmp_path / "v.mkv", speech, "-map", "2:a", "-map", "2:a"))
    assert (segments, note) == ((), "")
    assert not samples.any()
