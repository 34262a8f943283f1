"""Fit speaker change and overlapped speech on composed clips, and measure them on speakers outside the fit.

    python -m tools.fit_speaker_change SPEECH.csv PAIRS.csv

SPEECH.csv has the columns `speaker` and `file`, PAIRS.csv `identity` and `voice` (files beside them). The network for
overlapped speech is fitted on the first alone and written to `pipelines/extraction/speech/overlap.safetensors`. The
three coefficients of speaker change are fitted on both and printed, to be pasted into `speaker_change.py` beside it.

The clips are composed of recordings: one speaker, one after another, or two at once, as in a bad recording. All of it
is laid on the grid of the VAD frames, so what is known of the sources (where they hold speech) is known of the clips.
"""

import argparse
import csv
import io
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile
import soxr
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from pipelines.extraction.config import SpeechConfig
from pipelines.extraction.speech import speaker_change
from pipelines.extraction.speech.speaker_change import WINDOW, WINDOW_S, Windows
from pipelines.extraction.speech.vad import FRAME, FRAME_S, Speech, find_speech
from pipelines.extraction.video.audio_file import SAMPLE_RATE_HZ
from vclip.errors import InputError

KINDS = ("single", "turn", "overlap", "short_overlap")


@dataclass(frozen=True)
class Recording:
    """A recording of one speaker."""

    speaker: str
    audio: np.ndarray  # (samples,) float32, whole frames
    voiced: np.ndarray  # (frames,) bool

    @property
    def held_out(self) -> bool:
        """Whether the speaker is held out from the fit; about half are."""
        return zlib.crc32(f"s{self.speaker}".encode()) % 2 == 1


@dataclass(frozen=True)
class ComposedClip:
    """A composed clip with its ground truth."""

    kind: str  # one of KINDS
    audio: np.ndarray  # (samples,) int16 at 16 kHz
    speech: Speech
    change_s: tuple[float, float] | None = None  # the pause in which the speaker changes
    overlapped: np.ndarray | None = None  # (frames,) bool: two voices at once
    sir_db: float = np.inf  # level of the first voice over the second

    @property
    def duration_s(self) -> float:
        return len(self.audio) / SAMPLE_RATE_HZ


def read_voices(table: Path, speaker: str, file: str) -> list[Recording]:
    """Returns the recordings of a table, 16 kHz files beside it.

    Args:
        table: a CSV file.
        speaker, file: names of its columns.
    """
    voices = []
    for row in csv.DictReader(table.open()):
        audio, rate_hz = soundfile.read(table.parent / row[file], dtype="float32")
        if rate_hz != SAMPLE_RATE_HZ or audio.ndim != 1:
            raise InputError(f"{row[file]}: found {audio.ndim} dimensions at {rate_hz} Hz, expected mono at 16000 Hz")
        count = len(audio) // FRAME
        voiced = find_speech(np.clip(np.round(audio * 32767), -32768, 32767).astype(np.int16), SpeechConfig()).voiced
        if voiced[:count].mean() > 0.4:
            voices.append(Recording(row[speaker], audio[: count * FRAME], voiced[:count]))
    return voices


def make_clip(kind: str, voices: list[Recording], rng: np.random.Generator, degraded: float) -> ComposedClip:
    """Returns a clip of 2 to 10 s.

    Args:
        kind: one of KINDS. The second voice of an overlap is 0 to 10 dB below the first, that of a turn within 6 dB.
        voices: recordings to draw from.
        rng: draws everything else.
        degraded: share of the clips with added noise, music, reverberation or a codec, 0..1.
    """
    first, second = _two_speakers(voices, rng)
    if kind == "single":
        audio, voiced = _cut(first, rng.uniform(2, 10), rng)
        return ComposedClip(kind, degrade(audio, rng, degraded), _speech(voiced))
    if kind == "turn":
        return _turn(first, second, rng, degraded)
    audio, voiced = _cut(first, rng.uniform(2, 8), rng)
    length_s = len(voiced) * FRAME_S if kind == "overlap" else rng.uniform(0.8, 2.5)
    other, other_voiced = _cut(second, min(length_s, len(voiced) * FRAME_S), rng)
    at, sir_db = rng.integers(len(voiced) - len(other_voiced) + 1), rng.uniform(0, 10)
    both = slice(at, at + len(other_voiced))
    audio[at * FRAME : (at + len(other_voiced)) * FRAME] += other * 10 ** (-sir_db / 20)
    overlapped = np.zeros(len(voiced), bool)
    overlapped[both] = voiced[both] & other_voiced
    voiced[both] |= other_voiced
    return ComposedClip(kind, degrade(audio, rng, degraded), _speech(voiced), None, overlapped, sir_db)


