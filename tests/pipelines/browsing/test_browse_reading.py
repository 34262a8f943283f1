"""What the page shows equals what the store holds."""

import numpy as np
import pytest

from pipelines.browsing.cards import Filters
from pipelines.browsing.cards import page as page_of_cards
from pipelines.browsing.map import laid_out
from pipelines.browsing.media import ranged
from pipelines.search import Searcher
from tests.support.signed import signed_manifest, source_of
from vclip.audio import read_audio

pytestmark = pytest.mark.slow


def _all_pages(page, **query):
    found, after = [], ""
    while True:
        answer = page.get("/api/clips", after=after, **query)
        assert len(answer["cards"]) <= query.get("limit", 60)
        found += answer["cards"]
        after = answer["next"]
        if after is None:
            return found


@pytest.mark.parametrize("limit", [1, 7, 60])
def test_pages_hold_every_clip_once_in_order(page, limit):
    expected = page.store.query("clips", ["clip_id"], order="clip_id")["clip_id"].to_pylist()
    assert len(expected) > 20
    assert [card["clip_id"] for card in _all_pages(page, limit=limit)] == expected
    assert page.get("/api/clips", limit=limit)["count"] == len(expected)


def test_filters_equal_plain_python(page):
    every = _all_pages(page)
    quality = float(np.median([card["quality"] for card in every]))
    length = float(np.median([card["end_s"] - card["start_s"] for card in every]))
    for query, keep in [
        ({"gender": "f"}, lambda c: c["gender"] == "f"),
        ({"language": "?"}, lambda c: c["language"] is None),
        ({"identity": "READER_1"}, lambda c: "reader_1" in c["identity"].lower()),
        ({"identity": "reader%"}, lambda c: False),
        ({"min_s": length}, lambda c: c["end_s"] - c["start_s"] >= length),
        ({"max_s": length, "gender": "m"}, lambda c: c["end_s"] - c["start_s"] <= length and c["gender"] == "m"),
        ({"min_quality": quality}, lambda c: c["quality"] >= quality),
        ({"where": "gender = 'f' OR gender = 'm'", "gender": "f"}, lambda c: c["gender"] == "f"),
    ]:
        found = _all_pages(page, limit=5, **query)
        assert found == [card for card in every if keep(card)], query


@pytest.mark.parametrize("first_read", [1, 3, 8])
def test_pages_by_face_quality_do_not_depend_on_how_many_clips_are_read_at_a_time(page, first_read):
    every, snapshot = _all_pages(page), page.store.snapshot()
    quality = float(np.median([card["quality"] for card in every]))
    found, after, pages = [], "", 0
    while after is not None:
        some = page_of_cards(snapshot, Filters(min_quality=quality), after, 5, first_read, most_read=2 * first_read)
        assert len(some["cards"]) <= 5
        found, after, pages = found + some["cards"], some["next"], pages + 1
    assert found == [card for card in every if card["quality"] >= quality]
    assert pages * 3 * first_read >= len(every)  # a page reads first_read + 2 * first_read clips at most


def test_the_message_of_a_wrong_filter_is_the_stores(page):
    found = page.ask("/api/clips?where=gendre%20%3D%201")
    assert (found.status, found.json["error"]) == (400, "clips: unknown column 'gendre'; did you mean 'gender'?")
    assert page.ask("/api/clips?limit=100000").status == 400


def test_media_are_the_stores_bytes_also_in_parts(page):
    for table, media, kind in (("faces", "image", "image/jpeg"), ("voices", "audio", "audio/flac")):
        row = page.store.query(table, [f"{table[:-1]}_id", media], limit=1).to_pylist()[0]
        path, content = f"/media/{table}/{row[f'{table[:-1]}_id']}", row[media]
        whole = page.ask(path)
        assert (whole.status, whole.body, whole.headers["content-type"]) == (200, content, kind)
        part = page.ask(path, headers={"Range": "bytes=10-29"})
        assert (part.status, part.body) == (206, content[10:30])
        assert part.headers["content-range"] == f"bytes 10-29/{len(content)}"


