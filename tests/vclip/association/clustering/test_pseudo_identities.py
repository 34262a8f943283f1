"""Pseudo-identities: who is who where nobody says."""

from dataclasses import replace

import numpy as np
import pytest

from vclip.association.clustering.pseudo_identities import (
    doubtful_pairs,
    group_by_face,
    group_people,
    seen_at_once,
)
from vclip.association.pairs import Pairs
from vclip.errors import InputError

DLIB, CLIP, VOICE = "dlib/resnet-v1-128/crop1", "open_clip/ViT-B-32-quickgelu/openai/crop1", "resemblyzer/ge2e-256"


def _clusters(identity, face_of, voice_of, spread=0.02, seed=0):
    """Returns one clip for each entry, whose face and voice lie near those of the given numbers."""
    rng = np.random.default_rng(seed)

    def near(numbers):
        centres = np.linalg.qr(rng.normal(size=(64, 64)))[0]
        vectors = centres[np.repeat(numbers, 2)] + spread * rng.normal(size=(2 * len(numbers), 64))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    clips = np.arange(len(identity))
    names = np.array([f"clip{i:03}" for i in clips])
    views = np.repeat(clips, 2)
    return Pairs(
        near(face_of),
        views,
        near(voice_of),
        views,
        names,
        names,
        np.array(identity, dtype=str),
        np.full(len(clips), ""),
    )


def _same(identity):
    return (identity[:, None] == identity[None, :]).tolist()


def test_planted_people_are_found():
    who = np.random.default_rng(1).integers(0, 20, 50)
    grouped, made_up = group_people(_clusters([""] * 50, who, who), DLIB, VOICE)
    assert made_up == 50
    assert _same(grouped.identity) == _same(who)
    assert "" not in grouped.identity


def test_people_are_found_by_their_faces_whatever_their_voices():
    rng = np.random.default_rng(1)
    who = rng.integers(0, 20, 50)
    named = np.where(rng.random(50) < 0.3, np.char.add("person", who.astype(str)), "")
    pairs = _clusters(named, who, rng.permutation(who))
    grouped = group_by_face(pairs, DLIB)
    assert _same(grouped.identity) == _same(who)
    assert (grouped.identity[named != ""] == named[named != ""]).all()
    assert group_by_face(grouped, DLIB) is grouped
    first, second = np.flatnonzero(who == who[0])[:2]
    nobody = replace(pairs, identity=np.full(50, ""))
    assert np.ptp(np.unique(group_by_face(nobody, DLIB).identity, return_inverse=True)[1][[first, second]]) == 0
    apart = group_by_face(nobody, DLIB, np.array([[first, second]]))
    assert apart.identity[first] != apart.identity[second]


@pytest.mark.parametrize(("face_space", "voice_space"), [("a/1", "b/2"), (DLIB, "b/2"), ("a/1", VOICE)])
def test_people_are_found_in_spaces_that_nobody_has_measured(face_space, voice_space):
    who = np.random.default_rng(1).integers(0, 60, 150)
    pairs = _clusters([""] * 150, who, who)
    if face_space != DLIB:
        pairs = replace(pairs, faces=_crowded(pairs.faces, 3))
    if voice_space != VOICE:
        pairs = replace(pairs, voices=_crowded(pairs.voices, 1))
    grouped, _ = group_people(pairs, face_space, voice_space)
    assert _same(grouped.identity) == _same(who)


def _crowded(vectors, share):
    """Vectors that all share a direction, as those of faces do."""
    moved = vectors + share * np.eye(vectors.shape[1], dtype=np.float32)[0]
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


@pytest.mark.parametrize(("faces", "voices"), [([0, 0, 1, 2], [0, 1, 2, 2]), ([0, 1, 2, 3], [0, 0, 0, 0])])
def test_face_and_voice_must_agree(faces, voices):
    """Two people of one face (twins), two of one voice; and an interpreter who speaks for four people."""
    pairs = _clusters([""] * 4, faces, voices)
    assert len(set(group_people(pairs, DLIB, VOICE)[0].identity)) == 4


def test_known_identities_are_kept_and_lent_to_those_linked_to_them():
    who = np.array([0, 0, 0, 1, 1, 2, 2, 3])
    known = ["anna", "anna", "", "bert", "", "", "", "carl"]
    grouped, made_up = group_people(_clusters(known, who, who), DLIB, VOICE)
    assert grouped.identity.tolist() == [
        "anna", "anna", "anna", "bert", "bert", "person-clip005", "person-clip005", "carl",
    ]  # fmt: skip
    assert made_up == 4


def test_clips_of_two_known_people_are_never_one():
    who = np.zeros(3, int)
    grouped, _ = group_people(_clusters(["anna", "bert", ""], who, who), DLIB, VOICE)
    assert grouped.identity[:2].tolist() == ["anna", "bert"]
    assert grouped.identity[2] in ("anna", "bert")


