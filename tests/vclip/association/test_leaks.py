"""Leaks are found and named, by identity, by clip and by vector, and nothing else is.

Tolerances: float32 cosines; the median is of a random sample of the distances.
"""

import csv
from dataclasses import replace

import numpy as np
import pytest

from vclip.association.evaluation import evaluate
from vclip.association.leaks import check_leaks, leaks, near_bound
from vclip.errors import InputError


def _near(vector, cosine, seed=0):
    """A vector of the length of `vector` at a cosine from it."""
    away = np.random.default_rng(seed).normal(size=len(vector))
    away -= vector * (away @ vector) / (vector @ vector)
    unit = vector / np.linalg.norm(vector)
    return np.linalg.norm(vector) * (cosine * unit + (1 - cosine**2) ** 0.5 * away / np.linalg.norm(away))


@pytest.fixture
def sides(planted):
    """Two sides that share nothing, with vectors less alike than any bound."""
    made = planted(people=20, seed=1, noise=1.0), planted(people=15, seed=2, noise=1.0)
    assert leaks(*made) == []
    return made


def test_a_shared_identity_and_a_shared_clip_are_found(sides):
    train, test = sides
    test.identity[3], test.clip_id[7] = train.identity[5], train.clip_id[0]
    found = leaks(train, test)
    assert [(leak.kind, leak.first) for leak in found] == [
        ("identity", train.identity[5]),
        ("clip", train.clip_id[0]),
    ]
    train.identity[:], test.identity[:] = "", ""
    assert [leak.kind for leak in leaks(train, test)] == ["clip"]


def test_near_is_a_sixteenth_of_the_median_distance():
    rng = np.random.default_rng(0)
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (rng.normal(size=(80, 9)) + 1 for _ in "ab"))
    assert near_bound(a, b) == pytest.approx(1 - np.median(1 - a @ b.T) / 16, abs=2e-3)


@pytest.mark.parametrize("side", ["face", "voice"])
@pytest.mark.parametrize("above", [True, False])
def test_a_near_identical_vector_is_found_whatever_its_length(sides, side, above):
    train, test = sides
    vectors = getattr(test, f"{side}s")
    bound = near_bound(getattr(train, f"{side}s"), vectors)  # of unit vectors, as these are
    copied = _near(getattr(train, f"{side}s")[31], bound + (0.002 if above else -0.002))
    vectors[10] = 3 * copied
    found = leaks(train, test, block=100)  # several blocks
    if not above:
        assert found == []
        return
    (leak,) = found
    assert (leak.kind, leak.first, leak.second) == (side, train.clip_id[31 // 2], test.clip_id[10 // 2])
    assert leak.cosine == pytest.approx(bound + 0.002, abs=1e-4)
    with pytest.raises(
        InputError, match=rf"the training and the test share {side} of clip '{leak.second}'.*{leak.first}"
    ):
        check_leaks(train, test, "the training", "the test")


def test_several_views_of_one_clip_are_one_leak_and_many_are_counted(sides):
    train, test = sides
    test.faces[:12] = train.faces[:12]  # six clips of two views
    assert len(leaks(train, test)) == 6
    with pytest.raises(InputError, match="and 3 more; expected nothing in common"):
        check_leaks(train, test, "a", "b")


def test_vectors_of_other_encoders_are_not_compared(sides):
    train, test = sides
    assert leaks(replace(train, faces=train.faces[:, :5], voices=train.voices[:, :5]), test) == []


def test_a_cohort_must_not_hold_the_test(planted, plain_model):
    model, test = plain_model(planted(people=30)), planted(people=10, seed=1)
    cohort = planted(people=20, seed=2)
    cohort.voices[5] = test.voices[8]
    with pytest.raises(InputError, match=f"the cohort and the test share voice of clip '{test.clip_id[4]}'"):
        evaluate(model, test, cohort=cohort)
    with pytest.raises(InputError, match="the cohort and the test share identity 'id1-0000'"):
        evaluate(model, test, cohort=test)


@pytest.mark.shared
def test_names_do_not_tell_every_copy(shared):
    """Of 850 real pairs two appear twice, bit for bit, under two identities each: why vectors are compared."""
    folder = shared / "data" / "pairs"
    with open(folder / "pairs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    identities: dict[bytes, set[str]] = {}
    for row in rows:
        identities.setdefault((folder / row["face"]).read_bytes(), set()).add(row["identity"])
    assert len(rows) == 850
    assert sorted(map(len, identities.values()))[-3:] == [1, 2, 2]
