"""Speaker change and overlapped speech: a clip is split at changes of speaker and dropped where two speak at once.

Both come from one pass of the voice encoder (GE2E) over windows of 1.2 s, four of them per 1.2 s:

* Speaker change. At every instant, the cosine between the mean embeddings of the windows before and after it, and the
  numbers of these windows, give the probability that the speaker changes there (`CHANGE`).
* Overlapped speech. An embedding says who speaks, not how many. But the states of the encoder's three layers at the
  end of a window hold that too; only the last layer makes the embedding. A small network reads the states, and three
  windows in a row must agree (`overlap.safetensors`).

`tools/fit_speaker_change.py` fits both and measures them on speakers outside the fit.
"""

import functools
import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

from pipelines.extraction.config import SpeakerChangeConfig
from pipelines.extraction.speech.vad import Speech
from pipelines.extraction.video.audio_file import SAMPLE_RATE_HZ, release_pages
from vclip.encoders.ge2e import GE2E

OVERLAP_MODEL = Path(__file__).with_name("overlap.safetensors")

MEL_S = 0.01  # one mel frame
WINDOW, HOP = 120, 30  # mel frames
WINDOW_S = WINDOW * MEL_S
LEVEL = 0.03  # mean of a window's mel frames
BATCH = 64  # windows in one pass of the network
MIN_VOICED = 0.5  # windows with less speech are ignored
SLACK_S = 0.15  # a window may reach this far across the instant
CONTEXT_S = 4.0  # windows further away are ignored: the first speaker may be back
RUN = 3  # windows in a row that must hold two voices

# Log-odds of a change: coefficients of the cosine and of 1/n before + 1/n after, and the constant.
CHANGE = (-27.5, -3.9, 21.6)


@dataclass(frozen=True)
class SpeakerPart:
    """A part of a clip with one speaker, or with the reason to drop it."""

    start_s: float
    end_s: float
    drop: str = ""  # "" (one speaker), "two_voices" (too short after a split) or "overlapped_speech"


@dataclass(frozen=True)
class Windows:
    """The windows of a clip that hold speech, in order of time."""

    start_s: np.ndarray  # (n,) on the video's clock
    voiced: np.ndarray  # (n,) share of speech, MIN_VOICED..1
    embeddings: np.ndarray  # (n, 256) float32, unit norm
    states: np.ndarray  # (n, 768) float32, of the three layers of the encoder at the end of the window

    def between(self, start_s: float, end_s: float) -> "Windows":
        """Returns the windows within an interval, give or take SLACK_S."""
        inside = (self.start_s >= start_s - SLACK_S) & (self.start_s + WINDOW_S <= end_s + SLACK_S)
        return Windows(self.start_s[inside], self.voiced[inside], self.embeddings[inside], self.states[inside])


def split_at_speaker_changes(
    audio: np.ndarray, speech: Speech, start_s: float, end_s: float, config: SpeakerChangeConfig
) -> list[SpeakerPart]:
    """Returns the parts of a clip, each with one speaker or with the reason to drop it; they cover the clip.

    Args:
        audio: (samples,) int16 at 16 kHz, of the whole video.
        speech: voice activity of the whole video.
        start_s, end_s: of the clip.
        config: thresholds and least lengths.
    """
    if end_s - start_s < max(config.judge_s, WINDOW_S):
        return [SpeakerPart(start_s, end_s)]
    windows = embed_windows(audio, speech, start_s, end_s)
    edges = [start_s, *_changes(windows, start_s, end_s, config), end_s]
    return [SpeakerPart(a, b, _drop(windows.between(a, b), b - a, config)) for a, b in itertools.pairwise(edges)]


def embed_windows(audio: np.ndarray, speech: Speech, start_s: float, end_s: float, hop: int = HOP) -> Windows:
    """Returns the windows of a clip that hold speech, one every `hop` mel frames.

    Args:
        audio: (samples,) int16 at 16 kHz, of the whole video.
        speech: voice activity of the whole video.
        start_s, end_s: of the clip.
        hop: mel frames from one window to the next.
    """
    samples = audio[round(start_s * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)].astype(np.float32) / 32768
    release_pages(audio)
    mel = _encoder().prepare.mel(samples)
    firsts = np.arange(0, len(mel) - WINDOW + 1, hop)
    starts_s = start_s + firsts * MEL_S
    voiced = np.array([speech.ratio(at, at + WINDOW_S) for at in starts_s])
    kept = np.flatnonzero(voiced >= MIN_VOICED)
    # The mel frames of the encoder are not logarithmic: at another level a voice would be another voice.
    windows = [mel[firsts[i] : firsts[i] + WINDOW] for i in kept]
    states, embeddings = encode_windows([LEVEL * window / (window.mean() + 1e-12) for window in windows])
    return Windows(starts_s[kept], voiced[kept], embeddings, states)


