"""Bands of age, and groups of people who share a label."""

import numpy as np
import pytest

from vclip.association.subgroups import SUBGROUPS, age_band, rows_by_label, subgroups


@pytest.mark.parametrize(
    ("text", "band"),
    [
        ("34", "30-39"), ("30", "30-39"), ("39", "30-39"), ("40", "40-49"), ("34.5", "30-39"), (" 34 ", "30-39"),
        ("30-39", "30-39"), ("31 - 35", "30-39"), ("30–39", "30-39"), ("30s", "30-39"), ("9", "0-9"),
        ("100", "100-109"), ("28-32", ""), ("30-49", ""), ("", ""), ("adult", ""), ("35s", ""), ("-3", ""),
        ("1984-05-01", ""), ("1984", ""),
    ],
)  # fmt: skip
def test_an_age_is_in_one_band_of_ten_years_or_in_none(text, band):
    assert age_band(text) == band


def test_subgroups_are_the_labels_and_both_at_once(planted):
    pairs = planted(people=4, clips_each=1)
    pairs.gender[:] = ["f", "f", "m", ""]
    object.__setattr__(pairs, "nationality", np.array(["India", "", "USA", "USA"]))
    object.__setattr__(pairs, "language", np.array(["en", "en", "", "hi"]))
    object.__setattr__(pairs, "age", np.array(["34", "30-39", "25-35", ""]))
    found = {name: labels.tolist() for name, labels in subgroups(pairs).items()}
    assert tuple(found) == SUBGROUPS
    assert found["same gender"] == ["f", "f", "m", ""]
    assert found["same nationality"] == ["India", "", "USA", "USA"]
    assert found["same language"] == ["en", "en", "", "hi"]
    assert found["same age band"] == ["30-39", "30-39", "", ""]
    assert found["same gender and nationality"] == ["f India", "", "m USA", ""]


def test_groups_are_the_rows_of_each_label():
    labels = np.array(["b", "", "a", "b", "a", ""])
    assert [rows.tolist() for rows in rows_by_label(labels)] == [[2, 4], [0, 3]]
    assert rows_by_label(np.array(["", ""])) == []


def test_pairs_carry_nationality_language_and_age_and_may_have_none(planted):
    pairs = planted(people=3, clips_each=1)
    assert pairs.age.tolist() == pairs.nationality.tolist() == pairs.language.tolist() == ["", "", ""]
    again = type(pairs).of({**vars(pairs), "age": np.array(["1", "2", "3"])})
    assert again.select(np.array([True, False, True])).age.tolist() == ["1", "3"]
