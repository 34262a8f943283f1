"""Configuration: defaults, then YAML, then overrides; what is wrong is said in one line that names it."""

import re
from typing import Literal

import pytest
import yaml
from pydantic import Field, ValidationError

from vclip.association.training import TrainConfig
from vclip.config import Settings, load
from vclip.device import DEVICES
from vclip.errors import InputError
from vclip.speakers.generator_fit import GeneratorConfig
from vclip.speakers.signature import SignatureConfig
from vclip.speakers.voice_search import SearchConfig


class Inner(Settings):
    batch_size: int = 64
    rate: float = Field(0.1, gt=0, le=1)
    name: str = "a"


class Outer(Settings):
    train: Inner = Inner()
    voice: Inner = Inner(name="v")
    sizes: tuple[int, ...] = (1, 2)
    limit: float | None = None
    kind: str = Field("", pattern="^(|one|two_words)$")
    place: str = Field("", pattern=DEVICES)
    word: str = Field("", pattern="^[A-Z]*$")
    colours: Literal["RGB", "BGR"] = "RGB"


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "settings.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_defaults_then_file_then_overrides(file):
    path = file("train: {batch_size: 8, rate: 0.5}\nlimit: 3\n")
    assert load(Outer) == Outer()
    assert load(Outer, path) == Outer(train=Inner(batch_size=8, rate=0.5), limit=3)
    both = load(Outer, path, ["train.batch_size=9", "voice.name=b", "sizes=[4, 5, 6]", "limit=null"])
    assert both == Outer(train=Inner(batch_size=9, rate=0.5), voice=Inner(name="b"), sizes=(4, 5, 6), limit=None)
    assert load(Outer, overrides=["train={batch_size: 7}", "train.rate=1"]).train == Inner(batch_size=7, rate=1)
    assert load(Outer, overrides=["train.batch_size=1", "train.batch_size=2"]).train.batch_size == 2


def test_what_was_resolved_can_be_loaded_again(file):
    settings = load(Outer, overrides=["train.batch_size=9", "sizes=[]"])
    assert load(Outer, file(yaml.safe_dump(settings.model_dump(mode="json")))) == settings


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_is_the_defaults(file, text):
    assert load(Outer, file(text)) == Outer()


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("train.batch_sise", "train.batch_size"),
        ("train.batchsize", "train.batch_size"),
        ("voice.nam", "voice.name"),
        ("batch_size", "train.batch_size"),  # right name, section forgotten
        ("voise.name", "voice"),
        ("limits", "limit"),
    ],
)
def test_an_unknown_key_names_the_nearest(file, key, nearest):
    section, _, last = key.rpartition(".")
    text = yaml.safe_dump({section: {last: 1}} if section else {last: 1})
    unknown = "voise" if key.startswith("voise") else key
    override = f"{key}=1"
    for where, arguments in (("settings.yaml", (file(text),)), (f"override '{override}'", (None, [override]))):
        with pytest.raises(InputError, match=f"unknown key '{unknown}'; did you mean '{nearest}'") as error:
            load(Outer, *arguments)
        assert where in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("train.batch_size=many", "train.batch_size = 'many'"),
        ("train.batch_size=1.5", "train.batch_size = 1.5"),
        ("train.rate=0", "train.rate = 0"),
        ("train.rate=2", "train.rate = 2"),
        ("train=3", "train = 3"),
        ("sizes=[1, x]", "sizes.1 = 'x'"),
    ],
)
def test_a_wrong_value_names_key_and_value(override, found):
    with pytest.raises(InputError) as error:
        load(Outer, overrides=["limit=3", override])
    assert re.match(rf"override '{re.escape(override)}': {re.escape(found)}: .*(should|valid)", str(error.value))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("kind=three", "expected nothing, one or two_words"),
        ("place=gpu", "expected nothing, cpu, cuda[:N] or mps"),
        ("word=a/b", "has a character that is not expected here; letters, digits, '.', '_' and '-' are"),
        ("colours=rgb", "input should be 'RGB' or 'BGR'"),  # in the case that is expected
    ],
)
def test_what_is_expected_is_said_in_words_and_in_its_case(override, expected):
    with pytest.raises(InputError) as error:
        load(Outer, overrides=[override])
    assert str(error.value).endswith(f": {expected}")


@pytest.mark.parametrize("override", ["train.batch_size", "=3", "", "train.batch_size 3"])
def test_an_override_without_key_or_value_shows_an_example(override):
    with pytest.raises(InputError, match=f"override '{override}': expected section.key=value"):
        load(Outer, overrides=[override])


def test_an_override_that_is_no_yaml_or_goes_through_a_value():
    with pytest.raises(InputError, match=r"override 'sizes=\[1,': the value is not YAML"):
        load(Outer, overrides=["sizes=[1,"])
    with pytest.raises(InputError, match=r"override 'sizes=\[+': the value is not YAML"):
        load(Outer, overrides=["sizes=" + "[" * 2000])
    with pytest.raises(InputError, match=r"override 'limit\.x=1': 'limit' is a value, not a section"):
        load(Outer, overrides=["limit=3", "limit.x=1"])


def test_values_with_equals_signs_and_dots_stay_whole():
    assert load(Outer, overrides=["voice.name=a=b.c=d"]).voice.name == "a=b.c=d"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("train:\n  rate: 0.5\n bad: [1\n", "not YAML .line [34]"),
        ("train: {rate: 0.5\nvoice: 3", "not YAML .line 2"),
        ("\tx: 1", "not YAML .line 1"),
        (b"\xff\xfe\xfa", "not YAML"),
        ("- 1\n- 2\n", "found a list, expected keys with values"),
        ("just words", "found a str, expected"),
        ("[" * 2000, "not YAML .nested too deeply"),
    ],
)
def test_a_file_that_is_no_yaml_names_file_and_line(file, text, reason):
    path = file(text)
    with pytest.raises(InputError, match=reason) as error:
        load(Outer, path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_name_the_path(tmp_path):
    for path in (tmp_path / "nowhere.yaml", tmp_path):
        with pytest.raises(InputError, match=f"configuration {path}: .*expected a YAML file"):
            load(Outer, path)


def test_settings_are_frozen_and_know_their_keys():
    settings = Outer()
    with pytest.raises(ValidationError, match="frozen"):
        settings.limit = 3
    with pytest.raises(ValidationError, match="frozen"):
        settings.train.batch_size = 3
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Inner(bath_size=3)
    assert Outer().train.batch_size == 64


@pytest.mark.parametrize("kind", [TrainConfig, GeneratorConfig, SignatureConfig, SearchConfig])
def test_a_seed_that_no_generator_takes_is_an_error(kind):
    assert load(kind, overrides=[f"seed={2**32 - 1}"]).seed == 2**32 - 1
    for seed in (-1, 2**32):
        with pytest.raises(InputError, match=f"seed = {seed}"):
            load(kind, overrides=[f"seed={seed}"])
