"""configs/*.yaml, overrides and misspelt keys."""

import pytest
import yaml

from pipelines.config import Config
from tests.support.vclip_command import OFFLINE, ROOT
from vclip.association.methods import method_of
from vclip.config import load
from vclip.encoders import open_face_encoder, open_voice_encoder
from vclip.errors import InputError

CLUSTERS = {"cluster.yaml", "kuberay.yaml", "runtime_env.yaml"}  # Ray's and KubeRay's, see test_cluster_files
PRESETS = sorted(path for path in (ROOT / "configs").rglob("*.yaml") if path.name not in CLUSTERS)


def test_the_presets_are_there():
    assert {path.name for path in PRESETS} >= {"default.yaml", "offline.yaml"}


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.name)
def test_a_preset_loads_and_says_what_it_says(path):
    def subset(part, whole):
        return all(subset(v, whole[k]) if isinstance(v, dict) else whole[k] == v for k, v in part.items())

    assert subset(yaml.safe_load(path.read_text()), load(Config, path).model_dump())


def test_the_default_preset_is_what_the_code_holds():
    assert load(Config, ROOT / "configs" / "default.yaml") == Config()


def test_the_papers_preset_is_the_method_of_that_name_and_its_ablations_change_one_thing():
    folder = ROOT / "configs" / "association"
    paper = load(Config, folder / "paper.yaml").train
    assert paper == method_of("paper").config(Config().train)
    ablations = {
        "paper_batch_320": {"batch_size": 320},
        "paper_no_flow": {"model": paper.model.model_copy(update={"couplings": 0})},
        "paper_sge2e": {"loss": "sge2e", "views": 2},
    }
    assert {path.stem for path in folder.glob("*.yaml")} == {"paper", *ablations}
    for name, change in ablations.items():
        assert load(Config, folder / f"{name}.yaml").train == paper.model_copy(update=change)


def test_the_offline_preset_opens_without_a_network():
    encoders = load(Config, OFFLINE).encoders
    assert (open_face_encoder(encoders.face).dim, open_voice_encoder(encoders.voice).dim) == (128, 256)


def test_the_quickstart_runs_on_the_offline_preset():
    from pipelines.quickstart.job import OFFLINE as quickstart

    assert load(Config, None, quickstart) == load(Config, OFFLINE)


def test_overrides_win_over_the_file_and_the_last_one_wins():
    config = load(Config, OFFLINE, ["encoders.face=open_clip:x/y", "train.seed=1", "train.seed=2"])
    assert (config.encoders.face, config.encoders.voice, config.train.seed) == ("open_clip:x/y", "resemblyzer", 2)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("extraction.clips.crop", "extraction.clips.crops"),
        ("extraction.speech.treshold", "extraction.speech.threshold"),
        ("train.batchsize", "train.batch_size"),
        ("trian.batch_size", "train"),
        ("encoder.face", "encoders"),
        ("generate.candidate", "generate.candidates"),
        ("min_snr_db", "extraction.clips.min_snr_db"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(key, nearest, tmp_path):
    with pytest.raises(InputError) as error:
        load(Config, None, [f"{key}=1"])
    assert f"'{nearest}'" in str(error.value)
    assert "\n" not in str(error.value)
    value = 1
    for part in reversed(key.split(".")):
        value = {part: value}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(value))
    with pytest.raises(InputError, match=r"mine\.yaml") as error:
        load(Config, tmp_path / "mine.yaml")
    assert f"'{nearest}'" in str(error.value)


@pytest.mark.parametrize(
    "override", ["train.seed", "=1", "train.seed.x=1", "train.seed=[", "train.seed=two", "generate.candidates=0"]
)
def test_a_wrong_value_is_one_line(override):
    with pytest.raises(InputError) as error:
        load(Config, None, [override])
    assert "\n" not in str(error.value)
    key = override.partition("=")[0].removesuffix(".x")  # what lies in a value is told as a wrong value
    assert (key or override) in str(error.value)


@pytest.mark.parametrize("content", ["- a\n- b\n", "a: [", "\x00", "just text"])
def test_a_file_that_is_no_configuration_is_named_in_one_line(tmp_path, content):
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(InputError, match=r"mine\.yaml") as error:
        load(Config, tmp_path / "mine.yaml")
    assert "\n" not in str(error.value)
