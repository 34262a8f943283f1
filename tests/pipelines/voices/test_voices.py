"""`vclip voices` and `vclip generate --voice`: kept, listed, exported, and spoken again with the same samples."""

import hashlib
import json
import re
import shutil
import wave

import numpy as np
import pytest

from pipelines.maintenance.delete import delete
from stores import Store
from tests.support import ROOT
from tests.support.store_world import FACES, VOICES, video
from vclip.marking.provenance import read_provenance, write_speech
from vclip.marking.verify import verify
from vclip.speakers.voice import Voice
from vclip.tts import open_tts

TEXT = "Hello there."
PHOTO = b"a photo of ann"


@pytest.fixture(scope="module")
def tts():
    return open_tts("morph")


def _voice(tts, seed, **changed):
    """A voice as `generate` chooses it for a face."""
    about = {
        "notice": "Synthetic speech.",
        "face": "ann.jpg",
        "face_sha256": hashlib.sha256(PHOTO).hexdigest(),
        "face_index": 0,
        "faces_in_photo": 1,
        "voice": 1,
        "score": 0.5,
        "scores": {"informed": 0.5},
        "nearest_known_cosine": 0.7,
        "known_similarity_limit": 0.8,
        "seed": 0,
        "models": {"association": {"folder": "m", "sha256": "1"}, "tts": {"name": tts.name, **tts.made_of}},
        "generate": {"tts": tts.name},
    }
    speaker = np.random.default_rng(seed).random(tts.dim).astype(np.float32)
    return Voice(speaker / np.linalg.norm(speaker), tts.space, tts.name, about | changed)


def _spoken(tts, path, seed=0, **changed):
    voice = _voice(tts, seed, **changed)
    return write_speech(path, voice.speak(TEXT, tts), voice.label | {"text": TEXT})[0]


@pytest.fixture
def speech(tts, tmp_path):
    """The first speech in a voice."""
    return _spoken(tts, tmp_path / "speech" / "ann.wav")


@pytest.fixture
def store(tmp_path):
    return Store.create(str(tmp_path / "store"), FACES, VOICES)


def test_the_example_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = {}
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "voices.md").read_text(), re.DOTALL):
        exec(block, said)
    assert said["samples"].dtype == np.float32
    assert said["same"].sha256 == said["voice"].sha256


def _samples(path):
    with wave.open(str(path)) as file:
        return file.readframes(file.getnframes())


def _json(answer):
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def test_the_same_voice_and_text_give_the_same_samples_by_every_way(vclip, speech, store, tmp_path):
    voices, out = tmp_path / "voices", tmp_path / "out"
    kept = _json(vclip("voices", "keep", speech, "--name", "Ann", "--to", voices, "--json"))
    assert (
        _json(vclip("voices", "keep", speech, "--name", "ann ", "--to", voices, "--json"))["place"] == kept["place"]
    )
    _json(vclip("voices", "keep", speech, "--name", "ann-too", "--store", store.uri, "--json"))
    file = tmp_path / "handed over.safetensors"
    exported = _json(vclip("voices", "export", "ann-too", "--store", store.uri, "--out", file, "--json"))
    assert exported["sha256"] == kept["sha256"]
    alone = tmp_path / "another machine" / "x.json"
    alone.parent.mkdir()
    shutil.copy(speech.with_suffix(".json"), alone)
    ways = ("ANN", "ann-too", kept["place"], file, speech, speech.with_suffix(".json"), alone)
    given = [part for way in ways for part in ("--voice", way)]
    places = ("--voices-from", voices, "--store", store.uri)
    made = _json(vclip("generate", *given, *places, "--text", TEXT, "--out", out, "--json"))["files"]
    assert len({row["wav"] for row in made}) == len(ways)
    for row in made:
        assert _samples(row["wav"]) == _samples(speech), row["wav"]
        assert not verify(row["wav"]).problems
        said = read_provenance(row["wav"])
        first = read_provenance(speech)
        for name in ("face", "face_sha256", "models", "generate", "voice_sha256", "seed"):
            assert said[name] == first[name]
    assert [row.get("voice_name") for row in made] == ["Ann", "ann-too", "Ann", "ann-too", None, None, None]
    rows = store.query("generations").to_pylist()
    assert {row["audio_uri"] for row in rows} == {row["wav"] for row in made}
    listed = _json(vclip("voices", "list", "--voices-from", voices, "--json"))["voices"]
    assert [(one["name"], one["made_for"]) for one in listed] == [("Ann", "ann.jpg")]
    shown = _json(vclip("voices", "show", "ann", "--voices-from", voices, "--json"))
    assert shown["provenance"]["face_sha256"] == hashlib.sha256(PHOTO).hexdigest()
    _json(vclip("voices", "remove", "aNN", "--voices-from", voices, "--json"))
    assert not list(voices.iterdir())
    _json(vclip("voices", "remove", "ann-too", "--store", store.uri, "--json"))
    assert store.kept_voices().num_rows == 0


