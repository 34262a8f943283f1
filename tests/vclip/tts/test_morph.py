"""The morph voice obeys its controls, is understood, and finds asked voices."""

import csv
import json

import numpy as np
import pytest
import soundfile

from tools import calibrate_morph
from vclip.encoders.ge2e import GE2E, SPACE
from vclip.errors import InputError
from vclip.tts.base import PredictsVoices
from vclip.tts.english import MAX_PHONEMES
from vclip.tts.morph import inverse_map
from vclip.tts.morph.backend import Morph
from vclip.tts.morph.base_voice import CACHED_SENTENCES, BaseVoice
from vclip.tts.morph.controls import NAMES, RANGES, Controls, from_unit, to_unit

TEXT = "The old man walked along the river, and nobody knew his name."
SENTENCES = (
    "We will meet again tomorrow morning in front of the old station.",
    "Please remember to close the window before you leave the house.",
    "People often forget how much time they spend waiting for others.",
    "The children were playing football on the beach.",
    "Could you tell me where the nearest doctor lives?",
)
MALE = Controls(pitch=0.5, tract_low=0.86, tract_high=0.86)
LIMITS = [Controls(**{name: limit}) for name, limits in RANGES.items() for limit in limits]


def _speaker(dim, seed=0):
    vector = np.abs(np.random.default_rng(seed).normal(size=dim)).astype(np.float32)
    return vector / np.linalg.norm(vector)


def test_predicted_voices_are_those_of_the_controls_that_speak(morph):
    vectors = np.stack([_speaker(morph.dim, seed) for seed in range(6)])
    predicted = morph.predict_voices(vectors)
    # Batches of one and of six may end their climbs in other last bits of float32.
    network = inverse_map.load(hibari_sha256=BaseVoice().model_sha256)
    of_controls = network.embeddings([morph.controls(vector) for vector in vectors])
    np.testing.assert_allclose(predicted, of_controls, atol=1e-3)
    assert np.abs(predicted[0] - predicted[1]).max() > 0.01
    assert isinstance(morph, PredictsVoices)


def test_units_and_controls_are_inverse():
    unit = np.random.default_rng(0).random(len(NAMES))
    assert to_unit(from_unit(unit)) == pytest.approx(unit)
    assert from_unit(to_unit(Controls())) == Controls()
    with pytest.raises(InputError, match="from 0 to 1"):
        from_unit(unit + 1)


@pytest.mark.parametrize("factor", [0.5, 0.7, 1.25])
def test_pitch_moves_the_pitch_and_nothing_else(morph, median_pitch_hz, factor):
    base, moved = morph.speak(TEXT, Controls()), morph.speak(TEXT, Controls(pitch=factor))
    assert len(moved) == len(base)
    assert median_pitch_hz(moved) / median_pitch_hz(base) == pytest.approx(factor, rel=0.05)
    # The peaks of the long-term spectrum, smoothed over harmonics, stay where they were.
    assert np.corrcoef(_log_spectrum(base), _log_spectrum(moved))[0, 1] > 0.97


def test_tract_moves_the_formants_and_not_the_pitch(morph, median_pitch_hz):
    base, longer = morph.speak(TEXT, Controls()), morph.speak(TEXT, Controls(tract_low=0.85, tract_high=0.85))
    assert median_pitch_hz(longer) == pytest.approx(median_pitch_hz(base), rel=0.03)
    hz = np.arange(len(_log_spectrum(base)))
    stretched = [np.interp(hz / s, hz, _log_spectrum(base)) for s in (0.85, 1.0, 1.15)]
    fit = [np.corrcoef(s[:500], _log_spectrum(longer)[:500])[0, 1] for s in stretched]
    assert np.argmax(fit) == 0


def test_tilt_breath_range_and_tempo(morph):
    base = morph.speak(TEXT, Controls())
    bright = _log_spectrum(morph.speak(TEXT, Controls(tilt_db=9))) - _log_spectrum(base)
    assert bright[400:600].mean() > bright[:50].mean() + 1
    assert len(morph.speak(TEXT, Controls(tempo=1.25))) / len(base) == pytest.approx(0.8, abs=0.01)
    breathy = morph.speak(TEXT, Controls(breath_db=10))
    assert _between_harmonics(breathy) > _between_harmonics(base)


def _log_spectrum(waveform):
    """Returns log power in steps of 13 Hz, smoothed over 400 Hz."""
    frames = np.lib.stride_tricks.sliding_window_view(waveform, 1800)[::450] * np.hanning(1800)
    power = np.mean(np.abs(np.fft.rfft(frames)) ** 2, axis=0)
    return np.log(np.convolve(power, np.ones(31), "same") + 1e-9)[:601]


def _between_harmonics(waveform):
    frames = np.lib.stride_tricks.sliding_window_view(waveform, 1200)[::300] * np.hanning(1200)
    power = np.abs(np.fft.rfft(frames))[:, 10:150] ** 2 + 1e-12
    loud = power[power.mean(axis=1) > np.median(power.mean(axis=1))]
    return float(np.mean(np.exp(np.log(loud).mean(axis=1)) / loud.mean(axis=1)))


