"""Training finds a planted relation, only a planted one, the same one each time, and saves what it found.

Tolerances: float32 sums in another order, which training amplifies; an AUC on a hundred people that has nothing to
find varies by .03. Runs that must be the same are compared exactly.
"""

import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import coo_matrix, csr_matrix

from vclip.association import likelihood
from vclip.association.directions import COUNTS
from vclip.association.evaluation import cross_validate, evaluate, unseen
from vclip.association.held_out import dev_auc
from vclip.association.loop import WORTH, History, mean_history
from vclip.association.losses import clip_loss
from vclip.association.metrics import all_trials, auc
from vclip.association.model import AssociationConfig, AssociationModel
from vclip.association.scores import clip_scores
from vclip.association.training import TrainConfig, fit, train
from vclip.errors import InputError, SpaceError

FACES, VOICES, D_FACE, D_VOICE = "test-faces", "test-voices", 24, 16
SMALL = AssociationConfig(hidden=32, couplings=2, coupling_hidden=16)
QUICK = TrainConfig(model=SMALL, max_steps=60, evaluate_every=10, device="cpu")


@pytest.fixture(scope="module")
def trained(planted):
    return train(planted(), FACES, VOICES, QUICK)


def _untrained(seed):
    torch.manual_seed(seed)
    return AssociationModel(FACES, VOICES, D_FACE, D_VOICE, SMALL)


def test_finds_the_planted_relation_in_people_never_seen(trained, planted):
    model, history = trained
    strangers = planted(people=80, seed=1)
    result = evaluate(model, strangers)
    assert result.auc > 0.95
    assert history.best_dev_auc > 0.9
    untrained = [evaluate(_untrained(seed), strangers).auc for seed in range(5)]
    assert result.auc > max(untrained) + 0.1
    assert result.auc_low < result.auc < result.auc_high
    assert result.people == 80
    assert result.clips == 160


def test_learns_beyond_the_ridge_that_it_starts_from(planted):
    """The sign of a face's cause flips the voice: no linear map knows it, an MLP does."""
    rng = np.random.default_rng(0)
    pairs = planted(people=400, clips_each=1, views=1, noise=0.05)
    voice = np.abs(pairs.faces[:, :D_VOICE] - pairs.faces[:, :D_VOICE].mean(0)) + 0.01 * rng.random((400, D_VOICE))
    pairs.voices[:] = voice / np.linalg.norm(voice, axis=1, keepdims=True)
    config = QUICK.model_copy(
        update={
            "model": AssociationConfig(hidden=128, couplings=0, dropout=0.0),
            "max_steps": 200,
            "learning_rate": 3e-3,
            "feature_noise": 0.1,
            "cross_fit_below": 0,
        }
    )
    _, history = train(pairs, FACES, VOICES, config)
    assert history.step[0] == 0
    assert history.best_dev_auc > history.dev_auc[0] + 0.1
    assert history.loss[-1] < history.loss[1]


def clip_loss_at(model, pairs, factor):
    """Returns the loss of one view of each clip at a temperature so many times the model's."""
    with torch.no_grad():
        sides = (
            project(torch.as_tensor(rows.reshape(-1, 2, rows.shape[1]).mean(1)))
            for project, rows in ((model.project_faces, pairs.faces), (model.project_voices, pairs.voices))
        )
        return clip_loss(*sides, model.log_scale + np.log(factor))


def test_the_start_is_the_closed_form_that_strangers_like_best(planted):
    pairs = planted()
    model, _ = fit(pairs, None, FACES, VOICES, QUICK.model_copy(update={"max_steps": 0}))
    with torch.no_grad():  # two views of each clip in turn
        x = model.face_input(torch.as_tensor(pairs.faces.reshape(-1, 2, D_FACE).mean(1)))
        y = model.voice_input(torch.as_tensor(pairs.voices.reshape(-1, 2, D_VOICE).mean(1)))
        _, expected = likelihood.fit(x, y, pairs.people(), QUICK.seed)
        given = model.face_projection(x), model.voice_projection(y)
    for mine, rows, matrix in zip(given, (x, y), (expected.face, expected.voice), strict=True):
        straight = (rows - rows.mean(0)) @ matrix.float()
        torch.testing.assert_close(mine, straight, atol=1e-4, rtol=1e-4)
    scales = [float(clip_loss_at(model, pairs, factor)) for factor in (0.8, 1.0, 1.25)]
    assert scales[1] < min(scales[0], scales[2])


