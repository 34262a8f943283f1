"""Average-linkage clustering against all pairs of all groups, scipy's, and the bound of Benjamini and Hochberg."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster
from scipy.cluster.hierarchy import linkage as scipy_linkage
from scipy.spatial.distance import squareform
from scipy.stats import false_discovery_control

from vclip.association.clustering import pair_scores
from vclip.association.clustering.agglomerative import (
    FALSE_SHARE,
    cluster,
    false_discovery_bound,
    likely_edges,
)
from vclip.association.clustering.pair_scores import PairScores


@pytest.fixture
def crowd():
    """A function that makes the pair scores of clips of a few people, close to each other."""

    def make(clips=60, people=9, noise=0.5, seed=0):
        rng = np.random.default_rng(seed)
        who = rng.integers(0, people, clips)
        faces, voices = (rng.normal(size=(people, 6))[who] + noise * rng.normal(size=(clips, 6)) for _ in range(2))
        return PairScores(faces.astype(np.float32), voices.astype(np.float32), 0.0, 0.0), rng

    return make


def _values(like):
    return like.faces @ like.faces.T - like.face_mean, like.voices @ like.voices.T - like.voice_mean


def _same(group):
    return (group[:, None] == group).tolist()


def _reference(like, video, known, apart, bounds, each_at_least):
    """Merges the two groups the furthest above the bound, comparing all pairs of all groups each time."""
    face, voice = _values(like)
    across, within = bounds
    above = face + voice - np.where(video[:, None] == video, within, across)
    groups = [[clip] for clip in range(len(like)) if known[clip] < 0]
    groups += [np.flatnonzero(known == name).tolist() for name in set(known.tolist()) - {-1}]
    forbidden = np.zeros_like(above, dtype=bool)
    forbidden[apart[:, 0], apart[:, 1]] = forbidden[apart[:, 1], apart[:, 0]] = True
    forbidden |= (known[:, None] >= 0) & (known >= 0) & (known[:, None] != known)
    while True:
        best = (0.0, None)
        for i, one in enumerate(groups):
            for j, other in enumerate(groups[:i]):
                pair = np.ix_(one, other)
                each = min(face[pair].mean(), voice[pair].mean())
                if not forbidden[pair].any() and each >= each_at_least and above[pair].mean() > best[0]:
                    best = (above[pair].mean(), (i, j))
        if best[1] is None:
            break
        i, j = best[1]
        groups[j] += groups.pop(i)
    result = np.empty(len(like), int)
    for number, members in enumerate(groups):
        result[members] = number
    return result


@pytest.mark.parametrize("tile", [7, 2048])
@pytest.mark.parametrize("seed", range(4))
def test_groups_are_those_of_comparing_all_pairs_under_the_constraints(crowd, seed, tile):
    like, rng = crowd(seed=seed)
    video, known = rng.integers(0, 20, 60), np.where(rng.random(60) < 0.2, rng.integers(0, 4, 60), -1)
    apart = rng.integers(0, 60, (40, 2))
    free = (apart[:, 0] != apart[:, 1]) & ((known[apart[:, 0]] < 0) | (known[apart[:, 0]] != known[apart[:, 1]]))
    limits = {"bounds": (5.0, 3.0), "each_at_least": 1.0}
    found = cluster(like, video, known, apart[free], **limits, tile=tile)
    expected = _reference(like, video, known, apart[free], **limits)
    assert _same(found) == _same(expected)
    assert 4 < len(set(found.tolist())) < 40
    without = cluster(like, video, np.full(60, -1), **limits)
    assert _same(found) != _same(without)


@pytest.mark.parametrize("seed", range(3))
def test_without_constraints_it_is_scipys(crowd, seed):
    like, _ = crowd(clips=120, seed=seed)
    found = cluster(like, np.arange(120), bounds=(4.0, 4.0), each_at_least=-np.inf)
    face, voice = _values(like)
    distance = 1000 - (face + voice).astype(np.float64)
    np.fill_diagonal(distance, 0)
    tree = scipy_linkage(squareform(distance, checks=False), "average")
    assert _same(found) == _same(fcluster(tree, 1000 - 4.0, "distance"))


@pytest.mark.parametrize("seed", range(3))
def test_the_bound_is_that_of_benjamini_and_hochberg(seed):
    rng = np.random.default_rng(seed)
    value = np.concatenate([pair_scores.SPREAD * rng.normal(size=20_000), rng.normal(7, 1, 200)])
    rejected = false_discovery_control(pair_scores.chance(value)) <= FALSE_SHARE
    assert 100 < rejected.sum() < 250
    bound = false_discovery_bound(value[value > 3], len(value))  # low scores may be missing
    assert ((value > bound) == rejected).all()


def test_chance_and_bound_are_inverse():
    shares = np.array([0.4, 1e-3, 1e-9])
    assert pair_scores.chance(np.array([pair_scores.bound(share) for share in shares])) == pytest.approx(shares)


def test_a_person_of_more_clips_than_edges_is_still_one(crowd):
    like, _ = crowd(clips=50, people=1, noise=0.05)
    like = PairScores(3 * like.faces, 3 * like.voices, 0.0, 0.0)
    edges, _ = likely_edges(like, np.arange(50), most_edges=3)
    assert np.bincount(edges[:, 0]).max() == 3
    assert len(set(cluster(like, np.arange(50), most_edges=3).tolist())) == 1


def test_a_clip_between_two_people_does_not_make_one_of_them():
    """Clips 0..4 and 6..10 are two people; clip 5 lies between, and alone would be linked to both."""
    angle = np.array([0] * 5 + [0.7] + [1.4] * 5)
    vectors = 2.5 * np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    like = PairScores(vectors, vectors, 0.0, 0.0)
    assert vectors[0] @ vectors[5] * 2 > 9 > vectors[0] @ vectors[6] * 2
    group = cluster(like, np.arange(11), bounds=(9.0, 9.0))
    assert group[0] != group[10]
    assert len(set(group[:5])) == len(set(group[6:])) == 1


def test_one_clip_and_none():
    assert cluster(
        PairScores(np.ones((1, 2), np.float32), np.ones((1, 2), np.float32), 0, 0), np.zeros(1, int)
    ).tolist() == [0]
