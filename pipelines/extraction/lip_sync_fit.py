"""Fit the coefficients of `lip_sync` on videos of people whose own voice is heard.

    python -m pipelines.extraction.lip_sync_fit CLIPS.csv

CLIPS.csv has the columns `file` (beside it), `identity` and `kind`; rows whose kind starts with "clean" are used.
Prints INTERCEPT and WEIGHTS, and the cross-validated area under the ROC curve of single windows.

Heard windows are told from the same lips under other identities' sound. Where a file's sound is early or late is not
known, so fitting and shifting each file's sound to its most likely offset take turns. Sources with many windows count
by the square root of their number.
"""

import csv
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from pipelines.extraction import lip_sync
from pipelines.extraction.config import ExtractionConfig
from pipelines.extraction.decode import Decoder
from pipelines.extraction.faces import open_detector
from pipelines.extraction.probe import probe_media
from pipelines.extraction.shots import split_shots
from pipelines.extraction.tracks import TrackStatistics, follow_faces

WINDOW, HOP, SHORTEST = 75, 25, 33  # pictures
OTHERS = 4  # windows of other sound for each of the own
REGULARISATION, ROUNDS, FOLDS = 0.03, 3, 8
NO_OFFSET = len(lip_sync.OFFSETS) // 2
BELIEF = np.exp(-0.5 * (lip_sync.OFFSETS / lip_sync.OFFSET_SPREAD) ** 2)
BELIEF /= BELIEF.sum()


@dataclass(frozen=True)
class Talker:
    """The longest track of one file and the sound under it."""

    identity: str
    lips: np.ndarray  # (pictures, 2)
    loudness: np.ndarray  # (MARGIN + pictures + MARGIN, bands)


@dataclass(frozen=True)
class Window:
    """One window of one talker's lips under some sound."""

    talker: int
    own: bool
    correlations: np.ndarray  # (offsets, shifts * 2 * bands)


def read_talker(path: Path, identity: str, config: ExtractionConfig) -> Talker | None:
    """Returns the talker of a file, or None where no face stays long enough."""
    probe, rate_hz = probe_media(path, config.media), config.media.rate_hz
    with Decoder(path, probe, config.media) as decoder:
        shots = split_shots(decoder.pictures(), rate_hz, config.shots)
        detector = open_detector(config.tracks.detector)
        track = max(follow_faces(shots, detector, rate_hz, config.tracks, TrackStatistics()), key=len, default=())
        if len(track) < SHORTEST:
            return None
        loudness = lip_sync.band_loudness(decoder.sound, track.first, track.end)
    return Talker(identity, lip_sync.lip_signals(track), loudness)


def cut_windows(talkers: list[Talker]) -> list[Window]:
    """Returns every talker's windows under their own sound and under others'."""
    rng, windows, around = np.random.default_rng(1), [], 2 * lip_sync.MARGIN
    for i, talker in enumerate(talkers):
        for start in range(0, max(1, len(talker.lips) - WINDOW + 1), HOP):
            lips = talker.lips[start : start + WINDOW]
            pieces = [(True, talker.loudness[start : start + len(lips) + around])]
            others = [t for t in talkers if t.identity != talker.identity and len(t.lips) >= len(lips)]
            for j in rng.integers(len(others), size=OTHERS):
                at = rng.integers(len(others[j].lips) - len(lips) + 1)
                pieces.append((False, others[j].loudness[at : at + len(lips) + around]))
            for own, loudness in pieces:
                values = lip_sync.sync_correlations(lips, loudness, 0, len(lips))
                windows.append(Window(i, own, values.reshape(len(lip_sync.OFFSETS), -1)))
    return windows


def fit(windows: list[Window], talkers: list[Talker]) -> tuple[np.ndarray, float]:
    """Returns the coefficients, (shifts * 2 * bands,), and the intercept."""
    sources = [talkers[w.talker].identity.partition(":")[0] for w in windows]
    counts, own = Counter(sources), np.array([w.own for w in windows])
    weights = np.array([counts[source] ** -0.5 for source in sources])
    weights[own] *= weights[~own].sum() / weights[own].sum()
    offsets = dict.fromkeys((w.talker for w in windows), NO_OFFSET)
    for _ in range(ROUNDS):
        rows = np.array([w.correlations[offsets[w.talker] if w.own else NO_OFFSET] for w in windows])
        scale = rows.std(0)
        model = LogisticRegression(C=REGULARISATION, max_iter=3000)
        model.fit(rows / scale, own, sample_weight=weights / weights.mean())
        coefficients = model.coef_[0] / scale
        for talker in offsets:
            ratios = sum(w.correlations @ coefficients for w in windows if w.own and w.talker == talker)
            offsets[talker] = int(np.argmax(ratios + np.log(BELIEF)))
    return coefficients, float(model.intercept_[0])


def ratio(window: Window, coefficients: np.ndarray, intercept: float) -> float:
    """Returns a window's log-likelihood ratio, averaged over the offsets."""
    return float(np.log(np.exp(window.correlations @ coefficients + intercept) @ BELIEF))


def main(table: Path) -> None:
    """Reads, cross-validates, fits, prints."""
    config = ExtractionConfig()
    rows = [row for row in csv.DictReader(table.open()) if row["kind"].startswith("clean")]
    read = [read_talker(table.parent / row["file"], row["identity"], config) for row in rows]
    talkers = [talker for talker in read if talker]
    windows = cut_windows(talkers)
    groups = [talkers[w.talker].identity for w in windows]
    held_out = np.zeros(len(windows))
    for seen, unseen in GroupKFold(FOLDS).split(windows, groups=groups):
        fitted = fit([windows[i] for i in seen], talkers)
        held_out[unseen] = [ratio(windows[i], *fitted) for i in unseen]
    own = np.array([w.own for w in windows])
    # Averaging over offsets takes the best of several chances; one more regression puts the ratio right.
    shift = LogisticRegression(class_weight="balanced").fit(held_out[:, None], own).intercept_[0]
    coefficients, intercept = fit(windows, talkers)
    print(f"{len(talkers)} files, {own.sum()} windows, held-out AUC {roc_auc_score(own, held_out):.3f}")
    print(f"INTERCEPT = {intercept + shift:.1f}")
    shape = len(lip_sync.SHIFTS), 2, len(lip_sync.BANDS_HZ)
    print("WEIGHTS =", np.array2string(coefficients.reshape(shape), precision=1, separator=", ", suppress_small=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
