"""`vclip push` and `vclip pull`: what arrives is the same model, with a card that the hub reads."""

import json

import numpy as np
import pytest
import yaml

import vclip as library
from tests.support.speakers_world import D_VOICE, random_model, two_genders
from vclip import checkpoint
from vclip.speakers.signature import TTSSignature


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "model"
    random_model().save(folder, {"dev_auc": 0.8125, "people": 31})
    (folder / "training.log").write_text("a log of this machine")
    return folder


@pytest.fixture(scope="module")
def speakers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "speakers"
    generator, metrics = library.fit_generator(two_genders(speakers=60))
    generator.save(folder / "generator", {"speakers": metrics.speakers})
    signature = TTSSignature("beeper", "voices", "voices", D_VOICE, D_VOICE, hidden=4, dropout=0.0)
    signature.save(folder / "signature", {"gap_closed": 0.5})
    np.savez(folder / "signature" / "heard.npz", heard=np.zeros(3))
    return folder


def _files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _card(folder):
    _, head, text = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(head), text


def test_a_model_arrives_as_it_is(model, tmp_path, vclip):
    pushed = vclip("push", model, tmp_path / "shared", "--licence", "cc-by-4.0", "--json")
    pulled = vclip("pull", tmp_path / "shared", "--out", tmp_path / "pulled", "--json")
    assert pushed.code == pulled.code == 0
    assert json.loads(pushed.out)["weights"] == json.loads(pulled.out)["weights"]
    faces = np.eye(7, dtype=np.float32)
    first, second = (library.load_association(folder).embed_faces(faces) for folder in (model, tmp_path / "pulled"))
    np.testing.assert_array_equal(first, second)
    assert set(_files(tmp_path / "pulled")) == {"model.safetensors", "config.json", "metrics.json", "README.md"}


def test_speakers_arrive_as_they_are_without_cached_speech(speakers, tmp_path, vclip):
    pushed = vclip("push", speakers, tmp_path / "shared", "--licence", "cc-by-4.0")
    assert pushed.code == 0
    assert f"next: `vclip pull {tmp_path / 'shared'} --out FOLDER`" in pushed.err
    pulled = vclip("pull", tmp_path / "shared", "--out", tmp_path / "pulled")
    assert pulled.code == 0
    assert f"--speakers {tmp_path / 'pulled'} --out FOLDER`" in pulled.err
    made, arrived = (library.SpeakerGenerator.load(at / "generator") for at in (speakers, tmp_path / "pulled"))
    np.testing.assert_array_equal(made.sample(5, seed=0), arrived.sample(5, seed=0))
    assert not list((tmp_path / "pulled").rglob("heard.npz"))
    head, text = _card(tmp_path / "pulled")
    assert {"speaker-generation", "text-to-speech"} <= set(head["tags"])
    assert "biometric" in text
    assert "gap_closed" in text


def test_the_card_has_front_matter_figures_use_and_licence(model, tmp_path, vclip):
    vclip("push", model, tmp_path / "shared", "--licence", "cc-by-nc-4.0")
    head, text = _card(tmp_path / "shared")
    assert head == {"license": "cc-by-nc-4.0", "library_name": "vclip", "tags": ["vclip", "face-voice-association"]}
    assert "| dev_auc | 0.8125 |" in text
    assert "| `faces` | `not recorded` |" in text
    assert "not for identifying" in text
    assert "cc-by-nc-4.0. The encoders" in text


def test_what_was_pulled_and_is_pushed_again_has_one_card(model, speakers, tmp_path, vclip):
    for number, folder in enumerate((model, speakers)):
        once, twice = tmp_path / f"{number}a" / "name", tmp_path / f"{number}b" / "name"
        vclip("push", folder, once, "--licence", "mit")
        vclip("push", once, twice, "--licence", "mit")
        assert _files(once) == _files(twice)


def test_the_version_of_the_weights_that_provenance_names_does_not_change(model, tmp_path, vclip):
    answer = vclip("push", model, tmp_path / "shared", "--licence", "mit", "--json")
    assert json.loads(answer.out)["weights"] == {"association": checkpoint.digest(model)}


@pytest.mark.parametrize("damaged", ["model.safetensors", "config.json"])
def test_damage_is_an_error_and_leaves_nothing(model, tmp_path, vclip, damaged):
    vclip("push", model, tmp_path / "shared", "--licence", "mit")
    (tmp_path / "shared" / damaged).write_bytes(b"{")
    answer = vclip("pull", tmp_path / "shared", "--out", tmp_path / "pulled")
    assert answer.code == 2
    assert "damaged" in answer.err
    assert str(tmp_path / "shared") in answer.err
    assert not (tmp_path / "pulled").exists()


def test_mistakes_are_one_line(model, tmp_path, vclip):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    for words, said in (
        (("push", tmp_path / "full", tmp_path / "new", "--licence", "mit"), "neither a model nor speakers"),
        (("push", model, tmp_path / "full", "--licence", "mit"), "full"),
        (("push", model, "hf:no-name", "--licence", "mit"), "hf:OWNER/NAME"),
        (("push", model, "hf:ann/model@v1", "--licence", "mit"), "found a revision"),
        (("pull", "ann/model", "--out", tmp_path / "new"), "hf:OWNER/NAME"),
        (("pull", tmp_path / "full", "--out", tmp_path / "new"), "neither a model nor speakers"),
    ):
        answer = vclip(*words)
        assert answer.code == 2
        assert said in answer.err
        assert len(answer.err.strip().splitlines()) == 1
        assert not (tmp_path / "new").exists()
    assert (tmp_path / "full" / "file").read_text() == "mine"
