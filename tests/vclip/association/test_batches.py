"""Batches hold each person once, and are the same for one seed and step wherever a run begins."""

import numpy as np
import pytest

from vclip.association.training import TrainConfig
from vclip.association.training_batches import Batches
from vclip.config import load


@pytest.fixture
def pairs(planted):
    return planted(people=25, clips_each=3, views=2)


@pytest.mark.parametrize("size", [2, 7, 25, 1000])
def test_a_batch_holds_a_person_once_and_rows_belong_together(pairs, size):
    batches, seen = Batches(pairs, size, seed=0), set()
    for step in range(1, 801):
        faces, voices = batches.at(step)
        assert faces.shape == voices.shape == (min(size, 25), 1)
        faces, voices = faces[:, 0], voices[:, 0]
        assert (pairs.face_clip[faces] == pairs.voice_clip[voices]).all()
        people = pairs.identity[pairs.face_clip[faces]]
        assert len(set(people)) == len(people)
        seen |= set(zip(faces.tolist(), voices.tolist(), strict=True))
    if size >= 7:  # over many batches every view of every clip takes part, in every combination
        assert {face for face, _ in seen} == set(range(len(pairs.faces)))
        assert {voice for _, voice in seen} == set(range(len(pairs.voices)))
        assert len(seen) > 1.5 * len(pairs.faces)


def test_an_epoch_draws_everybody_once(pairs):
    batches = Batches(pairs, 5, seed=0)
    for epoch in range(3):
        faces = np.concatenate([batches.at(5 * epoch + step)[0][:, 0] for step in range(1, 6)])
        assert sorted(pairs.identity[pairs.face_clip[faces]]) == sorted(set(pairs.identity))


def test_views_of_a_person_are_of_one_clip(pairs):
    faces, voices = Batches(pairs, 10, seed=0, views=4).at(3)
    assert faces.shape == voices.shape == (10, 4)
    clips = np.hstack([pairs.face_clip[faces], pairs.voice_clip[voices]])
    assert (clips == clips[:, :1]).all()


def test_a_step_has_its_batch_whatever_came_before(pairs):
    from_the_start, late = Batches(pairs, 7, seed=3), Batches(pairs, 7, seed=3)
    for step in range(1, 11):
        expected = from_the_start.at(step)
    for mine, theirs in zip(late.at(10), expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert not all(np.array_equal(a, b) for a, b in zip(Batches(pairs, 7, seed=4).at(10), expected, strict=True))


def test_only_the_people_among_whom_it_may_draw_take_part(pairs):
    among = np.isin(pairs.identity, sorted(set(pairs.identity))[::3])
    batches = Batches(pairs, 100, seed=0, among=among)
    assert (batches.size, batches.epoch) == (9, 1)
    faces, voices = batches.at(4)
    assert set(pairs.identity[pairs.face_clip[faces[:, 0]]]) == set(pairs.identity[among])
    assert among[pairs.voice_clip[voices]].all()


def test_a_configuration_of_an_older_version_still_opens(tmp_path):
    (tmp_path / "old.yaml").write_text("compile: true\nmax_steps: 7\n")
    assert load(TrainConfig, tmp_path / "old.yaml") == TrainConfig(max_steps=7)
