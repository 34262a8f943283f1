"""Search with filters equals brute force over the rows that match, whichever way it is answered."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stores import Store, StoreError
from stores.maintenance.compact import compact
from stores.maintenance.index import build_index
from stores.vector_cache import VectorCache
from tests.support.store_world import FACE_COLUMN, FACES, LATER, RUN, VOICES, contents, crashed_commit, video

SPEAKER = {"speaker_id": "a", "run_id": RUN, "tts": "morph", "space": "s", "vector": [1.0]}
WAYS = {
    "memory": {},
    "stream": {"memory_bytes": 0, "exact": True},
}


@pytest.fixture(scope="module")
def world(new_uri) -> Store:
    """1040 faces, and rows that nobody vouches for."""
    store = Store.create(new_uri(), FACES, VOICES)
    store.commit([video(number) for number in range(250)])
    store.commit([video(number, LATER, "b", clips=3) for number in range(240, 260)])
    crashed_commit(store, [video(300), video(3, LATER, "b")])
    return store


@pytest.fixture(scope="module")
def rows(world) -> dict:
    found = contents(world)
    genders = {row["clip_id"]: row["gender"] for row in found["clips"]}
    return {
        "face_id": np.array([row["face_id"] for row in found["faces"]]),
        "vector": np.array([row[FACE_COLUMN] for row in found["faces"]], np.float64),
        "quality": np.array([row["quality"] for row in found["faces"]]),
        "gender": np.array([genders[row["clip_id"]] for row in found["faces"]]),
    }


def brute_force(rows, keep, queries, k):
    """Returns the ids and cosines of each query's k best of the rows to keep."""
    vectors, ids = rows["vector"][keep], rows["face_id"][keep]
    cosines = queries @ vectors.T / np.linalg.norm(vectors, axis=1) / np.linalg.norm(queries, axis=1)[:, None]
    order = [np.lexsort((ids, -row))[:k] for row in cosines]
    return [ids[o].tolist() for o in order], [row[o] for row, o in zip(cosines, order, strict=True)]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    share=st.one_of(st.sampled_from([0.001, 0.01, 1.0]), st.floats(0.001, 1)),
    gender=st.sampled_from([None, "f", "m"]),
    queries=st.integers(1, 3),
    k=st.integers(1, 40),
)
def test_filtered_search_equals_brute_force_over_the_filtered_rows(world, rows, seed, share, gender, queries, k):
    probes = np.random.default_rng(seed).normal(size=(queries, 8)).astype(np.float32)
    bound = np.sort(rows["quality"])[max(round(share * len(rows["quality"])), 1) - 1]
    keep = rows["quality"] <= bound
    if gender:
        keep &= rows["gender"] == gender
    ids, cosines = brute_force(rows, keep, probes, k)
    filters = {"where": f"quality <= {float(bound)!r}", "clips": gender and f"gender = '{gender}'"}
    for by, options in WAYS.items():
        found = world.nearest("faces", probes, k=k, **filters, **options)
        assert found.by == by
        query, names = (np.array(found.rows[name]) for name in ("query", "face_id"))
        assert [names[query == number].tolist() for number in range(queries)] == ids
        np.testing.assert_allclose(found.rows["cosine"].to_numpy(), np.concatenate(cosines), atol=1e-6)


def test_the_two_exact_ways_give_the_same_table(world):
    probes = np.random.default_rng(5).normal(size=(3, 8))
    cached, stream = (world.nearest("faces", probes, k=9, **options) for options in WAYS.values())
    assert cached.rows.equals(stream.rows)
    alone = world.nearest("faces", probes[1], k=9).rows
    assert alone.drop(["query"]).equals(cached.rows.slice(9, 9).drop(["query"]))


@pytest.fixture(scope="module")
def indexed(new_uri) -> tuple[Store, object]:
    store = Store.create(new_uri(), FACES, VOICES)
    store.commit([video(number) for number in range(100)])
    built = build_index(store, "faces", recall=0.99)
    store.commit([video(number) for number in range(100, 130)])  # rows that the index does not know
    return store, built


def test_an_index_says_how_well_it_finds(indexed):
    _, built = indexed
    assert (built.table, built.kind, built.rows, built.queries) == ("faces", "IVF_RQ", 400, 100)
    assert built.recall_at_10 >= 0.95
    assert built.build_s > 0


