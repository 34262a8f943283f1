"""Fit the coefficients of lip sync on videos in which it is known who speaks when.

    python -m tools.fit_lip_sync CORPUS... [--identities CLIPS.csv]

A CORPUS is a folder with a truth.json: {"videos": [{"file", "speaking": [{"start_s", "end_s", "source", "box"}]}]}.
CLIPS.csv names the identity of each source (columns `file`, `identity`); without it each source is one person.
Writes the coefficients to `pipelines/extraction/active_speaker/lip_sync.safetensors`, and prints the area under the
ROC curve of single windows, cross-validated over people.

First come the canonical coordinates of lips and audio, with shrunk covariances. Then a classifier separates windows
under their own audio from the same lips under other people's. The offset between audio and video of a file is
unknown, so two steps take turns: fitting the coordinates, and shifting each talker's audio to its most likely offset.
People with many windows are weighted by the square root of their number.
"""

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import save_file
from scipy.linalg import solve_triangular
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from pipelines.extraction.active_speaker import lip_sync
from pipelines.extraction.active_speaker.lip_sync import COEFFICIENTS, MARGIN, OFFSETS, Coefficients
from pipelines.extraction.candidates import VideoAnalysis
from pipelines.extraction.config import ExtractionConfig
from pipelines.extraction.pipeline import KeepAnalysis, extract

WINDOW, HOP, SHORTEST = 75, 25, 33  # frames
OTHERS = 6  # windows under other audio for each window under its own
COORDINATES, SHRINKAGE, ROUNDS, FOLDS = 6, 0.1, 3, 6
NO_OFFSET = len(OFFSETS) // 2
OFFSET_TRUST = 3.0  # weight of the evidence of a window against the prior of the offset
PRIOR = np.exp(-0.5 * (OFFSETS / lip_sync.OFFSET_SPREAD) ** 2)
PRIOR /= PRIOR.sum()


@dataclass(frozen=True)
class Talker:
    """One face while it speaks, and the audio at that time."""

    person: str
    lips: np.ndarray  # (frames, 52), see `lip_sync.lip_features`
    audio: np.ndarray  # (MARGIN + frames + MARGIN, 24), see `lip_sync.audio_features`
    side_px: float  # of the face
    speakers: frozenset[str]  # everybody who speaks in the video


class Canonical(NamedTuple):
    """Maps onto canonical coordinates, and what these correlate by."""

    lips: np.ndarray  # (52, coordinates)
    audio: np.ndarray  # (24, coordinates)
    correlation: np.ndarray  # (coordinates,)


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
        talkers += talkers_of(kept.analysis, video["speaking"], people)
    return talkers


def talkers_of(analysis: VideoAnalysis, speaking: Sequence[dict], people: dict[str, str]) -> list[Talker]:
    """Returns everybody who speaks in view in one video.

    Args:
        analysis: of the video.
        speaking: the truth, {"start_s", "end_s", "source", "box"} of each turn.
        people: identity of each source; a source that is not in it is a person of its own.
    """
    speakers = frozenset(people.get(turn["source"], turn["source"]) for turn in speaking)
    return [talker for turn in speaking for talker in _talkers(analysis, turn, people, speakers)]


def _talkers(
    analysis: VideoAnalysis, turn: dict, people: dict[str, str], speakers: frozenset[str]
) -> Iterator[Talker]:
    person = people.get(turn["source"], turn["source"])
    x0, y0, x1, y1 = turn["box"]
    for track in analysis.tracks:
        left, top, right, bottom = np.median(track.boxes, axis=0) / np.array([*track.size, *track.size])
        inside = x0 <= (left + right) / 2 <= x1 and y0 <= (top + bottom) / 2 <= y1
        first = max(track.first, round(turn["start_s"] * lip_sync.RATE_HZ))
        end = min(track.end, round(turn["end_s"] * lip_sync.RATE_HZ))
        if inside and end - first >= SHORTEST:
            rows = slice(first - track.first, end - track.first)
            audio = lip_sync.audio_features(analysis.audio, track.first, track.end)
            audio = audio[rows.start : rows.stop + 2 * MARGIN]
            lips = lip_sync.lip_features(track)[rows]
            yield Talker(person, lips, audio, lip_sync.face_px(track), speakers)


def fit(talkers: Sequence[Talker]) -> Coefficients:
    """Returns the coefficients fitted on these talkers."""
    counts = Counter(talker.person for talker in talkers)
    weights = [counts[talker.person] ** -0.5 for talker in talkers]
    offsets = [NO_OFFSET] * len(talkers)
    for _ in range(ROUNDS):
        maps = _canonical(talkers, offsets, weights)
        offsets = [_likeliest_offset(talker, maps) for talker in talkers]
    windows, conditions, own, whose = cut_windows(talkers, maps.lips, maps.audio)
    at = np.where(own, np.array(offsets)[whose], NO_OFFSET)
    sample_weight = np.array(weights)[whose]
    model = LogisticRegression(C=10, class_weight="balanced")
    aligned = np.column_stack([windows[np.arange(len(windows)), at], conditions])
    model.fit(aligned, own, sample_weight=sample_weight)
    of_coordinates, of_conditions = np.split(model.coef_[0], [COORDINATES])
    intercept = float(model.intercept_[0])
    raw = _averaged(windows, conditions, of_coordinates, of_conditions, intercept)
    # Averaging over offsets favours the best of several; one more regression calibrates the ratio.
    right = LogisticRegression(C=100, class_weight="balanced").fit(raw[:, None], own, sample_weight=sample_weight)
    calibration = float(right.coef_[0, 0]), float(right.intercept_[0])
    return Coefficients(maps.lips, maps.audio, of_coordinates, of_conditions, intercept, calibration)


