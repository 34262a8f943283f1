"""The signature learns what a TTS makes of a speaker vector, and says which spaces it joins."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vclip.config import load
from vclip.errors import InputError, SpaceError
from vclip.speakers.generator import KIND as GENERATOR
from vclip.speakers.signature import SignatureConfig, TTSSignature, fit_signature

DIM = 16
QUICK = SignatureConfig(hidden=64, max_epochs=60, dropout=0.0)


def _tts(speakers, seed=0):
    """A made-up TTS that misses the voice it is asked for: squashes it, mixes it and adds an accent of its own."""
    rng = np.random.default_rng(seed)
    mix, accent = rng.normal(size=(DIM, DIM)) / DIM**0.5, rng.random(DIM)
    spoken = np.maximum(0.5 * speakers + np.tanh(6 * speakers @ mix) + accent, 0)
    return (spoken / np.linalg.norm(spoken, axis=1, keepdims=True)).astype(np.float32)


def _speakers(count, seed=1):
    vectors = np.random.default_rng(seed).random((count, DIM)) ** 2
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def fitted():
    speakers = _speakers(500)
    return fit_signature("made-up", "voices", "voices", speakers, _tts(speakers), QUICK)


def test_beats_the_identity_and_the_mean_voice_on_speakers_never_seen(fitted):
    signature, metrics = fitted
    strangers = _speakers(200, seed=2)
    spoken = _tts(strangers)
    cosine = np.einsum("nd,nd->n", signature.predict(strangers), spoken).mean()
    identity = np.einsum("nd,nd->n", strangers, spoken).mean()
    mean_voice = _tts(_speakers(500)).mean(0)
    constant = (spoken @ mean_voice / np.linalg.norm(mean_voice)).mean()
    assert cosine > 0.97
    assert 1 - cosine < 0.5 * (1 - max(identity, constant))
    # Its own figures on the people it held out say the same.
    assert metrics.cosine_held_out == pytest.approx(cosine, abs=0.01)
    assert metrics.cosine_identity == pytest.approx(identity, abs=0.03)
    assert metrics.cosine_mean_voice == pytest.approx(constant, abs=0.03)


def test_what_has_no_relation_is_not_claimed():
    """Spoken voices shuffled among the speakers: held out, nothing better than the mean voice."""
    speakers = _speakers(300)
    spoken = np.random.default_rng(0).permutation(_tts(speakers))
    _, metrics = fit_signature("made-up", "voices", "voices", speakers, spoken, QUICK)
    assert metrics.cosine_held_out < metrics.cosine_mean_voice + 0.01


def test_what_the_tts_predicts_makes_up_for_what_was_not_spoken():
    """Told of many voices with an error of its own, and given few that were spoken: better than either alone."""
    few, many, strangers = _speakers(100), _speakers(3000, seed=5), _speakers(200, seed=2)
    told = _tts(many) + np.random.default_rng(3).normal(size=(1, DIM)) * 0.1  # an accent that it does not know of
    told = (told / np.linalg.norm(told, axis=1, keepdims=True)).astype(np.float32)

    def cosine(config, predicted):
        signature, metrics = fit_signature("made-up", "v", "v", few, _tts(few), config, None, predicted)
        assert metrics.predicted_speakers == (len(predicted[0]) if predicted else 0)
        return np.einsum("nd,nd->n", signature.predict(strangers), _tts(strangers)).mean()

    quick = QUICK.model_copy(update={"correction_rate": 1e-3})
    both = cosine(quick, (many, told))
    assert 1 - both < 0.7 * (1 - cosine(quick, None))
    assert 1 - both < 0.7 * (1 - cosine(quick.model_copy(update={"correction_rate": 1e-12}), (many, told)))


def test_another_speaker_space_has_no_identity_figure():
    rng = np.random.default_rng(0)
    own = rng.normal(size=(60, 5))
    epochs = []
    signature, metrics = fit_signature(
        "vits", "vits/table", "voices", own, _tts(_speakers(60)),
        QUICK.model_copy(update={"max_epochs": 3}), lambda *call: epochs.append(call),
    )  # fmt: skip
    assert metrics.cosine_identity is metrics.gap_closed is None
    assert metrics.held_out_speakers == 9
    assert [epoch[:2] for epoch in epochs] == [(1, 3), (2, 3), (3, 3)]
    assert signature.predict(own).shape == (60, DIM)


def test_predictions_are_unit_norm_and_do_not_depend_on_the_batch(fitted):
    strangers = _speakers(50, seed=3)
    predicted = fitted[0].predict(strangers)
    assert predicted.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(predicted, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.vstack([fitted[0].predict(s[None]) for s in strangers]), predicted, atol=1e-5)


def test_predictions_do_not_depend_on_the_layout(fitted):
    strangers = _speakers(50, seed=3)
    predicted = fitted[0].predict(strangers)
    np.testing.assert_allclose(fitted[0].predict(strangers[::-1])[::-1], predicted, atol=1e-5)
    np.testing.assert_allclose(fitted[0].predict(strangers.astype(np.float64)), predicted, atol=1e-5)


def test_too_few_speakers_and_vectors_that_hold_no_number_are_errors():
    speakers = _speakers(20)
    with pytest.raises(InputError, match="expected at least 10 speakers, found 9"):
        fit_signature("made-up", "voices", "voices", speakers[:9], speakers[:9], QUICK)
    for side in (0, 1):
        vectors = [speakers, _tts(speakers)]
        vectors[side] = np.where(np.arange(20)[:, None] == 3, np.nan, vectors[side])
        with pytest.raises(InputError, match="NaN or infinity"):
            fit_signature("made-up", "voices", "voices", *vectors, QUICK)


def test_one_seed_gives_one_signature():
    speakers, quick = _speakers(60), QUICK.model_copy(update={"max_epochs": 3, "dropout": 0.1})
    a, b, c = (
        fit_signature("t", "v", "v", speakers, _tts(speakers), quick.model_copy(update={"seed": seed}))[0].predict(
            speakers
        )
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 1e-3


def test_speakers_of_another_space_are_refused(fitted):
    with pytest.raises(SpaceError, match=r"signature of the TTS 'made-up'.*in the space 'x', expected 'voices'"):
        fitted[0].predict(_speakers(2), "x")
    np.testing.assert_array_equal(fitted[0].predict(_speakers(2), "voices"), fitted[0].predict(_speakers(2)))


def test_save_and_load_give_equal_predictions(fitted, tmp_path):
    signature, metrics = fitted
    again = TTSSignature.load(signature.save(tmp_path / "signature", metrics.to_json()))
    np.testing.assert_array_equal(again.predict(_speakers(20)), signature.predict(_speakers(20)))
    assert (again.tts, again.speaker_space, again.voice_space) == ("made-up", "voices", "voices")
    config = tmp_path / "signature/config.json"
    config.write_text(config.read_text().replace('"tts-signature"', f'"{GENERATOR}"'))
    with pytest.raises(InputError, match="found kind 'speaker-generator', expected 'tts-signature'"):
        TTSSignature.load(tmp_path / "signature")


def test_the_option_names_of_version_0_1_are_still_read(tmp_path):
    file = tmp_path / "old.yaml"
    file.write_text("foretold: 7\nforetold_epochs: 3\n")
    config = load(SignatureConfig, file)
    assert (config.predicted, config.predicted_epochs) == (7, 3)
    assert load(SignatureConfig, None, ["foretold=0"]).predicted == 0
    assert config.model_dump()["predicted"] == 7


def test_fitting_leaves_the_callers_random_numbers_alone():
    speakers = _speakers(60)
    quick = QUICK.model_copy(update={"max_epochs": 2, "dropout": 0.5})
    torch.manual_seed(3)
    expected = torch.rand(3)
    fits = []
    for seed in (3, 4):  # the caller's own seed changes nothing
        torch.manual_seed(seed)
        fits.append(fit_signature("made-up", "v", "v", speakers, _tts(speakers), quick)[0].predict(speakers))
        if seed == 3:
            assert torch.equal(torch.rand(3), expected)
    np.testing.assert_array_equal(*fits)


def test_a_signature_that_lacks_a_weight_does_not_load(fitted, tmp_path):
    folder = fitted[0].save(tmp_path / "signature", {})
    tensors = load_file(folder / "model.safetensors")
    del tensors["net.3.bias"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(InputError, match=r"not of the form that vclip .* reads"):
        TTSSignature.load(folder)


def test_a_folder_of_version_0_1_opens(fitted, tmp_path):
    """`config.json` as it was written then: the former option names, no encoders."""
    signature, _ = fitted
    folder = signature.save(tmp_path / "signature", {"foretold_speakers": 0})
    config = json.loads((folder / "config.json").read_text())
    settings = {"speakers": 500, "foretold": 0, "foretold_epochs": 10}
    old = {name: config[name] for name in ("kind", "vclip", "tts", "speaker_space", "voice_space", "model")}
    made_by = {"config": {"signature": settings}, "speakers": "speakers"}
    (folder / "config.json").write_text(json.dumps(old | {"made_by": made_by}))
    opened = TTSSignature.load(folder)
    np.testing.assert_array_equal(opened.predict(_speakers(5)), signature.predict(_speakers(5)))
    assert opened.encoders == {}
    assert SignatureConfig(**settings).predicted == 0


def test_a_signature_says_what_it_joins(fitted):
    assert "tts='made-up', 'voices' -> 'voices'" in repr(fitted[0])
