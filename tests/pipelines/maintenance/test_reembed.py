"""`vclip embed`: the vectors are those that an ingest would have made, killed or not, and bad media are named."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pipelines.config import Config
from pipelines.ingest.commit import open_store
from pipelines.maintenance import reembed
from stores import Store
from stores.pairs import matrix
from tests.support.store_world import FACES, VOICES, video
from tests.support.vclip_command import OFFLINE
from vclip.config import load
from vclip.errors import InputError

FAKE = "vector_fake_net"


class Encoder:
    """Makes a vector of the first bytes of a file; refuses one that begins with 'torn'."""

    space, dim, sample_rate_hz = "fake/net", 4, 16_000

    def embed(self, media: list[np.ndarray]) -> np.ndarray:
        """Returns (n, 4) float32."""
        return np.stack(media)


def _decode(content: bytes, sample_rate_hz: int = 16_000) -> np.ndarray:
    if content.startswith(b"torn"):
        raise ValueError("torn")
    return np.frombuffer(content[:4], np.uint8).astype(np.float32) + 1


@pytest.fixture
def here(monkeypatch) -> list[int]:
    """Runs tasks in this process, and counts their rows; the cluster has tests of its own."""
    counts: list[int] = []

    def run_tasks(batches, open_work, name, cpus):
        work = open_work()
        for batch in batches:
            counts.append(sum(len(part.keys) for part in batch))
            yield from ((part, work(part, False)) for part in batch)

    monkeypatch.setattr(reembed, "run_tasks", run_tasks)
    monkeypatch.setattr(reembed, "start_ray", lambda: None)
    monkeypatch.setattr(reembed, "_open", lambda table, spec: Encoder())
    monkeypatch.setattr(reembed, "DECODE", {"faces": _decode, "voices": _decode})
    monkeypatch.setattr(reembed, "ROWS", 6)
    monkeypatch.setattr(reembed, "KEEP_EVERY", 12)
    return counts


def test_killed_half_way_it_goes_on(tmp_path, here, monkeypatch):
    store = Store.create(str(tmp_path / "s"), FACES, VOICES)
    store.commit([video(number) for number in range(10)])
    run_tasks = reembed.run_tasks

    def dies(*arguments):
        for result in run_tasks(*arguments):
            if sum(here) > 30:
                raise KeyboardInterrupt
            yield result

    with monkeypatch.context() as patch:
        patch.setattr(reembed, "run_tasks", dies)
        with pytest.raises(KeyboardInterrupt):
            reembed.embed(store.uri, Config(), ["faces"])
    assert Store.open(store.uri).spaces("faces") == FACES
    assert Store.open(store.uri).count("faces") == 40
    here.clear()
    done = reembed.embed(store.uri, Config(), ["faces", "voices"], replace=True)
    assert sum(here) == (40 - 24) + 20  # what was kept is not done again
    assert done["dropped"] == [*FACES, *VOICES]
    after = Store.open(store.uri)
    assert (after.face_space, after.voice_space) == ("fake/net", "fake/net")
    for table, media in (("faces", "image"), ("voices", "audio")):
        rows = after.query(table, [media, FAKE])
        expected = np.stack([_decode(content) for content in rows[media].to_pylist()])
        assert np.array_equal(matrix(rows[FAKE]), expected)
    here.clear()
    assert reembed.embed(store.uri, Config(), ["faces"])["embedded"] == {}
    assert here == []


def test_media_that_cannot_be_decoded_are_named_and_the_store_stays(tmp_path, here):
    store = Store.create(str(tmp_path / "s"), FACES, VOICES)
    good, bad = video(1), video(2)
    torn = bad.faces[0] | {"image": b"torn"}
    store.commit([good, replace(bad, faces=[torn, *bad.faces[1:]])])
    with pytest.raises(InputError, match=f"1 of 8 faces gave no vector, as {torn['face_id']} .*torn"):
        reembed.embed(store.uri, Config(), ["faces"])
    assert Store.open(store.uri).spaces("faces") == FACES


def test_a_store_of_vectors_alone_is_told_so(tmp_path, here):
    store = Store.create(str(tmp_path / "s"), FACES, VOICES)
    rows = video(1)
    store.commit([replace(rows, faces=[face | {"image": b""} for face in rows.faces])])
    with pytest.raises(InputError, match="vectors without media"):
        reembed.embed(store.uri, Config(), ["faces"])
    assert here == []


@pytest.mark.slow
def test_the_vectors_are_those_of_an_ingest_and_ingest_refuses_two_spaces(pairs_store, tmp_path, vclip):
    """The pairs under made-up spaces, then embedded on Ray as an import would have done."""
    made, store = Store.open(pairs_store), Store.create(str(tmp_path / "s"), {"fake/f": 3}, {"fake/v": 3})
    fake = Store.open(pairs_store).query("videos").to_pylist()
    for row in fake:
        own = {"funnel": json.loads(row.pop("funnel"))}
        parts = {}
        for table in ("clips", "faces", "voices"):
            names = [name for name in made.snapshot().schema(table).names if not name.startswith("vector_")]
            parts[table] = made.query(table, names, f"video_id = '{row['video_id']}'").to_pylist()
        parts["clips"] = [clip | {"labels": json.loads(clip["labels"])} for clip in parts["clips"]]
        for table, space in (("faces", "fake/f"), ("voices", "fake/v")):
            parts[table] = [face | {"vectors": {space: np.ones(3)}} for face in parts[table]]
        kept = {name: value for name, value in row.items() if not name.startswith("n_")}
        store.commit([type(video(1))(kept | own, **parts)])
    said = vclip("embed", "--store", store.uri, "--config", OFFLINE, "--json")
    assert said.code == 0, said.err
    with pytest.raises(InputError, match="vectors of 'fake/f' as well"):
        open_store(store.uri, load(Config, OFFLINE, ()))
    said = vclip("embed", "--store", store.uri, "--config", OFFLINE, "--replace", "--json")
    assert sorted(json.loads(said.out)["dropped"]) == ["fake/f", "fake/v"]
    after = Store.open(store.uri)
    open_store(store.uri, load(Config, OFFLINE, ()))
    for table in ("faces", "voices"):
        assert after.spaces(table) == made.spaces(table)
        column = next(name for name in after.snapshot().schema(table).names if name.startswith("vector_"))
        key = after.snapshot().schema(table).names[0]
        new, old = (store.query(table, [key, column], order=key) for store in (after, made))
        assert new[key].equals(old[key])
        assert np.allclose(matrix(new[column]), matrix(old[column]), atol=1e-5)
