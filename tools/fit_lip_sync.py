"""Fit the coefficients of lip sync on videos in which it is known who speaks when.

    python -m tools.fit_lip_sync CORPUS... [--identities CLIPS.csv]

A CORPUS is a folder with a truth.json: {"videos": [{"file", "speaking": [{"start_s", "end_s", "source", "box"}]}]}.
CLIPS.csv names the identity of each source (columns `file`, `identity`); without it each source is one person.
Prints the coefficients, to be pasted into `pipelines/extraction/active_speaker/lip_sync.py`, and the area under the
ROC curve of single windows, cross-validated over people.

First the loudness of the audio is regressed on the lips. Then a classifier separates windows under their own audio
from the same lips under other people's. The offset between audio and video of a file is unknown, so two steps take
turns: fitting, and shifting each talker's audio to its most likely offset. People with many windows are weighted by
the square root of their number.
"""

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from pipelines.extraction.active_speaker import lip_sync
from pipelines.extraction.active_speaker.lip_sync import MARGIN, OFFSETS
from pipelines.extraction.candidates import VideoAnalysis
from pipelines.extraction.config import ExtractionConfig
from pipelines.extraction.pipeline import KeepAnalysis, extract

WINDOW, HOP, SHORTEST = 75, 25, 33  # frames
OTHERS = 6  # windows under other audio for each window under its own
RIDGE, ROUNDS, FOLDS = 0.03, 3, 6
NO_OFFSET = len(OFFSETS) // 2
OFFSET_TRUST = 2.0  # weight of the correlations of a window against the prior of the offset
PRIOR = np.exp(-0.5 * (OFFSETS / lip_sync.OFFSET_SPREAD) ** 2)
PRIOR /= PRIOR.sum()


@dataclass(frozen=True)
class Talker:
    """One face while it speaks, and the audio at that time."""

    person: str
    features: np.ndarray  # (frames, 26), see `lip_sync.lip_features`
    loudness: np.ndarray  # (MARGIN + frames + MARGIN, bands)
    speakers: frozenset[str]  # everybody who speaks in the video


@dataclass(frozen=True)
class Coefficients:
    """The coefficients of `lip_sync`."""

    prediction: np.ndarray  # (26, bands)
    weights: np.ndarray  # (bands,)
    intercept: float
    calibration: tuple[float, float]  # slope and intercept, after the average over offsets


def read_talkers(folder: Path, people: dict[str, str], config: ExtractionConfig) -> list[Talker]:
    """Returns everybody who speaks in view in the videos of a corpus."""
    talkers = []
    videos = [video for video in json.loads((folder / "truth.json").read_text())["videos"] if video["speaking"]]
    for number, video in enumerate(videos, start=1):
        print(f"{folder}: video {number} of {len(videos)}", file=sys.stderr, flush=True)
        kept = KeepAnalysis()
        extract(folder / video["file"], config, kept)
        if kept.analysis is None:
            continue
        speakers = frozenset(people.get(s["source"], s["source"]) for s in video["speaking"])
        for spoken in video["speaking"]:
            person = people.get(spoken["source"], spoken["source"])
            talkers += _talkers(kept.analysis, spoken, person, speakers)
    return talkers


def _talkers(analysis: VideoAnalysis, spoken: dict, person: str, speakers: frozenset[str]) -> list[Talker]:
    found = []
    x0, y0, x1, y1 = spoken["box"]
    for track in analysis.tracks:
        left, top, right, bottom = np.median(track.boxes, axis=0) / np.array([*track.size, *track.size])
        inside = x0 <= (left + right) / 2 <= x1 and y0 <= (top + bottom) / 2 <= y1
        first = max(track.first, round(spoken["start_s"] * lip_sync.RATE_HZ))
        end = min(track.end, round(spoken["end_s"] * lip_sync.RATE_HZ))
        if inside and end - first >= SHORTEST:
            rows = slice(first - track.first, end - track.first)
            loudness = lip_sync.band_loudness(analysis.audio, track.first, track.end)
            loudness = loudness[rows.start : rows.stop + 2 * MARGIN]
            found.append(Talker(person, lip_sync.lip_features(track)[rows], loudness, speakers))
    return found