@pytest.mark.parametrize("controls", [Controls(), MALE], ids=["base", "male"])
def test_most_words_are_understood(morph, heard_share, controls):
    assert heard_share(SENTENCES, [morph.speak(s, controls) for s in SENTENCES]) >= 0.6


def test_the_limits_of_the_ranges_do_not_clip(morph):
    for controls in [*LIMITS, from_unit(np.zeros(len(NAMES))), from_unit(np.ones(len(NAMES)))]:
        spoken = morph.speak("Nobody knew his name.", controls)
        assert np.isfinite(spoken).all()
        assert np.abs(spoken).max() <= 0.95 + 1e-6


def test_the_obtained_voice_is_the_asked_one_among_others(morph, embed):
    voices = [from_unit(u) for u in np.random.default_rng(3).random((12, len(NAMES)))]
    asked = embed(*(morph.speak(SENTENCES[0] + " " + SENTENCES[1], v) for v in voices))
    obtained = embed(*(morph.synthesize(SENTENCES[2] + " " + SENTENCES[3], e) for e in asked))
    cosine = obtained @ asked.T
    assert np.mean(cosine.argmax(axis=1) == np.arange(12)) >= 0.75
    assert np.diag(cosine).mean() > 0.85


def test_a_male_voice_is_answered_by_a_male_voice(morph, embed, median_pitch_hz):
    low, high = embed(morph.speak(TEXT, MALE), morph.speak(TEXT, Controls(pitch=1.1)))
    assert median_pitch_hz(morph.synthesize(TEXT, low)) < 150 < median_pitch_hz(morph.synthesize(TEXT, high))


def test_known_speakers_speak_as_predicted(morph, embed, median_pitch_hz):
    known = morph.known_speakers(12)
    spoken = [morph.synthesize(TEXT, vector) for vector in known.vectors]
    assert np.mean(np.sum(embed(*spoken) * known.vectors, axis=1)) > 0.85
    pitch_hz = np.array([median_pitch_hz(s) for s in spoken])
    assert np.median(pitch_hz[known.gender == "male"]) < 150 < np.median(pitch_hz[known.gender == "female"])


def test_second_voice_of_a_text_needs_no_network(morph):
    voice = BaseVoice()
    first = list(voice.sentences(TEXT))
    assert next(iter(voice.sentences(TEXT))) is first[0]
    for i in range(CACHED_SENTENCES):
        list(voice.sentences(f"Number {i}."))
    assert next(iter(voice.sentences(TEXT))) is not first[0]


def test_a_text_without_punctuation_is_cut():
    phonemes = BaseVoice()
    frames = list(phonemes.sentences("word " * 300))
    assert len(frames) >= 300 * 4 / MAX_PHONEMES
    assert max(len(f.pitch_hz) for f in frames) < MAX_PHONEMES * 12


def test_calibration_at_a_tiny_size_is_usable_and_checked(tmp_path, capsys):
    calibrate_morph.main(["--draws", "16", "--held-out", "4", "--out", str(tmp_path)])
    assert "16/16 voices" in capsys.readouterr().out
    made = Morph(tmp_path)
    assert len(made.synthesize("Good morning.", _speaker(made.dim)))
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) < 3 * 2**20

    with pytest.raises(InputError, match=r"hibari-tts 0\.2\.1 or run `python -m tools.calibrate_morph`"):
        inverse_map.load(tmp_path, hibari_sha256="0" * 64)
    told = json.loads((tmp_path / "morph.json").read_text())
    (tmp_path / "morph.json").write_text(json.dumps(told | {"ranges": told["ranges"] | {"pitch": [0.1, 9]}}))
    with pytest.raises(InputError, match="other ranges"):
        Morph(tmp_path)
    (tmp_path / "morph.safetensors").write_bytes(b"not weights")
    with pytest.raises(InputError, match="unreadable"):
        Morph(tmp_path)


def test_shipped_calibration_is_of_this_space_and_says_how_good_it_is(morph):
    calibration = inverse_map.load(hibari_sha256=BaseVoice().model_sha256).calibration
    assert calibration.space == SPACE == morph.space
    assert calibration.figures["obtained_cosine"] > 0.85


@pytest.mark.shared
def test_real_speakers_get_different_voices_near_their_own(morph, embed, shared):
    folder = shared / "data" / "speech"
    with open(folder / "speech.csv") as file:
        rows = {row["speaker"]: row["file"] for row in csv.DictReader(file)}
    real = GE2E("cpu").embed([soundfile.read(folder / rows[s], dtype="float32")[0] for s in list(rows)[::20]])
    obtained = embed(*(morph.synthesize(TEXT + " " + SENTENCES[0], e) for e in real))
    cosine = obtained @ real.T
    rank = (cosine > np.diag(cosine)[:, None]).sum(1)
    assert np.median(rank) <= 1
    assert np.diag(cosine).mean() > 0.7
