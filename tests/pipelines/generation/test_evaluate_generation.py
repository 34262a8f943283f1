"""`vclip evaluate-generation`: from a store and speakers to the table, the JSON and the chart."""

import json
import shutil
from dataclasses import replace

import cv2
import pytest

from pipelines.generation.evaluate import COMPARED
from vclip.association.model import AssociationModel
from vclip.speakers.baselines import REFERENCES, SYSTEMS
from vclip.speakers.generator import SpeakerGenerator

pytestmark = pytest.mark.slow
QUICK = (
    *("--set", "train.max_steps=20", "--set", "train.cross_fit_below=0", "--set", "generate.candidates=100"),
    *("--set", "generate.guided.steps=3", "--set", "generate.guided.climbers=2"),
)


@pytest.fixture(scope="module")
def asked(pairs_store, speakers):
    return ("--store", pairs_store, "--speakers", speakers, "--people", 4, "-k", 2, *QUICK)


def test_all_systems_and_references_are_measured_on_people_never_seen(asked, vclip, tmp_path):
    said = vclip("evaluate-generation", *asked, "--out", tmp_path, "--json")
    assert said.code == 0, said.err
    result = json.loads(said.out, parse_constant=pytest.fail)
    assert result == json.loads((tmp_path / "generation.json").read_text())
    assert [row["system"] for row in result["systems"]] == ["true pair", *REFERENCES, *SYSTEMS]
    assert (result["people"], result["voices"]) == (4, 2)
    for row in result["systems"]:
        assert row["reference"] == (row["system"] not in SYSTEMS)
        assert -1 <= row["f2v"]["low"] <= row["f2v"]["value"] <= row["f2v"]["high"] <= 1
        for name in ("v2v", "log_likelihood", "quality", "pitch"):
            assert (row[name]["value"] is None) == (row["system"] == "true pair")
        assert row["system"] == "true pair" or 1 <= row["quality"]["value"] <= 5
    by_name = {row["system"]: row for row in result["systems"]}
    # The clone is asked for the true voice; others' voices are further away.
    assert by_name["true voice cloned"]["v2v"]["value"] > by_name["no retrieval"]["v2v"]["value"]
    assert 0 <= by_name["true voice cloned"]["pitch"]["value"] < by_name["no retrieval"]["pitch"]["value"]
    assert by_name["direct mapping"]["alike"]["value"] is None  # but one voice
    for a, b in COMPARED:
        difference = by_name[a]["f2v"]["value"] - by_name[b]["f2v"]["value"]
        assert result["differences"][f"{a} - {b}"]["f2v"]["value"] == pytest.approx(difference, abs=1e-6)
    assert cv2.imread(str(tmp_path / "generation.png")).std() > 5


@pytest.fixture(scope="module")
def wrong(speakers, other_store, tmp_path_factory):
    """Folders of speakers that cannot be used."""
    folder = tmp_path_factory.mktemp("wrong")
    shutil.copytree(speakers / "generator", folder / "undistilled" / "generator")
    shutil.copytree(speakers, folder / "elsewhere")
    generator = SpeakerGenerator.load(speakers / "generator")
    mixture = {"weights": generator.weights, "means": generator.means, "variances": generator.variances}
    bank = replace(generator.bank, space="ecapa/256")
    SpeakerGenerator(bank, generator.components, mixture).save(folder / "elsewhere" / "generator", {})
    return folder


WRONG = {
    "missing speakers": (("--speakers", "missing"), ("missing", "speaker-generator", "vclip fit-speakers")),
    "no signature": (("--speakers", "undistilled"), ("TTS signature", "vclip distill")),
    "speakers of another space": (("--speakers", "elsewhere"), ("ecapa/256", "resemblyzer", "'morph'")),
    "unknown tts": (("--set", "generate.tts=festival"), ("festival", "morph")),
    "no store": (("--store", "elsewhere"), ("elsewhere", "expected a vclip store")),
    "nobody": (("--where", "identity = 'nobody in particular'"), ("identity = 'nobody in particular'",)),
    "not SQL": (("--where", "identity ="), ("identity =",)),
    "missing model": (("--model", "missing", "--evaluator", "missing"), ("missing", "vclip train")),
    "unused key": (("--set", "encoders.face=dlib"), ("encoders.face",)),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_used_is_an_error_of_one_line(asked, wrong, vclip, tmp_path, case):
    options, named = WRONG[case]
    files = ("--speakers", "--store", "--model", "--evaluator")
    options = [
        wrong / value if name in files else value for name, value in zip(("", *options), options, strict=False)
    ]
    said = vclip("evaluate-generation", *asked, *options, "--out", tmp_path / "out")
    assert (said.code, said.out) == (2, "")
    assert said.err.rstrip().count("\n") == 0, said.err
    for word in named:
        assert word in said.err
    assert not (tmp_path / "out").exists()


def test_models_without_training_people_are_measured_with_a_warning(asked, model, vclip, tmp_path):
    """Those of other code may not record them."""
    for name in ("model", "evaluator"):
        unknown = AssociationModel.load(model)
        unknown.log_scale.data += 0.1 * (name == "evaluator")
        unknown.seen = unknown.seen[:0]
        unknown.save(tmp_path / name, {})
    given = ("--model", tmp_path / "model", "--evaluator", tmp_path / "evaluator", "--people", 2, "-k", 1)
    said = vclip("evaluate-generation", *asked, *given)
    assert said.code == 0, said.err
    assert "WARNING: unknown training people" in said.out
    assert "2 people, 1 voice each" in said.out
    for system in ("true pair", *REFERENCES, *SYSTEMS):
        assert system.split()[0] in said.out  # a narrow table wraps names


def test_given_models_judge_whom_they_have_not_seen_and_never_themselves(asked, model, vclip, tmp_path):
    judge = AssociationModel.load(model)
    judge.log_scale.data += 0.1
    judge.save(tmp_path / "judge", {})
    judge.voice_space = "ecapa/192"
    judge.save(tmp_path / "other", {})
    cases = {
        ("--model", model): "found one of --model and --evaluator",
        ("--model", model, "--evaluator", model): "found the model itself",
        ("--model", model, "--evaluator", tmp_path / "other"): "ecapa/192",
        ("--model", model, "--evaluator", tmp_path / "judge"): "expected people that neither was trained on",
        ("--people", 20): "expected at least 28",
        ("--face-space", "elsewhere"): "name one of these with --face-space",
        (
            "--model",
            model,
            "--evaluator",
            tmp_path / "judge",
            "--voice-space",
            "v",
        ): "with --model, which has its own",
    }
    for more, expected in cases.items():
        said = vclip("evaluate-generation", *asked, *more, "--out", tmp_path / "out")
        assert (said.code, said.out) == (2, "")
        assert expected in said.err
    assert not (tmp_path / "out").exists()
