"""Every page: what files, people and labels are called cannot become markup, and nothing is loaded from elsewhere."""

import html.parser
import json
import re
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from jinja2 import UndefinedError

from pipelines.analysis.card import card
from pipelines.analysis.clusters import clusters
from pipelines.analysis.outliers import find_outliers
from pipelines.analysis.stats import stats
from pipelines.association.evaluate import page as evaluation_page
from pipelines.config import Config
from pipelines.extraction.types import Extraction
from pipelines.html.page import COLOURS, render, thumbnail
from pipelines.html.plots import chart_histogram, chart_over_time, plot_folds, plot_training
from pipelines.ingest.job import Summary
from pipelines.ingest.report import RunReport
from pipelines.quickstart.page import write_page
from stores import VideoRows
from tests.support.analysis_world import analysis_store, jpeg
from vclip.association.pairs import hashes_of

HOSTILE = '<script>alert("&\'")</script>'
PAGES = ("report", "stats", "card", "clusters", "outliers", "quickstart", "evaluation")
VOID = ("meta", "img", "br")


class Page(html.parser.HTMLParser):
    """A page's tags, links and text; fails where tags do not match."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.links, self.attributes, self.words, self.open = [], [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def pages(new_uri, tmp_path_factory) -> dict[str, str]:
    """Each page of a world in which every name and label is hostile."""
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
    return report.write(folder / "report", summary, ended=HOSTILE).read_text()


def _quickstart(folder, store_uri) -> str:
    fold = {"auc": 0.75, "roc_false_alarm": [0, 0.5, 1], "roc_hit": [0, 0.75, 1]}
    for name in ("evaluation", "model"):
        (folder / name).mkdir()
    plot_folds(folder / "evaluation" / "roc.png", [fold, fold])
    history = {"step": [0, 10], "dev_auc": [0.5, 0.75], "loss": [None, 1.0], "best_step": 10}
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
        folder, store_uri, folder / "photo.jpg", summary, "", speech, steps, True, speech[0]
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


@pytest.mark.parametrize("name", PAGES)
def test_no_name_becomes_markup(pages, name):
    page = Page(pages[name])
    assert "script" not in page.tags
    assert not [name for name in page.attributes if name.startswith("on")]
    assert HOSTILE in "".join(page.words)  # it is shown as it is


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_one_file_for_every_screen(pages, name):
    page = Page(pages[name])
    assert all(link.startswith("data:") for link in page.links)
    assert not re.search(r"https?://|url\(|@import", pages[name])
    assert "prefers-color-scheme: dark" in pages[name]
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in pages[name]
    assert pages[name].count("<style>") == 1


def test_no_name_becomes_markup_in_markdown(pages):
    text = re.sub(r"^(`{3,})yaml$.*?^\1$", "", pages["card.md"], flags=re.DOTALL | re.MULTILINE)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    for row in re.findall(r"^\| .*$", text, re.MULTILINE):
        assert row.endswith(" |")


@pytest.mark.parametrize("name", ["stats", "outliers"])
def test_charts_take_the_colours_of_the_page(pages, name):
    (first, *_) = re.findall(r"<svg.*?</svg>", pages[name], re.DOTALL)
    assert "var(--accent)" in first
    assert not re.search(r"#[0-9a-f]{6}", first)
    assert "<text" in first


def test_a_histogram_shows_its_limit_and_its_bins():
    chart = chart_histogram("face size, px", [0.0, 1.0, 2.0, 3.0], [0, 5, 1], 1.5, limit=1.0)
    assert chart.text == "6 values, median 1.5, kept from 1"
    assert "var(--limit)" in chart.svg
    assert "var(--limit)" not in chart_histogram("x", [0.0, 1.0], [1], 0.5).svg


def test_amounts_over_time_are_per_minute():
    chart = chart_over_time("Videos per minute", [1.0, 3.0], 30.0, "videos/min")
    assert chart.text == "4 videos/min on average, 6 at most"
    assert "1 min" in chart.svg


def test_a_template_without_a_variable_fails():
    with pytest.raises(UndefinedError, match="undefined"):
        render("card.html", name="x", store="y")


def test_a_thumbnail_is_a_small_square_and_an_unreadable_image_none():
    wide = cv2.imencode(".jpg", np.full((20, 300, 3), 128, np.uint8))[1].tobytes()
    small = cv2.imdecode(np.frombuffer(thumbnail(wide), np.uint8), cv2.IMREAD_COLOR)
    assert small.shape == (96, 96, 3)
    assert thumbnail(b"") == thumbnail(b"no image") == b""


def test_the_browse_page_has_the_same_colours():
    from pipelines.browsing.job import STATIC

    used = json.loads(re.search(r"const COLOURS = (\[.*?\])", (STATIC / "map.js").read_text())[1])
    assert set(used) <= set(COLOURS)
