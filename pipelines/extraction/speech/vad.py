"""Voice activity detection by silero-vad: speech probabilities per frame, and the segments and levels made of them.

silero's network takes one frame a call, with the samples before it, and a call costs far more than its arithmetic.
The layers before and after the recurrent one look at each frame by itself, so here they are run over a piece of
frames together, and an LSTM with the weights of silero's cell goes over the piece in one call. The probabilities are
the network's own (tested); a minute of audio takes a fifteenth of the time. The audio is read in pieces, so a mapped
file of any length will do.

silero-vad has no public way to its layers. `_network` and `speech_probabilities` take them by name, which is known to
work with silero-vad 6.2; pyproject.toml allows no other version.
"""

import functools
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.extraction.config import SpeechConfig
from pipelines.extraction.video.audio_file import SAMPLE_RATE_HZ, release_pages

FRAME = 512  # samples: the only size that the network takes at 16 kHz
FRAME_S = FRAME / SAMPLE_RATE_HZ
BEFORE = 64  # samples before a frame that the network is given with it
PIECE = 256  # frames
# Levels are measured against this, not against silence, so that a ratio stays finite. About one step of 16 bits.
FLOOR = 1e-9
SNR_RANGE_DB = (-20.0, 60.0)


@dataclass(frozen=True)
class Speech:
    """Voice activity of a whole video, one value per frame of FRAME_S seconds."""

    probability: np.ndarray  # (frames,) float32
    power: np.ndarray  # (frames,) float32, mean square, full scale is 1
    segments: tuple[tuple[float, float], ...]  # start and end in seconds; pauses shorter than join_s included
    voiced: np.ndarray  # (frames,) bool: speech, pauses excluded

    def ratio(self, start_s: float, end_s: float) -> float:
        """Returns the share of an interval that holds speech, 0..1."""
        part = self.voiced[_frames(start_s, end_s)]
        return float(part.mean()) if part.size else 0.0

    def snr_db(self, start_s: float, end_s: float, around_s: float = 5.0) -> float:
        """Returns the signal-to-noise ratio of the speech in an interval, in dB.

        The noise is the lower quartile of the frames without speech up to `around_s` away, or the tenth percentile
        of the interval itself, whichever is less.
        """
        part, near = _frames(start_s, end_s), _frames(max(0.0, start_s - around_s), end_s + around_s)
        speech = self.power[part][self.voiced[part]]
        quiet = self.power[near][~self.voiced[near] & (self.probability[near] < 0.1)]
        if not speech.size:
            return SNR_RANGE_DB[0]
        # The lower quartile, because the loudest frames without speech include speech that the network missed.
        # The tenth percentile, because loud sections between speech (laughter, a jingle) need not continue under it.
        noise = np.percentile(self.power[part], 10)
        if quiet.size >= 10:
            noise = min(noise, np.percentile(quiet, 25))
        signal = max(float(speech.mean()) - float(noise), FLOOR)
        return float(np.clip(10 * np.log10(signal / (float(noise) + FLOOR)), *SNR_RANGE_DB))


def find_speech(audio: np.ndarray, config: SpeechConfig) -> Speech:
    """Returns the voice activity of a video.

    Args:
        audio: (samples,) int16 at 16 kHz.
        config: thresholds, and the least lengths of speech and of pauses.
    """
    probability, power = speech_probabilities(audio)
    voiced = _with_hysteresis(probability, config.threshold, config.threshold - config.hysteresis)
    runs = [(a, b) for a, b in runs_of(voiced) if (b - a) * FRAME_S >= config.min_speech_s]
    kept = np.zeros_like(voiced)
    for a, b in runs:
        kept[a:b] = True
    end_s = len(audio) / SAMPLE_RATE_HZ
    segments: list[tuple[float, float]] = []
    for a, b in runs:
        start, end = max(0.0, a * FRAME_S - config.pad_s), min(end_s, b * FRAME_S + config.pad_s)
        if segments and start - segments[-1][1] <= config.join_s - 2 * config.pad_s:
            segments[-1] = (segments[-1][0], end)
        else:
            segments.append((start, end))
    return Speech(probability, power, tuple(segments), kept)


@torch.inference_mode()
def speech_probabilities(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the probability of speech and the power of each frame, (frames,) float32 each.

    Args:
        audio: (samples,) int16 at 16 kHz; power is the mean square, full scale is 1.
    """
    model, recurrent = _network()
    count = -(-len(audio) // FRAME)
    probability, power = np.zeros(count, np.float32), np.zeros(count, np.float32)
    state, before = None, np.zeros(BEFORE, np.float32)
    for first in range(0, count, PIECE):
        end = min(first + PIECE, count)
        samples = np.zeros((end - first) * FRAME, np.float32)
        given = audio[first * FRAME : end * FRAME]
        samples[: len(given)] = given / np.float32(32768)
        frames = torch.from_numpy(np.concatenate([before, samples])).unfold(0, BEFORE + FRAME, FRAME)
        encoded = model.encoder(model.run_extractors(frames.contiguous()))  # (frames, channels, 1)
        states, state = recurrent(encoded.squeeze(-1)[None], state)
        probability[first:end] = model.decoder.decoder(states[0].unsqueeze(-1)).mean(2)[:, 0].numpy()
        power[first:end] = np.square(samples).reshape(-1, FRAME).mean(1)
        before = samples[-BEFORE:]
        release_pages(audio)
    return probability, power


@functools.cache
def _network() -> tuple[Any, nn.LSTM]:
    """Returns silero's network for 16 kHz, and its recurrent layer as one over sequences."""
    import silero_vad

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # silero-vad loads with torch.jit.load, which is deprecated
        threads = torch.get_num_threads()
        silero: Any = silero_vad.load_silero_vad()
        model = dict(silero.named_children())["_model"]
        torch.set_num_threads(threads)
    cell = model.decoder.rnn
    recurrent = nn.LSTM(cell.weight_ih.shape[1], cell.weight_hh.shape[1], batch_first=True)
    weights: dict[str, Tensor] = {f"{name}_l0": getattr(cell, name) for name in _CELL}
    recurrent.load_state_dict(weights)
    return model, recurrent


_CELL = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _with_hysteresis(probability: np.ndarray, start: float, end: float) -> np.ndarray:
    inside, result = False, np.zeros(len(probability), bool)
    for i, value in enumerate(probability):
        inside = value >= (end if inside else start)
        result[i] = inside
    return result


def runs_of(mask: np.ndarray) -> list[tuple[int, int]]:
    """Returns the first index of each run of true values in a mask, (n,) bool, and the index after its last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _frames(start_s: float, end_s: float) -> slice:
    return slice(int(start_s / FRAME_S), max(int(start_s / FRAME_S) + 1, round(end_s / FRAME_S)))
