"""Precision and recall of extraction on videos in which the active speaker of each moment is known.

    python benchmarks/extraction.py CORPUS... [--lr-asd WEIGHTS] [--set speaking.threshold=0.6] [--curve IMAGE]
        [--dubbed IMAGE]

A CORPUS is a folder with a truth.json, as ../shared/tools/noisy_corpus.py makes it; the benchmark adds an
extracted.json for ../shared/tools/score_extraction.py. Time counts as correct where the box is on the face that
speaks at that moment. If a clip touches several turns of speech, only the longest counts. Prints a table by scenario;
--curve draws precision and recall over the threshold; --dubbed draws how many dubbed videos pass over the recall that
is lost where clips above a threshold of `dubbed` are left out.
"""

import argparse
import json
import os
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from pipelines.extraction import ExtractionConfig, extract
from pipelines.extraction.candidates import find_candidates
from pipelines.extraction.pipeline import KeepAnalysis
from pipelines.html.charts import ACCENT
from pipelines.html.plots import new_axes, save
from pipelines.progress import step
from vclip.config import load

THRESHOLDS = np.round(np.arange(0.05, 1.0, 0.05), 2).tolist()
HARDEST = "dubbed"  # a talking face under another's voice; given apart
LOSSES = (0, 0.01, 0.02, 0.05, 0.1, 0.2)  # of recall, where clips are left out that are probably dubbed


def extract_one(path, config):
    """Returns the clips as (start_s, end_s, box, dubbed), and those at each threshold before the quality filters."""
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    kept = KeepAnalysis()
    found = extract(path, config, kept)
    clips = [(clip.start_s, clip.end_s, clip.box, clip.measures.dubbed) for clip in found.clips]
    curve = {}
    for threshold in THRESHOLDS if kept.analysis else ():
        at = config.model_copy(update={"speaking": config.speaking.model_copy(update={"threshold": threshold})})
        segments = [one for one in find_candidates(kept.analysis, at) if not one.drop]
        curve[threshold] = [
            (one.first / kept.analysis.rate_hz, one.end / kept.analysis.rate_hz, one.box) for one in segments
        ]
    return clips, curve


def judge(speaking, clips):
    """Returns the (correct, extracted, found, expected) seconds of one video."""
    right, taken, hits = 0.0, 0.0, defaultdict(list)
    for start, end, box, *_ in clips:
        taken += end - start
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        shared = [
            (min(end, s["end_s"]) - max(start, s["start_s"]), i)
            for i, s in enumerate(speaking)
            if s["box"][0] <= x <= s["box"][2] and s["box"][1] <= y <= s["box"][3]
        ]
        best, i = max(shared, default=(0.0, -1))
        if best > 0:
            right += best
            hits[i].append((max(start, speaking[i]["start_s"]), min(end, speaking[i]["end_s"])))
    found = 0.0
    for spans in hits.values():
        reached = 0.0
        for start, end in sorted(spans):
            found += max(0.0, end - max(start, reached))
            reached = max(reached, end)
    return np.array([right, taken, found, sum(s["end_s"] - s["start_s"] for s in speaking)])


