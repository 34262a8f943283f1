"""configs/*.yaml, overrides and misspelt keys."""

import pytest
import yaml

from pipelines.config import PRESETS as SHIPPED
from pipelines.config import Config, resolve
from tests.support.vclip_command import COMMANDS, OFFLINE, ROOT
from vclip.association.methods import method_of
from vclip.config import load
from vclip.encoders import open_face_encoder, open_voice_encoder
from vclip.errors import InputError

NEEDED = {("generate",): ("--face", "x.jpg", "--text", "x")}
CLUSTERS = {"cluster.yaml", "kuberay.yaml", "runtime_env.yaml"}  # Ray's and KubeRay's, see test_cluster_files
PRESETS = sorted(path for path in (ROOT / "configs").rglob("*.yaml") if path.name not in CLUSTERS)


def test_the_presets_are_there():
    assert {path.name for path in PRESETS} >= {"default.yaml", "offline.yaml"}


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.name)
def test_a_preset_has_the_values_of_its_file(path):
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


def test_every_preset_has_a_name_that_works_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {path.stem for path in PRESETS} == {path.stem for path in SHIPPED.glob("*.yaml")}
    for path in PRESETS:
        assert resolve(path.stem, (), ()) == load(Config, path)


def test_an_unknown_preset_is_an_error_that_lists_the_presets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"ofline: no such file; expected a YAML file, or a preset: .*offline"):
        resolve("ofline", (), ())
    with pytest.raises(InputError, match="no such file"):
        resolve("../configs/offline", (), ())
    with pytest.raises(InputError, match="no such file"):
        resolve("x" * 300, (), ())


def test_a_preset_may_have_sections_that_the_job_does_not_use_and_an_override_may_not():
    assert resolve("offline", ["train.seed=3"], ["train"]).train.seed == 3
    with pytest.raises(InputError, match=r"does not use 'encoders.face'; it uses train$"):
        resolve("offline", ["encoders.face=dlib"], ["train"])
    with pytest.raises(InputError, match=r"does not use 'train.batch_size'; it uses train.seed"):
        resolve(None, ["train.batch_size=8"], ["train.seed"])


CONFIGURED = [name for name, command in COMMANDS.items() if any(p.name == "set" for p in command.params)]


@pytest.mark.parametrize("name", CONFIGURED, ids=" ".join)
def test_no_command_takes_an_override_that_it_does_not_use(name, vclip):
    """Each is run as far as its configuration, which comes before all else; an override of no use ends it there."""
    if name == ("quickstart",):
        pytest.skip("runs every job, and so uses every section")
    unused = {
        "train": "encoders.face=dlib",
        "ingest": "train.seed=1",
        "import": "train.seed=1",
        "inspect": "train.seed=1",
    }
    override = unused.get(name[0], "ingest.commit_every=7")
    arguments = [
        value
        for parameter in COMMANDS[name].params
        if parameter.required
        for value in ([*parameter.opts[:1]] if parameter.param_type_name == "option" else []) + ["a=nothing-here"]
    ]
    answer = vclip(*name, *arguments, *NEEDED.get(name, ()), "--set", override)
    assert answer.code == 2
    assert f"does not use '{override.partition('=')[0]}'" in answer.err


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
