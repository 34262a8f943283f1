"""Answers read back: known opinions come out, with intervals that cover, and damaged files are refused."""

import csv
import json

import cv2
import numpy as np
import pytest

from pipelines.listening.page import QUESTIONS
from pipelines.listening.read import Answers, opinions
from tests.support.listening_world import answers


def _matching(question, item):
    if question == "naturalness":
        return 3
    return 4 if item["system"] == "informed" else 2


def test_known_opinions_come_out(made, key, vclip, tmp_path):
    files = [answers(tmp_path / f"{name}.json", key, _matching) for name in ("ann", "ben")]
    files.append(answers(tmp_path / "cy.json", key, lambda q, item: _matching(q, item) + 1))
    said = vclip("listening-test", "read", *files, "--test", made, "--out", tmp_path / "out", "--json")
    assert said.code == 0, said.err
    result = json.loads(said.out, parse_constant=pytest.fail)
    assert result == json.loads((tmp_path / "out" / "opinions.json").read_text())
    found = {row["system"]: row for row in result["systems"]}
    assert found["informed"]["matching"]["value"] == pytest.approx(4 + 1 / 3)
    assert found["naive"]["matching"]["value"] == pytest.approx(2 + 1 / 3)
    assert found["naive"]["naturalness"]["value"] == pytest.approx(3 + 1 / 3)
    assert found["naive"]["matching"]["low"] == pytest.approx(2)  # none of three draws is the third listener
    # All listeners see the same difference, so there is no doubt about it.
    minus = result["differences"]["informed - naive"]
    assert minus["matching"] == pytest.approx({"value": 2, "low": 2, "high": 2})
    with (tmp_path / "out" / "ratings.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 2 * len(key["items"])
    assert {(r["system"], r["rating"]) for r in rows if r["question"] == "matching" and r["listener"] == "ann"} == {
        ("informed", "4"), ("naive", "2"),
    }  # fmt: skip
    assert cv2.imread(str(tmp_path / "out" / "opinions.png")).std() > 5


def test_one_listener_gives_no_interval(made, key, vclip, tmp_path):
    said = vclip("listening-test", "read", answers(tmp_path / "ann.json", key, _matching), "--test", made)
    assert said.code == 0
    assert "4.00" in said.out
    assert "no interval" in said.out


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Ratings with effects of listeners, faces and the cell: intervals that took them as independent would fail."""
    rng = np.random.default_rng(0)
    key = {"systems": {"a": ""}, "items": {f"i{i:02}": {"system": "a", "face": str(i // 2)} for i in range(24)}}
    held, naive, runs = 0, 0, 60
    for run in range(runs):
        effects = 0.5 * rng.normal(size=(12, 1)) + 0.5 * np.repeat(rng.normal(size=12), 2)
        ratings = 3 + effects + 0.5 * rng.normal(size=(12, 24))
        both = Answers([str(i) for i in range(12)], sorted(key["items"]), dict.fromkeys(QUESTIONS, ratings))
        figure = opinions(both, key, seed=run).systems[0].matching
        held += figure.low <= 3 <= figure.high
        naive += abs(ratings.mean() - 3) < 1.96 * ratings.std() / np.sqrt(ratings.size)
    assert 0.88 <= held / runs <= 1
    assert naive / runs < 0.7


def _changed(change):
    def damage(told):
        change(told)
        return json.dumps(told)

    return damage


def _set(name, value):
    return _changed(lambda told: told.update({name: value}))


def _rate(**changes):
    return _changed(lambda told: told["ratings"][3].update(changes))


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda told: json.dumps(told)[:-40], "found no JSON"),
        (lambda told: "[]", "names no listener"),
        (_set("listener", ""), "names no listener"),
        (_set("test", "another"), "are of test 'another'"),
        (_set("ratings", None), "has 0 ratings, expected all 16"),
        (_changed(lambda told: told["ratings"].pop()), "has 15 ratings, expected all 16"),
        (_changed(lambda told: told["ratings"].append(told["ratings"][0])), "is rated twice"),
        (_rate(item="unknown"), "not in the test"),
        (_rate(item=["unknown"]), "not in the test"),
        (_rate(rating=6), "found 6, expected a whole number of 1 to 5"),
        (_rate(rating=True), "found True"),
        (_rate(rating=3.5), "found 3.5"),
        (_rate(rating=None), "found None"),
        (_rate(rating="1\n" * 1000), "found '1"),
        (_set("listener", "\ud800"), "a lone surrogate"),
        (lambda told: "[" * 100_000, "found no JSON"),
    ],
)
def test_damaged_answers_are_refused(damage, expected, made, key, vclip, tmp_path):
    good = answers(tmp_path / "ann.json", key, _matching)
    bad = tmp_path / "bad.json"
    bad.write_text(damage(json.loads(good.read_text()) | {"listener": "ben"}))
    said = vclip("listening-test", "read", good, bad, "--test", made, "--out", tmp_path / "out")
    assert (said.code, said.out) == (2, "")
    assert "bad.json" in said.err
    assert expected in said.err
    assert not (tmp_path / "out").exists()


def test_a_listener_counts_once_and_a_key_is_needed(made, key, vclip, tmp_path):
    good = answers(tmp_path / "ann.json", key, _matching)
    said = vclip("listening-test", "read", good, good, "--test", made)
    assert (said.code, "listener ann already answered in" in said.err) == (2, True)
    (tmp_path / "key.json").write_text('{"test": "x", "items": {"a": {}}}')
    for folder in (tmp_path, tmp_path / "none"):
        said = vclip("listening-test", "read", good, "--test", folder)
        assert (said.code, "expected the key.json" in said.err) == (2, True)
    others = [{**key, "items": {}}, {name: of for name, of in key.items() if name != "systems"}]
    for text in ("[" * 100_000, *map(json.dumps, others)):
        (tmp_path / "key.json").write_text(text)
        said = vclip("listening-test", "read", good, "--test", tmp_path)
        assert (said.code, "expected the key.json" in said.err) == (2, True), said.err


def test_answers_may_begin_with_a_byte_order_mark(made, key, vclip, tmp_path):
    good = answers(tmp_path / "ann.json", key, _matching)
    good.write_text(good.read_text(), encoding="utf-8-sig")
    assert vclip("listening-test", "read", good, "--test", made).code == 0
