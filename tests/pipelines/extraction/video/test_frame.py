"""A frame's grey, colour and thumbnail are those of what ffmpeg was given, whatever way the file writes colours."""

import cv2
import numpy as np
import pytest

from pipelines.extraction.video.decode import Decoder
from pipelines.extraction.video.frame import Frame
from pipelines.extraction.video.probe import probe_media
from tests.support.flash_and_beep import MEDIA, audio_source, make
from tests.support.rgb_frame import RgbFrame

RED, SKIN, WHITE = (200, 40, 30), (170, 130, 110), (255, 255, 255)


def planes_of(rgb):
    height, width, _ = rgb.shape
    flat = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420).ravel()
    luma, colour = flat[: height * width], flat[height * width :].reshape(2, height // 2, width // 2)
    return np.concatenate([luma.reshape(height, width), np.concatenate([*colour], axis=1)])


@pytest.mark.parametrize("size", [(2, 2), (36, 64), (90, 160), (18, 32), (360, 640)])
def test_what_was_drawn_comes_back(size):
    height, width = size
    rgb = np.full((height, width, 3), SKIN, np.uint8)
    if height > 2:  # four pixels have but one colour
        rgb[:, : width // 2], rgb[height // 2 :] = RED, WHITE
    frame, drawn = Frame(planes_of(rgb)), RgbFrame(rgb)
    assert frame.shape == rgb.shape
    assert np.abs(frame.rgb.astype(int) - rgb).mean() < 3
    assert np.abs(frame.grey.astype(int) - drawn.grey).max() <= 3
    small = frame.thumbnail((16, 8)).astype(int)
    assert small.shape == (8, 16, 3)
    assert np.abs(small - drawn.thumbnail((16, 8))).mean() < 4


COLOURS = {
    "bt601": ("yuv420p", "bt601", "tv"),
    "bt709": ("yuv420p", "bt709", "tv"),
    "full range": ("yuvj420p", "bt601", "pc"),
    "10 bits of bt709": ("yuv420p10le", "bt709", "tv"),
}


@pytest.mark.parametrize("name", COLOURS)
@pytest.mark.parametrize("size", ["96x64", "1280x720"], ids=["as it is", "shrunk"])
def test_colours_do_not_depend_on_how_the_file_writes_them(tmp_path, name, size):
    form, matrix, span = COLOURS[name]
    tags = f"setparams=colorspace={matrix.replace('bt601', 'smpte170m')}:range={span}"
    source = f"color=0xc8281e:s={size}:r=25:d=1,scale=out_color_matrix={matrix}:out_range={span},format={form},{tags}"
    path = make(tmp_path / "v.mkv", "-c:v", "ffv1", "-c:a", "flac", frames=source, audio=audio_source(seconds=1))
    with Decoder(path, probe_media(path, MEDIA), MEDIA) as decoder:
        frame = next(iter(decoder.frames()))
    np.testing.assert_allclose(frame.rgb.reshape(-1, 3).mean(0), RED, atol=6)
    np.testing.assert_allclose(frame.thumbnail((4, 4)).reshape(-1, 3).mean(0), RED, atol=6)
    assert frame.grey.mean() == pytest.approx(0.299 * RED[0] + 0.587 * RED[1] + 0.114 * RED[2], abs=3)
