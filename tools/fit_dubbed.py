"""Fit the coefficients of `active_speaker/dubbed.py` on videos in which it is known who speaks when.

    python -m tools.fit_dubbed CORPUS... [--lr-asd WEIGHTS] [--identities CLIPS.csv]

A CORPUS is a folder with a truth.json, and CLIPS.csv names the identity of each source, as for tools/fit_lip_sync.py.
Each video with speaking faces is judged under its own audio and under the audio of OTHERS videos of other people; the
clips that active speaker detection keeps in either case are separated by a logistic regression. Prints the
coefficients, and how many dubbed clips pass at a loss of genuine ones, cross-validated over people.
"""

import argparse
import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines.extraction.active_speaker.base import Backend, active_speaker_scores, open_backend
from pipelines.extraction.active_speaker.dubbed import dubbing_features
from pipelines.extraction.candidates import VideoAnalysis, find_candidates
from pipelines.extraction.config import ExtractionConfig
from pipelines.extraction.filters import FILTERS, apply_filters
from pipelines.extraction.measures import sync_of
from pipelines.extraction.pipeline import KeepAnalysis, extract
from pipelines.extraction.speech.vad import find_speech
from vclip.config import load

OTHERS, FOLDS = 4, 8
LOSSES = (0.01, 0.02, 0.05, 0.1, 0.2)
NO_SWAP = ("turns", "split_mute")  # several faces: it is not known whose lips fit another's audio


@dataclass(frozen=True)
class Video:
    """A video with its truth."""

    scenario: str
    speaking: Sequence[dict]
    people: frozenset[str]
    analysis: VideoAnalysis


@dataclass(frozen=True)
class Example:
    """A clip that was kept."""

    features: np.ndarray
    dubbed: bool
    seconds: float
    person: str


def read_videos(folder: Path, identities: dict[str, str], config: ExtractionConfig) -> Iterator[Video]:
    """Yields the videos of a corpus in which faces were found."""
    for video in json.loads((folder / "truth.json").read_text())["videos"]:
        if not video["speaking"] and video["scenario"] != "dubbed":
            continue
        kept = KeepAnalysis()
        extract(folder / video["file"], config, kept)
        if kept.analysis:
            analysis = replace(kept.analysis, audio=np.array(kept.analysis.audio))
            people = frozenset(identities.get(one["source"], one["source"]) for one in video["speaking"])
            yield Video(video["scenario"], video["speaking"], people, analysis)


def examples(videos: Sequence[Video], backend: Backend, config: ExtractionConfig) -> Iterator[Example]:
    """Yields the kept clips of each video, and those of the same videos under the audio of others."""
    rng = np.random.default_rng(0)
    for video in videos:
        yield from _kept(video, video.analysis, video.scenario == "dubbed", backend, config)
        if video.scenario in NO_SWAP or not video.people:
            continue
        others = [one.analysis for one in videos if one.people and not one.people & video.people]
        for i in rng.choice(len(others), OTHERS, replace=False):
            audio = np.zeros_like(video.analysis.audio)
            length = min(len(audio), len(others[i].audio))
            audio[:length] = others[i].audio[:length]
            swapped = replace(video.analysis, audio=audio, speech=find_speech(audio, config.speech))
            yield from _kept(video, swapped, True, backend, config)


def _kept(
    video: Video, analysis: VideoAnalysis, dubbed: bool, backend: Backend, config: ExtractionConfig
) -> Iterator[Example]:
    scores = active_speaker_scores(
        analysis.tracks, analysis.audio, analysis.rate_hz, config.speaking, backend.evidence
    )
    analysis = replace(analysis, scores=tuple(scores))
    segments = apply_filters(
        find_candidates(analysis, config), [one for one in FILTERS if not one.on_crops], analysis, config
    )
    segments = [segment for segment in segments if not segment.drop]
    for segment, sync in zip(segments, sync_of(segments, analysis, config.speaking), strict=True):
        start_s, end_s = analysis.span_s(segment)
        x, y = (segment.box[0] + segment.box[2]) / 2, (segment.box[1] + segment.box[3]) / 2
        correct = [
            (min(end_s, one["end_s"]) - max(start_s, one["start_s"]), one["source"])
            for one in video.speaking
            if one["box"][0] <= x <= one["box"][2] and one["box"][1] <= y <= one["box"][3]
        ]
        longest_s, source = max(correct, default=(0.0, "unknown"))
        if dubbed or longest_s > 0.6 * (end_s - start_s):
            person = next(iter(video.people)) if len(video.people) == 1 else source
            yield Example(dubbing_features(segment, analysis, sync), dubbed, end_s - start_s, person)


def passed_at_loss(genuine: np.ndarray, seconds: np.ndarray, dubbed: np.ndarray, loss: float) -> float:
    """Returns the share of dubbed clips below the threshold that drops a share `loss` of the genuine seconds."""
    order = np.argsort(-genuine)
    threshold = genuine[order][np.searchsorted(np.cumsum(seconds[order]), loss * seconds.sum())]
    return float((dubbed <= threshold).mean())


def main() -> None:
    """Reads the corpora, cross-validates, fits and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", type=Path, nargs="+")
    parser.add_argument("--lr-asd", default="")
    parser.add_argument("--identities", type=Path)
    given = parser.parse_args()
    config = load(ExtractionConfig, None, [f"speaking.lr_asd={given.lr_asd}"] if given.lr_asd else [])
    rows = list(csv.DictReader(given.identities.open())) if given.identities else []
    identities = {row["file"]: row["identity"] for row in rows}
    videos = [video for folder in given.corpora for video in read_videos(folder, identities, config)]
    found = list(examples(videos, open_backend(config.speaking), config))
    x, dubbed = np.array([one.features for one in found]), np.array([one.dubbed for one in found])
    seconds, people = np.array([one.seconds for one in found]), [one.person for one in found]
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    folds = GroupKFold(FOLDS)
    score = np.asarray(cross_val_predict(model, x, dubbed, groups=people, cv=folds, method="predict_proba"))[:, 1]
    print(
        f"{(~dubbed).sum()} genuine and {dubbed.sum()} dubbed clips; held-out AUC {roc_auc_score(dubbed, score):.3f}"
    )
    for loss in LOSSES:
        passed = passed_at_loss(score[~dubbed], seconds[~dubbed], score[dubbed], loss)
        print(f"loss {loss:.2f} of the genuine seconds: {passed:.2f} of the dubbed clips pass")
    scale, fitted = model.fit(x, dubbed).named_steps.values()
    weights = fitted.coef_[0] / scale.scale_
    intercept = fitted.intercept_[0] - weights @ scale.mean_
    print(f"WEIGHTS, INTERCEPT = np.array({weights.round(2).tolist()}), {intercept:.2f}")


if __name__ == "__main__":
    main()
