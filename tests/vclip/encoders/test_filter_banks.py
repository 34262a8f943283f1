"""The filter banks are Kaldi's."""

import kaldi_native_fbank
import numpy as np
import pytest

from vclip.audio import read_audio
from vclip.encoders.filter_banks import SAMPLE_RATE_HZ, FilterBanks, FilterBankSettings
from vclip.errors import InputError
from vclip.testing import utterances

OPTIONS = [
    {},  # as 3D-Speaker
    {"window_type": "hamming"},  # as WeSpeaker
    {"window_type": "hanning", "preemphasis_coefficient": 0},
    {"window_type": "blackman", "remove_dc_offset": False},
    {"window_type": "rectangular", "num_mel_bins": 40},
    {"num_mel_bins": 64, "low_freq": 40, "high_freq": -200},
    {"snip_edges": False, "high_freq": 7600},
    {"frame_length": 32, "frame_shift": 8},
    {"frame_length": 20, "frame_shift": 12.5},
]
LEVELS = (32768, 1)  # what a sample of 1 becomes
# Of a bin below the strongest of its frame, in nepers; Kaldi itself rounds to float32, which fainter ones show.
CERTAIN = 15


def kaldi(samples, settings):
    """Returns the features of Kaldi's code."""
    options = kaldi_native_fbank.FbankOptions()
    frames, bins = options.frame_opts, options.mel_opts
    frames.dither, frames.samp_freq = 0, SAMPLE_RATE_HZ
    frames.window_type, frames.preemph_coeff = settings.window_type, settings.preemphasis_coefficient
    frames.remove_dc_offset, frames.snip_edges = settings.remove_dc_offset, settings.snip_edges
    frames.frame_length_ms, frames.frame_shift_ms = settings.frame_length, settings.frame_shift
    bins.num_bins, bins.low_freq, bins.high_freq = settings.num_mel_bins, settings.low_freq, settings.high_freq
    options.energy_floor = 0
    computed = kaldi_native_fbank.OnlineFbank(options)
    computed.accept_waveform(SAMPLE_RATE_HZ, samples.tolist())
    computed.input_finished()
    return np.array([computed.get_frame(number) for number in range(computed.num_frames_ready)])


def _check(speech, options):
    settings = FilterBankSettings(**options)
    for full_scale in LEVELS:
        for samples in speech:
            scaled = samples * np.float32(full_scale)
            expected, found = kaldi(scaled, settings), FilterBanks(settings)(scaled)
            assert found.shape == expected.shape
            assert found.dtype == np.float32
            certain = expected > expected.max(1, keepdims=True) - CERTAIN
            np.testing.assert_allclose(found[certain], expected[certain], atol=1e-3, rtol=0)
            assert certain.mean() > 0.9
            # The rest: in float64 and in float32, the same up to what rounding leaves.
            assert np.quantile(np.abs(found - expected), 0.99) < 1e-3


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_equal_kaldis(options):
    _check(utterances(3, SAMPLE_RATE_HZ), options)


@pytest.mark.shared
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_equal_kaldis_on_real_speech(options, shared):
    files = sorted((shared / "data/speech").glob("*.ogg"))[::90]
    assert files
    _check([read_audio(file)[0][: 3 * SAMPLE_RATE_HZ] for file in files], options)


def test_options_differ():
    """So that the tests above can fail."""
    (samples,) = utterances(1, SAMPLE_RATE_HZ)
    found = [FilterBanks(FilterBankSettings(**options))(samples) for options in OPTIONS]
    for number, one in enumerate(found):
        for other in found[:number]:
            assert one.shape != other.shape or np.abs(one - other).max() > 0.1


def test_less_than_a_frame_and_no_frequencies_are_errors():
    with pytest.raises(InputError, match="found 399 samples, expected 400"):
        FilterBanks()(np.ones(399))
    assert len(FilterBanks()(np.ones(400))) == 1
    with pytest.raises(InputError, match="low_freq 7000 Hz"):
        FilterBanks(FilterBankSettings(low_freq=7000, high_freq=-2000))