def test_clips_seen_at_once_are_never_one():
    who = np.array([0, 0, 1])
    pairs = _clusters([""] * 3, who, who)
    assert len(set(group_people(pairs, DLIB, VOICE)[0].identity)) == 2
    grouped, _ = group_people(pairs, DLIB, VOICE, np.array([[1, 0]]))
    assert len(set(grouped.identity)) == 3


@pytest.mark.parametrize("seed", range(5))
def test_those_seen_at_once_are_those_that_overlap(seed):
    rng = np.random.default_rng(seed)
    video, start, length = rng.integers(0, 3, 40), rng.uniform(0, 60, 40), rng.gamma(1, 8, 40)
    end = start + length
    overlap = np.minimum(end[:, None], end) - np.maximum(start[:, None], start)
    expected = (video[:, None] == video) & (overlap >= 0.5) & ~np.eye(40, dtype=bool)
    found = seen_at_once(video.astype(str), start, end)
    assert {tuple(sorted(pair)) for pair in found.tolist()} == {
        (i, j) for i, j in np.argwhere(expected).tolist() if i < j
    }
    assert len(found) == np.triu(expected).sum() > 0


def test_of_nothing_nobody_is_seen_at_once():
    assert seen_at_once(np.empty(0, str), np.empty(0), np.empty(0)).shape == (0, 2)


def test_the_order_of_the_clips_does_not_matter():
    who = np.random.default_rng(1).integers(0, 8, 20)
    pairs = _clusters([""] * 20, who, who)
    order = np.random.default_rng(2).permutation(20)
    views = np.concatenate([np.flatnonzero(pairs.face_clip == i) for i in order])
    shuffled = Pairs(
        pairs.faces[views], np.repeat(np.arange(20), 2), pairs.voices[views], np.repeat(np.arange(20), 2),
        pairs.clip_id[order], pairs.video_id[order], pairs.identity[order], pairs.gender[order],
    )  # fmt: skip
    grouped = group_people(shuffled, DLIB, VOICE)[0]
    assert _same(grouped.identity) == _same(group_people(pairs, DLIB, VOICE)[0].identity[order])


def test_clips_of_unknown_videos_are_grouped_as_those_of_different_videos():
    who = np.random.default_rng(1).integers(0, 8, 20)
    pairs = _clusters([""] * 20, who, who)
    apart, unknown = (replace(pairs, video_id=names) for names in (pairs.clip_id, np.full(20, "")))
    assert (group_people(unknown, DLIB, VOICE)[0].identity == group_people(apart, DLIB, VOICE)[0].identity).all()
    assert (group_people(unknown, "x", "y")[0].identity == group_people(apart, "x", "y")[0].identity).all()


def test_nothing_unknown_is_nothing_done_in_any_space():
    pairs = _clusters(["a", "b"], [0, 0], [0, 0])
    assert group_people(pairs, "x", "y") == (pairs, 0)


def test_too_few_clips_to_measure_a_space_are_an_error():
    with pytest.raises(InputError, match=r"space 'ecapa/x': expected at least .* clips .*, found 2; give the clips"):
        group_people(_clusters(["a", ""], [0, 1], [0, 1]), DLIB, "ecapa/x")


def test_vectors_that_are_all_alike_tell_nobody_apart():
    pairs = _clusters([""] * 70, [0] * 70, [0] * 70, spread=0)
    with pytest.raises(InputError, match="space 'x/1': the vectors of all clips are the same"):
        group_people(pairs, "x/1", VOICE)


def test_doubtful_are_two_identities_that_look_and_sound_as_one():
    """Clips 0 and 1 have one name; 2 and 3 have two, and look and sound as one; 4 is alone."""
    pairs = _clusters(["a", "a", "b", "c", "d"], [0, 1, 2, 2, 3], [0, 1, 2, 2, 3])
    doubtful = doubtful_pairs(pairs, DLIB, VOICE)
    assert np.argwhere(doubtful.toarray()).tolist() == [[2, 3], [3, 2]]
    some = replace(pairs, doubtful=doubtful).select(np.array([True, False, True, True, True]))
    assert np.argwhere(some.doubts_among(np.array([2, 0, 3, 1]))).tolist() == [[0, 3], [3, 0]]
    assert pairs.doubts_among(np.array([0, 1])) is None


def test_doubt_within_the_expected_number_of_innocents():
    """Of 400 people with one clip each, about one pair for each clip is doubtful by chance, and none is grouped."""
    rng = np.random.default_rng(0)
    faces, voices = rng.normal(size=(400, 40)), rng.normal(size=(400, 40))
    pairs = _clusters([""] * 400, np.arange(400) % 64, np.arange(400) % 64)
    one_view = np.arange(400)
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (faces, voices))
    faces, voices = (vectors.astype(np.float32) for vectors in unit)
    pairs = replace(pairs, faces=faces, face_clip=one_view, voices=voices, voice_clip=one_view)
    assert 20 < doubtful_pairs(replace(pairs, identity=pairs.clip_id), "a", "b").nnz / 2 < 400
    assert len(set(group_people(pairs, "a", "b")[0].identity)) == 400
