"""The k most similar vectors are those of a full sort, whatever the parts they come in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stores.ranking import Ranking, unit


def sorted_in_full(vectors, queries, keys, k):
    """Returns the rows (m, k) by falling cosine, in float64 rounded once, then by key."""
    cosines = unit(queries).astype(np.float64) @ unit(vectors).astype(np.float64).T
    return [np.lexsort((keys, -row.astype(np.float32)))[:k].tolist() for row in cosines]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 120),
    queries=st.integers(1, 9),
    k=st.integers(1, 30),
    parts=st.integers(1, 6),
    copies=st.floats(0, 1),
)
def test_equals_a_full_sort_with_ties_by_key(seed, count, queries, k, parts, copies):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 7)).astype(np.float32)
    same = rng.random(count) < copies  # among them whole runs of one vector, and zeros
    vectors[same] = rng.choice([0.0, 1.0], size=(same.sum(), 1)) * np.ones(7, np.float32)
    keys = np.array([f"id{number:03}" for number in rng.permutation(count)], dtype=str)
    wanted = rng.normal(size=(queries, 7)).astype(np.float32) * 5
    found = Ranking(wanted, k)
    cuts = np.sort(rng.integers(0, count + 1, parts - 1))
    for rows in np.split(np.arange(count), cuts):
        found.add(unit(vectors[rows]), keys[rows], rows)
    query, row, cosine = found.best()
    expected = sorted_in_full(vectors, wanted, keys, k)
    assert [row[query == number].tolist() for number in range(queries)] == expected
    assert (np.abs(cosine) <= 1 + 1e-6).all()


def test_parts_and_merges_change_no_figure():
    rng = np.random.default_rng(0)
    vectors, queries = unit(rng.normal(size=(5000, 64)).astype("f4")), rng.normal(size=(40, 64)).astype("f4")
    rows = np.arange(5000)

    def best(**sizes):
        ranking = Ranking(queries, 10, **sizes)
        ranking.add(vectors, rows, rows)
        return ranking.best()

    whole = best()
    in_parts = best(queries_at_once=7, scores_at_once=1000, vectors_at_once=16)
    for first, second in zip(whole, in_parts, strict=True):
        assert np.array_equal(first, second)
    assert whole[1].reshape(40, 10).tolist() == sorted_in_full(vectors, queries, rows, 10)


def test_unit_vectors():
    vectors = np.array([[3, 4], [0, 0], [np.nan, 1], [1e-30, 0], [1e30, 1e30]], np.float32)
    assert unit(vectors) == pytest.approx(np.array([[0.6, 0.8], [0, 0], [0, 0], [1, 0], [0.5**0.5, 0.5**0.5]]))
