"""The commands that keep a store in order, on a folder and on a bucket: what a script reads, and what is refused."""

import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.ingest.sources.listing import list_videos
from pipelines.ingest.sources.resume import pending
from stores import Store, video_id
from stores.maintenance.delete import delete
from stores.maintenance.deletion_plan import plan_deletion
from tests.support.store_world import FACES, LATER, VOICES, contents, video
from tests.support.vclip_command import ROOT

PERSON = "somebody in particular"


@pytest.fixture
def uri(place) -> str:
    """A store of nine videos in several fragments, in one of which a person is seen."""
    uri = f"{place}/store"
    store = Store.create(uri, FACES, VOICES)
    for first in range(0, 9, 3):
        store.commit([video(number) for number in range(first, first + 3)])
    theirs = video(50)
    store.commit([replace(theirs, clips=[clip | {"identity": PERSON} for clip in theirs.clips])])
    return uri


def _json(said) -> dict:
    assert said.code == 0, said.err
    return json.loads(said.out)


def test_a_tag_is_read_after_all_that_came_later(uri, vclip):
    at = ("--store", uri)
    version = _json(vclip("tag", "add", "paper-v1", *at, "--json"))["version"]
    before = _json(vclip("query", *at, "--select", "clip_id,identity", "--order", "clip_id", "--format", "json"))
    store = Store.open(uri)
    store.commit([video(number, LATER, "b", clips=1) for number in range(4)])
    done = _json(vclip("optimize", *at, "--keep-days", 0, "--json"))
    assert done["freed_bytes"] > 0
    assert "faces" in done["fragments"]
    assert _json(vclip("tag", "list", *at, "--json")) == {"paper-v1": version}
    asked = ("query", *at, "--select", "clip_id,identity", "--order", "clip_id", "--format", "json")
    assert _json(vclip(*asked, "--tag", "paper-v1")) == before
    assert _json(vclip(*asked, "--version", json.dumps(version))) == before
    assert _json(vclip(*asked)) != before
    assert "no such tag; did you mean 'paper-v1'" in vclip(*asked, "--tag", "paper-v2").err
    assert "exists already" in vclip("tag", "add", "paper-v1", *at).err
    assert vclip("tag", "remove", "paper-v1", *at).code == 0
    vclip("optimize", *at, "--keep-days", 0)
    assert "is gone" in vclip(*asked, "--version", json.dumps(version)).err


def test_nothing_is_deleted_until_yes_and_then_all_of_it(uri, vclip, tmp_path):
    store = Store.open(uri)
    face = store.query("faces", ["face_id", "image"], "video_id = 'video0050'", limit=1).to_pylist()[0]
    speech = tmp_path / "speech"
    speech.mkdir()
    for name, said in {
        "theirs": {"face": f"{uri}#{face['face_id']}", "face_sha256": "0"},
        "other": {"face": "/photos/other.jpg", "face_sha256": "1"},
        "several": {
            "face": "a.jpg, b.jpg",
            "photos": [
                {"face": "a.jpg", "face_sha256": "1"},
                {"face": "b.jpg", "face_sha256": hashlib.sha256(face["image"]).hexdigest()},
            ],
        },
        "words": {"prompt": "an old man"},
        "foreign": {"photos": ["a.jpg"]},
    }.items():
        (speech / f"{name}.json").write_text(json.dumps(said))
        (speech / f"{name}.wav").write_bytes(b"RIFF")
    (speech / "notes.json").write_text("[]")
    asked = ("delete", "--store", uri, "--person", PERSON, "--generated", speech, "--json")
    before = contents(store)
    plan = _json(vclip(*asked))
    assert (plan["deleted"], plan["rows"]["faces"], plan["videos"]) == (False, 4, ["video0050"])
    theirs = ("several.json", "several.wav", "theirs.json", "theirs.wav")
    assert plan["files"] == [str(speech / name) for name in theirs]
    assert contents(store) == before
    done = _json(vclip(*asked, "--yes", "--full-scan"))
    assert done["deleted"]
    assert (done["searched_bytes"] > 0, done["skipped_bytes"]) == (True, 0)
    assert done["rows"] == plan["rows"]
    assert set(done["found_before"]) == {"ids", "names", "image", "audio", "vectors"}
    assert done["found_after"] == {}
    assert store.count("clips") == 18
    assert sorted(path.name for path in speech.iterdir()) == [
        "foreign.json", "foreign.wav", "notes.json", "other.json", "other.wav", *theirs, "words.json", "words.wav",
    ]  # fmt: skip
    assert "nothing to delete" in vclip("delete", "--store", uri, "--person", PERSON).out
    assert "found no person" in vclip("delete", "--store", uri).err


