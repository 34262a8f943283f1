"""Fit `one_voice` on composed clips, and measure it on speakers that the fit did not hear.

    python -m pipelines.extraction.voices.one_voice_fit SPEECH.csv PAIRS.csv

SPEECH.csv has the columns `speaker` and `file`, PAIRS.csv `identity` and `voice` (files beside them). The network for
overlap learns from the first alone; the three numbers for changes, which are printed, from both. Writes
`overlap.safetensors` beside this file.
"""

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from pipelines.extraction.voices import one_voice
from pipelines.extraction.voices.one_voice import WINDOW, WINDOW_S, Windows
from pipelines.extraction.voices.one_voice_material import KINDS, Made, Voice, make_clip, read_voices
from pipelines.extraction.voices.speech import FRAME_S

OVERLAP_CLIPS, CHANGE_CLIPS, MEASURED_CLIPS = 1500, 80, 80
DEGRADED = {"speech": 0.7, "pairs": 0.0}  # the pairs are noisy as they are
MIN_OVERLAP = 0.4  # a window with less of it, but some, teaches nothing
FALSE_ALARMS = (0.01, 0.02, 0.05)


def fit_change(sets: list[list[Voice]], degraded: list[float], rng: np.random.Generator) -> np.ndarray:
    """Returns the coefficients of `one_voice.CHANGE`."""
    rows, changed = [], []
    for voices, often in zip(sets, degraded, strict=True):
        for kind in ("single", "turn") * CHANGE_CLIPS:
            clip = make_clip(kind, voices, rng, often)
            evidence = one_voice.change_evidence(windows_of(clip), 0, clip.duration_s)
            if len(evidence):
                # Of one speaker the most suspect instant, as it will be met with.
                worst = np.argmin(evidence[:, 1]) if kind == "single" else _nearest(evidence, clip)
                rows.append(evidence[worst, 1:3])
                changed.append(kind == "turn")
    model = LogisticRegression(C=100, class_weight="balanced", max_iter=5000).fit(rows, changed)
    return np.append(model.coef_[0], model.intercept_)


def fit_overlap(voices: list[Voice], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Returns the weights of the network for overlap."""
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


def windows_of(clip: Made, hop: int = one_voice.HOP) -> Windows:
    """Returns the windows of a whole clip."""
    return one_voice.embed_windows(clip.sound, clip.speech, 0, clip.duration_s, hop)


def overlap_share(clip: Made, windows: Windows) -> np.ndarray:
    """Returns (n,), how much of each window holds two voices."""
    if clip.overlapped is None:
        return np.zeros(len(windows.start_s))
    spans = [(int(at / FRAME_S), int((at + WINDOW_S) / FRAME_S)) for at in windows.start_s]
    return np.array([clip.overlapped[a:b].mean() for a, b in spans])


def measure(
    name: str, voices: list[Voice], change: np.ndarray, overlap: dict[str, np.ndarray], rng: np.random.Generator
) -> None:
    """Prints how many clips are recognised where so many clips of one speaker are false alarms."""
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


def judge(clip: Made, change: np.ndarray, overlap: dict[str, np.ndarray]) -> tuple[float, float, float]:
    """Returns the log-odds of a change, of overlap, and the second of the change."""
    windows = windows_of(clip)
    evidence = one_voice.change_evidence(windows, 0, clip.duration_s)
    log_odds = evidence[:, 1:] @ change if len(evidence) else np.array([-np.inf])
    at = float(evidence[np.argmax(log_odds), 0]) if len(evidence) else 0.0
    return float(log_odds.max()), one_voice.overlap_log_odds(windows, overlap), at


def _nearest(evidence: np.ndarray, clip: Made) -> int:
    return int(np.argmin(np.abs(evidence[:, 0] - np.mean(clip.change_s))))


def main(speech: Path, pairs: Path) -> None:
    """Reads, fits, writes, measures."""
    rng = np.random.default_rng(0)
    voices = {"speech": read_voices(speech, "speaker", "file"), "pairs": read_voices(pairs, "identity", "voice")}
    seen = {name: [voice for voice in each if not voice.held_out] for name, each in voices.items()}
    change = fit_change(list(seen.values()), [DEGRADED[name] for name in seen], rng)
    print("CHANGE =", tuple(change.round(1).tolist()))
    overlap = fit_overlap(seen["speech"], rng)
    save_file(overlap, one_voice.OVERLAP_MODEL)
    for name, each in voices.items():
        for half, some in (("development", seen[name]), ("held out", [v for v in each if v.held_out])):
            print(half, end=": ")
            measure(name, some, change, overlap, rng)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
