"""How well speech sounds: the mean opinion score that DNSMOS predicts (Reddy et al., 2022, ITU-T P.835).

It was made to judge noise suppression: it hears noise and distortion, and knows little of whether a voice is lively.
The weights ship in the PyPI package `speechmos`. Its own function judges short speech as often as it fits, repeated,
into the network's window, with threads that wait for each other; one window and one thread take a third of the CPU.
"""

import functools
from importlib.resources import as_file, files
from typing import Any

import numpy as np

from vclip.audio import prepare_speech

RATE_HZ = 16_000
WINDOW = round(9.01 * RATE_HZ)  # samples that the network hears at a time
# From what the network says of the whole (its third output) to opinions.
OPINION = np.poly1d([-0.06766283, 1.11546468, 0.04602535])


def speech_quality(waveform: np.ndarray, sample_rate_hz: int) -> float:
    """Returns the predicted mean opinion, from 1 (bad) to 5 (excellent), of speech (samples,) float in -1..1.

    Speech shorter than nine seconds is repeated to that length; of longer speech every second begins a window.
    """
    speech = np.clip(prepare_speech(waveform, sample_rate_hz), -1, 1).astype(np.float32)
    if len(speech) < WINDOW:
        speech = np.resize(speech, WINDOW)
    windows = int(len(speech) // RATE_HZ - WINDOW / RATE_HZ) + 1
    heard = [speech[first : first + WINDOW] for first in RATE_HZ * np.arange(windows)]
    return float(np.mean([OPINION(_network().run(None, {"input_1": window[None]})[0][0, 2]) for window in heard]))


@functools.cache
def _network() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with as_file(files("speechmos") / "dnsmos_models" / "sig_bak_ovr.onnx") as path:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