def test_where_people_are_few_all_are_trained_on_for_as_long_as_folds_say(planted):
    pairs = planted(people=30, noise=0.8)
    config = QUICK.model_copy(update={"learning_rate": 3e-3, "feature_noise": 0.0, "start": "random"})
    calls = []
    model, history = train(pairs, FACES, VOICES, config, lambda *call: calls.append(call))
    expected, _ = fit(pairs, None, FACES, VOICES, config.model_copy(update={"max_steps": history.best_step}))
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, atol=0, rtol=0, msg=name)
    assert not len(unseen(model, pairs))
    fold, curves = pairs.folds(5, config.seed), []
    for number in range(5):
        sides = pairs.select(fold != number), pairs.select(fold == number)
        curves.append(fit(*sides, FACES, VOICES, config)[1])
    np.testing.assert_allclose(history.dev_auc[0], np.mean([c.dev_auc[0] for c in curves]))
    assert history.best_step > 0
    assert history.dev_auc[history.step.index(history.best_step)] == history.best_dev_auc
    assert [call[0] for call in calls] == sorted(call[0] for call in calls)
    assert calls[0][1] == 6 * config.max_steps
    made = sum(curve.step[-1] for curve in curves) + history.best_step
    assert calls[-1][:2] == (made, made)


@pytest.mark.parametrize(("people", "folds"), [(4, 2), (5, 2), (9, 4), (10, 5)])
def test_however_few_people_each_is_held_out_once_and_trained_on_in_the_end(planted, people, folds):
    """Two people held out would make an AUC of 0, .5 or 1."""
    sides = []

    def fit_one(pairs, dev, *rest):
        sides.append((set(pairs.identity), set() if dev is None else set(dev.identity)))
        return fit(pairs, dev, *rest)

    pairs = planted(people=people)
    train(pairs, FACES, VOICES, QUICK.model_copy(update={"max_steps": 0}), fit_one=fit_one)
    *of_folds, (everybody, nobody) = sides
    assert (everybody, nobody) == (set(pairs.identity), set())
    assert len(of_folds) == folds
    assert sorted(name for _, held_out in of_folds for name in held_out) == sorted(everybody)
    assert all(len(held_out) >= 2 and not trained & held_out for trained, held_out in of_folds)


def test_steps_that_gain_nothing_are_not_made_again(planted):
    """Where the first fold knows nearly everything from the closed form, it is the only one that is trained."""
    calls = []
    _, history = train(planted(), FACES, VOICES, QUICK, lambda *call: calls.append(call))
    assert history.best_step == 0
    assert max(history.dev_auc) < history.dev_auc[0] + WORTH
    assert history.step[-1] > 0
    made = history.step[-1]
    assert max(step for step, *_ in calls) == made <= QUICK.max_steps  # of the first of six trainings
    assert calls[-1][:2] == (made, made)


def test_interrupted_and_started_again_gives_the_same_model(planted, tmp_path):
    pairs, dev = planted(noise=0.8), planted(people=30, seed=2, noise=0.8)
    expected, whole = fit(pairs, dev, FACES, VOICES, QUICK)
    state = tmp_path / "state"

    class Interrupted(Exception):
        pass

    def stop(step, total, value):
        if step == 37:
            raise Interrupted

    with pytest.raises(Interrupted):
        fit(pairs, dev, FACES, VOICES, QUICK, stop, state)
    steps = []
    model, history = fit(pairs, dev, FACES, VOICES, QUICK, lambda step, *_: steps.append(step), state)
    assert steps[0] == 31  # the state is that of the last evaluation
    assert history.step == whole.step
    assert history.dev_auc == whole.dev_auc
    np.testing.assert_allclose(history.loss, whole.loss, rtol=1e-6)
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, atol=0, rtol=0, msg=name)
    assert list(tmp_path.iterdir()) == []


def test_the_state_of_another_run_and_a_damaged_one_are_refused(planted, tmp_path):
    pairs, dev, state = planted(), planted(people=30, seed=2), tmp_path / "state"

    def stop(step, total, value):
        if step == 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(pairs, dev, FACES, VOICES, QUICK, stop, state)
    for other, config in ((planted(seed=5), QUICK), (pairs, QUICK.model_copy(update={"learning_rate": 2e-3}))):
        with pytest.raises(InputError, match="from another run"):
            fit(other, dev, FACES, VOICES, config, state=state)
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(InputError, match=f"training state {state}: damaged"):
        fit(pairs, dev, FACES, VOICES, QUICK, state=state)