def ratios(sums):
    right, taken, found, wanted = sums
    return right / taken if taken else float("nan"), found / wanted if wanted else float("nan")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", type=Path, nargs="+")
    parser.add_argument("--lr-asd", default="", help="LR-ASD's weights (default: lip motion alone)")
    parser.add_argument("--set", action="append", default=[], help="a key of the extraction's configuration")
    parser.add_argument("--curve", type=Path, help="image of the precision-recall curve to write")
    parser.add_argument("--dubbed", type=Path, help="image of the curve of dubbed videos to write")
    parser.add_argument("--json", type=Path, help="all figures")
    given = parser.parse_args()
    weights = [f"speaking.lr_asd={given.lr_asd}"] if given.lr_asd else []
    config = load(ExtractionConfig, None, [*weights, *given.set])

    videos = [
        (folder, v) for folder in given.corpora for v in json.loads((folder / "truth.json").read_text())["videos"]
    ]
    sums = defaultdict(lambda: np.zeros(4))
    clip_counts, video_counts, hit_counts = Counter(), Counter(), Counter()
    curve = {threshold: np.zeros(4) for threshold in THRESHOLDS}
    extracted = defaultdict(list)
    with ProcessPoolExecutor(os.cpu_count()) as pool, step("extract", len(videos), "videos") as progress:
        jobs = [pool.submit(extract_one, folder / v["file"], config) for folder, v in videos]
        for (folder, video), job in zip(videos, jobs, strict=True):
            clips, at = job.result()
            kind = video["scenario"]
            video_counts[kind] += 1
            hit_counts[kind] += bool(clips)
            clip_counts[kind] += len(clips)
            sums[kind] += judge(video["speaking"], clips)
            extracted[folder] += [
                {"file": video["file"], "start_s": a, "end_s": b, "box": box, "dubbed": dubbed}
                for a, b, box, dubbed in clips
            ]
            if kind != HARDEST:
                for threshold in THRESHOLDS:
                    curve[threshold] += judge(video["speaking"], at.get(threshold, []))
            progress.advance()
    for folder, rows in extracted.items():
        (folder / "extracted.json").write_text(json.dumps(rows))
    table = {}
    for kind in sorted(sums):
        table[kind] = {"videos": video_counts[kind], "with_clips": hit_counts[kind], "clips": clip_counts[kind]}
        table[kind] |= dict(zip(("precision", "recall"), ratios(sums[kind]), strict=True))
    apart = sum(v for k, v in sums.items() if k != HARDEST)
    table[f"all but {HARDEST}"] = dict(zip(("precision", "recall"), ratios(apart), strict=True))
    table["all"] = dict(zip(("precision", "recall"), ratios(sum(sums.values())), strict=True))
    for kind, row in table.items():
        counts = f"{row['with_clips']:3d} of {row['videos']:3d} videos" if "videos" in row else ""
        print(f"{kind:16s} precision {row['precision']:.3f}  recall {row['recall']:.3f}  {counts}")
    truth = {folder / video["file"]: video for folder, video in videos}
    found = {folder / row["file"]: [] for folder, rows in extracted.items() for row in rows}
    for folder, rows in extracted.items():
        for row in rows:
            found[folder / row["file"]].append((row["start_s"], row["end_s"], row["box"], row["dubbed"]))
    passing = dubbed_curve(truth, found)
    for lost, point in at_losses(passing):
        print(
            f"dubbed <= {point['threshold']:.3f}: recall {point['recall']:.3f} (lost: at most {lost}), dubbed videos "
            f"that pass: {point['passed']} of {video_counts[HARDEST]}"
        )
    points = {str(threshold): ratios(sums_) for threshold, sums_ in curve.items()}
    if given.json:
        given.json.write_text(json.dumps({"table": table, "curve": points, "dubbed": passing}, indent=1))
    if given.curve:
        draw(points, config.speaking.threshold, given.curve)
    if given.dubbed:
        draw_dubbed(passing, video_counts[HARDEST], given.dubbed)


def dubbed_curve(truth, found):
    """Returns, for each threshold of `dubbed`, the recall of the clips below and how many dubbed videos have some."""
    points = []
    for threshold in sorted({1.0, *(clip[3] for clips in found.values() for clip in clips if clip[3] is not None)}):
        sums, passed = np.zeros(4), 0
        for path, video in truth.items():
            left = [clip for clip in found.get(path, []) if (clip[3] or 0.0) <= threshold]
            if video["scenario"] == HARDEST:
                passed += bool(left)
            else:
                sums += judge(video["speaking"], left)
        points.append({"threshold": threshold, "recall": ratios(sums)[1], "passed": passed})
    return points


def at_losses(points):
    """Returns (loss of recall, the point with the fewest dubbed videos at that loss)."""
    full = points[-1]["recall"]
    return [
        (loss, min((p for p in points if p["recall"] >= full - loss), key=lambda p: (p["passed"], -p["recall"])))
        for loss in LOSSES
    ]


def draw_dubbed(points, count, path):
    figure, axes = new_axes("recall lost", f"dubbed videos that pass, of {count}", (5, 4))
    full = points[-1]["recall"]
    lost, passed = [full - p["recall"] for p in points], [p["passed"] for p in points]
    axes.step(lost, passed, where="post", color=ACCENT, linewidth=2)
    axes.set(xlim=(0, 0.3), ylim=(0, count))
    save(figure, path)


def draw(points, threshold, path):
    figure, axes = new_axes("recall", "precision", (5, 4))
    precision, recall = zip(*points.values(), strict=True)
    axes.plot(recall, precision, marker=".", color=ACCENT, linewidth=2)
    for key in points:
        if float(key) in (0.2, 0.35, threshold, 0.65, 0.8):
            name = f"threshold {key}" if float(key) == threshold else key
            axes.annotate(name, (points[key][1], points[key][0]), textcoords="offset points", xytext=(5, 5))
    save(figure, path)


if __name__ == "__main__":
    main()
