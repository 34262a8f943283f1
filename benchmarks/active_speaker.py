"""Precision and recall of active-speaker detection for people whom its coefficients do not know.

    python -m benchmarks.active_speaker CORPUS... [--lr-asd WEIGHTS] [--identities CLIPS.csv]

A CORPUS and CLIPS.csv are those of tools/fit_lip_sync.py. People are dealt into folds; the lips of each video are
judged with coefficients that were fitted without the folds of the people who speak in it. Prints, for each
threshold, the precision and recall of all but dubbed videos before the filters that need crops, and how many dubbed
videos pass.
"""

import argparse
import csv
import json
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks.extraction import HARDEST, judge, ratios
from pipelines.extraction import ExtractionConfig
from pipelines.extraction.active_speaker import lip_sync
from pipelines.extraction.active_speaker.base import active_speaker_scores, open_backend
from pipelines.extraction.candidates import VideoAnalysis, find_candidates
from pipelines.extraction.filters import FILTERS, apply_filters
from pipelines.extraction.pipeline import KeepAnalysis, extract
from pipelines.progress import step
from tools.fit_lip_sync import Talker, fit, talkers_of
from vclip.config import load

FOLDS, MOST_FOLDS = 6, 2  # videos with people of more folds are left out
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


@dataclass(frozen=True)
class Video:
    """A video with its truth."""

    scenario: str
    speaking: list[dict]
    people: frozenset[str]
    analysis: VideoAnalysis
    talkers: list[Talker]


def read_videos(folders, identities, config):
    """Returns the videos of the corpora in which faces were found."""
    listed = [
        (folder, one) for folder in folders for one in json.loads((folder / "truth.json").read_text())["videos"]
    ]
    found = []
    with step("extract", len(listed), "videos") as progress:
        for folder, truth in listed:
            kept = KeepAnalysis()
            extract(folder / truth["file"], config, kept)
            progress.advance()
            if kept.analysis:
                analysis = replace(kept.analysis, audio=np.array(kept.analysis.audio))
                people = frozenset(identities.get(one["source"], one["source"]) for one in truth["speaking"])
                talkers = talkers_of(analysis, truth["speaking"], identities)
                found.append(Video(truth["scenario"], truth["speaking"], people, analysis, talkers))
    return found


def clips_of(video, evidence, config):
    """Returns (start_s, end_s, box) of what is kept at each threshold."""
    analysis, kept = video.analysis, {}
    scores = active_speaker_scores(analysis.tracks, analysis.audio, analysis.rate_hz, config.speaking, evidence)
    analysis = replace(analysis, scores=tuple(scores))
    for threshold in THRESHOLDS:
        at = config.model_copy(update={"speaking": config.speaking.model_copy(update={"threshold": threshold})})
        segments = find_candidates(analysis, at)
        segments = apply_filters(segments, [one for one in FILTERS if not one.on_crops], analysis, at)
        kept[threshold] = [(*analysis.span_s(one), one.box) for one in segments if not one.drop]
    return kept


def held_out(videos, config):
    """Prints the table."""
    people = sorted({talker.person for video in videos for talker in video.talkers})
    np.random.default_rng(3).shuffle(people)
    fold = {person: i % FOLDS for i, person in enumerate(people)}
    evidence, fitted = open_backend(config.speaking).evidence, {}
    sums, passed, judged = defaultdict(lambda: np.zeros(4)), defaultdict(int), defaultdict(int)
    with step("judge", len(videos), "videos") as progress:
        for number, video in enumerate(videos):
            progress.advance()
            out = frozenset(fold[one] for one in video.people if one in fold) or frozenset({number % FOLDS})
            if len(out) > MOST_FOLDS:
                continue
            if out not in fitted:
                fitted[out] = fit([one for each in videos for one in each.talkers if fold[one.person] not in out])
            with mock.patch.object(lip_sync, "coefficients", lambda chosen=fitted[out]: chosen):
                kept = clips_of(video, evidence, config)
            judged[video.scenario == HARDEST] += 1
            for threshold, clips in kept.items():
                if video.scenario == HARDEST:
                    passed[threshold] += bool(clips)
                else:
                    sums[threshold] += judge(video.speaking, clips)
    print(f"{len(people)} people, {judged[False]} videos and {judged[True]} dubbed ones")
    for threshold in THRESHOLDS:
        precision, recall = ratios(sums[threshold])
        print(f"threshold {threshold}: precision {precision:.3f}, recall {recall:.3f}, dubbed {passed[threshold]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", type=Path, nargs="+")
    parser.add_argument("--lr-asd", default="")
    parser.add_argument("--identities", type=Path)
    given = parser.parse_args()
    config = load(ExtractionConfig, None, [f"speaking.lr_asd={given.lr_asd}"] if given.lr_asd else [])
    rows = list(csv.DictReader(given.identities.open())) if given.identities else []
    held_out(read_videos(given.corpora, {row["file"]: row["identity"] for row in rows}, config), config)


if __name__ == "__main__":
    main()