def test_clips_left_out_are_as_if_they_were_not_there(planted):
    pairs, config = planted(people=60), QUICK.model_copy(update={"max_steps": 20, "cross_fit_below": 0})
    held_out = pairs.held_out(config.dev_fraction, config.seed)
    dev = pairs.select(held_out)
    model, history = train(pairs, FACES, VOICES, config)
    alone, _ = fit(pairs.select(~held_out), dev, FACES, VOICES, config)
    assert 2 <= len(set(dev.identity)) == round(0.15 * 60)
    for name, value in alone.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, atol=1e-6, rtol=1e-5, msg=name)
    assert len(unseen(model, pairs)) == 0
    assert history.best_dev_auc == pytest.approx(dev_auc(model, dev), abs=1e-9)


@pytest.mark.parametrize("chunk", [50, 100])
def test_a_batch_in_parts_trains_the_same_model(planted, chunk):
    pairs, dev = planted(), planted(people=30, seed=2)
    config = QUICK.model_copy(
        update={"model": SMALL.model_copy(update={"dropout": 0.0}), "feature_noise": 0.0, "max_steps": 10}
    )
    models = [fit(pairs, None, FACES, VOICES, config.model_copy(update={"chunk": c}))[0] for c in (0, chunk)]
    a, b = (model.embed_faces(dev.faces) for model in models)
    np.testing.assert_allclose(a, b, atol=2e-4)


def test_doubtful_negatives_change_what_is_learned_and_no_doubts_change_nothing(planted):
    pairs = planted()
    clips, shape = np.arange(len(pairs)), (len(pairs), len(pairs))
    near = np.concatenate([np.stack([clips, np.roll(clips, 2 * by)]) for by in range(1, 51)], axis=1)  # 50 people
    some = coo_matrix((np.ones(near.shape[1], bool), tuple(near)), shape).tocsr()
    short = QUICK.model_copy(update={"max_steps": 10})

    def embedded(doubtful):
        model, _ = fit(replace(pairs, doubtful=doubtful), None, FACES, VOICES, short)
        return model.embed_faces(pairs.faces)

    without = embedded(None)
    np.testing.assert_allclose(embedded(csr_matrix(shape, dtype=bool)), without, atol=1e-5)
    assert np.abs(embedded(some + some.T) - without).max() > 1e-3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"views": 2}, "the loss 'clip' takes one view"),
        ({"model": AssociationConfig(linear=False)}, "needs train.model.linear"),
    ],
)
def test_settings_that_contradict_each_other_are_an_error(planted, settings, message):
    with pytest.raises(InputError, match=message):
        train(planted(), FACES, VOICES, QUICK.model_copy(update=settings))


def test_where_there_is_no_relation_it_finds_none(planted):
    """Honesty: cross-validated over people, unrelated faces and voices give half, though training fits them."""
    pairs = planted(people=100, clips_each=2, related=False)

    def train_one(rest, number):
        return train(rest, FACES, VOICES, QUICK.model_copy(update={"seed": number, "max_steps": 30}))[0]

    results = cross_validate(pairs, train_one, folds=5)
    assert np.mean([r.auc for r in results]) == pytest.approx(0.5, abs=0.08)
    related = cross_validate(planted(people=100), train_one, folds=2)
    assert np.mean([r.auc for r in related]) > 0.9
    assert sum(r.people for r in results) == 100


def test_shuffled_people_are_no_relation_either(planted):
    """The same vectors, each face with the voice of another person; here people are held out for early stopping."""
    pairs = planted(people=100)
    order = np.random.default_rng(0).permutation(100)
    by_person = pairs.voices.reshape(100, -1, D_VOICE)
    pairs.voices[:] = by_person[order].reshape(pairs.voices.shape)
    config = QUICK.model_copy(update={"cross_fit_below": 0})
    results = cross_validate(pairs, lambda rest, n: train(rest, FACES, VOICES, config)[0], folds=4)
    assert np.mean([r.auc for r in results]) == pytest.approx(0.5, abs=0.1)


def test_cross_validation_trains_on_nobody_it_tests(planted):
    """A model that records its training people is refused on any of them, so folds that overlapped would raise."""
    pairs, left_out = planted(people=20), []

    def train_one(rest, number):
        left_out.append(set(pairs.identity) - set(rest.identity))
        model = _untrained(number)
        model.seen = rest.hashes()
        return model

    results = cross_validate(pairs, train_one, folds=5)
    assert [result.people for result in results] == [len(people) for people in left_out] == [4] * 5
    assert set.union(*left_out) == set(pairs.identity)