def _turn(first: Recording, second: Recording, rng: np.random.Generator, degraded: float) -> ComposedClip:
    (one, one_voiced), (two, two_voiced) = (_cut(v, rng.uniform(1, 5), rng) for v in (first, second))
    # The only pause is the intended one.
    last, start = np.flatnonzero(one_voiced)[-1] + 1, np.flatnonzero(two_voiced)[0]
    pause = int(rng.uniform(0.1, 0.5) / FRAME_S) if rng.random() < 0.5 else 0
    level = 10 ** (rng.uniform(-6, 6) / 20)
    silence = rng.standard_normal(pause * FRAME) * 1e-4
    audio = np.concatenate([one[: last * FRAME], silence, two[start * FRAME :] * level])
    voiced = np.concatenate([one_voiced[:last], np.zeros(pause, bool), two_voiced[start:]])
    change_s = (last * FRAME_S, (last + pause) * FRAME_S)
    return ComposedClip("turn", degrade(audio, rng, degraded), _speech(voiced), change_s)


def degrade(audio: np.ndarray, rng: np.random.Generator, often: float) -> np.ndarray:
    """Returns the audio as int16 at a random level, degraded with the probability `often`."""
    if rng.random() < often:
        if rng.random() < 0.5:
            audio = _reverberate(audio, rng)
        if rng.random() < 0.6:
            noise = _music(len(audio), rng) if rng.random() < 0.25 else _noise(len(audio), rng)
            audio = audio + noise / noise.std() * audio.std() * 10 ** (-rng.uniform(5, 25) / 20)
        if rng.random() < 0.5:
            audio = _encode(0.7 * audio / np.abs(audio).max(), rng)
    return (audio / np.abs(audio).max() * rng.uniform(0.1, 0.9) * 32767).astype(np.int16)


def _two_speakers(voices: list[Recording], rng: np.random.Generator) -> tuple[Recording, Recording]:
    while True:
        first, second = (voices[i] for i in rng.choice(len(voices), 2, replace=False))
        if first.speaker != second.speaker:
            return first, second


