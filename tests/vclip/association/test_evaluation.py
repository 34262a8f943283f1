"""What evaluation reports, what it refuses, and how two models are compared.

Tolerances: float32 scores, of which a pair may tie or swap; figures on some dozens of people vary by about as much as
is allowed.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from vclip.association.base import UNKNOWN_TRAINING_PEOPLE
from vclip.association.comparison import compare
from vclip.association.evaluation import cross_validate, evaluate, unseen
from vclip.association.galleries import count_positives
from vclip.association.metrics import ScoredTrials, all_trials, auc
from vclip.association.pairs import Pairs
from vclip.association.scores import clip_scores
from vclip.association.subgroups import SUBGROUPS
from vclip.errors import InputError


@pytest.fixture
def labelled(planted):
    """Test people of both genders, two nationalities and three bands of age, whose clips are in two languages."""
    pairs, rng = planted(people=40, seed=1, noise=0.8), np.random.default_rng(0)
    person = pairs.people()
    return replace(
        pairs,
        nationality=np.array(["India", "USA"])[rng.integers(2, size=40)][person],
        language=np.array(["en", "hi"])[rng.integers(2, size=80)],
        age=np.array(["25", "30-39", "48", ""])[rng.integers(4, size=40)][person],
    )


def test_every_subgroup_is_that_of_its_trials(planted, plain_model, labelled):
    model = plain_model(planted(people=60, noise=0.8))
    result, scores, people = evaluate(model, labelled, draws=30), clip_scores(model, labelled), labelled.people()
    assert list(result.subgroups) == ["unrestricted", *SUBGROUPS]
    assert result.missing == {"other videos": "no person has clips of two videos"}
    bands = np.array([{"25": "20", "30-39": "30", "48": "40", "": ""}[age] for age in labelled.age])
    both = np.char.add(labelled.gender, labelled.nationality)
    for name, labels in zip(
        result.subgroups, (None, labelled.gender, labelled.nationality, labelled.language, bands, both), strict=True
    ):
        trials = all_trials(scores, people, labels)
        found = result.subgroups[name].verification
        assert found.auc.value == pytest.approx(auc(trials), abs=1e-6)
        assert found.positives + found.negatives == len(trials.same)
        assert found.auc.low < found.auc.value < found.auc.high
        for way in ("v2f", "f2v"):
            assert 0.4 < result.subgroups[name].matching[way]["1:2"].value <= 1
    assert result.auc == result.subgroups["unrestricted"].verification.auc.value
    assert result.auc_same_gender == result.subgroups["same gender"].verification.auc.value
    assert json.loads(json.dumps(result.to_json(), allow_nan=False)) == result.to_json()


def test_positives_of_the_own_clip_of_other_clips_and_of_other_videos_are_told_apart(planted, plain_model):
    """Against all trials, picked by hand."""
    model = plain_model(planted(people=60, noise=0.8))
    pairs = planted(people=30, clips_each=3, seed=1, noise=0.8)  # two of the three clips are often of one video
    result, people = evaluate(model, pairs, draws=30), pairs.people()
    same = people[:, None] == people
    own = np.eye(len(pairs), dtype=bool)
    kinds = {"own clip": own, "other clips": ~own, "other videos": pairs.video_id[:, None] != pairs.video_id}
    assert list(result.positives) == list(kinds)
    for name, chosen in kinds.items():
        found, kept = result.positives[name], chosen | ~same
        trials = ScoredTrials(clip_scores(model, pairs)[kept], same[kept])
        assert found.auc.value == pytest.approx(auc(trials), abs=1e-6)
        assert (found.positives, found.negatives) == (np.sum(chosen & same), np.sum(~same))
        assert count_positives(pairs)[name] == found.positives
        assert found.auc.low < found.auc.value < found.auc.high
    assert compare(model, model, pairs, draws=5).positives == count_positives(pairs)


def test_positives_that_the_data_lack_are_said(planted, plain_model):
    model = plain_model(planted(people=30))
    alone = evaluate(model, planted(people=20, clips_each=1, seed=1), draws=5)
    assert list(alone.positives) == ["own clip"]
    assert alone.missing["other clips"] == "no person has two clips"
    in_one = planted(people=20, seed=1)
    in_one = replace(in_one, video_id=in_one.identity)
    found = evaluate(model, in_one, draws=5)
    assert found.missing["other videos"] == "no person has clips of two videos"
    unknown = evaluate(model, replace(in_one, video_id=np.full(40, "")), draws=5)  # then each is taken for its own
    assert unknown.positives["other videos"] == unknown.positives["other clips"] == found.positives["other clips"]


def test_more_clips_of_a_person_tell_more(planted, plain_model):
    model = plain_model(planted(people=100, noise=1.5))
    pairs = planted(people=60, clips_each=4, seed=1, noise=1.5)
    found = [evaluate(model, pairs, draws=5, views=views) for views in (1, 2, 4)]
    assert [(one.views, one.clips, one.people, one.galleries) for one in found] == [
        (1, 240, 60, 10), (2, 240, 60, 10), (4, 240, 60, 1),
    ]  # fmt: skip
    assert found[0].auc + 0.01 < found[1].auc < found[2].auc - 0.01


def test_missing_labels_are_said(planted, plain_model, labelled):
    model = plain_model(planted(people=30))
    bare = replace(
        labelled, gender=np.full(80, ""), nationality=np.full(80, ""), language=np.full(80, ""), age=labelled.identity
    )
    result = evaluate(model, bare, draws=5)
    assert list(result.subgroups) == ["unrestricted"]
    assert [result.missing[name] for name in SUBGROUPS] == ["no clip has the label"] * 5
    alone = replace(labelled, gender=labelled.identity)
    assert evaluate(model, alone, draws=5).missing["same gender"] == "no two people share the label"


def test_beyond_the_limit_whole_people_are_drawn_by_the_seed(planted, plain_model, labelled):
    model = plain_model(planted(people=60, noise=0.8))
    everybody = evaluate(model, labelled, draws=5)
    some = evaluate(model, labelled, draws=5, max_clips=50)
    assert (everybody.clips, everybody.of_clips) == (80, 80)
    assert (some.clips, some.people, some.of_clips) == (50, 25, 80)
    assert evaluate(model, labelled, draws=5, max_clips=50) == some
    assert evaluate(model, labelled, seed=1, draws=5, max_clips=50).auc != some.auc
    assert some.auc == pytest.approx(everybody.auc, abs=0.08)


def test_seen_people_are_measured_only_when_asked(planted, plain_model):
    known, strangers = planted(people=30, noise=0.8), planted(people=30, seed=1, noise=0.8)
    model = plain_model(known)
    assert evaluate(model, known, seen=True, draws=5).seen
    assert not evaluate(model, strangers, draws=5).seen
    with pytest.raises(InputError, match="identity 'id0-0000' was in the model's training"):
        evaluate(model, known)
    with pytest.raises(InputError, match="identity 'id1-0000' was not in the model's training"):
        evaluate(model, strangers, seen=True)


@pytest.mark.parametrize("seen", [np.zeros(0, np.int64), None, "missing"])
def test_unknown_training_people_are_a_warning_on_every_result(planted, plain_model, seen):
    """A model that records no training people may have been trained on the test: every result says so."""
    pairs, known = planted(people=20, seed=1), plain_model(planted(people=20))
    unknown = plain_model(planted(people=20))
    if seen is None or not isinstance(seen, str):
        unknown.seen = seen
    else:
        del unknown.seen
    assert len(unseen(unknown, pairs)) == len(pairs)
    for model, warning in ((known, None), (unknown, UNKNOWN_TRAINING_PEOPLE)):
        assert evaluate(model, pairs, draws=5).warning == warning
        assert evaluate(model, pairs, draws=5).to_json()["warning"] == warning
        assert compare(known, model, pairs, draws=5).to_json()["warning"] == warning
        assert compare(model, known, pairs, draws=5).warning == warning
        # Cross-validation holds the people of each fold out itself.
        assert {fold.warning for fold in cross_validate(pairs, lambda rest, number, m=unknown: m, folds=2)} == {None}
    assert "unknown training people" in repr(evaluate(unknown, pairs, draws=5))
    assert "raises every figure" in UNKNOWN_TRAINING_PEOPLE


@pytest.mark.parametrize("side", ["faces", "voices"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_hold_no_number_are_an_error_that_names_the_clip(planted, plain_model, side, value):
    model, pairs = plain_model(planted(people=20)), planted(people=10, seed=1)
    getattr(pairs, side)[7, 2] = value
    with pytest.raises(InputError, match=f"clip 'clip1-0003': its {side[:-1]} vector holds NaN or infinity"):
        evaluate(model, pairs)


def test_nobody_one_person_and_unnamed_people_are_errors(planted, plain_model):
    model, pairs = plain_model(planted(people=20)), planted(people=4, seed=1)
    for clips, found in ((np.zeros(8, bool), 0), (pairs.people() == 2, 1)):
        with pytest.raises(InputError, match=f"expected at least 2 people to evaluate on, found {found}"):
            evaluate(model, pairs.select(clips))
    pairs.identity[3] = ""
    with pytest.raises(InputError, match="1 of 8 clips have no identity"):
        evaluate(model, pairs)


def test_one_seed_gives_one_result(planted, plain_model, labelled):
    model = plain_model(planted(people=30))
    assert evaluate(model, labelled, seed=3, draws=20) == evaluate(model, labelled, seed=3, draws=20)
    assert evaluate(model, labelled, seed=3, draws=20).auc_low != evaluate(model, labelled, seed=4, draws=20).auc_low


def test_cross_validation_gives_an_evaluation_of_each_fold(planted, plain_model):
    pairs = planted(people=40, noise=0.8)
    results = cross_validate(pairs, lambda rest, number: plain_model(rest), folds=4)
    assert [result.people for result in results] == [10] * 4
    assert np.mean([result.auc for result in results]) > 0.8


def test_a_model_is_compared_with_itself_and_with_a_worse_one(planted, plain_model):
    good, test = plain_model(planted(people=200, noise=0.8)), planted(people=60, seed=1, noise=0.8)
    bad = plain_model(planted(people=200, related=False, noise=0.8, seed=2))
    same = compare(good, good, test, draws=50)
    assert (same.auc.b_minus_a.value, same.auc.b_minus_a.low, same.auc.p, same.eer.p) == (0, 0, 1, 1)
    found = compare(good, bad, test, draws=200)
    assert found.auc.a == pytest.approx(evaluate(good, test, draws=2).auc)
    assert found.auc.b == pytest.approx(evaluate(bad, test, draws=2).auc)
    assert found.auc.b_minus_a.value == pytest.approx(found.auc.b - found.auc.a)
    assert found.auc.b_minus_a.high < -0.2 < 0.2 < found.eer.b_minus_a.low
    assert found.auc.p == found.eer.p == pytest.approx(2 / 201)
    turned = compare(bad, good, test, draws=200)
    assert turned.auc.b_minus_a.low == pytest.approx(-found.auc.b_minus_a.high)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False)) == found.to_json()


def test_pairing_cancels_what_both_models_share(planted, plain_model):
    test = planted(people=60, seed=1, noise=0.8)
    a, b = (plain_model(planted(people=200, noise=0.8, seed=seed)) for seed in (2, 3))
    found, alone = compare(a, b, test, draws=200), evaluate(a, test, draws=200)
    difference = found.auc.b_minus_a
    assert difference.high - difference.low < 0.6 * (alone.auc_high - alone.auc_low)


def test_where_there_is_no_difference_small_p_values_are_as_rare_as_they_say(planted, plain_model):
    """Where faces and voices have nothing in common no model is better: a fifth of the tests are below .2."""
    a, b = (plain_model(planted(people=60, noise=0.8, seed=1000 + k)) for k in (0, 1))
    tests = (planted(people=40, seed=seed, related=False, noise=0.8) for seed in range(80))
    values = np.array([compare(a, b, pairs, draws=100).auc.p for pairs in tests])
    assert 0.08 < np.mean(values < 0.2) < 0.36
    assert 0.3 < np.mean(values < 0.5) < 0.7


def test_whom_either_model_has_seen_is_refused(planted, plain_model):
    a, b = (plain_model(planted(people=20, seed=seed)) for seed in (0, 1))
    for people, which in ((planted(people=20), "first"), (planted(people=20, seed=1), "second")):
        with pytest.raises(InputError, match=f"was in the {which} model's training"):
            compare(a, b, people)
        assert len(unseen(a, people)) in (0, 40)


def test_a_model_needs_nothing_but_the_protocol(planted):
    class Random:
        face_space = voice_space = "none"
        seen = np.zeros(0, np.int64)

        def embed_faces(self, x):
            made = np.random.default_rng(0).normal(size=(len(x), 3)).astype(np.float32)
            return made / np.linalg.norm(made, axis=1, keepdims=True)

        def embed_voices(self, e):
            return self.embed_faces(e)[::-1]

    pairs = planted(people=150, clips_each=1, views=1)
    assert isinstance(pairs, Pairs)
    result = evaluate(Random(), pairs, draws=50)
    assert result.auc == pytest.approx(0.5, abs=0.12)
    assert result.subgroups["unrestricted"].matching["v2f"]["1:10"].value == pytest.approx(0.1, abs=0.05)
