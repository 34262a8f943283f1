"""`vclip quickstart`: the whole way once, on a sample that the project makes or on the user's own videos.

sample -> ingest -> train (cross-validated) -> evaluate -> fit-speakers -> distill -> generate -> index.html
"""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.association.train import cross_validated, read_pairs, train
from pipelines.config import Config
from pipelines.extraction.faces.detectors import open_detector
from pipelines.generation.distill import distill
from pipelines.generation.faces import read_photo_faces
from pipelines.generation.fit_speakers import fit_speakers
from pipelines.generation.generate import generate
from pipelines.html.plots import plot_folds
from pipelines.ingest.sources.listing import list_videos
from pipelines.ingest.videos import ingest_videos
from pipelines.progress import say, step
from pipelines.quickstart.page import write_page
from pipelines.quickstart.sample import make_sample
from stores import Store
from vclip.errors import InputError
from vclip.speakers.generator import MIN_SPEAKERS
from vclip.speakers.signature import SignatureConfig

TEXTS = ("Hello, nice to meet you. This is how I imagine your voice.",)
SAMPLE_PEOPLE = 40
FOLDS = 5
MIN_PEOPLE = 8  # each fold must leave enough to train on and to stop by
VOICES = 3
MARK = ".vclip-quickstart"  # in a folder that may be cleared
# Enough for a first impression in minutes; the defaults of `distill` are for real use.
QUICK_SIGNATURE = SignatureConfig(speakers=200, sentences=2, predicted=10_000)


@dataclass
class Diary:
    """What each step did and how long it took."""

    steps: list[dict[str, Any]] = field(default_factory=list)

    def run(self, title: str, work: Callable[[], Any], tell: Callable[[Any], str]) -> Any:
        say(f"\n== {title}")
        started_s = time.monotonic()
        result = work()
        entry = {"step": title, "result": tell(result), "seconds": time.monotonic() - started_s}
        self.steps.append(entry)
        say(f"   {entry['result']}")
        return result


def quickstart(out: Path, videos: Path | None, face: Path | None, config: Config) -> None:
    """Runs every job once, writes everything to `out`, and ends with a table and `out`/index.html.

    Args:
        out: the folder; what an earlier quickstart left in it is replaced.
        videos: the user's videos; the synthetic sample where None.
        face: the user's photo; one of the sample where None.
        config: the resolved configuration.

    Raises:
        InputError: the inputs cannot be used.
    """
    if videos and not face:
        raise InputError("quickstart: found --videos without --face; give a photo to speak for as well")
    if videos:
        list_videos([videos])
        if videos.resolve().is_relative_to(out.resolve()):
            raise InputError(f"--out {out}: found the videos in it, expected another folder; it is cleared first")
    if face:
        if face.resolve().is_relative_to(out.resolve()):
            raise InputError(f"--out {out}: found the photo in it, expected another folder; it is cleared first")
        read_photo_faces([face], open_detector(config.extraction.tracks.detector), None)
    _clear(out)
    diary, labels, synthetic = Diary(), None, videos is None
    if videos is None:
        videos, photo = diary.run("sample", lambda: _sample(out / "videos"), lambda _: _SAMPLE_NOTE)
        labels, face = videos / "labels.csv", face or photo
    if config.signature == SignatureConfig():
        config = config.model_copy(update={"signature": QUICK_SIGNATURE})
    store, model, speakers = str(out / "store"), out / "model", out / "speakers"
    summary = diary.run("ingest", lambda: ingest_videos([videos], store, config, labels), _tell_ingest)
    metrics = diary.run("train", lambda: train(store, model, config), _tell_train)
    evaluation = diary.run("evaluate", lambda: _evaluate(store, out / "evaluation", config), _tell_evaluation)
    diary.run("fit-speakers", lambda: _fit_speakers(speakers, store, metrics["people"], config), _tell_speakers)
    diary.run("distill", lambda: distill(speakers, speakers, config), _tell_signature)
    speech = diary.run(
        "generate",
        lambda: generate([face], TEXTS, model, speakers, out / "speech", config, VOICES),
        lambda rows: f"{len(rows)} files, scores " + ", ".join(f"{row['score']:.2f}" for row in rows),
    )
    page = write_page(out, store, face, summary, evaluation, speech, diary.steps, synthetic)
    _finish(diary, page, synthetic)


