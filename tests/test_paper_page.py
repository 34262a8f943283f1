"""docs/paper.md repeats figures of other pages; where one is measured again, the page has to follow."""

import re

from tests.support import ROOT

DOCS = ROOT / "docs"


def _rows(page, first):
    """The cells of every table row whose first cell starts with `first`."""
    lines = (DOCS / page).read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [row for row in rows if row[0].startswith(first)]


def test_the_figures_of_methods_are_those_of_the_association_page():
    for method in ("pins", "self-lifting", "paper", "vclip"):
        (here,) = _rows("paper.md", f"`{method}`: ")
        assert any(set(here[1:]) <= set(row) for row in _rows("association.md", f"`{method}`")), here


def test_the_figures_of_ablations_are_those_of_the_association_page():
    for here, there in (
        ("as printed", "`paper` (batch"),
        ("batch 320", "`paper`, batch 320"),
        ("no flow", "`paper`, no"),
    ):
        (row,) = _rows("paper.md", here)
        assert [row[3]] == [found[1] for found in _rows("association.md", there)]


def test_the_figures_of_systems_are_those_of_the_page_of_speakers():
    """f2v and log-likelihood, without the intervals."""
    names = ("no retrieval", "direct mapping", "naive", "informed", "guided")
    for name in names:
        (row,) = _rows("paper.md", name)
        kokoro, morph = (found for found in _rows("speakers.md", name) if found[0] == name)
        values = [kokoro[1], kokoro[2], morph[1], morph[2]]
        assert row[4:] == [re.sub(r" \(.*", "", value) for value in values]