def fit(talkers: Sequence[Talker]) -> Coefficients:
    """Returns the coefficients fitted on these talkers."""
    counts = Counter(talker.person for talker in talkers)
    weights = [counts[talker.person] ** -0.5 for talker in talkers]
    offsets = [NO_OFFSET] * len(talkers)
    for _ in range(ROUNDS):
        prediction = _regress(talkers, offsets, weights)
        offsets = [_likeliest_offset(talker, prediction) for talker in talkers]
    windows, own, whose = cut_windows(talkers, prediction)
    at = np.where(own, np.array(offsets)[whose], NO_OFFSET)
    sample_weight = np.array(weights)[whose]
    model = LogisticRegression(C=10, class_weight="balanced")
    model.fit(windows[np.arange(len(windows)), at], own, sample_weight=sample_weight)
    raw = _averaged(windows, model.coef_[0], float(model.intercept_[0]))
    # Averaging over offsets favours the best of several; one more regression calibrates the ratio.
    right = LogisticRegression(C=100, class_weight="balanced").fit(raw[:, None], own, sample_weight=sample_weight)
    calibration = float(right.coef_[0, 0]), float(right.intercept_[0])
    return Coefficients(prediction, model.coef_[0], float(model.intercept_[0]), calibration)


def _regress(talkers: Sequence[Talker], offsets: Sequence[int], weights: Sequence[float]) -> np.ndarray:
    squares, products = 0.0, 0.0
    for talker, offset, weight in zip(talkers, offsets, weights, strict=True):
        x, start = talker.features, MARGIN + OFFSETS[offset]
        y = talker.loudness[start : start + len(x)]
        y = (y - y.mean(0)) / (y.std(0) + 1e-9)
        squares, products = squares + weight * x.T @ x, products + weight * x.T @ y
    return np.linalg.solve(squares + RIDGE * np.trace(squares) / len(squares) * np.eye(len(squares)), products)


def _likeliest_offset(talker: Talker, prediction: np.ndarray) -> int:
    sure = lip_sync.window_correlations(talker.features @ prediction, talker.loudness).sum(1)
    return int(np.argmax(OFFSET_TRUST * len(talker.features) / WINDOW * sure + np.log(PRIOR)))


def cut_windows(talkers: Sequence[Talker], prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the windows of each talker under their own audio and under the audio of others.

    Returns:
        (windows, offsets, bands) correlations, (windows,) whether the audio is their own, (windows,) talker index.
    """
    rng, windows, own, whose = np.random.default_rng(1), [], [], []
    for i, talker in enumerate(talkers):
        predicted = talker.features @ prediction
        for start in range(0, max(1, len(predicted) - WINDOW + 1), HOP):
            lips = predicted[start : start + WINDOW]
            span = len(lips) + 2 * MARGIN
            loudnesses = [talker.loudness[start : start + span]]
            others = [t for t in talkers if talker.person not in t.speakers and len(t.loudness) >= span]
            for j in rng.integers(len(others), size=OTHERS):
                at = rng.integers(len(others[j].loudness) - span + 1)
                loudnesses.append(others[j].loudness[at : at + span])
            windows += [lip_sync.window_correlations(lips, loudness) for loudness in loudnesses]
            own += [True] + [False] * OTHERS
            whose += [i] * len(loudnesses)
    return np.array(windows), np.array(own), np.array(whose)


def _averaged(windows: np.ndarray, weights: np.ndarray, intercept: float) -> np.ndarray:
    return np.log(np.exp(windows @ weights + intercept) @ PRIOR)


def cross_validated(talkers: Sequence[Talker]) -> float:
    """Returns the area under the ROC curve of single windows, of people outside the fit."""
    scores, labels = [], []
    people = [talker.person for talker in talkers]
    for fitted_to, held_out in GroupKFold(FOLDS).split(people, groups=people):
        fitted = fit([talkers[i] for i in fitted_to])
        windows, own, _ = cut_windows([talkers[i] for i in held_out], fitted.prediction)
        scores.append(_averaged(windows, fitted.weights, fitted.intercept))
        labels.append(own)
    return float(roc_auc_score(np.concatenate(labels), np.concatenate(scores)))


def main() -> None:
    """Reads the corpora, cross-validates, fits and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", type=Path, nargs="+")
    parser.add_argument("--identities", type=Path)
    given = parser.parse_args()
    rows = list(csv.DictReader(given.identities.open())) if given.identities else []
    people = {row["file"]: row["identity"] for row in rows}
    talkers = [t for folder in given.corpora for t in read_talkers(folder, people, ExtractionConfig())]
    print(f"{len(talkers)} talkers, {len({t.person for t in talkers})} people")
    print(f"held-out AUC of a window {cross_validated(talkers):.3f}")
    fitted = fit(talkers)
    print(f"INTERCEPT, CALIBRATION = {fitted.intercept:.2f}, {tuple(round(v, 2) for v in fitted.calibration)}")
    for name, values, digits in ("WEIGHTS", fitted.weights, 2), ("PREDICTION", fitted.prediction, 3):
        text = np.array2string(values, precision=digits, separator=", ", suppress_small=True, floatmode="fixed")
        print(f"{name} = np.array({text})")


if __name__ == "__main__":
    main()
