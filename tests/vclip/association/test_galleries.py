"""What an evaluation compares: clips, or people by several of their clips."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from vclip.association.evaluation import evaluate
from vclip.association.galleries import OTHER_CLIPS, OTHER_VIDEOS, OWN_CLIP, Galleries
from vclip.association.metrics import ScoredTrials, auc
from vclip.association.pairs import PER_CLIP, mean_direction
from vclip.association.scores import clip_scores
from vclip.errors import InputError


@pytest.fixture(scope="module")
def uneven(planted):
    """Fifteen people with one to five clips, some of which share a video."""
    pairs = planted(people=15, clips_each=5, seed=1, noise=1.0)
    return pairs.select(np.arange(75) % 5 < np.repeat(np.arange(15) % 5 + 1, 5))


def _clips_behind(rows, whole):
    """Returns for each row the clips that its faces and its voices are of; no two views are equal."""
    found = []
    for kind in ("face", "voice"):
        views, row_of = getattr(rows, f"{kind}s"), getattr(rows, f"{kind}_clip")
        whole_views, clip_of = getattr(whole, f"{kind}s"), getattr(whole, f"{kind}_clip")
        clip = {vector.tobytes(): clip for vector, clip in zip(whole_views, clip_of.tolist(), strict=True)}
        counts = [Counter() for _ in range(len(rows))]
        for vector, row in zip(views, row_of.tolist(), strict=True):
            counts[row][clip[vector.tobytes()]] += 1
        found.append(counts)
    return found


@pytest.mark.parametrize("views", [1, 2, 3, 5])
def test_a_row_has_all_views_of_so_many_clips_of_its_person(uneven, views):
    galleries = Galleries.of_people(uneven, views, seed=0)
    rows, people = galleries.pairs, uneven.people()
    assert len(galleries.rows) == (1 if views == 5 else 10)
    for gallery in galleries.rows:
        assert sorted(rows.identity[gallery]) == sorted(set(uneven.identity))
    has = Counter(uneven.identity.tolist())
    for counts in _clips_behind(rows, uneven):
        for row, clips in enumerate(counts):
            assert {uneven.identity[clip] for clip in clips} == {rows.identity[row]}
            assert len(clips) == min(views, has[rows.identity[row]])
            assert set(clips.values()) == {2}  # all views of a clip
        used = Counter(clip for clips in counts for clip in clips)
        assert len(used) > 0.8 * len(uneven)
    assert len(rows) == len(galleries.rows) * (people.max() + 1)


@pytest.mark.parametrize("views", [1, 2, 5])
def test_the_kinds_of_positives_are_those_of_the_clips_behind_them(uneven, views):
    galleries = Galleries.of_people(uneven, views, seed=2)
    faces, voices = _clips_behind(galleries.pairs, uneven)
    video = uneven.videos()
    expected = {OWN_CLIP: [], OTHER_CLIPS: [], OTHER_VIDEOS: []}
    for of_face, of_voice in zip(map(set, faces), map(set, voices), strict=True):
        expected[OWN_CLIP].append(of_face == of_voice)
        expected[OTHER_CLIPS].append(not of_face & of_voice)
        expected[OTHER_VIDEOS].append(not set(video[list(of_face)]) & set(video[list(of_voice)]))
    for name, kind in galleries.kinds.items():
        assert kind.trials == sum(expected[name])
        for rows in galleries.rows:
            diagonal = np.diag(kind.among(rows, rows)).tolist()
            assert diagonal == [expected[name][row] for row in rows]


def test_all_clips_of_each_person_give_the_figures_of_their_means(uneven, planted, plain_model):
    model, people = plain_model(planted(people=60)), uneven.people()
    count = people.max() + 1
    faces = mean_direction(model.embed_faces(uneven.faces), people[uneven.face_clip], count)
    voices = mean_direction(model.embed_voices(uneven.voices), people[uneven.voice_clip], count)
    trials = ScoredTrials((faces @ voices.T).ravel(), np.eye(count, dtype=bool).ravel())
    found = evaluate(model, uneven, draws=5, views=5)
    assert found.auc == pytest.approx(auc(trials), abs=1e-6)
    assert evaluate(model, uneven, draws=5, views=50) == replace(found, views=50)
    assert found.positives == {OWN_CLIP: found.subgroups["unrestricted"].verification}


def test_one_clip_of_each_person_gives_the_mean_over_all_choices(uneven, planted, plain_model):
    """Within the chance of the draws; each person counts once, unlike among all clips."""
    model, people, rng = plain_model(planted(people=60)), uneven.people(), np.random.default_rng(0)
    scores = clip_scores(model, uneven)
    aucs = []
    for _ in range(2000):
        face, voice = (np.array([rng.choice(np.flatnonzero(people == p)) for p in range(15)]) for _ in range(2))
        aucs.append(auc(ScoredTrials(scores[face][:, voice].ravel(), np.eye(15, dtype=bool).ravel())))
    found = np.mean([evaluate(model, uneven, seed=seed, draws=2, views=1).auc for seed in range(20)])
    assert found == pytest.approx(np.mean(aucs), abs=4 * np.std(aucs) / 200**0.5)
    assert np.std(aucs) < 0.06


def test_a_person_counts_the_same_however_many_clips_it_has(uneven, planted, plain_model):
    model = plain_model(planted(people=60))
    often = np.concatenate([np.arange(len(uneven)), np.full(200, len(uneven) - 1)])  # one clip 200 times more
    rows = np.concatenate([np.flatnonzero(uneven.face_clip == clip) for clip in often])
    clips = np.repeat(np.arange(len(often)), 2)
    labels = {name: getattr(uneven, name)[often] for name in PER_CLIP if name != "clip_id"}
    more = replace(
        uneven, faces=uneven.faces[rows], voices=uneven.voices[rows], face_clip=clips, voice_clip=clips,
        clip_id=np.array([f"clip{i}" for i in range(len(often))]), **labels,
    )  # fmt: skip
    by_clips, by_people = (
        [evaluate(model, pairs, draws=2, views=v).auc for pairs in (uneven, more)] for v in (None, 1)
    )
    assert abs(by_people[0] - by_people[1]) < 0.03 < 0.04 < abs(by_clips[0] - by_clips[1])


def test_labels_are_those_of_all_clips_and_subgroups_are_within_a_gallery(uneven, planted, plain_model):
    gender = np.where(uneven.people() % 2 == 0, "f", "m")
    first = np.unique(uneven.people(), return_index=True)[1]
    gender[first[::2][1:]] = ""  # of some people the first clip has no label
    language = np.where(np.isin(np.arange(len(uneven)), first), "en", "hi")  # who has several clips speaks both
    known = Galleries.of_people(replace(uneven, gender=gender, language=language), 2, seed=0).pairs
    several = np.isin(known.people(), np.flatnonzero(np.bincount(uneven.people()) > 1))
    assert (known.gender[several] == np.where(known.people()[several] % 2 == 0, "f", "m")).all()
    assert known.language.tolist() == np.where(several, "", "en").tolist()
    model = plain_model(planted(people=60))
    found = evaluate(model, replace(uneven, gender=np.where(uneven.people() % 2 == 0, "f", "m")), draws=2, views=2)
    within = found.subgroups["same gender"].verification
    assert (within.positives, within.negatives) == (150, 10 * (8 * 7 + 7 * 6))
    assert found.subgroups["same gender"].groups == 2
    assert found.subgroups["same gender"].clips == 15


def test_no_clip_of_a_person_is_an_error(uneven, planted, plain_model):
    with pytest.raises(InputError, match="views = 0: expected at least 1 clip"):
        evaluate(plain_model(planted(people=60)), uneven, views=0)


def test_draws_are_of_the_seed_and_large_stores_have_fewer(uneven, planted, plain_model):
    model = plain_model(planted(people=60))
    one, again, other = (evaluate(model, uneven, seed=seed, draws=2, views=1) for seed in (0, 0, 1))
    assert one == again
    assert one.auc != other.auc
    assert [evaluate(model, uneven, draws=2, views=1, max_clips=most).galleries for most in (150, 60)] == [10, 4]
