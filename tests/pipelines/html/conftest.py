"""Every page that jobs write, of a world in which every name and label is hostile, and long."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.analysis.card import card
from pipelines.analysis.clusters import clusters
from pipelines.analysis.outliers import find_outliers
from pipelines.analysis.stats import stats
from pipelines.association.evaluate import page as evaluation_page
from pipelines.config import Config
from pipelines.extraction.types import Extraction
from pipelines.html.plots import plot_folds, plot_training
from pipelines.ingest.job import Summary
from pipelines.ingest.report import RunReport
from pipelines.quickstart.page import write_page
from stores import VideoRows
from tests.support.analysis_world import analysis_store, jpeg
from tests.support.hostile_names import HOSTILE
from vclip.association.hashes import hashes_of


@pytest.fixture(scope="session")
def pages(new_uri, tmp_path_factory) -> dict[str, str]:
    """Name -> page."""
    store, folder = analysis_store(new_uri(), HOSTILE), tmp_path_factory.mktemp("pages")
    stats(store.uri, folder / "stats.html")
    card(store.uri, folder / "card")
    clusters(store.uri, folder / "clusters")
    model = SimpleNamespace(
        face_space=store.face_space,
        voice_space=store.voice_space,
        seen=hashes_of("clip", np.array([store.query("clips")["clip_id"][0].as_py()])),
        embed_faces=lambda x: x[:, :6],
        embed_voices=lambda x: x,
    )
    find_outliers(store, model, HOSTILE, folder / "outliers", fewest_people=5)
    return {
        "report": _report(folder),
        "stats": (folder / "stats.html").read_text(),
        "card": (folder / "card" / "card.html").read_text(),
        "card.md": (folder / "card" / "README.md").read_text(),
        "clusters": (folder / "clusters" / "clusters.html").read_text(),
        "outliers": (folder / "outliers" / "outliers.html").read_text(),
        "quickstart": _quickstart(folder, store.uri),
        "evaluation": _evaluation(folder),
    }


def _report(folder) -> str:
    video = {"uris": [{"uri": f"/data/{HOSTILE}.mp4"}], "state": "failed", "reason": HOSTILE, "duration_s": 1.0}
    report = RunReport(Config())
    report.add(VideoRows(video | {"funnel": {}}), Extraction("failed", "", 1.0, (), {}, (), {HOSTILE: 2.0}))
    summary = Summary(f"work/{HOSTILE}", "run", 0, config={"name": HOSTILE})
    summary.videos.update(failed=1)
    return report.write(folder / "ingest", summary, ended=HOSTILE).read_text()


def _quickstart(folder, store_uri) -> str:
    fold = {"auc": 0.75, "roc_false_alarm": [0, 0.5, 1], "roc_hit": [0, 0.75, 1]}
    for name in ("evaluation", "model"):
        (folder / name).mkdir()
    plot_folds(folder / "evaluation" / "roc.png", [fold, fold])
    history = {"step": [0, 10], "dev_auc": [0.75, 0.7], "loss": [None, 1.0], "best_step": 0}
    history |= {"directions": [0, 1, 64], "auc_by_directions": [0.5, 0.7, 0.75]}
    plot_training(folder / "model" / "training.png", history)
    (folder / "photo.jpg").write_bytes(jpeg(np.random.default_rng(0)))
    (folder / "a.wav").write_bytes(b"RIFF" + bytes(40))
    summary = Summary(store_uri, "run", 0)
    summary.reasons.update({HOSTILE: 3})
    speech = [
        {"wav": str(folder / "a.wav"), "voice": 1, "score": 0.5, "above": 0.9, "text": HOSTILE, "notice": HOSTILE}
    ]
    steps = [{"step": "ingest", "result": HOSTILE, "seconds": 1.0}]
    return write_page(
        folder,
        store_uri,
        folder / "photo.jpg",
        summary=summary,
        skipped="",
        speech=speech,
        steps=steps,
        synthetic=True,
        average=speech[0],
    ).read_text()


def _evaluation(folder) -> str:
    figure = {"value": 0.75, "low": 0.7, "high": 0.8}
    result = {
        "verification": {"auc": figure, "eer": figure, "positives": 10, "negatives": 90},
        "matching": {"v2f": {"1:2": figure}, "f2v": {"1:2": figure}},
        "retrieval": {"v2f": {"map": figure}, "f2v": {"map": figure}},
        "people": 1, "trials": 1, "draws": 1000, "seed": 0, "left_out": 1, "without_vectors": HOSTILE,
        "cohort_clips": 1, "seen": True, "made_by": {"model": HOSTILE, "trials_file": HOSTILE},
    }  # fmt: skip
    return evaluation_page(result, {"roc": folder / "evaluation" / "roc.png"})
