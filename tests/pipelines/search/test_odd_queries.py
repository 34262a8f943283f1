"""Searches for what is not there, or does not fit, are one line that says what is."""

import numpy as np
import pytest

from stores import Store
from tests.support.planted_pairs import planted_pairs
from tests.support.store_world import FACES, VOICES, video
from vclip import TrainConfig, train

OTHER_FACES, OTHER_VOICES = "planted/faces", "planted/voices"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """People named person0 to person6, and Anna Lee, of whom there is no voice."""
    store = Store.create(str(tmp_path_factory.mktemp("search") / "store"), FACES, VOICES)
    store.commit([video(number) for number in range(9)])
    rows = video(20)
    rows.clips[0]["identity"] = "Anna Lee"
    rows.voices[:] = [voice for voice in rows.voices if voice["clip_id"] != rows.clips[0]["clip_id"]]
    store.commit([rows])
    return store.uri


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("person", "7 identities, none of this name; did you mean 'person"),
        ("PERSON1 ", "did you mean 'person1'"),
        ("anna lee", "did you mean 'Anna Lee'?"),
        ("zzz", "none of this name; see vclip query --select identity"),
        ("Anna Lee", "has no voice in 'resemblyzer/ge2e-256'"),
    ],
)
def test_a_person_who_is_not_found_is_told_from_one_without_voices_and_near_names_are_named(
    store, vclip, name, named
):
    said = vclip("search", "--store", store, "--find", "voices", "--voice-of", name)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert f"--voice-of '{name}': " in said.err
    assert named in said.err


def test_vectors_that_cannot_be_of_one_person_are_named(store, vclip, tmp_path):
    for name, vector in {"six": np.ones(6), "seven": np.ones(7), "complex": np.ones(6, complex)}.items():
        np.save(tmp_path / f"{name}.npy", vector)
    search, six = ("search", "--store", store, "--find", "voices"), ("--voice", tmp_path / "six.npy")
    assert vclip(*search, *six, *six, "--same-person").code == 0
    said = vclip(*search, *six, "--voice", tmp_path / "seven.npy", "--same-person")
    assert "--same-person: found vectors of 6 numbers in" in said.err
    assert (
        "complex128, expected (dim,) or (n, dim) numbers" in vclip(*search, "--voice", tmp_path / "complex.npy").err
    )


def test_a_model_is_not_centred_on_a_store_of_other_spaces(store, vclip, tmp_path):
    """The message names no option that the command lacks."""
    model, _ = train(planted_pairs(people=8), OTHER_FACES, OTHER_VOICES, TrainConfig(max_steps=0, device="cpu"))
    model.save(tmp_path / "model", {})
    given = ("--find", "voices", "--voice-of", "person1", "--model", tmp_path / "model", "--centre")
    said = vclip("search", "--store", store, *given)
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert f"expected '{OTHER_FACES}'" in said.err
    assert "--face-space" not in said.err
