"""Any container and codec, any clock, any shape of frame and audio: flash and beep stay at second 1."""

import numpy as np
import pytest

from pipelines.extraction.config import MediaConfig
from pipelines.extraction.video.decode import can_tone_map
from pipelines.extraction.video.full_frames import full_resolution_frames
from tests.support.flash_and_beep import (
    EVENT_S,
    H264,
    SECONDS,
    audio_source,
    beep_s,
    decoded,
    ffmpeg,
    flash_s,
    frames_source,
    make,
)

VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")
KINDS = {
    "h264_aac.mp4": H264,
    "hevc_aac.mp4": ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none", "-c:a", "aac"),
    "fragmented.mp4": (*H264, "-movflags", "frag_keyframe+empty_moov+default_base_moof", "-g", "25"),
    "prores_pcm.mov": ("-c:v", "prores", "-c:a", "pcm_s24le"),
    "animation.mov": ("-c:v", "qtrle", "-c:a", "pcm_s16be"),
    "vp9_opus.mkv": (*VP9, "-c:a", "libopus"),
    "ffv1_flac.mkv": ("-c:v", "ffv1", "-c:a", "flac"),
    "av1_opus.mkv": ("-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-c:a", "libopus"),
    "vp8_vorbis.webm": ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libvorbis"),
    "mpeg4_mp3.avi": ("-c:v", "mpeg4", "-c:a", "libmp3lame", "-ar", "44100"),
    "mjpeg_pcm.avi": ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le", "-ar", "11025"),
    "mpeg2_mp2.mpg": ("-c:v", "mpeg2video", "-c:a", "mp2"),
    "mpeg2_ac3.ts": ("-c:v", "mpeg2video", "-c:a", "ac3"),
    "h264_aac.m2ts": H264,
    "h264_aac.flv": (*H264, "-ar", "44100"),
    "wmv2_wmav2.wmv": ("-c:v", "wmv2", "-c:a", "wmav2"),
    "theora_vorbis.ogv": ("-c:v", "libtheora", "-c:a", "libvorbis"),
    "h263_aac.3gp": ("-c:v", "h263", "-s", "176x144", "-c:a", "aac"),
    "mpeg2_pcm.mxf": ("-c:v", "mpeg2video", "-c:a", "pcm_s16le"),
    "dv.avi": ("-c:v", "dvvideo", "-s", "720x576", "-c:a", "pcm_s16le"),
    "ffv1_pcm.nut": ("-c:v", "ffv1", "-c:a", "pcm_f32le"),
}


@pytest.mark.parametrize("name", KINDS)
def test_any_container_and_codec(tmp_path, name):
    frames, audio, _ = decoded(make(tmp_path / name, *KINDS[name]))
    assert len(frames) == pytest.approx(SECONDS * 25, abs=2)
    assert len(audio) == pytest.approx(SECONDS * 16_000, abs=3200)
    assert flash_s(frames) == pytest.approx(EVENT_S, abs=0.05)
    assert beep_s(audio) == pytest.approx(EVENT_S, abs=0.05)


AUDIOS = {
    "8 kHz": (8_000, "mono"),
    "11 kHz stereo": (11_025, "stereo"),
    "44 kHz 5.1": (44_100, "5.1"),
    "96 kHz": (96_000, "stereo"),
}


@pytest.mark.parametrize("kind", AUDIOS)
def test_any_rate_and_number_of_channels(tmp_path, kind):
    rate_hz, layout = AUDIOS[kind]
    path = make(tmp_path / "v.mkv", *H264[:6], "-c:a", "flac", audio=audio_source(rate_hz=rate_hz, layout=layout))
    _, audio, _ = decoded(path)
    assert beep_s(audio) == pytest.approx(EVENT_S, abs=0.01)
    # Channels are averaged, or weighted so that they cannot clip; none may drown the others' audio.
    assert 3_000 < np.abs(audio.astype(int)).max() < 32_767