def _cut(voice: Recording, length_s: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns a piece of a recording that is mostly speech, at a fixed speech level, and where it is voiced."""
    count = min(int(length_s / FRAME_S), len(voice.voiced))
    for _ in range(20):
        at = rng.integers(len(voice.voiced) - count + 1)
        if voice.voiced[at : at + count].mean() > 0.6:
            break
    audio = voice.audio[at * FRAME : (at + count) * FRAME]
    loud = np.abs(audio) > np.median(np.abs(audio))
    level = np.sqrt(np.mean(audio[loud] ** 2)) if loud.any() else 1.0
    return 0.05 * audio / level, voice.voiced[at : at + count].copy()


def _speech(voiced: np.ndarray) -> Speech:
    return Speech(voiced.astype(np.float32), np.zeros(len(voiced), np.float32), (), voiced)


def _reverberate(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    count = int(rng.uniform(0.15, 0.7) * SAMPLE_RATE_HZ)
    tail = rng.standard_normal(count) * np.exp(-6.9 * np.arange(count) / count)
    tail *= 10 ** (-rng.uniform(0, 10) / 20) / np.linalg.norm(tail)
    tail[0] = 1
    return scipy.signal.fftconvolve(audio, tail)[: len(audio)]


def _noise(count: int, rng: np.random.Generator) -> np.ndarray:
    """Returns white or pink noise."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    return np.fft.irfft(spectrum / np.arange(1, len(spectrum) + 1) ** rng.choice([0, 0.5]), count)


def _music(count: int, rng: np.random.Generator) -> np.ndarray:
    """Returns chords of plucked, harmonic notes."""
    music, beat = np.zeros(count), int(rng.uniform(0.25, 0.6) * SAMPLE_RATE_HZ)
    for at in np.repeat(np.arange(0, count, beat), 2):
        hz = 110 * 2 ** (rng.integers(36) / 12)
        time_s = np.arange(min(count - at, 2 * beat)) / SAMPLE_RATE_HZ
        tones = sum(np.sin(2 * np.pi * hz * k * time_s) / k**1.5 for k in range(1, 7))
        music[at : at + len(time_s)] += np.exp(-rng.uniform(1, 5) * time_s) * tones
    return music + 1e-6 * rng.standard_normal(count)


def _encode(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns the audio after a codec at a low rate, or limited to a telephone band."""
    kind = rng.integers(4)
    if kind == 3:
        band_hz = rng.uniform(100, 350), rng.uniform(3000, 6000)
        band = scipy.signal.butter(4, band_hz, "band", fs=SAMPLE_RATE_HZ, output="sos")
        return scipy.signal.sosfilt(band, audio)
    formats = (("MP3", "MPEG_LAYER_III"), ("OGG", "OPUS"), ("OGG", "VORBIS"))
    file, (container, codec) = io.BytesIO(), formats[kind]
    quality = float(rng.uniform(0.7, 0.95))
    soundfile.write(file, audio, SAMPLE_RATE_HZ, format=container, subtype=codec, compression_level=quality)
    file.seek(0)
    decoded, rate_hz = soundfile.read(file)
    decoded = soxr.resample(decoded, rate_hz, SAMPLE_RATE_HZ)[: len(audio)]
    return np.pad(decoded, (0, len(audio) - len(decoded)))


OVERLAP_CLIPS, CHANGE_CLIPS, MEASURED_CLIPS = 1500, 80, 80
DEGRADED = {"speech": 0.7, "pairs": 0.0}  # the pairs are noisy as they are
MIN_OVERLAP = 0.4  # windows with less overlap, but some, are not used for training
FALSE_ALARMS = (0.01, 0.02, 0.05)


def fit_change(sets: list[list[Recording]], degraded: list[float], rng: np.random.Generator) -> np.ndarray:
    """Returns the coefficients `speaker_change.CHANGE`."""
    rows, changed = [], []
    for voices, often in zip(sets, degraded, strict=True):
        for kind in ("single", "turn") * CHANGE_CLIPS:
            clip = make_clip(kind, voices, rng, often)
            evidence = speaker_change.change_evidence(windows_of(clip), 0, clip.duration_s)
            if len(evidence):
                # Of a single speaker the most suspect instant, which is what decides at inference.
                worst = np.argmin(evidence[:, 1]) if kind == "single" else _nearest(evidence, clip)
                rows.append(evidence[worst, 1:3])
                changed.append(kind == "turn")
    model = LogisticRegression(C=100, class_weight="balanced", max_iter=5000).fit(rows, changed)
    return np.append(model.coef_[0], model.intercept_)


def fit_overlap(voices: list[Recording], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Returns the weights of the network for overlapped speech."""
    states, labels = [], []
    for i in range(OVERLAP_CLIPS):
        kind = ("single", "overlap", "turn", "overlap", "single", "short_overlap")[i % 6]
        clip = make_clip(kind, voices, rng, DEGRADED["speech"])
        windows = windows_of(clip, WINDOW)
        share = overlap_share(clip, windows)
        clear = (share == 0) | (share >= MIN_OVERLAP)
        states.append(windows.states[clear])
        labels.append(share[clear] > 0)
    scaler = StandardScaler().fit(np.concatenate(states))
    net = MLPClassifier((64,), alpha=5.0, early_stopping=True, random_state=0)
    net.fit(scaler.transform(np.concatenate(states)), np.concatenate(labels))
    weights = {
        "mean": scaler.mean_,
        "scale": scaler.scale_,
        "hidden": net.coefs_[0],
        "hidden_bias": net.intercepts_[0],
        "out": net.coefs_[1][:, 0],
        "out_bias": net.intercepts_[1],
    }
    return {name: value.astype(np.float32) for name, value in weights.items()}


def windows_of(clip: ComposedClip, hop: int = speaker_change.HOP) -> Windows:
    """Returns the windows of a whole clip."""
    return speaker_change.embed_windows(clip.audio, clip.speech, 0, clip.duration_s, hop)


def overlap_share(clip: ComposedClip, windows: Windows) -> np.ndarray:
    """Returns the share of each window that holds two voices, (n,)."""
    if clip.overlapped is None:
        return np.zeros(len(windows.start_s))
    spans = [(int(at / FRAME_S), int((at + WINDOW_S) / FRAME_S)) for at in windows.start_s]
    return np.array([clip.overlapped[a:b].mean() for a, b in spans])


def measure(
    name: str, voices: list[Recording], change: np.ndarray, overlap: dict[str, np.ndarray], rng: np.random.Generator
) -> None:
    """Prints the share of clips that are recognised at fixed false-alarm rates on clips of one speaker."""
    clips = {kind: [make_clip(kind, voices, rng, DEGRADED[name]) for _ in range(MEASURED_CLIPS)] for kind in KINDS}
    clips["single"] += [make_clip("single", voices, rng, DEGRADED[name]) for _ in range(MEASURED_CLIPS)]
    judged = {kind: [(clip, *judge(clip, change, overlap)) for clip in made] for kind, made in clips.items()}
    alone = {i: np.array([row[i] for row in judged["single"]]) for i in (1, 2)}
    for rate in FALSE_ALARMS:
        least = {i: np.quantile(alone[i], 1 - rate) for i in alone}
        found = [row for row in judged["turn"] if row[1] > least[1]]
        errors = [max(clip.change_s[0] - at, at - clip.change_s[1], 0) for clip, _, _, at in found]
        print(
            f"{name}, {rate:.0%} false alarms: changes {len(found) / MEASURED_CLIPS:.2f} (log-odds {least[1]:.1f}),"
            f" off by {np.median(errors):.2f} s, 90 % within {np.quantile(errors, 0.9):.2f} s;"
            f" overlaps (log-odds {least[2]:.1f})",
            *(
                f"{kind} {low}-{low + 5} dB {np.mean(hits):.2f}"
                for kind in ("overlap", "short_overlap")
                for low in (0, 5)
                if (hits := [row[2] > least[2] for row in judged[kind] if low <= row[0].sir_db < low + 5])
            ),
        )


def judge(clip: ComposedClip, change: np.ndarray, overlap: dict[str, np.ndarray]) -> tuple[float, float, float]:
    """Returns the log-odds of a change, the log-odds of overlap, and the time of the change in seconds."""
    windows = windows_of(clip)
    evidence = speaker_change.change_evidence(windows, 0, clip.duration_s)
    log_odds = evidence[:, 1:] @ change if len(evidence) else np.array([-np.inf])
    at = float(evidence[np.argmax(log_odds), 0]) if len(evidence) else 0.0
    return float(log_odds.max()), speaker_change.overlap_log_odds(windows, overlap), at


def _nearest(evidence: np.ndarray, clip: ComposedClip) -> int:
    return int(np.argmin(np.abs(evidence[:, 0] - np.mean(clip.change_s))))


def main(speech: Path, pairs: Path) -> None:
    """Reads the recordings, fits, writes the network and prints the measurements."""
    rng = np.random.default_rng(0)
    voices = {"speech": read_voices(speech, "speaker", "file"), "pairs": read_voices(pairs, "identity", "voice")}
    fitted_to = {name: [voice for voice in each if not voice.held_out] for name, each in voices.items()}
    change = fit_change(list(fitted_to.values()), [DEGRADED[name] for name in fitted_to], rng)
    print("CHANGE =", tuple(change.round(1).tolist()))
    overlap = fit_overlap(fitted_to["speech"], rng)
    save_file(overlap, speaker_change.OVERLAP_MODEL)
    for name, each in voices.items():
        for half, some in (("development", fitted_to[name]), ("held out", [v for v in each if v.held_out])):
            print(half, end=": ")
            measure(name, some, change, overlap, rng)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", type=Path)
    parser.add_argument("pairs", type=Path)
    given = parser.parse_args()
    main(given.speech, given.pairs)
