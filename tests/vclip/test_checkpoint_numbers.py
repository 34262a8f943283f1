"""A checkpoint whose config.json was altered is loaded or refused in one line, within the memory of its file."""

import itertools
import json
import shutil

import numpy as np
import pytest

from tests.support.bounded import outcomes
from vclip.association.methods.towers import TwoTowers
from vclip.association.model import AssociationConfig, AssociationModel
from vclip.speakers.bank import SpeakerBank
from vclip.speakers.generator_fit import fit_generator
from vclip.speakers.signature import TTSSignature

pytestmark = pytest.mark.slow

IMPORT_S = 20.0  # the first model that may be large waits for the import of torch's device "meta"
NUMBERS = [0, -1, 1, 3, 1000, 10**6, 10**9, 10**18, 10**30, 0.5, -1e308, 1e308, float("nan"), float("inf")]
OTHERS = [True, None, "x", "9" * 10, [], {}, [[1]], {"a": 1}, "x" * 100_000]


def _association(folder):
    AssociationModel("f/8", "v/6", 8, 6, AssociationConfig(hidden=8, coupling_hidden=8)).save(folder, {})


def _towers(folder):
    TwoTowers("fop", "f/8", "v/6", 8, 6, hidden=8, dim=4, shared=True).save(folder, {})


def _signature(folder):
    TTSSignature("morph", "s/8", "v/6", 8, 6, 8, 0.5).save(folder, {})


def _generator(folder):
    vectors = np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    bank = SpeakerBank("s/8", np.array([f"p{i}" for i in range(40)]), vectors, np.array(["f", "m"] * 20))
    fit_generator(bank)[0].save(folder, {})


KINDS = {
    _association: "from vclip import load_association as load",
    _towers: "from vclip import load_association as load",
    _signature: "from vclip.speakers.signature import TTSSignature; load = TTSSignature.load",
    _generator: "from vclip.speakers.generator import SpeakerGenerator; load = SpeakerGenerator.load",
}


def _leaves(value, path=()):
    """The places in JSON; of a list the first."""
    yield path
    inner = (
        value.items() if isinstance(value, dict) else list(enumerate(value))[:1] if isinstance(value, list) else ()
    )
    for key, part in inner:
        yield from _leaves(part, (*path, key))


def _with(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _with(copy[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_an_altered_configuration_is_loaded_or_refused(make, tmp_path):
    make(tmp_path / "true")
    config = json.loads((tmp_path / "true" / "config.json").read_text())
    texts = [
        json.dumps(_with(config, path, value))
        for path, value in itertools.product(_leaves(config), NUMBERS + OTHERS)
        if path[:1] != ("made_by",)
    ]
    texts += ["[" * n + "]" * n for n in (900, 100_000)] + [
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        "9" * 5000,
        "",
        "\ud800",
    ]
    paths = []
    for number, text in enumerate(texts):
        paths.append(tmp_path / str(number))
        shutil.copytree(tmp_path / "true", paths[-1])
        (paths[-1] / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    found = outcomes(KINDS[make], [tmp_path / "true", *paths], IMPORT_S)
    assert found[str(tmp_path / "true")] == "loaded"
    assert "refused" in found.values()


def test_more_couplings_than_there_are_weights_for_are_refused_at_once(tmp_path):
    _association(tmp_path / "true")
    config = json.loads((tmp_path / "true" / "config.json").read_text())
    paths = []
    for number, (name, value) in enumerate(itertools.product(("couplings", "hidden"), (99, 65_000, 10**9))):
        paths.append(tmp_path / str(number))
        shutil.copytree(tmp_path / "true", paths[-1])
        (paths[-1] / "config.json").write_text(json.dumps(_with(config, ("model", name), value)))
    assert set(outcomes(KINDS[_association], paths, IMPORT_S).values()) == {"refused"}