def _canonical(talkers: Sequence[Talker], offsets: Sequence[int], weights: Sequence[float]) -> Canonical:
    lips, audio, both = 0.0, 0.0, 0.0
    for talker, offset, weight in zip(talkers, offsets, weights, strict=True):
        start = MARGIN + OFFSETS[offset]
        x, y = (rows - rows.mean(0) for rows in (talker.lips, talker.audio[start : start + len(talker.lips)]))
        lips, audio, both = lips + weight * x.T @ x, audio + weight * y.T @ y, both + weight * x.T @ y
    roots = [np.linalg.cholesky(_shrunk(square)) for square in (lips, audio)]
    half = solve_triangular(roots[0], both, lower=True)
    left, correlation, right = np.linalg.svd(solve_triangular(roots[1], half.T, lower=True).T)
    k = COORDINATES
    return Canonical(
        solve_triangular(roots[0].T, left[:, :k]), solve_triangular(roots[1].T, right[:k].T), correlation[:k]
    )


def _shrunk(square: np.ndarray) -> np.ndarray:
    return square + SHRINKAGE * np.trace(square) / len(square) * np.eye(len(square))


def _likeliest_offset(talker: Talker, maps: Canonical) -> int:
    correlations = lip_sync.window_correlations(talker.lips @ maps.lips, talker.audio @ maps.audio)
    evidence = correlations @ (maps.correlation / (1 - maps.correlation**2))
    return int(np.argmax(OFFSET_TRUST * len(talker.lips) / WINDOW * evidence + np.log(PRIOR)))


def cut_windows(
    talkers: Sequence[Talker], lips: np.ndarray, audio: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns the windows of each talker under their own audio and under the audio of others.

    Args:
        talkers: who speaks.
        lips, audio: maps onto canonical coordinates, (52, coordinates) and (24, coordinates).

    Returns:
        (windows, offsets, coordinates) correlations, (windows, 2) conditions, (windows,) whether the audio is
        their own, (windows,) talker index.
    """
    rng, windows, conditions, own, whose = np.random.default_rng(1), [], [], [], []
    of_audio = [talker.audio @ audio for talker in talkers]
    for i, talker in enumerate(talkers):
        of_lips = talker.lips @ lips
        for start in range(0, max(1, len(of_lips) - WINDOW + 1), HOP):
            window = of_lips[start : start + WINDOW]
            span = len(window) + 2 * MARGIN
            heard = [of_audio[i][start : start + span]]
            others = [j for j, t in enumerate(talkers) if talker.person not in t.speakers and len(t.audio) >= span]
            for j in rng.choice(others, size=OTHERS):
                at = rng.integers(len(of_audio[j]) - span + 1)
                heard.append(of_audio[j][at : at + span])
            windows += [lip_sync.window_correlations(window, one) for one in heard]
            conditions += [lip_sync.window_conditions(one, talker.side_px) for one in heard]
            own += [True] + [False] * OTHERS
            whose += [i] * len(heard)
    return np.array(windows), np.array(conditions), np.array(own), np.array(whose)


def _averaged(
    windows: np.ndarray, conditions: np.ndarray, weights: np.ndarray, of_conditions: np.ndarray, intercept: float
) -> np.ndarray:
    return np.log(np.exp(windows @ weights + (conditions @ of_conditions + intercept)[:, None]) @ PRIOR)


def cross_validated(talkers: Sequence[Talker]) -> float:
    """Returns the area under the ROC curve of single windows, of people outside the fit."""
    scores, labels = [], []
    people = [talker.person for talker in talkers]
    for fitted_to, held_out in GroupKFold(FOLDS).split(people, groups=people):
        fitted = fit([talkers[i] for i in fitted_to])
        windows, conditions, own, _ = cut_windows([talkers[i] for i in held_out], fitted.lips, fitted.audio)
        scores.append(_averaged(windows, conditions, fitted.weights, fitted.conditions, fitted.intercept))
        labels.append(own)
    return float(roc_auc_score(np.concatenate(labels), np.concatenate(scores)))


def main() -> None:
    """Reads the corpora, cross-validates, fits and writes."""
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
    save_file(
        {name: np.array(value, np.float32, order="C") for name, value in fitted._asdict().items()}, COEFFICIENTS
    )
    print(f"wrote {COEFFICIENTS}")


if __name__ == "__main__":
    main()
