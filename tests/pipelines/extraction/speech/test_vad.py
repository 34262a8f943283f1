"""Speech: silero over pieces gives what silero gives frame by frame."""

import numpy as np
import pytest
import silero_vad
import torch

from pipelines.extraction.config import SpeechConfig
from pipelines.extraction.speech.vad import FRAME, PIECE, find_speech, speech_probabilities
from tests.support.talking_portrait import SAMPLE_RATE_HZ, voice


def frame_by_frame(audio):
    network, found = silero_vad.load_silero_vad(), []
    network.reset_states()
    for start in range(0, len(audio), FRAME):
        frame = np.zeros(FRAME, np.float32)
        frame[: len(audio[start : start + FRAME])] = audio[start : start + FRAME] / np.float32(32768)
        with torch.inference_mode():
            found.append(network(torch.from_numpy(frame)[None], SAMPLE_RATE_HZ).item())
    return np.array(found)


@pytest.mark.parametrize("samples", [1, FRAME, PIECE * FRAME, PIECE * FRAME + 1, 11 * SAMPLE_RATE_HZ + 77])
def test_pieces_give_what_single_frames_give(samples):
    spoken = (voice(12, seed=3) * 32767).astype(np.int16)
    spoken[3 * SAMPLE_RATE_HZ : 5 * SAMPLE_RATE_HZ] = 0
    probability, power = speech_probabilities(spoken[:samples])
    np.testing.assert_allclose(probability, frame_by_frame(spoken[:samples]), atol=1e-4)
    assert len(power) == len(probability) == -(-samples // FRAME)


def test_no_audio_is_no_speech():
    speech = find_speech(np.zeros(0, np.int16), SpeechConfig())
    assert speech.segments == ()


def test_speech_is_found_where_it_is():
    audio = np.concatenate([np.zeros(2 * SAMPLE_RATE_HZ), voice(3, seed=3), np.zeros(3 * SAMPLE_RATE_HZ)])
    ((start_s, end_s),) = find_speech((audio * 32767).astype(np.int16), SpeechConfig(pad_s=0)).segments
    assert (start_s, end_s) == (pytest.approx(2, abs=0.3), pytest.approx(5, abs=0.4))
