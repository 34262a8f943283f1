"""Every page: what files, people and labels are called cannot become markup, and nothing is loaded from elsewhere."""

import html.parser
import json
import re

import cv2
import numpy as np
import pytest
from jinja2 import UndefinedError

from pipelines.html.charts import chart_histogram, chart_over_time
from pipelines.html.page import COLOURS, render, thumbnail
from tests.support.hostile_names import HOSTILE

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


def test_the_axis_of_a_histogram_has_round_values_and_its_median_no_digits_that_the_bins_lack():
    evenly = [i / 25 for i in range(26)]
    chart = chart_histogram("sharpness", evenly, [0] * 18 + [3] + [0] * 6, 0.73456)
    assert re.findall(r">([0-9.]+)</text>", chart.svg) == ["0.6", "0.8", "1"]
    assert chart.text == "3 values, median 0.735"
    octaves = [16 * 2 ** (i / 4) for i in range(29)]
    chart = chart_histogram("face size, px", octaves, [0] * 6 + [1] * 13 + [0] * 9, 133.7)
    assert re.findall(r">([0-9.]+)</text>", chart.svg) == ["50", "100", "200"]


def test_amounts_over_time_are_per_minute():
    chart = chart_over_time("Videos per minute", [1.0, 3.0], 30.0, "videos/min")
    assert chart.text == "4 videos/min on average"
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
