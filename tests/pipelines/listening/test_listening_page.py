"""What listeners get: everything in one file, and nothing that tells one system from another."""

import base64
import io
import json
import re

import pytest
import soundfile

from pipelines.listening.page import QUESTIONS
from tests.support.listening_world import photos, say
from tests.support.signed import signed_manifest, source_of


def _page(folder):
    return (folder / "test.html").read_text()


def _items(page):
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(data)["items"]


def _decoded(uri):
    return base64.b64decode(uri.partition("base64,")[2])


def test_naturalness_is_asked_before_faces_are_shown(made):
    assert re.findall(r'"(naturalness|matching)": {', _page(made)) == ["naturalness", "matching"]


def test_every_item_is_there_and_systems_have_the_same_faces_and_texts(made, key):
    assert [item["id"] for item in _items(_page(made))] == sorted(key["items"])
    cases = {name: [] for name in key["systems"]}
    for item in key["items"].values():
        cases[item["system"]].append((item["face"], item["text"]))
    assert len(cases["informed"]) == 4
    assert sorted(cases["informed"]) == sorted(cases["naive"])


def test_nothing_in_the_page_tells_a_system(made, key, said):
    page = _page(made)
    recordings = [_decoded(item["audio"]) for item in _items(page)]
    images = {_decoded(item["face"]) for item in _items(page)}
    assert len(images) < len(recordings)  # one face, one file, whatever was said for it
    told = {*said, "secret_", "Beeper", "beeper", "vclip.tts", "generation_id"}
    told |= {str(value) for item in key["items"].values() for value in (item["face"], item["wav"], item["text"])}
    for word in told:
        assert word not in page
        assert not any(word.encode() in data for data in (*recordings, *images))
    forms = {
        (info.samplerate, info.format, info.subtype) for info in map(soundfile.info, map(io.BytesIO, recordings))
    }
    assert len(forms) == 1
    assert not re.search(r"(?:https?:)?//[a-z]", page.partition('id="data"')[0])


def test_items_are_signed_and_their_signatures_tell_nothing(said, pairs_store, vclip, tmp_path):
    """Recordings and synthetic speech carry one statement, in manifests of one size."""
    options = ("--store", pairs_store, "--pairs", 2, "--items", 2, "--out", tmp_path / "out")
    assert vclip("listening-test", "make", f"informed={said['informed']}", *options).code == 0
    files = [_decoded(item["audio"]) for item in _items(_page(tmp_path / "out"))]
    assert len(files) == 6
    manifests = [signed_manifest(file, "audio/flac") for file in files]
    assert {source_of(manifest) for manifest in manifests} == {"compositeWithTrainedAlgorithmicMedia"}
    own = ("label", "instance_id")  # random, and of one length
    assert len({json.dumps({k: v for k, v in m.items() if k not in own}) for m in manifests}) == 1
    assert len({len(manifest[name]) for manifest in manifests for name in ("label",)}) == 1
    plain = []
    for file in files:  # a FLAC file of the same samples, without the manifest
        again = io.BytesIO()
        soundfile.write(again, *soundfile.read(io.BytesIO(file), dtype="int16"), format="FLAC")
        plain.append(len(again.getvalue()))
    assert len({len(file) - size for file, size in zip(files, plain, strict=True)}) == 1


def test_names_and_order_of_the_items_are_others_each_time(said, made, key, vclip, tmp_path):
    out = tmp_path / "again"
    assert (
        vclip("listening-test", "make", *(f"{k}={v}" for k, v in said.items()), "--items", 4, "--out", out).code == 0
    )
    again = json.loads((out / "key.json").read_text())
    assert again["test"] != key["test"]
    assert not {*again["items"]} & {*key["items"]}
    drawn = [sorted((i["system"], i["wav"]) for i in k["items"].values()) for k in (key, again)]
    assert drawn[0] == drawn[1]


@pytest.mark.slow
def test_true_and_random_pairs_of_a_store(said, pairs_store, vclip, tmp_path):
    said_too = vclip(
        *("listening-test", "make", f"informed={said['informed']}", "--store", pairs_store),
        *("--pairs", 3, "--out", tmp_path / "out", "--json"),
    )
    assert said_too.code == 0, said_too.err
    found = json.loads(said_too.out)
    assert found["items"] == {"informed": 6, "true pair": 3, "random pair": 3}
    assert found["ratings_a_listener"] == 12 * len(QUESTIONS)
    from stores import Store

    store, key = Store.open(pairs_store), json.loads((tmp_path / "out" / "key.json").read_text())
    clip = {
        kind: {
            row[f"{kind}_id"]: row["clip_id"]
            for row in store.query(f"{kind}s", [f"{kind}_id", "clip_id"]).to_pylist()
        }
        for kind in ("face", "voice")
    }
    heard = []
    for item in key["items"].values():
        if item["system"] != "informed":
            own = clip["face"][item["face_id"]] == clip["voice"][item["voice_id"]]
            assert own == (item["system"] == "true pair")
            heard.append(item["voice_id"])
    assert len(set(heard)) == 6  # nobody is heard twice
    rates = {soundfile.info(io.BytesIO(_decoded(i["audio"]))).samplerate for i in _items(_page(tmp_path / "out"))}
    assert len(rates) == 1


def test_what_cannot_be_used_is_told_and_leaves_nothing(said, vclip, tmp_path):
    faces = photos(tmp_path)
    two = say(tmp_path / "two", "informed", faces[:1])
    say(tmp_path / "two", "naive", faces[1:2])
    moved = say(tmp_path / "moved", "informed", faces[2:])
    faces[2].write_bytes(faces[0].read_bytes())
    edited = say(tmp_path / "edited", "informed", faces[:1])
    wav = next(edited.glob("*.wav"))
    wav.write_bytes(wav.read_bytes()[:-2] + b"\x11\x22")
    (tmp_path / "empty").mkdir()
    cases = {
        f"{said['informed']}": "expected a system's name and its speech",
        f"true pair={said['informed']}": "the name of a reference",
        f"a={tmp_path / 'empty'}": "found no speech",
        f"a={tmp_path / 'nowhere'}": "found no speech",
        f"a={two}": "found speech by 2 settings",
        f"a={moved}": "is not the image that the speech was made for",
        f"a={edited}": "the samples or their rate are not those",
    }
    for given, expected in cases.items():
        answer = vclip("listening-test", "make", given, "--out", tmp_path / "out")
        assert (answer.code, answer.out) == (2, "")
        assert expected in answer.err
    assert not (tmp_path / "out").exists()
