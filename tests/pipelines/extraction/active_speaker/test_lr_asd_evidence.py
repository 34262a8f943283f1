"""The LR-ASD backend sees a track in blocks as in one piece, and finds speaking faces where its weights are there."""

import numpy as np
import pytest

from pipelines.extraction import ExtractionConfig, extract
from pipelines.extraction.active_speaker.lr_asd import BLOCK, CONTEXT, LrAsdObserver, face_patch
from pipelines.extraction.config import ActiveSpeakerConfig
from pipelines.extraction.pipeline import KeepAnalysis
from tests.support.talking_portrait import drifting, talking, voice, write_video
from vclip.errors import InputError


class Shifted:
    """Stands in for the network: what it sees of a frame depends on all within CONTEXT."""

    def encode_faces(self, faces):
        levels = np.pad(faces.mean((1, 2)), CONTEXT)
        return np.stack([np.convolve(levels, np.ones(2 * CONTEXT + 1), "valid")] * 128, axis=1).astype(np.float32)


@pytest.mark.parametrize("count", [1, CONTEXT, BLOCK, BLOCK + CONTEXT, 3 * BLOCK + 2 * CONTEXT + 1])
def test_blocks_are_encoded_as_one_piece(count):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (count, 120, 120), np.uint8)
    box, network = np.array([20.0, 20.0, 100.0, 100.0]), Shifted()
    observer = LrAsdObserver(network)
    for frame in frames:
        observer(frame, box)
    expected = network.encode_faces(np.stack([face_patch(frame, box) for frame in frames]))
    np.testing.assert_allclose(observer.end(), expected, rtol=1e-3)


def test_weights_that_are_not_there_are_one_clear_line():
    config = ExtractionConfig(speaking=ActiveSpeakerConfig(lr_asd="/nowhere/weights.pth"))
    with pytest.raises(InputError, match=r"/nowhere/weights\.pth"):
        extract("video.mp4", config)


@pytest.mark.shared
def test_with_weights_a_talking_face_is_kept_and_a_drifting_still_is_not(shared, tmp_path):
    weights = shared / "models" / "lr_asd_talkset.pth"
    config = ExtractionConfig(speaking=ActiveSpeakerConfig(lr_asd=str(weights)))
    audio = voice(4, seed=0)
    kept = KeepAnalysis()
    assert extract(write_video(tmp_path / "talking.mp4", talking(audio), audio), config, hook=kept).state == "done"
    (track, *_) = kept.analysis.tracks
    assert track.observed.shape == (len(track), 128)
    assert extract(write_video(tmp_path / "still.mp4", drifting(100), audio), config).state == "empty"