@pytest.mark.parametrize(
    ("header", "status", "body"),
    [
        (None, 200, b"fLaC456789"), ("bytes=0-", 206, b"fLaC456789"), ("bytes=8-99", 206, b"89"),
        ("bytes=-3", 206, b"789"), ("bytes=-99", 206, b"fLaC456789"), ("bytes=10-", 416, b""),
        ("bytes=-0", 416, b""), ("bytes=5-2", 416, b""), ("lines=1-2", 200, b"fLaC456789"),
        ("bytes=-", 200, b"fLaC456789"),
    ],
)  # fmt: skip
def test_ranges(header, status, body):
    answer = ranged(b"fLaC456789", header)
    assert (answer.status_code, answer.body) == (status, body)


def test_neighbours_and_photo_equal_the_search(page, model, photo):
    searcher = Searcher.open(page.store.uri, model)
    card = page.get("/api/clips", limit=1)["cards"][0]
    for kind, find in (("face", "faces"), ("face", "voices"), ("voice", "voices"), ("voice", "faces")):
        key = card[f"{kind}_id"]
        probes = searcher.faces([key]) if kind == "face" else searcher.voices([key])
        expected = [(hit.clip_id, hit.cosine) for hit in searcher.find(find, probes, 8).matches[0].hits]
        found = page.get(f"/api/neighbours/{kind}/{key}", find=find)["hits"]
        assert [(hit["clip_id"], pytest.approx(hit["cosine"])) for hit in found] == expected
    answer = page.ask("/api/photo", "POST", photo.read_bytes(), page.token)
    expected = searcher.find("voices", searcher.faces([photo]), 8).matches[0].hits
    assert [hit["clip_id"] for hit in answer.json["voices"]["hits"]] == [hit.clip_id for hit in expected]
    assert all(hit["voice_id"] for hit in answer.json["voices"]["hits"])


def test_a_new_voice_says_that_it_is_synthetic(page, photo, tmp_path):
    found = page.ask("/api/speak?text=Hello.", "POST", photo.read_bytes(), page.token)
    assert (found.status, found.headers["content-type"]) == (200, "audio/wav")
    (tmp_path / "speech.wav").write_bytes(found.body)
    samples, rate_hz = read_audio(str(tmp_path / "speech.wav"))
    assert len(samples) > 0.2 * rate_hz
    assert b"Synthetic speech" in found.body
    assert source_of(signed_manifest(found.body)) == "trainedAlgorithmicMedia"
    assert page.ask(f"/api/speak?text={'x' * 301}", "POST", photo.read_bytes(), page.token).status == 400


def test_the_map_has_the_colour_of_each_points_clip(page):
    genders = dict(zip(*page.store.query("clips", ["clip_id", "gender"]).to_pydict().values(), strict=True))
    found = page.get("/api/map/faces", colour="gender")
    names = [entry["value"] for entry in found["categories"]]
    assert len(found["xy"]) == 2 * len(found["ids"]) == 2 * page.store.count("faces")
    assert [names[value] for value in found["values"]] == [genders[clip] for clip in found["clips"]]
    quality = dict(zip(*page.store.query("faces", ["face_id", "quality"]).to_pydict().values(), strict=True))
    found = page.get("/api/map/faces", colour="quality")
    assert found["values"] == pytest.approx([quality[face] for face in found["ids"]], abs=1e-4)
    assert page.ask("/api/map/faces?colour=video").status == 400
    few = laid_out(page.store.snapshot(), "voices", None, most=10)
    assert np.abs(few.xy).max(axis=0) == pytest.approx(1)  # float32; each axis is scaled to its furthest point
    assert (len(few.ids), few.total) == (10, page.store.count("voices"))


def test_figures_are_a_page_of_the_edited_store(untouched):
    clips = untouched.store.query("clips", ["clip_id"])["clip_id"].to_pylist()
    untouched.store.reject(clips[:4], "ann", "seen")
    text = untouched.ask("/api/stats.html").body.decode()
    assert f"<b>{len(clips) - 4}</b><span>clips" in text
