"""`vclip fit-speakers`, `vclip distill` and `vclip generate`."""

import hashlib
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile

from stores import Store
from tests.support.certificates import certificates
from tests.support.signed import signed_manifest, source_of
from tests.support.small_world import no_face
from tests.support.vclip_command import tree
from vclip.association.model import AssociationModel
from vclip.audio import prepare_speech
from vclip.encoders import open_voice_encoder
from vclip.marking.provenance import read_provenance, write_speech
from vclip.marking.verify import verify
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.signature import TTSSignature
from vclip.tts.wav import StreamedSpeech

pytestmark = pytest.mark.slow
TEXT = "Hello there, how are you today?"
FEW = ("--set", "generate.candidates=200")


@pytest.fixture(scope="module")
def asked(photo, model, speakers):
    """The arguments of a `generate` that works."""
    return {"--face": photo, "--text": TEXT, "--model": model, "--speakers": speakers}


def _generate(vclip, asked, out, *more):
    return vclip("generate", *(part for item in asked.items() for part in item), "--out", out, *FEW, *more)


def test_a_folder_of_speech_is_a_bank_with_one_vector_a_speaker(pair_files, vclip, tmp_path):
    speech = tmp_path / "speech"
    for number in range(11):
        shutil.copytree(pair_files / f"reader-{number:03d}", speech / f"reader-{number:03d}")
    said = vclip("fit-speakers", "--speech", speech, "--out", tmp_path / "g", "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out, parse_constant=pytest.fail)["speakers"] == 11
    bank = SpeakerGenerator.load(tmp_path / "g" / "generator").bank
    assert bank.speaker_id.tolist() == [f"reader-{number:03d}" for number in range(11)]
    encoder = open_voice_encoder("resemblyzer")
    heard = encoder.embed([prepare_speech(*soundfile.read(speech / "reader-003" / "speech.wav", dtype="float32"))])[0]
    assert bank.vectors[3] @ heard == pytest.approx(1, abs=1e-4)
    assert (bank.vectors @ heard).argmax() == 3


def test_a_table_says_who_speaks(pair_files, vclip, tmp_path):
    speech = shutil.copytree(pair_files, tmp_path / "speech")
    rows = [f"reader-{number:03d}/speech.wav,voice-{number % 12},f" for number in range(24)]
    (speech / "pairs.csv").write_text("\n".join(["file,speaker,gender", *rows]) + "\n")
    said = vclip("fit-speakers", "--speech", speech, "--out", tmp_path / "g", "--json")
    assert json.loads(said.out)["speakers"] == 12
    bank = SpeakerGenerator.load(tmp_path / "g" / "generator").bank
    assert set(bank.speaker_id) == {f"voice-{number}" for number in range(12)}
    assert set(bank.gender) == {"f"}


def test_speakers_and_signature_are_checkpoints(speakers, pairs_store):
    for name in ("generator", "signature"):
        files = {path.name for path in (speakers / name).iterdir()}
        assert {"model.safetensors", "config.json", "metrics.json", "README.md"} <= files
    generator = SpeakerGenerator.load(speakers / "generator")
    assert set(generator.bank.speaker_id) == {f"reader-{number:03d}" for number in range(24)}
    signature = TTSSignature.load(speakers / "signature")
    assert signature.speaker_space == generator.space == Store.open(pairs_store).voice_space


def test_three_voices_are_three_files_that_say_synthetic(asked, vclip, tmp_path):
    said = _generate(vclip, asked, tmp_path / "out", "--json")
    assert said.code == 0, said.err
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert [re.sub("_[0-9a-f]{8}", "", name) for name in files] == [
        f"photo_voice{rank}.{ending}" for rank in (1, 2, 3) for ending in ("json", "wav")
    ]
    shown = json.loads(said.out, parse_constant=pytest.fail)
    for row in shown["files"]:
        samples, rate_hz = soundfile.read(row["wav"])
        assert len(samples) / rate_hz == pytest.approx(row["seconds"], abs=0.01)
        assert np.abs(samples).max() > 0.05
        sidecar = json.loads((tmp_path / "out" / row["wav"]).with_suffix(".json").read_text())
        inside = read_provenance(row["wav"])
        assert inside == sidecar
        assert sidecar["synthetic"] is True
        assert source_of(signed_manifest(Path(row["wav"]).read_bytes())) == "trainedAlgorithmicMedia"
        assert sidecar["text"] == TEXT
        assert sidecar["face"] == str(asked["--face"])
        weights = (asked["--model"] / "model.safetensors").read_bytes()
        named = sidecar["models"]["association"]
        assert named == {"folder": str(asked["--model"]), "sha256": hashlib.sha256(weights).hexdigest()}
    scores = [row["score"] for row in shown["files"]]
    assert scores == sorted(scores, reverse=True)
    assert "SELF-MADE CERTIFICATE" in said.err


def test_a_certificate_a_watermark_and_an_announcement(asked, vclip, tmp_path):
    files = certificates(tmp_path / "keys")
    marks = (f"marks.certificate={files.chain}", f"marks.key={files.key}", "marks.watermark=perth")
    options = [part for mark in marks for part in ("--set", mark)]
    plain, marked = (
        _generate(vclip, asked | {"--text": "Good night."}, tmp_path / name, "-k", 1, *more)
        for name, more in (("plain", ()), ("marked", (*options, "--announce")))
    )
    assert (plain.code, marked.code) == (0, 0), marked.err
    assert "SELF-MADE" not in marked.err
    before, after = (next((tmp_path / name).glob("*.wav")) for name in ("plain", "marked"))
    assert soundfile.info(after).duration > soundfile.info(before).duration + 1
    found = verify(after, files.issuer)
    assert (found.problems, found.signature.state, found.watermark.state) == ((), "trusted", "found")
    assert found.provenance["marks"]["announcement"] == "This is a synthetic voice."
    assert found.provenance["text"] == "Good night."
    for mark, expected in (
        ("marks.key=nowhere.pem", "marks.key: found it alone"),
        ("marks.watermark=nonsense", "watermark 'nonsense': unknown name"),
        ("marks.signature=perhaps", "marks.signature"),
    ):
        said = _generate(vclip, asked, tmp_path / "none", "--set", mark)
        assert (said.code, said.err.count("Traceback")) == (2, 0)
        assert expected in said.err
    assert not (tmp_path / "none").exists()


def test_the_voices_differ(asked, vclip, tmp_path):
    shown = json.loads(_generate(vclip, asked, tmp_path / "out", "--json").out)
    vectors = np.array([row["speaker_vector"] for row in shown["files"]])
    cosines = vectors @ vectors.T
    assert cosines[np.triu_indices(3, 1)].max() < 0.999
    assert len({soundfile.read(row["wav"])[0].tobytes() for row in shown["files"]}) == 3


def test_generation_is_deterministic_and_its_seed_matters(asked, vclip, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert _generate(vclip, asked, tmp_path / name, "-k", 1, "--set", f"generate.seed={seed}").code == 0
    a, b, c = (soundfile.read(next((tmp_path / name).glob("*.wav")))[0].tobytes() for name in "abc")
    assert a == b
    assert a != c


def test_every_face_speaks_every_text(asked, two_faces, vclip, tmp_path):
    more = ("--face", two_faces, "--text", "Good night.", "-k", 2)
    said = _generate(vclip, asked, tmp_path / "out", *more)
    names = Counter(re.sub("_[0-9a-f]{8}", "", path.name) for path in (tmp_path / "out").glob("*.wav"))
    assert names == {f"{face}_voice{v}.wav": 2 for face in ("photo", "two") for v in (1, 2)}
    assert said.out.count("\n") == 8


def test_several_photos_of_one_person_get_voices_together(asked, two_faces, vclip, tmp_path):
    """For which both photos count: what is chosen scores the mean of the two directions."""
    from pipelines.extraction.faces.detectors import open_detector
    from pipelines.generation.faces import read_photo_faces
    from vclip.encoders import open_face_encoder

    photos = [asked["--face"], two_faces]
    said = _generate(vclip, asked, tmp_path / "out", "--face", two_faces, "--same-person", "-k", 1, "--json")
    (row,) = json.loads(said.out)["files"]
    assert row["face"] == ", ".join(map(str, photos))
    assert [photo["face_sha256"] for photo in row["photos"]] == [
        hashlib.sha256(photo.read_bytes()).hexdigest() for photo in photos
    ]
    portraits = read_photo_faces(photos, open_detector("centerface"), None)
    model = AssociationModel.load(asked["--model"])
    directions = model.embed_faces(
        open_face_encoder("mirrored:dlib").embed([portrait.crop for portrait in portraits])
    )
    mean = directions.sum(axis=0) / np.linalg.norm(directions.sum(axis=0))
    signature = TTSSignature.load(asked["--speakers"] / "signature")
    voice = model.embed_voices(signature.predict(np.array([row["speaker_vector"]], np.float32)))[0]
    assert row["score"] == pytest.approx(float(mean @ voice), abs=1e-3)
    assert min(abs(directions @ voice - row["score"])) > 3e-3  # neither photo alone gives this score
    assert vclip("verify", row["wav"]).code == 0


def test_of_several_faces_the_largest_is_used_and_said(asked, two_faces, vclip, tmp_path):
    said = _generate(vclip, asked | {"--face": two_faces}, tmp_path / "largest", "-k", 1, "--json")
    assert f"photo {two_faces}: 2 faces, used number 1 from the left; choose with --face-index" in said.err
    largest = json.loads(said.out)["files"][0]
    assert (largest["face_index"], largest["faces_in_photo"]) == (1, 2)
    chosen = {}
    for index in (0, 1):
        picked = _generate(
            vclip, asked | {"--face": two_faces}, tmp_path / "i", "-k", 1, "--face-index", index, "--json"
        )
        chosen[index] = json.loads(picked.out)["files"][0]
        assert chosen[index]["face_index"] == index
    assert chosen[1]["speaker_vector"] == largest["speaker_vector"]
    assert chosen[0]["score"] != chosen[1]["score"]


def test_the_score_is_what_the_sidecar_says_it_is(asked, vclip, tmp_path):
    """cos(phi_v(s(e)), phi_i(f_i(x))), recomputed; and the naive one without s."""
    from pipelines.extraction.faces.detectors import open_detector
    from pipelines.generation.faces import read_photo_faces
    from vclip.encoders import open_face_encoder

    model = AssociationModel.load(asked["--model"])
    signature = TTSSignature.load(asked["--speakers"] / "signature")
    portrait = read_photo_faces([asked["--face"]], open_detector("centerface"), None)[0]
    face = open_face_encoder("mirrored:dlib").embed([portrait.crop])
    for score in ("informed", "naive"):
        said = _generate(vclip, asked, tmp_path / score, "-k", 1, "--set", f"generate.score={score}", "--json")
        row = json.loads(said.out)["files"][0]
        e = np.array([row["speaker_vector"]], np.float32)
        voice = signature.predict(e) if score == "informed" else e
        cosine = (model.embed_faces(face) @ model.embed_voices(voice).T).item()
        assert row["score"] == row["scores"][score] == pytest.approx(cosine, abs=1e-3)


def test_generations_are_recorded_in_a_store(asked, ingested, vclip, tmp_path):
    store = shutil.copytree(ingested.store, tmp_path / "store")
    judge = AssociationModel.load(asked["--model"])
    judge.log_scale.data += 0.1
    judge.save(tmp_path / "judge", {})
    itself = _generate(vclip, asked, tmp_path / "out", "--evaluator", asked["--model"])
    assert (itself.code, "found the model itself" in itself.err) == (2, True)
    assert not (tmp_path / "out").exists()
    more = ("-k", 2, "--store", store, "--evaluator", tmp_path / "judge")
    for _ in range(2):  # the same again is the same rows
        assert _generate(vclip, asked, tmp_path / "out", *more).code == 0
    rows = Store.open(store).query("generations").to_pylist()
    assert {row["audio_uri"] for row in rows} == {str(path) for path in (tmp_path / "out").glob("photo_voice*.wav")}
    assert len(rows) == 2
    assert all(-1 <= json.loads(row["scores"])["f2v"] <= 1 for row in rows)


def test_verify_shows_which_labels_match_their_audio(vclip, tmp_path):
    tone = 0.1 * np.sin(np.arange(16_000))
    paths = [
        write_speech(tmp_path / f"{name}.wav", StreamedSpeech([tone], 16_000), {"text": name})[0]
        for name in ("one", "two")
    ]
    said = vclip("verify", *paths)
    assert (said.code, said.err) == (0, "")
    assert len(re.findall(r"label\W+VALID", said.out)) == 2
    assert len(re.findall(r"signature\W+ABSENT", said.out)) == 2
    paths[1].write_bytes(paths[1].read_bytes()[:-2] + b"\0\1")
    soundfile.write(tmp_path / "plain.wav", tone, 16_000)
    said = vclip("verify", *paths, tmp_path / "plain.wav", "--json")
    assert said.code == 2
    rows = json.loads(said.out)["files"]
    assert [(row.get("text"), row["holds"]) for row in rows] == [("one", True), ("two", False), (None, False)]
    assert [row["layers"]["label"]["state"] for row in rows] == ["valid", "altered", "absent"]
    assert said.err.count("\n") == 1
    assert "two.wav" in said.err
    assert "(and 1 more)" in said.err
    assert "without provenance" in vclip("verify", tmp_path / "plain.wav").err
    (tmp_path / "photo.jpg").write_bytes(b"no audio")
    said = vclip("verify", tmp_path / "photo.jpg")
    assert re.sub(r"\W+", " ", said.out).count("expected a WAV by vclip") == 1
    assert "object at" not in said.out


# What cannot be used


@pytest.fixture(scope="module")
def wrong(tmp_path_factory, model, speakers, ingested, other_store):
    """Inputs that cannot be used, by name."""
    folder = tmp_path_factory.mktemp("wrong")
    cv2.imwrite(str(folder / "nobody.png"), no_face())
    (folder / "text.jpg").write_text("no picture")
    (folder / "empty").mkdir()
    (folder / "filled").mkdir()
    (folder / "filled" / "notes.txt").write_text("no store")
    shutil.copytree(speakers / "generator", folder / "undistilled" / "generator")
    other = AssociationModel.load(model)
    other.voice_space = "ecapa/192"
    other.save(folder / "other_model", {})
    return folder


FLAG = object()  # in place of a value
GENERATE = {
    "no face": ({"--face": "nobody.png"}, ("nobody.png", "no face")),
    "unreadable picture": ({"--face": "text.jpg"}, ("text.jpg", "not an image", "JPEG")),
    "missing picture": ({"--face": "missing.jpg"}, ("missing.jpg", "No such file")),
    "empty text": ({"--text": " \n"}, ("--text", "empty")),
    "unspeakable text": ({"--text": "?!"}, ("?!",)),
    "missing model": ({"--model": "missing"}, ("missing", "no such folder")),
    "empty model": ({"--model": "empty"}, ("empty", "model.safetensors")),
    "speakers as model": ({"--model": "undistilled/generator"}, ("speaker-generator", "association")),
    "missing speakers": ({"--speakers": "missing"}, ("missing", "speaker-generator")),
    "not distilled": ({"--speakers": "undistilled"}, ("TTS signature", "vclip distill", "score=naive")),
    "other encoders": ({"--model": "other_model"}, ("ecapa/192", "resemblyzer")),
    "other evaluator": ({"--evaluator": "other_model"}, ("ecapa/192", "evaluator")),
    "no store": ({"--store": "filled"}, ("filled", "expected a vclip store")),
    "empty folder as store": ({"--store": "empty"}, ("empty", "expected a vclip store")),
    "face out of range": ({"--face-index": "1"}, ("photo.jpg", "face 1", "holds 1")),
    "more voices than candidates": ({"-k": "201"}, ("201 voices", "candidates")),
    "unknown tts": ({"--set": "generate.tts=festival"}, ("festival", "morph")),
    "unknown score": ({"--set": "generate.score=best"}, ("generate.score", "best", "informed")),
    "one photo of one person": ({"--same-person": FLAG}, ("--same-person", "found 1 --face")),
    "prompt beside a face": ({"--prompt": "an old man"}, ("--prompt", "--face")),
    "manifest beside a face": ({"--manifest": "jobs.csv"}, ("--manifest", "--face")),
    "address": ({"--out": "s3://bucket/out"}, ("s3://bucket/out", "--manifest")),
    "no configuration": ({"--config": "missing.yaml"}, ("missing.yaml", "no such file", "preset")),
}


@pytest.mark.parametrize("case", GENERATE)
def test_generate_says_in_one_line_what_is_wrong_and_writes_nothing(asked, wrong, vclip, tmp_path, case):
    changed, named = GENERATE[case]
    files = ("--face", "--model", "--speakers", "--evaluator", "--store", "--config")
    changed = {key: wrong / value if key in files else value for key, value in changed.items()}
    before = tree(wrong)
    given = (asked | {"--out": tmp_path / "out"} | changed).items()
    options = [str(part) for item in given for part in item if part != FLAG]
    said = vclip("generate", *options, *FEW)
    assert (said.code, said.out) == (2, "")
    assert " ERROR vclip: " in said.err
    assert said.err.count("\n") == 1, said.err
    for word in named:
        assert word in said.err
    assert not (tmp_path / "out").exists()
    assert tree(wrong) == before


def test_a_negative_face_is_refused(asked, vclip, tmp_path):
    said = _generate(vclip, asked, tmp_path / "out", "--face-index", -1)
    assert (said.code, said.out) == (2, "")
    assert "--face-index" in said.err
    assert not (tmp_path / "out").exists()


def test_the_naive_score_is_refused_across_spaces(asked, wrong, vclip, tmp_path):
    across = asked | {"--model": wrong / "other_model"}
    said = _generate(vclip, across, tmp_path / "out", "--set", "generate.score=naive")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "naive score" in said.err
    assert "ecapa/192" in said.err
    assert not (tmp_path / "out").exists()


SPEAKERS = {
    "nothing to learn from": (("fit-speakers",), ("--speech", "--store", "--tts")),
    "unknown tts": (("fit-speakers", "--tts", "festival"), ("festival", "morph")),
    "both": (("fit-speakers", "--speech", "empty", "--store", "filled"), ("2 of --speech", "expected one")),
    "missing folder": (("fit-speakers", "--speech", "missing"), ("missing", "no such folder")),
    "empty folder": (("fit-speakers", "--speech", "empty"), ("empty", "no audio", ".wav")),
    "no audio": (("fit-speakers", "--speech", "filled"), ("filled", "no audio")),
    "no store": (("fit-speakers", "--store", "filled"), ("filled", "expected a vclip store")),
    "too few people": (("fit-speakers", "--store", "SIX"), ("expected at least 10 speakers, found 6",)),
    "no generator": (("distill", "--speakers", "empty"), ("empty", "speaker-generator")),
    "too many sentences": (
        ("distill", "--speakers", "undistilled", "--set", "signature.sentences=99"),
        ("signature.sentences", "99", "at most"),
    ),
    "too few speakers": (
        ("distill", "--speakers", "undistilled", "--set", "signature.speakers=3"),
        ("signature.speakers", "3"),
    ),
}


@pytest.mark.parametrize("case", SPEAKERS)
def test_speakers_say_in_one_line_what_is_wrong_and_write_nothing(wrong, ingested, vclip, tmp_path, case):
    options, named = SPEAKERS[case]
    folders = ("empty", "filled", "missing", "undistilled")
    options = [wrong / value if value in folders else value for value in options]
    options = [ingested.store if value == "SIX" else value for value in options]
    before = tree(wrong)
    said = vclip(*options, "--out", tmp_path / "out")
    assert (said.code, said.out) == (2, "")
    assert said.err.count("\n") == 1, said.err
    for word in named:
        assert word in said.err
    assert not (tmp_path / "out").exists()
    assert tree(wrong) == before


def test_audio_that_cannot_be_read_is_named_and_left_out(pair_files, vclip, tmp_path):
    speech = shutil.copytree(pair_files, tmp_path / "speech", ignore=shutil.ignore_patterns("*.csv"))
    (speech / "reader-005" / "speech.wav").write_text("no audio")
    said = vclip("fit-speakers", "--speech", speech, "--out", tmp_path / "out")
    assert said.code == 0, said.err
    assert "left out 1 of 24 files" in said.err
    assert "reader-005" in said.err
    assert "reader-005" not in SpeakerGenerator.load(tmp_path / "out" / "generator").bank.speaker_id
    for path in speech.rglob("*.wav"):
        path.write_text("no audio")
    said = vclip("fit-speakers", "--speech", speech, "--out", tmp_path / "none")
    assert said.code == 2
    assert "none of 24 files can be used" in said.err
    assert not (tmp_path / "none").exists()