def test_what_cannot_be_spoken_is_one_line(vclip, tts, speech, tmp_path):
    voices, out = tmp_path / "voices", tmp_path / "out"
    _json(vclip("voices", "keep", speech, "--name", "ann", "--to", voices, "--json"))
    other = _spoken(tts, tmp_path / "speech" / "bob.wav", seed=1)
    taken = vclip("voices", "keep", other, "--name", "ANN", "--to", voices)
    assert (taken.code, "another voice of this name" in taken.err) == (2, True)
    Voice.load(other).named("Ann").save(voices / "copied.safetensors")
    elsewhere = _voice(tts, 2)
    Voice(elsewhere.speaker, elsewhere.space, "kokoro-of-tomorrow", elsewhere.provenance).save(
        voices / "carl.safetensors"
    )
    Voice(elsewhere.speaker, "other/256", "morph", elsewhere.provenance).save(voices / "dora.safetensors")
    _voice(tts, 2, models=["not", "an", "object"]).save(tmp_path / "eve.safetensors")
    (voices / "broken.safetensors").write_bytes(b"no")
    for voice, words in {
        "ann": ("ann.safetensors", "copied.safetensors"),
        "nobody": ("'nobody'", str(voices), "there are"),
        "carl": ("kokoro-of-tomorrow",),
        "dora": ("other/256",),
        "missing.wav": ("missing.wav", "no such file"),
        tmp_path / "eve.safetensors": ("eve.safetensors", "names no models"),
        "a/b": ("expected a name",),
    }.items():
        answer = vclip("generate", "--voice", voice, "--voices-from", voices, "--text", TEXT, "--out", out)
        assert answer.code == 2, voice
        last = answer.err.strip().splitlines()[-1]
        assert all(word in last for word in words), last
    assert not out.exists()
    nowhere = vclip("generate", "--voice", "ann", "--text", TEXT, "--out", out)
    assert "--voices-from FOLDER or --store STORE" in nowhere.err


def test_a_voice_that_was_refused_is_neither_kept_nor_spoken(vclip, tts, store, tmp_path):
    """Whoever turns the guard off to choose a voice has to turn it off to use it."""
    near = _spoken(tts, tmp_path / "near.wav", nearest_known_cosine=0.9)
    off = ("--set", "generate.known_similarity=0.95")
    refused = vclip("voices", "keep", near, "--name", "ann", "--to", tmp_path / "voices")
    assert (refused.code, "cosine with a known speaker is 0.900, expected at most 0.800" in refused.err) == (2, True)
    say = ("generate", "--voice", near, "--text", TEXT, "--out", tmp_path / "out")
    assert vclip(*say).code == 2
    assert vclip(*say, *off).code == 0
    kept = vclip("voices", "keep", near, "--name", "ann", "--to", tmp_path / "voices", *off)
    assert kept.code == 0
    assert f"--voice ann --voices-from {tmp_path / 'voices'} --text TEXT" in kept.err
    # A file that does not say how near the voice is; and a known speaker of the store under a clean file.
    silent = _voice(tts, 3)
    Voice(silent.speaker, silent.space, silent.tts, {}).save(tmp_path / "silent.safetensors")
    assert "does not say how similar" in vclip("generate", "--voice", tmp_path / "silent.safetensors", *say[3:]).err
    known = tts.known_speakers(8)
    rows = [{"speaker_id": f"morph/{i}", "vector": vector} for i, vector in enumerate(known.vectors)]
    store.add_speakers([row | {"run_id": "r", "tts": "morph", "space": known.space} for row in rows])
    Voice(known.vectors[0], known.space, "morph", silent.provenance).save(tmp_path / "forged.safetensors")
    forged = vclip("voices", "keep", tmp_path / "forged.safetensors", "--name", "f", "--store", store.uri)
    assert (forged.code, "cosine with a known speaker is 1.000" in forged.err) == (2, True)


def test_a_deletion_finds_the_voices_of_a_person(vclip, tts, speech, store, tmp_path):
    store.commit([video(1), video(2)])
    face = store.query("faces", ["face_id", "image"], "video_id = 'video0001'", limit=1).to_pylist()[0]
    theirs = _spoken(tts, tmp_path / "theirs.wav", seed=5, face_sha256=hashlib.sha256(face["image"]).hexdigest())
    for name, wav in (("theirs", theirs), ("other", speech)):
        for place in (("--store", store.uri), ("--to", tmp_path / "voices")):
            assert vclip("voices", "keep", wav, "--name", name, *place).code == 0
    planned = delete(store.uri, videos=["video0001"], generated=[str(tmp_path / "voices")])
    assert (planned.voices, planned.rows["speakers"]) == (["theirs"], 1)
    assert str(tmp_path / "voices" / "theirs.safetensors") in planned.files
    assert str(tmp_path / "voices" / "other.safetensors") not in planned.files
    done = delete(store.uri, videos=["video0001"], carry_out=True)
    assert done.voices == ["theirs"]
    assert store.kept_voices()["name"].to_pylist() == ["other"]