@pytest.mark.parametrize("channels", [3, 9, 12])
def test_channels_that_nobody_names_are_averaged(tmp_path, channels):
    beep = np.zeros((SECONDS * 48_000, channels), "<i2")
    beep[48_000:57_600] = 16_000 * np.sin(np.arange(9_600) * 0.13)[:, None]
    (tmp_path / "beep.raw").write_bytes(beep.tobytes())
    raw = ("-f", "s16le", "-ar", 48_000, "-ac", channels, "-guess_layout_max", 0, "-i", tmp_path / "beep.raw")
    path = tmp_path / "v.mov"
    ffmpeg("-f", "lavfi", "-i", frames_source(), *raw, *H264[:6], "-c:a", "pcm_s16le", path)
    _, audio, _ = decoded(path)
    assert beep_s(audio) == pytest.approx(EVENT_S, abs=0.01)
    assert np.abs(audio.astype(int)).max() > 8_000


FORMATS = ["gray", "yuv444p", "yuv422p10le", "yuv444p12le", "gbrp", "gbrp16le", "yuva420p", "rgba", "pal8", "monob"]


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_any_pixel_format(tmp_path, pix_fmt):
    codec = {"pal8": "png", "monob": "png", "rgba": "png"}.get(pix_fmt, "ffv1")
    path = make(tmp_path / "v.mkv", "-c:v", codec, "-pix_fmt", pix_fmt, "-c:a", "flac")
    frames, _, _ = decoded(path)
    assert flash_s(frames) == pytest.approx(EVENT_S, abs=0.05)
    assert frames[0].shape == (64, 96, 3)


@pytest.mark.parametrize("size", ["97x63", "3x3", "1x201", "2000x11"])
def test_odd_sizes(tmp_path, size):
    whole_pixels = frames_source(size).replace("yuv420p", "yuv444p")
    path = make(tmp_path / "v.nut", "-c:v", "rawvideo", "-c:a", "flac", frames=whole_pixels)
    frames, _, probe = decoded(path)
    width, height = map(int, size.split("x"))
    shrink = min(1, 640 / max(width, height))
    assert frames[0].shape[1] == pytest.approx(width * shrink, abs=1)
    assert frames[0].shape[0] == pytest.approx(max(2, height * shrink), abs=1)
    ((_, full),) = full_resolution_frames(path, probe, MediaConfig(), [30])
    assert full.shape[:2] == (height, width)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_undone(tmp_path, degrees):
    # The left half is white; turned by 90 degrees clockwise for display it is above.
    half = "color=0x141414:s=96x64:r=25:d=1,format=yuv420p,drawbox=w=48:color=white:t=fill"
    flat = make(tmp_path / "flat.mp4", frames=half, audio=audio_source(seconds=1))
    path = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", degrees, "-i", flat, "-c", "copy", path)
    frames, _, probe = decoded(path)
    ((_, full),) = full_resolution_frames(path, probe, MediaConfig(), [10])
    for frame in (frames[10], full):
        assert frame.shape == ((64, 96, 3) if degrees == 180 else (96, 64, 3))
        sides = {
            "left": frame[:, :8].mean(),
            "right": frame[:, -8:].mean(),
            "top": frame[:8].mean(),
            "bottom": frame[-8:].mean(),
        }
        assert max(sides, key=sides.__getitem__) == {90: "bottom", 180: "right", 270: "top"}[degrees]


def test_a_variable_frame_rate_keeps_its_times(tmp_path):
    # Frames 0, 2, 5, 9, 14 ... of 50 a second: none at its place in the row.
    irregular = (
        frames_source(rate="50") + ",select='eq(mod(n\\,14)*(mod(n\\,14)-2)*(mod(n\\,14)-5)*(mod(n\\,14)-9)\\,0)'"
    )
    path = make(tmp_path / "v.mkv", *H264, "-fps_mode", "vfr", frames=irregular)
    frames, audio, _ = decoded(path)
    assert len(frames) == pytest.approx(75, abs=5)
    assert flash_s(frames) == pytest.approx(beep_s(audio), abs=0.1)


@pytest.mark.parametrize("suffix", ["mkv", "asf"])
def test_negative_times_are_the_same_clock(tmp_path, suffix):
    whole = make(tmp_path / "whole.mkv", *H264, "-bf", "2")
    path = tmp_path / f"negative.{suffix}"
    ffmpeg("-itsoffset", "-0.5", "-i", whole, "-c", "copy", "-avoid_negative_ts", "disabled", "-copyts", path)
    frames, audio, _ = decoded(path)
    assert flash_s(frames) == pytest.approx(beep_s(audio), abs=0.05)
    assert beep_s(audio) == pytest.approx(EVENT_S, abs=0.1)


