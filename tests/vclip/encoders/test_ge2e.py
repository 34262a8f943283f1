"""GE2E equals Resemblyzer's own encoder, in batches."""

import csv
import sys
import types

import numpy as np
import pytest
import scipy.ndimage
import torch

from vclip.audio import prepare_speech, read_audio
from vclip.encoders.ge2e import GE2E, HOP, PARTIAL_FRAMES, PARTIAL_STEP, SAMPLE_RATE_HZ, mel_filters, partial_starts
from vclip.errors import InputError

PARTIAL = PARTIAL_FRAMES * HOP  # samples that the network sees at once
STEP = PARTIAL_STEP * HOP
# Around every border of the rule that cuts utterances: one sample, less than a partial, exactly one, a last partial
# covered just enough and just too little, odd lengths.
LENGTHS = (1, 399, 8_000, PARTIAL - 1, PARTIAL, PARTIAL + 1, PARTIAL + STEP, 31_999, 37_777, 3 * PARTIAL, 123_457)


@pytest.fixture(scope="module")
def ge2e():
    return GE2E("cpu")


@pytest.fixture(scope="module")
def original():
    """Resemblyzer's encoder. Its import needs two modules that are gone (or need what is gone); neither embeds."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "webrtcvad", types.ModuleType("webrtcvad"))
        morphology = types.ModuleType("scipy.ndimage.morphology")
        morphology.binary_dilation = scipy.ndimage.binary_dilation
        patch.setitem(sys.modules, "scipy.ndimage.morphology", morphology)
        import resemblyzer

        yield resemblyzer.VoiceEncoder("cpu", verbose=False)
    for name in set(sys.modules) - before:
        if name.split(".")[0] == "resemblyzer":
            del sys.modules[name]


def _voiced(samples, seed=0):
    """A buzz with moving pitch and formant-like noise: not speech, but as rich."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(samples) / SAMPLE_RATE_HZ
    pitch_hz = rng.uniform(80, 250) * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(1, 4) * time_s))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / SAMPLE_RATE_HZ
    buzz = sum(np.sin(k * phase) * rng.uniform(0.1, 1) / k for k in range(1, 20))
    return (0.1 * buzz * (1 + np.sin(2 * np.pi * 3 * time_s)) + 0.005 * rng.normal(size=samples)).astype(np.float32)


@pytest.mark.parametrize("samples", LENGTHS)
def test_equals_resemblyzer(ge2e, original, samples):
    utterance = _voiced(samples, samples)
    np.testing.assert_allclose(ge2e.embed([utterance])[0], original.embed_utterance(utterance), atol=1e-4)


@pytest.mark.shared
def test_equals_resemblyzer_on_real_speech(ge2e, original, shared):
    folder = shared / "data/speech"
    with open(folder / "speech.csv") as table:
        files = [row["file"] for row in csv.DictReader(table)][::34]
    speech = [prepare_speech(*read_audio(folder / file))[: 5 * SAMPLE_RATE_HZ] for file in files]
    expected = np.stack([original.embed_utterance(u) for u in speech])
    np.testing.assert_allclose(ge2e.embed(speech), expected, atol=1e-4)
    assert np.abs(expected @ expected.T - 1).max() > 0.1  # the speakers do differ, so equality says something


def test_partials_are_those_of_resemblyzer(original):
    for samples in [*range(1, 70_000, 37), *LENGTHS, *(PARTIAL + STEP * 3 // 4 + d for d in range(-200, 200))]:
        _, mel_slices = original.compute_partial_slices(samples, rate=1.3, min_coverage=0.75)
        assert partial_starts(samples) == [s.start for s in mel_slices], samples


def test_a_batch_equals_one_by_one(ge2e):
    utterances = [_voiced(n, n) for n in LENGTHS]
    one_by_one = np.concatenate([ge2e.embed([u]) for u in utterances])
    np.testing.assert_allclose(ge2e.embed(utterances), one_by_one, atol=1e-5)
    assert np.linalg.norm(np.diff(one_by_one, axis=0), axis=1).min() > 1e-3  # no two alike: the order is kept


def test_a_callers_autocast_changes_nothing(ge2e):
    """A space means one vector, in whatever precision the program around the encoder computes."""
    utterances = [_voiced(n, n) for n in LENGTHS]
    with torch.autocast("cpu", torch.bfloat16):
        lower = ge2e.embed(utterances)
    # The same kernels on the same numbers; bfloat16 would differ by 1e-3 and more.
    np.testing.assert_allclose(lower, ge2e.embed(utterances), atol=1e-6)


def test_batches_wider_than_one_pass(ge2e):
    utterances = [_voiced(n, n) for n in LENGTHS]
    # Matrix products of other sizes differ in the last bits of float32.
    np.testing.assert_allclose(ge2e.embed(utterances, batch_size=3), ge2e.embed(utterances), atol=1e-5)


def test_unit_norm_and_non_negative(ge2e):
    vectors = ge2e.embed([_voiced(n) for n in LENGTHS])
    assert vectors.shape == (len(LENGTHS), ge2e.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors.min() >= 0
    assert ge2e.embed([]).shape == (0, ge2e.dim)


@pytest.mark.parametrize(
    "bad", [np.zeros(20_000, np.float32), np.zeros(0, np.float32), np.full(20_000, np.nan, np.float32)]
)
def test_what_is_not_speech_is_an_error_that_names_the_row(ge2e, bad):
    with pytest.raises(InputError, match="utterance 1"):
        ge2e.embed([_voiced(20_000), bad])


def test_the_mel_filters_are_those_of_librosa_to_the_bit():
    import librosa  # a package of Resemblyzer's

    np.testing.assert_array_equal(mel_filters(), librosa.filters.mel(sr=SAMPLE_RATE_HZ, n_fft=400, n_mels=40))
    assert mel_filters().dtype == np.float32
