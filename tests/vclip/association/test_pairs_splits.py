"""Selecting, splitting, folding and batching: nobody stands on two sides, and what belongs together stays so."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from vclip.association.pairs import Pairs
from vclip.association.training_batches import Batches
from vclip.errors import InputError


@pytest.fixture
def pairs():
    """Ragged pairs whose vectors say where they come from: the clip, the view, the side."""
    rng = np.random.default_rng(0)
    clips = 60
    face_clip, voice_clip = (rng.permutation(np.repeat(np.arange(clips), rng.integers(1, 4, clips))) for _ in "fv")
    return Pairs(
        faces=np.stack([face_clip, np.arange(len(face_clip)), np.zeros(len(face_clip))], 1).astype(np.float32),
        face_clip=face_clip,
        voices=np.stack([voice_clip, np.arange(len(voice_clip)), np.ones(len(voice_clip))], 1).astype(np.float32),
        voice_clip=voice_clip,
        clip_id=np.array([f"clip{i}" for i in range(clips)]),
        video_id=np.array([f"video{i}" for i in range(clips)]),
        identity=np.array([f"id{i}" for i in rng.integers(0, 25, clips)]),
        gender=rng.choice(["", "f", "m"], clips),
    )


def _content(pairs):
    """Returns each clip with its vectors, regardless of the order of views."""
    return {
        clip: (
            pairs.identity[i],
            pairs.gender[i],
            pairs.video_id[i],
            frozenset(map(tuple, pairs.faces[pairs.face_clip == i])),
            frozenset(map(tuple, pairs.voices[pairs.voice_clip == i])),
        )
        for i, clip in enumerate(pairs.clip_id)
    }


def test_select_keeps_each_clip_with_its_views(pairs):
    mask = np.random.default_rng(1).random(len(pairs)) < 0.4
    selected, whole = _content(pairs.select(mask)), _content(pairs)
    assert selected == {clip: whole[clip] for clip in pairs.clip_id[mask]}
    assert 0 < len(selected) < len(whole)
    assert _content(pairs.select(np.ones(len(pairs), bool))) == whole
    assert len(pairs.select(np.zeros(len(pairs), bool))) == 0


@pytest.mark.parametrize("given", [np.float16, np.float64, "reversed", "column by column"])
def test_vectors_of_any_precision_and_layout_are_the_same_pairs(pairs, given):
    made = {
        "reversed": lambda x: x[::-1].copy()[::-1],  # of negative strides
        "column by column": np.asfortranarray,
    }.get(given, lambda x: x.astype(given))
    other = replace(pairs, faces=made(pairs.faces), voices=made(pairs.voices))
    for name in ("faces", "voices"):
        vectors = getattr(other, name)
        assert vectors.dtype == np.float32
        assert vectors.flags["C_CONTIGUOUS"]
        np.testing.assert_array_equal(vectors, getattr(pairs, name))
    np.testing.assert_array_equal(other.hashes(), pairs.hashes())


def test_clips_of_unknown_videos_are_of_videos_of_their_own(pairs):
    names = np.array([f"video{i % 7}" for i in range(60)])
    known = replace(pairs, video_id=names).videos()
    for i, j in itertools.combinations(range(60), 2):
        assert (known[i] == known[j]) == (names[i] == names[j])
    unknown = replace(pairs, video_id=np.where(np.arange(60) < 40, names, "")).videos()
    np.testing.assert_array_equal(unknown[:40], known[:40])
    assert len(set(unknown[40:]) | set(unknown[:40])) == 7 + 20
    assert set(unknown) == set(range(27))


def test_people_are_equal_where_identities_are(pairs):
    people = pairs.people()
    for i, j in itertools.combinations(range(len(pairs)), 2):
        assert (people[i] == people[j]) == (pairs.identity[i] == pairs.identity[j])
    assert set(people) == set(range(len(set(pairs.identity))))


@pytest.mark.parametrize("fraction", [0.01, 0.15, 0.5])
@pytest.mark.parametrize("seed", [0, 1])
def test_split_shares_no_person_and_loses_no_clip(pairs, fraction, seed):
    train, dev = pairs.split(fraction, seed)
    assert not set(train.identity) & set(dev.identity)
    assert _content(train) | _content(dev) == _content(pairs)
    n_people = len(set(pairs.identity))
    assert len(set(dev.identity)) == max(2, round(fraction * n_people))


def test_one_seed_gives_one_split(pairs):
    ids = [tuple(pairs.split(0.3, seed)[1].clip_id) for seed in (5, 5, 6)]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("count", [2, 5, 25])
def test_folds_share_no_person_and_are_even(pairs, count):
    fold = pairs.folds(count, 0)
    people_in = [set(pairs.identity[fold == number]) for number in range(count)]
    assert sum(map(len, people_in)) == len(set.union(*people_in)) == 25
    assert max(map(len, people_in)) - min(map(len, people_in)) <= 1
    assert not (fold == pairs.folds(count, 1)).all()


def test_too_few_people_and_unknown_people_are_errors(planted):
    few = planted(people=3)
    with pytest.raises(InputError, match="expected at least 4 people to train and to hold some out, found 3"):
        few.split(0.5, 0)
    with pytest.raises(InputError, match="expected at least 4 people to split them into 4 parts, found 3"):
        few.folds(4, 0)
    few.identity[1] = ""
    for use in (few.people, lambda: few.split(0.1, 0), lambda: few.folds(2, 0), lambda: Batches(few, 2, 0)):
        with pytest.raises(InputError, match=r"1 of 6 clips have no identity.*group_people"):
            use()
    with pytest.raises(InputError, match=r"people.*, found 0"):
        few.select(np.zeros(6, bool)).split(0.1, 0)


@pytest.mark.parametrize("name", ["face_clip", "voice_clip", "identity", "language", "video_id"])
def test_arrays_of_other_lengths_are_an_error_that_names_them(pairs, name):
    arrays = {**vars(pairs), name: getattr(pairs, name)[1:]}
    length = len(getattr(pairs, name))
    with pytest.raises(InputError, match=f"found {length - 1} entries in `{name}`, expected {length}"):
        Pairs.of(arrays)


def test_pairs_of_arrays_takes_its_fields_and_leaves_the_others(planted):
    pairs = planted(people=4)
    again = Pairs.of({**vars(pairs), "score": np.zeros(8)})
    assert _content(again) == _content(pairs)
    with pytest.raises(KeyError, match="identity"):
        Pairs.of({name: value for name, value in vars(pairs).items() if name != "identity"})