def test_an_edit_list_cuts_what_it_cuts(tmp_path):
    whole = make(tmp_path / "whole.mp4", *H264, "-g", "100", "-bf", "2")
    path = tmp_path / "edited.mp4"
    # Copied from the middle of a group of frames: an edit list hides what stands before.
    ffmpeg("-ss", "0.6", "-i", whole, "-c", "copy", path)
    frames, audio, _ = decoded(path)
    assert flash_s(frames) == pytest.approx(EVENT_S - 0.6, abs=0.05)
    assert beep_s(audio) == pytest.approx(EVENT_S - 0.6, abs=0.05)


def test_a_change_of_size_and_audio_in_mid_stream_keeps_the_clock(tmp_path):
    parts = [("96x64", "5.1", 48_000, "2.5"), ("160x96", "stereo", 44_100, "2"), ("96x64", "mono", 32_000, "0.6")]
    stream, start_s = b"", 0.0
    for number, (size, layout, rate_hz, at_s) in enumerate(parts):
        part = tmp_path / f"{number}.ts"
        sources = {
            "frames": frames_source(size, at_s=float(at_s)),
            "audio": audio_source(rate_hz, at_s=float(at_s), layout=layout),
        }
        make(part, "-c:v", "mpeg2video", "-c:a", "ac3", "-output_ts_offset", start_s, **sources)
        stream += part.read_bytes()
        start_s += SECONDS
    path = tmp_path / "v.ts"
    path.write_bytes(stream)
    frames, audio, _ = decoded(path)
    assert len(frames) == pytest.approx(225, abs=3)
    assert len(audio) == pytest.approx(9 * 16_000, abs=3200)
    for number, (*_, at_s) in enumerate(parts):
        expected_s = number * SECONDS + float(at_s)
        assert number * SECONDS + flash_s(frames[number * 75 :]) == pytest.approx(expected_s, abs=0.05)
        assert number * SECONDS + beep_s(audio[number * 48_000 :]) == pytest.approx(expected_s, abs=0.05)


def test_fields_are_made_frames(tmp_path):
    # A white bar that moves by 8 pixels a field: interlaced, it is a comb.
    bar = "color=black:s=192x96:r=50:d=2,format=yuv420p,drawbox=x=0:w=24:color=white:t=fill,scroll=h=0.0417"
    args = ("-vf", "interlace=scan=tff", "-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-q:v", "2", "-c:a", "mp2")
    path = make(tmp_path / "v.mpg", *args, frames=bar)
    frames, _, probe = decoded(path)
    assert probe.interlaced
    rows = frames[20].astype(int)[..., 0]
    between_lines, between_fields = np.abs(rows[1:] - rows[:-1]).mean(), np.abs(rows[2:] - rows[:-2]).mean()
    assert between_lines < 1.5 * between_fields + 1


HDR = {"smpte2084": "pq", "arib-std-b67": "hlg"}


@pytest.mark.parametrize("transfer", HDR)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_hdr_is_toned_down_to_sdr(tmp_path, transfer, suffix):
    tags = f"setparams=color_primaries=bt2020:color_trc={transfer}:colorspace=bt2020nc"
    skin = f"color=0xa08878:s=96x64:r=25:d=1,scale=out_color_matrix=bt2020nc,format=yuv420p10le,{tags}"
    hevc = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none", "-c:a", "aac")
    encoding = hevc if suffix == "mp4" else (*VP9, "-c:a", "libopus")
    path = make(tmp_path / f"v.{suffix}", *encoding, frames=skin, audio=audio_source(seconds=1))
    frames, _, probe = decoded(path)
    assert probe.transfer == HDR[transfer]
    if not can_tone_map(MediaConfig()):
        pytest.skip("this ffmpeg has no zscale and tonemap")
    ((_, full),) = full_resolution_frames(path, probe, MediaConfig(), [10])
    for frame in (frames[10], full):
        red, _, blue = frame.reshape(-1, 3).mean(0)
        assert red - blue > 55  # read as if it were SDR: 40