def test_check_says_what_is_wrong_and_repair_mends_it(uri, vclip):
    at = ("--store", uri)
    assert _json(vclip("check", *at, "--no-media", "--json"))["problems"] == []
    said = vclip("check", *at, "--json")  # the media of this store are noise
    assert said.code == 1
    assert {(p["kind"], p["table"], p["count"]) for p in json.loads(said.out)["problems"]} == {
        ("unreadable", "faces", 40), ("unreadable", "voices", 20),
    }  # fmt: skip
    store = Store.open(uri)
    store.db.open_table("clips").delete("video_id = 'video0004'")
    said = vclip("check", *at, "--no-media")
    assert said.code == 1
    assert "orphaned" in said.out
    done = _json(vclip("check", *at, "--no-media", "--repair", "--json"))
    assert done["repaired"] == {"faces": 4, "voices": 2, "ledger": 1}
    assert done["left"] == []
    assert done["sound"]


def test_stores_are_merged_and_the_sources_stay(uri, place, vclip, tmp_path):
    other = Store.create(str(tmp_path / "other"), FACES, VOICES)
    other.commit([video(8), video(9), video(3, config="b")])
    into = f"{place}/all"
    done = _json(vclip("merge", uri, other.uri, "--store", into, "--json"))["merged"]
    assert (done[uri]["added"], done[other.uri]["added"]) == (10, 1)
    assert (done[other.uri]["alike"], done[other.uri]["kept"]) == (1, ["video0003"])
    assert Store.open(into).count("clips") == 22
    assert len(Store.open(uri).ledger()) == 10
    assert _json(vclip("check", "--store", into, "--no-media", "--json"))["sound"]
    assert "into itself" in vclip("merge", uri, "--store", uri).err
    Store.create(str(tmp_path / "alien"), {"clip/x": 8}, VOICES)
    said = vclip("merge", uri, tmp_path / "alien", "--store", tmp_path / "new")
    assert "expected the same" in said.err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("fixture", sorted(path.name for path in (ROOT / "tests" / "stores").glob("store_v*.zip")))
def test_a_store_of_every_older_schema_is_migrated(fixture, vclip, tmp_path):
    uri = str(tmp_path / "store")
    zipfile.ZipFile(ROOT / "tests" / "stores" / fixture).extractall(uri)
    assert "vclip migrate" in vclip("query", "--store", uri).err
    versions = _json(vclip("migrate", "--store", uri, "--json"))["versions"]
    assert versions[0] == int(fixture[len("store_v") : -len(".zip")])
    assert "nothing to do" in vclip("migrate", "--store", uri).out
    said = _json(vclip("check", "--store", uri, "--no-media", "--json"))
    assert {problem["kind"] for problem in said["problems"]} <= {"uncommitted"}  # of a crashed commit
    assert Store.open(uri).count("clips") > 0


def test_a_model_says_which_version_it_was_trained_on(tmp_path, vclip):
    uri = str(tmp_path / "store")
    store = Store.create(uri, FACES, VOICES)
    store.commit([video(1)])
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"kind": "association", "store_version": store.version()}))
    store.commit([video(2)])
    rows = _json(vclip("query", "--store", uri, "--version", model, "--format", "json"))
    assert {row["video_id"] for row in rows} == {"video0001"}
    for wrong in (str(tmp_path), "{}", "7"):
        assert "expected the folder of a model" in vclip("query", "--store", uri, "--version", wrong).err
    assert "expected one of them" in vclip("query", "--store", uri, "--version", model, "--tag", "a").err
    assert Path(uri).is_dir()


def test_an_ingest_passes_over_what_was_deleted(tmp_path):
    for name in ("theirs", "other"):
        (tmp_path / f"{name}.mp4").write_bytes(name.encode())
    store = Store.create(str(tmp_path / "store"), FACES, VOICES)
    rows = video(1)
    store.commit([replace(rows, video=rows.video | {"video_id": video_id(tmp_path / "theirs.mp4")})])
    delete(store, plan_deletion(store, videos=[video_id(tmp_path / "theirs.mp4")]))
    (window,) = pending(list_videos([str(tmp_path)]), store, "any")
    assert window.deleted == 1
    assert [source.uri for source in window.todo] == [str(tmp_path / "other.mp4")]
    assert (window.already_stored, window.renamed, window.duplicates, window.outdated) == (0, [], [], [])
