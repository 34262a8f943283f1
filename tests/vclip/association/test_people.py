"""Pseudo-identities: who is who where nobody says."""

from dataclasses import replace

import numpy as np
import pytest

from vclip.association import people
from vclip.association.pairs import Pairs
from vclip.association.people import group_people
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


@pytest.mark.parametrize("face_space", [DLIB, CLIP])
@pytest.mark.parametrize("block", [7, 2048])
def test_planted_people_are_found(face_space, block, monkeypatch):
    monkeypatch.setattr(people, "BLOCK", block)
    who = np.random.default_rng(1).integers(0, 20, 50)
    grouped, made_up = group_people(_clusters([""] * 50, who, who), face_space, VOICE)
    assert made_up == 50
    assert _same(grouped.identity) == _same(who)
    assert "" not in grouped.identity


def test_face_and_voice_must_agree():
    """Two people of one face (twins), two of one voice: four people, unless the face space says nothing."""
    pairs = _clusters([""] * 4, [0, 0, 1, 2], [0, 1, 2, 2])
    assert len(set(group_people(pairs, DLIB, VOICE)[0].identity)) == 4
    assert _same(group_people(pairs, CLIP, VOICE)[0].identity) == _same(np.array([0, 1, 2, 2]))


def test_known_identities_are_kept_and_lent_to_those_linked_to_them():
    who = np.array([0, 0, 0, 1, 1, 2, 2, 3])
    known = ["anna", "anna", "", "bert", "", "", "", "anna"]
    grouped, made_up = group_people(_clusters(known, who, who), DLIB, VOICE)
    assert grouped.identity.tolist() == [
        "anna", "anna", "anna", "bert", "bert", "person-clip005", "person-clip005", "anna",
    ]  # fmt: skip
    assert made_up == 4


def test_where_known_identities_disagree_the_unknown_is_neither():
    who = np.zeros(3, int)
    grouped, _ = group_people(_clusters(["anna", "bert", ""], who, who), DLIB, VOICE)
    assert grouped.identity[:2].tolist() == ["anna", "bert"]
    assert grouped.identity[2] not in ("anna", "bert", "")


def test_links_chain():
    """Clip 0 is like 1 and 1 like 2, though 0 and 2 alone would not be linked: one person."""
    angle = np.arccos(people.SAME_FACE["dlib"]) * 0.9
    vectors = np.stack([np.array([np.cos(i * angle), np.sin(i * angle)]) for i in range(3)]).astype(np.float32)
    assert vectors[0] @ vectors[2] < people.SAME_FACE["dlib"]
    clips = np.arange(3)
    ids = np.array(["a", "b", "c"])
    voices = np.ones((3, 2), np.float32) / np.sqrt(2, dtype=np.float32)
    chain = Pairs(vectors, clips, voices, clips, ids, ids, np.full(3, ""), np.full(3, ""))
    assert len(set(group_people(chain, DLIB, VOICE)[0].identity)) == 1
    ends = replace(chain.select(np.array([True, False, True])))
    assert len(set(group_people(ends, DLIB, VOICE)[0].identity)) == 2


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


def test_nothing_unknown_is_nothing_done_in_any_space():
    pairs = _clusters(["a", "b"], [0, 0], [0, 0])
    assert group_people(pairs, "x", "y") == (pairs, 0)


def test_a_voice_space_without_a_threshold_is_an_error():
    with pytest.raises(InputError, match=r"space 'ecapa/x': cannot tell people apart in it; give identities"):
        group_people(_clusters(["a", ""], [0, 1], [0, 1]), DLIB, "ecapa/x")
