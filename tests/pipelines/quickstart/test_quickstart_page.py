"""The quickstart's page and folder."""

import base64
import html.parser
import json
import re
import shlex
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.config import Config
from pipelines.html.plots import plot_folds, plot_training
from pipelines.ingest.job import Summary
from pipelines.quickstart.job import MARK, clear, cross_validate, quickstart
from pipelines.quickstart.page import write_page
from vclip.config import load
from vclip.errors import InputError

NASTY = '<script>alert("&")</script>'


class _Page(html.parser.HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.tags, self.links = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]


@pytest.fixture
def page(ingested, photo, tmp_path):
    """A page made of a nasty text, two voices and plots."""
    fold = {"auc": 0.75, "roc_false_alarm": [0, 0.5, 1], "roc_hit": [0, 0.75, 1]}
    out = tmp_path / "my quickstart"
    plot_folds(out / "evaluation" / "roc.png", [fold, fold])
    history = {"step": [0, 10], "dev_auc": [0.5, 0.75], "loss": [None, 1.0], "best_step": 10}
    plot_training(out / "model" / "training.png", history)
    speech = []
    for rank in (1, 2):
        (out / f"{rank}.wav").write_bytes(b"RIFF" + bytes([rank]) * 40)
        row = {"wav": str(out / f"{rank}.wav"), "voice": rank, "score": 0.5, "above": 0.975, "text": NASTY}
        speech.append(row | {"notice": "Synthetic speech."})
    summary = Summary(ingested.store, "run", 0)
    summary.reasons.update({NASTY: 3})
    steps = [{"step": "ingest", "result": NASTY, "seconds": 1.0}]

    def write(synthetic: bool) -> str:
        average = speech[0] | {"score": -0.25}
        return write_page(
            out,
            ingested.store,
            photo,
            summary=summary,
            skipped="",
            speech=speech,
            steps=steps,
            synthetic=synthetic,
            average=average,
        ).read_text()

    return write


@pytest.mark.slow
def test_the_page_is_self_contained_and_shows_all(page, ingested, tmp_path):
    text = page(True)
    seen = _Page(text)
    assert seen.links
    assert all(link.startswith("data:") for link in seen.links)
    speech = [base64.b64decode(s) for s in re.findall(r"data:audio/wav;base64,([^\"]+)", text)]
    out = tmp_path / "my quickstart"
    assert speech == [(out / f"{rank}.wav").read_bytes() for rank in (1, 2, 1)]  # and the random one
    assert "better than 98% of random voices" in text
    assert "score -0.250" in text  # as the command line prints it
    activate = Path(sys.prefix) / "bin" / "activate"
    named = re.findall(r"first run <code>source (\S+)</code>", text)
    assert [Path(path).resolve() for path in named] == [activate.resolve()] * activate.is_file()
    clips = ingested.summary["rows"]["clips"]
    assert len(re.findall("data:image/jpeg", text)) == clips + 1  # and the photo
    assert len(re.findall("data:image/png", text)) == 2


@pytest.mark.slow
def test_the_page_links_to_the_report_of_the_ingest(page, tmp_path):
    report = tmp_path / "my quickstart" / "report" / "report.html"
    report.parent.mkdir()
    report.touch()
    (link,) = [link for link in _Page(page(True)).links if not link.startswith("data:")]
    assert (report.parents[1] / link).samefile(report)


@pytest.mark.slow
def test_what_people_wrote_cannot_become_markup(page):
    assert "script" not in _Page(page(True)).tags


@pytest.mark.slow
def test_the_commands_of_the_page_work_where_names_have_spaces(page, tmp_path):
    commands = re.findall('<pre class="command">(.*?)</pre>', page(True))
    browse, generate, _ = (shlex.split(html.unescape(re.sub("<[^>]*>", "", text))) for text in commands)
    assert browse[:4] == ["vclip", "browse", "--store", str(tmp_path / "my quickstart" / "store")]
    assert generate[-2:] == ["--out", str(tmp_path / "my quickstart" / "more")]


@pytest.mark.slow
def test_only_the_synthetic_sample_is_called_synthetic(page):
    assert "This sample is synthetic" in page(True)
    assert "This sample is synthetic" not in page(False)


def test_the_model_is_evaluated_by_folds_over_people(pairs_store, tmp_path):
    config = load(Config, None, ["train.max_steps=5"])
    crossed = cross_validate(pairs_store, tmp_path / "evaluation", config)
    assert crossed is not None
    assert len(crossed.folds) == 5
    assert 0 <= crossed.auc <= 1
    written = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert written == json.loads(json.dumps(crossed.to_json()))
    assert (tmp_path / "evaluation" / "roc.png").is_file()


@pytest.fixture
def mine(tmp_path):
    """A folder of the user's that has the names which the quickstart uses."""
    (tmp_path / "work" / "videos").mkdir(parents=True)
    (tmp_path / "work" / "videos" / "holiday.mp4").write_text("dear to me")
    (tmp_path / "face.jpg").write_text("no image")
    return tmp_path / "work"


def test_the_quickstart_never_clears_what_it_did_not_make(mine):
    cv2.imwrite(str(mine.parent / "face.png"), np.zeros((64, 64, 3), np.uint8))
    for videos, face in ((None, None), (mine / "videos", mine.parent / "face.png")):
        with pytest.raises(InputError, match="work"):
            quickstart(mine, videos, face, Config())
    (mine / MARK).touch()  # nor the videos that it is to read
    with pytest.raises(InputError, match="videos"):
        quickstart(mine, mine / "videos", mine.parent / "face.png", Config())
    assert (mine / "videos" / "holiday.mp4").read_text() == "dear to me"


def test_a_folder_that_cannot_be_made_is_an_error_in_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        clear(tmp_path / "file" / "quickstart")


def test_the_quickstart_clears_what_it_made(tmp_path):
    out = tmp_path / "quickstart"
    clear(out)
    (out / "videos").mkdir()
    (out / "videos" / "old.mp4").write_text("of the last time")
    (out / "notes.txt").write_text("mine")
    clear(out)
    assert {path.name for path in out.iterdir()} == {MARK, "notes.txt"}


@pytest.mark.parametrize(
    ("videos", "face", "named"),
    [
        ("work/videos", None, "--face"),
        ("missing", "face.jpg", "missing"),
        ("work/videos", "missing.jpg", "missing.jpg"),
        ("work/videos", "face.jpg", "not an image"),
    ],
)
def test_the_quickstart_checks_its_input_before_it_writes(mine, videos, face, named):
    root = mine.parent
    with pytest.raises(InputError, match=named):
        quickstart(root / "new", root / videos, face and root / face, Config())
    assert not (root / "new").exists()
