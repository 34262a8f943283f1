"""`vclip embed`: the vectors are those that an ingest would have made, killed or not, and bad media are named."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pipelines.config import Config
from pipelines.ingest.commit import open_store
from pipelines.ingest.embed import decode_image, decode_speech
from pipelines.maintenance.reembed import embed
from stores import Store
from stores.pairs import matrix
from tests.support.backfill_world import Engine, decodable
from tests.support.store_world import FACES, VOICES, video
from tests.support.vclip_command import OFFLINE
from vclip.config import load
from vclip.errors import InputError

CONFIG = load(
    Config,
    None,
    (f"encoders.face=python:{__name__}:FaceStatistics", f"encoders.voice=python:{__name__}:AudioStatistics"),
)


class FaceStatistics:
    """Describes an array by four of its statistics."""

    space, dim = "fake/face", 4

    def __init__(self, device: str | None = None):
        pass

    def embed(self, media: list[np.ndarray]) -> np.ndarray:
        """Returns (n, 4) float32."""
        return np.array([[one.mean(), one.std(), one.max(), one.size] for one in media], np.float32)


class AudioStatistics(FaceStatistics):
    """Describes samples likewise."""

    space, sample_rate_hz = "fake/voice", 16_000


def test_a_killed_job_continues_where_it_stopped(tmp_path):
    store = Store.create(str(tmp_path / "s"), FACES, VOICES)
    store.commit([decodable(number) for number in range(10)])
    sizes = {"task_rows": 6, "write_rows": 12}
    with pytest.raises(KeyboardInterrupt):
        embed(store.uri, CONFIG, ["faces"], engine=Engine(dies_after=30), **sizes)
    assert Store.open(store.uri).spaces("faces") == FACES
    assert Store.open(store.uri).count("faces") == 40
    engine = Engine()
    done = embed(store.uri, CONFIG, ["faces", "voices"], replace=True, engine=engine, **sizes)
    assert engine.rows == (40 - 24) + 20  # the vectors that were written are not made again
    assert done.embedded == {"fake/face": 16, "fake/voice": 20}
    assert done.dropped == [*FACES, *VOICES]
    after = Store.open(store.uri)
    assert (after.face_space, after.voice_space) == ("fake/face", "fake/voice")
    for table, media, column, decode in (
        ("faces", "image", "vector_fake_face", decode_image),
        ("voices", "audio", "vector_fake_voice", decode_speech),
    ):
        rows = after.query(table, [media, column])
        expected = FaceStatistics().embed([decode(content) for content in rows[media].to_pylist()])
        assert np.array_equal(matrix(rows[column]), expected)  # the same computation, row by row
    engine = Engine()
    assert embed(store.uri, CONFIG, ["faces"], engine=engine).embedded == {}
    assert engine.rows == 0


def test_rows_whose_media_cannot_be_decoded_are_named_with_a_traceback_and_the_store_stays(tmp_path):
    store = Store.create(str(tmp_path / "s"), FACES, VOICES)
    good, bad = decodable(1), decodable(2)
    torn = bad.faces[0] | {"image": b"torn"}
    store.commit([good, replace(bad, faces=[torn, *bad.faces[1:]])])
    with pytest.raises(InputError, match=f"1 of 8 faces have no vector, such as {torn['face_id']} ") as raised:
        embed(store.uri, CONFIG, ["faces"], engine=Engine())
    assert Store.open(store.uri).spaces("faces") == FACES
    (kept,) = (tmp_path / "s.runs" / "embed" / "errors").iterdir()
    assert f"errors/{kept.name}" in str(raised.value)
    assert "decode_image" in kept.read_text()


def test_a_store_of_vectors_without_media_is_refused(tmp_path):
    store = Store.create(str(tmp_path / "s"), FACES, VOICES)
    rows = video(1)
    store.commit([replace(rows, faces=[face | {"image": b""} for face in rows.faces])])
    engine = Engine()
    with pytest.raises(InputError, match=": its faces are vectors without media"):
        embed(store.uri, CONFIG, ["faces"], engine=engine)
    store.commit([decodable(0)])
    with pytest.raises(InputError, match="some of its faces are vectors without media"):
        embed(store.uri, CONFIG, ["faces"], engine=engine)
    assert engine.rows == 0


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
    with pytest.raises(InputError, match="also have vectors of 'fake/f'"):
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
        # The encoders take batches of other sizes, whose products round differently.
        assert np.allclose(matrix(new[column]), matrix(old[column]), atol=1e-5)