def change_evidence(windows: Windows, start_s: float, end_s: float) -> np.ndarray:
    """Returns a row for each instant with windows on both sides: its time, cosine of the sides, 1/n + 1/n, and 1."""
    rows = []
    # In steps of HOP, each instant is the middle of the time over which both sides hold the same windows.
    for at in np.arange(start_s + WINDOW_S / 2, end_s - WINDOW_S / 2, HOP * MEL_S):
        before = windows.between(max(start_s, at - CONTEXT_S), at)
        after = windows.between(at, min(end_s, at + CONTEXT_S))
        if len(before.start_s) and len(after.start_s):
            means = [side.voiced @ side.embeddings for side in (before, after)]
            cosine = means[0] @ means[1] / (np.linalg.norm(means[0]) * np.linalg.norm(means[1]))
            rows.append((at, cosine, 1 / len(before.start_s) + 1 / len(after.start_s), 1.0))
    return np.array(rows).reshape(-1, 4)


def overlap_log_odds(windows: Windows, weights: dict[str, np.ndarray]) -> float:
    """Returns the log-odds of overlapped speech in the most suspect RUN of windows; -inf without windows."""
    if not len(windows.states):
        return -np.inf
    inputs = (windows.states - weights["mean"]) / weights["scale"]
    hidden = np.maximum(inputs @ weights["hidden"] + weights["hidden_bias"], 0)
    single = np.clip(hidden @ weights["out"] + weights["out_bias"], -8, 8)  # (n,)
    run = min(RUN, len(single))
    return float(np.convolve(single, np.full(run, 1 / run), "valid").max())


def _changes(windows: Windows, start_s: float, end_s: float, config: SpeakerChangeConfig) -> list[float]:
    """Returns the times at which the speaker changes: the likeliest, and recursively those to both sides of it."""
    evidence = change_evidence(windows, start_s, end_s)
    if not len(evidence):
        return []
    log_odds = evidence[:, 1:] @ np.array(CHANGE)
    if log_odds.max() < _log_odds(config.change_threshold):
        return []
    at = float(evidence[np.argmax(log_odds), 0])
    before, after = windows.between(start_s, at), windows.between(at, end_s)
    return [*_changes(before, start_s, at, config), at, *_changes(after, at, end_s, config)]


def _drop(windows: Windows, length_s: float, config: SpeakerChangeConfig) -> str:
    if length_s < config.min_s:
        return "two_voices"
    if length_s < config.overlap_s:
        return ""  # too few windows: in a single one loud music may pass for a second voice
    overlapped = overlap_log_odds(windows, _overlap_weights()) >= _log_odds(config.overlap_threshold)
    return "overlapped_speech" if overlapped else ""


def _log_odds(probability: float) -> float:
    return float(np.log(probability / (1 - probability))) if probability < 1 else np.inf


@functools.cache
def _encoder() -> GE2E:
    return GE2E("cpu")


@functools.cache
def _overlap_weights() -> dict[str, np.ndarray]:
    return load_file(OVERLAP_MODEL)


@torch.inference_mode()
def encode_windows(mels: list[torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the last states of the three layers, (n, 768), and the embeddings, (n, 256)."""
    net = _encoder()
    if not mels:
        return np.zeros((0, 3 * net.dim), np.float32), np.zeros((0, net.dim), np.float32)
    states = torch.cat([net.lstm(batch)[1][0] for batch in torch.stack(mels).split(BATCH)], dim=1)  # (3, n, 256)
    embeddings = torch.nn.functional.normalize(torch.relu(net.linear(states[-1])), dim=1)
    return states.permute(1, 0, 2).flatten(1).numpy(), embeddings.numpy()