def test_one_seed_gives_one_model(trained, planted):
    again, history = train(planted(), FACES, VOICES, QUICK)
    for name, value in trained[0].state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, atol=0, rtol=0, msg=name)
    assert history.dev_auc == trained[1].dev_auc
    other, _ = train(planted(), FACES, VOICES, QUICK.model_copy(update={"seed": 1}))
    assert not torch.equal(other.log_scale, again.log_scale) or not torch.equal(
        other.face_projection.linear.weight, again.face_projection.linear.weight
    )


def test_training_leaves_the_callers_generators_alone(planted):
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    train(planted(), FACES, VOICES, QUICK)
    torch.testing.assert_close(torch.get_rng_state(), states[0], rtol=0, atol=0)
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])
    assert random.getstate() == states[2]


def test_models_pairs_and_histories_print_a_summary(trained, planted):
    model, history = trained
    shown = repr(model)
    for words in ("AssociationModel", FACES, VOICES, "calibrated", "weights"):
        assert words in shown
    assert f"best dev AUC {history.best_dev_auc:.3f} at step {history.best_step}" in str(history)
    assert "240 clips of 120 people" in repr(planted())
    assert len(repr(planted())) < 200


def test_the_model_kept_is_the_best_on_dev(planted):
    pairs, dev = planted(noise=0.8), planted(people=30, seed=2, noise=0.8)
    config = QUICK.model_copy(update={"learning_rate": 3e-3, "feature_noise": 0.0})
    model, history = fit(pairs, dev, FACES, VOICES, config)
    assert auc(all_trials(clip_scores(model, dev), dev.people())) == pytest.approx(history.best_dev_auc, abs=1e-9)
    assert history.best_step > 0
    assert history.dev_auc[history.step.index(history.best_step)] == history.best_dev_auc
    assert len(set(history.dev_auc)) > 1
    assert history.step == list(range(0, config.max_steps + 1, 10))[: len(history.step)]
    assert not model.training


def test_stops_when_dev_stops_rising(planted):
    config = QUICK.model_copy(
        update={"max_steps": 2000, "patience": 2, "evaluate_every": 2, "learning_rate": 0.05, "cross_fit_below": 0}
    )
    calls = []
    _, history = train(planted(related=False), FACES, VOICES, config, lambda *call: calls.append(call))
    assert history.step[-1] < 2000
    assert history.step[-1] - history.best_step == 4
    assert [call[0] for call in calls] == list(range(1, history.step[-1] + 1))
    assert {call[1] for call in calls} == {2000}


def test_refuses_a_person_on_both_sides(planted):
    with pytest.raises(InputError, match="identity 'id0-0000' is in both training and dev data"):
        fit(planted(people=8), planted(people=4), FACES, VOICES, QUICK)


def test_refuses_to_be_evaluated_on_people_it_was_trained_on(trained, tmp_path, planted):
    both = planted(people=2)
    again = AssociationModel.load(trained[0].save(tmp_path / "model", {}))
    for model in (trained[0], again):
        with pytest.raises(InputError, match="identity 'id0-0000' was in the model's training"):
            evaluate(model, both)
        assert len(unseen(model, both)) == 0
        assert len(unseen(model, planted(people=2, seed=1))) == 4
    with pytest.raises(InputError, match="expected at least 2 people to evaluate on, found 1"):
        evaluate(again, planted(people=1, seed=1))


def test_vectors_of_any_precision_and_layout_are_embedded(trained, planted):
    model, faces = trained[0], planted(people=5, seed=3).faces
    expected = model.embed_faces(faces)
    np.testing.assert_array_equal(model.embed_faces(faces.astype(np.float64)), expected)
    np.testing.assert_array_equal(model.embed_faces(np.asfortranarray(faces)), expected)
    np.testing.assert_array_equal(model.embed_faces(faces[::-1]), expected[::-1])


def test_save_and_load_give_equal_embeddings(trained, tmp_path, planted):
    model, strangers = trained[0], planted(people=5, seed=3)
    folder = model.save(tmp_path / "model", {"auc": 0.9}, {"seed": 0})
    again = AssociationModel.load(folder)
    np.testing.assert_array_equal(again.embed_faces(strangers.faces), model.embed_faces(strangers.faces))
    np.testing.assert_array_equal(again.embed_voices(strangers.voices), model.embed_voices(strangers.voices))
    assert (again.face_space, again.voice_space, again.config) == (FACES, VOICES, SMALL)
    assert json.loads((folder / "config.json").read_text())["made_by"] == {"seed": 0}