@pytest.mark.parametrize(
    ("where", "clips"),
    [(None, None), ("quality > 0.3", None), ("quality < 0.5", "gender = 'f'"), ("quality < 0.02", None)],
)
def test_an_indexed_search_finds_what_exact_search_finds(indexed, where, clips):
    store, _ = indexed
    probes = np.random.default_rng(0).normal(size=(20, 8))
    found = store.nearest("faces", probes, where=where, clips=clips, memory_bytes=0)
    exact = store.nearest("faces", probes, where=where, clips=clips)
    assert (found.by, exact.by) == ("index", "memory")
    right = set(zip(*(exact.rows[name].to_pylist() for name in ("query", "face_id")), strict=True))
    mine = dict(zip(zip(*(found.rows[name].to_pylist() for name in ("query", "face_id")), strict=True),
                    found.rows["cosine"].to_pylist(), strict=True))  # fmt: skip
    assert found.rows.num_rows == exact.rows.num_rows
    assert len(right & set(mine)) >= 0.95 * len(right)
    shared = [(mine[key], cosine) for key, cosine in zip(
        zip(*(exact.rows[name].to_pylist() for name in ("query", "face_id")), strict=True),
        exact.rows["cosine"].to_pylist(), strict=True) if key in mine]  # fmt: skip
    assert all(a == b for a, b in shared)


def test_a_filter_that_leaves_few_rows_is_answered_exactly(indexed):
    store, probe, memory_bytes = indexed[0], np.ones(8), 10_000  # the table's 520 vectors take 16,640 bytes
    assert store.nearest("faces", probe, where="quality < 0.5", memory_bytes=memory_bytes).by == "stream"
    assert store.nearest("faces", probe, where="quality < 0.9", memory_bytes=memory_bytes).by == "index"
    assert store.nearest("faces", probe, memory_bytes=memory_bytes).by == "index"
    assert store.nearest("faces", probe, memory_bytes=memory_bytes, exact=True).by == "stream"


def test_spaces_that_fill_no_whole_bytes_have_another_index(indexed):
    built = build_index(indexed[0], "voices")
    assert (built.kind, built.rows) == ("IVF_FLAT", 260)
    assert indexed[0].nearest("voices", np.ones(6), memory_bytes=0).by == "index"


def test_too_few_rows_for_an_index_are_said(store):
    store.commit([video(1)])
    with pytest.raises(StoreError, match="faces: 4 rows are too few for an index"):
        build_index(store, "faces")


def test_vectors_stay_in_memory_until_the_table_changes(store):
    cache, probe = VectorCache(), np.ones(8)
    store.commit([video(1)])
    first = cache.get(store.snapshot(), "faces", FACE_COLUMN)
    store.add_speakers([SPEAKER])
    assert cache.get(store.snapshot(), "faces", FACE_COLUMN) is first
    assert set(store.nearest("faces", probe).rows["video_id"].to_pylist()) == {"video0001"}
    store.commit([video(2)])
    second = cache.get(store.snapshot(), "faces", FACE_COLUMN)
    assert (len(first.vectors), len(second.vectors)) == (4, 8)
    assert set(store.nearest("faces", probe).rows["video_id"].to_pylist()) == {"video0001", "video0002"}
    store.delete_video("video0001")
    assert len(cache.get(store.snapshot(), "faces", FACE_COLUMN).vectors) == 4
    assert set(store.nearest("faces", probe).rows["video_id"].to_pylist()) == {"video0002"}


def test_answers_are_whole_while_others_write_and_compact(store):
    """Each answer is of one state: every video that it shows, it shows with all of its faces."""
    store.commit([video(number) for number in range(5)])
    over, wrong = threading.Event(), []

    def ask():
        mine = Store.open(store.uri)
        while not over.is_set():
            found = mine.nearest("faces", np.ones(8), k=1000).rows["video_id"].to_pylist()
            counts = {name: found.count(name) for name in set(found)}
            if set(counts.values()) != {4} or len(counts) < 5:
                wrong.append(counts)

    asking = threading.Thread(target=ask)
    asking.start()
    for number in range(5, 11):
        store.commit([video(number)])
        compact(store)
    over.set()
    asking.join()
    assert not wrong


@pytest.mark.parametrize("vectors", [np.ones((2, 7)), np.full((2, 8), np.nan), np.zeros((3, 8)), np.ones((1, 2, 8))])
def test_vectors_that_do_not_fit_are_refused(world, vectors):
    with pytest.raises(
        StoreError, match=r"expected \(8,\) or \(queries, 8\), with finite values and no row all zero"
    ):
        world.nearest("faces", vectors)


def test_filters_that_are_no_sql_are_named(world):
    with pytest.raises(StoreError, match="faces: unknown column 'gender'"):
        world.nearest("faces", np.ones(8), where="gender = 'f'")
    with pytest.raises(StoreError, match="clips: unknown column 'quality'"):
        world.nearest("faces", np.ones(8), clips="quality > 1")
    assert world.nearest("faces", np.ones(8), clips="false").rows.num_rows == 0
