"""silero-vad over many frames at once.

The network takes one frame a call, with the samples before it, and a call costs far more than its arithmetic. Its
layers before and after the recurrent one look at each frame by itself, so here they are run over a piece of frames
together, and an LSTM with the weights of its cell goes over the piece in one call. The probabilities are the
network's own (tested); a minute of sound takes a fifteenth of the time.
"""

import functools
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.extraction.video.audio_file import forget

FRAME = 512  # samples: the only size that the network takes at 16 kHz
BEFORE = 64  # samples before a frame that the network is given with it
PIECE = 256  # frames


@torch.inference_mode()
def speech_probabilities(sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns for each frame of FRAME samples the probability of speech and the power, (frames,) float32 each.

    Args:
        sound: (samples,) int16 at 16 kHz; power is the mean square, full scale is 1.
    """
    model, recurrent = _network()
    count = -(-len(sound) // FRAME)
    probability, power = np.zeros(count, np.float32), np.zeros(count, np.float32)
    state, before = None, np.zeros(BEFORE, np.float32)
    for first in range(0, count, PIECE):
        end = min(first + PIECE, count)
        samples = np.zeros((end - first) * FRAME, np.float32)
        given = sound[first * FRAME : end * FRAME]
        samples[: len(given)] = given / np.float32(32768)
        frames = torch.from_numpy(np.concatenate([before, samples])).unfold(0, BEFORE + FRAME, FRAME)
        encoded = model.encoder(model.run_extractors(frames.contiguous()))  # (frames, channels, 1)
        states, state = recurrent(encoded.squeeze(-1)[None], state)
        probability[first:end] = model.decoder.decoder(states[0].unsqueeze(-1)).mean(2)[:, 0].numpy()
        power[first:end] = np.square(samples).reshape(-1, FRAME).mean(1)
        before = samples[-BEFORE:]
        forget(sound)
    return probability, power


@functools.cache
def _network() -> tuple[Any, nn.LSTM]:
    """silero's network for 16 kHz, and its recurrent layer as one over sequences."""
    import silero_vad

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch.jit.load is deprecated; silero's to mend
        threads = torch.get_num_threads()
        model = silero_vad.load_silero_vad()._model
        torch.set_num_threads(threads)
    cell = model.decoder.rnn
    recurrent = nn.LSTM(cell.weight_ih.shape[1], cell.weight_hh.shape[1], batch_first=True)
    weights: dict[str, Tensor] = {f"{name}_l0": getattr(cell, name) for name in _CELL}
    recurrent.load_state_dict(weights)
    return model, recurrent


_CELL = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