def test_embeddings_are_unit_norm_in_one_space(trained, planted):
    strangers = planted(people=5, seed=3)
    faces, voices = trained[0].embed_faces(strangers.faces), trained[0].embed_voices(strangers.voices)
    assert faces.shape == voices.shape
    assert len(voices) == 20
    assert faces.dtype == voices.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(np.vstack([faces, voices]), axis=1), 1, atol=1e-5)


def test_vectors_of_another_space_are_refused(trained, planted):
    model, strangers = trained[0], planted(people=5, seed=3)
    np.testing.assert_array_equal(model.embed_faces(strangers.faces, FACES), model.embed_faces(strangers.faces))
    with pytest.raises(SpaceError, match=f"in the space 'dlib/x', expected '{FACES}'"):
        model.embed_faces(strangers.faces, "dlib/x")
    with pytest.raises(SpaceError, match=f"in the space '{FACES}', expected '{VOICES}'"):
        model.embed_voices(strangers.voices, FACES)


def test_a_clip_is_scored_by_the_mean_of_its_views(trained, planted):
    model, pairs = trained[0], planted(people=6, views=3, seed=4)
    scores = clip_scores(model, pairs)
    faces, voices = model.embed_faces(pairs.faces), model.embed_voices(pairs.voices)
    for i, j in ((0, 0), (2, 7), (11, 3)):
        face, voice = faces[pairs.face_clip == i].sum(0), voices[pairs.voice_clip == j].sum(0)
        expected = face @ voice / np.linalg.norm(face) / np.linalg.norm(voice)
        assert scores[i, j] == pytest.approx(expected, abs=1e-5)


def test_the_order_of_clips_changes_no_figure(trained, planted):
    pairs = planted(people=30, seed=5)
    backwards = planted(people=30, seed=5)
    n = len(pairs) - 1
    for name in ("clip_id", "video_id", "identity", "gender"):
        getattr(backwards, name)[:] = getattr(pairs, name)[::-1]
    backwards.face_clip[:], backwards.voice_clip[:] = n - pairs.face_clip, n - pairs.voice_clip
    a, b = evaluate(trained[0], pairs), evaluate(trained[0], backwards)
    assert (a.auc, a.eer, a.auc_same_gender) == pytest.approx((b.auc, b.eer, b.auc_same_gender), abs=1e-9)


def test_same_gender_figure_only_where_gender_is_known(trained, planted):
    pairs = planted(people=30, seed=5, noise=1.5)
    result = evaluate(trained[0], pairs)
    scores = clip_scores(trained[0], pairs)
    assert result.auc_same_gender == auc(all_trials(scores, pairs.people(), pairs.gender)) != result.auc
    pairs.gender[:] = ""
    assert evaluate(trained[0], pairs).auc_same_gender is None


def test_an_evaluation_is_plain_json(trained, planted):
    result = evaluate(trained[0], planted(people=10, seed=5)).to_json()
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_the_mean_loss_is_that_of_the_folds_that_made_the_step():
    nan = float("nan")
    trained, skipped = History([0, 10, 20], [nan, 2.0, 1.0], [0.8, 0.81, 0.82], 20), History([0], [nan], [0.6], 0)
    mean = mean_history([trained, skipped])
    np.testing.assert_allclose(mean.loss, [nan, 2.0, 1.0])
    np.testing.assert_allclose(mean.dev_auc, [0.7, 0.705, 0.71])


def test_the_start_is_measured_by_canonical_direction(planted):
    """The planted people share a few traits: the first directions show them, and all give the start's own AUC."""
    pairs = planted(people=60, seed=3)
    history = train(pairs, "face", "voice", TrainConfig(max_steps=0))[1]
    auc = dict(zip(history.directions, history.auc_by_directions, strict=True))
    every = pairs.voices.shape[1]
    assert list(auc) == [*(count for count in COUNTS if count < every), every]
    assert auc[0] == 0.5
    assert auc[1] < auc[2] < auc[3]
    assert auc[every] == pytest.approx(history.dev_auc[0], abs=1e-9)


@pytest.mark.parametrize(
    "config", [TrainConfig(start="ridge", max_steps=0), TrainConfig(start="random", max_steps=0)]
)
def test_a_start_without_canonical_directions_has_no_curve_of_them(planted, config):
    history = train(planted(people=60, seed=3), "face", "voice", config)[1]
    assert (history.directions, history.auc_by_directions) == ([], [])