_SAMPLE_NOTE = f"{SAMPLE_PEOPLE} made-up people from one portrait, with silent and voice-over videos among them"


def _clear(out: Path) -> None:
    """Removes what an earlier quickstart made, and nothing else."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: found a file, expected a folder")
    if out.exists() and any(out.iterdir()) and not (out / MARK).is_file():
        raise InputError(f"--out {out}: found a folder that no quickstart made; give a new or empty one")
    for name in ("videos", "store", "model", "evaluation", "speakers", "speech"):
        shutil.rmtree(out / name, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).write_text("Made by `vclip quickstart`; the next one replaces what is in this folder.\n")


def _sample(folder: Path) -> tuple[Path, Path]:
    with step("make videos", 0, "videos") as progress:

        def show(done: int, total: int) -> None:
            progress.total = total
            progress.set(done)

        return make_sample(folder, SAMPLE_PEOPLE, on_video=show)


def _evaluate(store_uri: str, out: Path, config: Config) -> dict[str, Any]:
    """Cross-validates over people: each is judged by a model whose training and stopping never saw them.

    A part of the others says when to stop, not folds of them: five times as fast, on a sample that proves nothing.
    """
    store = Store.open(store_uri)
    pairs = read_pairs(store)
    people = len(set(pairs.identity))
    if people < MIN_PEOPLE:
        return {"skipped": f"skipped: {people} people are too few to hold some out, expected {MIN_PEOPLE} or more"}
    spaces = (store.face_space, store.voice_space)
    quick = config.model_copy(update={"train": config.train.model_copy(update={"cross_fit_below": 0})})
    metrics = cross_validated(pairs, spaces, quick, min(FOLDS, people // 2))
    out.mkdir(parents=True, exist_ok=True)
    (out / "evaluation.json").write_text(json.dumps(metrics, indent=2) + "\n")
    plot_folds(out / "roc.png", metrics["cross_validation"])
    return metrics


def _fit_speakers(folder: Path, store: str, people: int, config: Config) -> dict[str, Any]:
    if people >= MIN_SPEAKERS:
        return fit_speakers(folder, config, store_uri=store)
    say(f"{people} people are too few for a speaker generator; taking the known voices of '{config.generate.tts}'")
    return fit_speakers(folder, config, tts=config.generate.tts)


def _tell_ingest(summary: Any) -> str:
    states = ", ".join(f"{count} {state}" for state, count in sorted(summary.videos.items()))
    return f"{states}; {summary.rows['clips']} clips, {summary.rows['faces']} faces, {summary.rows['voices']} voices"


def _tell_train(metrics: dict[str, Any]) -> str:
    return f"{metrics['clips']} clips of {metrics['people']} people, dev AUC {metrics['dev_auc']:.3f}"


def _tell_evaluation(metrics: dict[str, Any]) -> str:
    if "skipped" in metrics:
        return metrics["skipped"]
    mean, spread = metrics["cross_validated_auc"], metrics["cross_validated_auc_std"]
    folds = len(metrics["cross_validation"])
    return f"AUC {mean:.3f} (±{spread:.3f} over {folds} folds) on people unseen by training and by its stopping"


def _tell_speakers(metrics: dict[str, Any]) -> str:
    return f"{metrics['speakers']} known speakers, {metrics['mixture_components']} mixture components"


def _tell_signature(metrics: dict[str, Any]) -> str:
    return (
        f"held-out cosine {metrics['cosine_held_out']:.3f} "
        f"(the asked vector itself: {metrics['cosine_identity']:.3f})"
    )


def _finish(diary: Diary, page: Path, synthetic: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("step", "result", "seconds", title="quickstart", title_justify="left")
    for entry in diary.steps:
        table.add_row(entry["step"], entry["result"], f"{entry['seconds']:.0f}")
    Console().print(table)
    if synthetic:
        print("The sample is synthetic: its people, voices and the relation between them are made up.")
    print(f"Open {page} to see the faces and hear the voices.")
