"""The watermark is found where it is, after a codec too, and nowhere else."""

import subprocess
import sys
import types
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.ffmpeg import shipped_ffmpeg
from vclip.errors import InputError
from vclip.marking.marks import Marks, MarksConfig
from vclip.marking.perth import WINDOW, Perth, PerthNet
from vclip.marking.provenance import write_speech
from vclip.marking.verify import verify
from vclip.marking.watermark import Watermark, open_watermark
from vclip.tts.morph.backend import Morph
from vclip.tts.wav import StreamedSpeech


@pytest.fixture(scope="module")
def perth():
    return open_watermark("perth")


@pytest.fixture(scope="module")
def tts():
    return Morph()


@pytest.fixture(scope="module")
def spoken(tts):
    """One sentence and its rate."""
    return tts.synthesize(
        "The boy was there when the sun rose.", tts.known_speakers(3).vectors[2]
    ), tts.sample_rate_hz


@pytest.fixture(scope="module")
def marked(perth, spoken):
    return perth.embed(*spoken)


def test_it_is_found_where_it_is_and_at_any_level_and_rate(perth, spoken, marked):
    samples, rate = spoken
    assert isinstance(perth, Watermark)
    assert (marked.shape, marked.dtype) == (samples.shape, np.float32)
    assert perth.detect(samples, rate) < 0.5 < 0.9 < perth.detect(marked, rate)
    assert perth.detect(marked / 30, rate) > 0.9
    assert perth.detect(np.concatenate([marked] * 12), rate) > 0.9  # longer than a block


def test_it_changes_nothing_above_2_khz(spoken, marked):
    samples, rate = spoken
    change = np.abs(np.fft.rfft(marked - samples))
    hz = np.fft.rfftfreq(len(samples), 1 / rate)
    assert change[hz > 2200].max() < 1e-3 * change.max()


def test_it_is_equal_on_any_number_of_threads(perth, spoken, marked):
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert perth.embed(*spoken).tobytes() == marked.tobytes()
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("samples", [0, 1, 500, WINDOW, 5000])
def test_silence_and_snippets_stay_as_they_are(perth, samples):
    silence = np.zeros(samples, np.float32)
    assert perth.embed(silence, 24_000).tobytes() == silence.tobytes()
    assert perth.detect(silence, 24_000) == 0
    noise = np.random.default_rng(0).normal(0, 0.1, min(samples, 500)).astype(np.float32)
    assert perth.embed(noise, 24_000).tobytes() == noise.tobytes()


def test_a_file_says_so_and_so_does_what_was_made_of_it(tts, tmp_path, marked):
    marks, voice = Marks.of(MarksConfig(signature="none", watermark="perth", announce=True)), []

    def say(text, language):
        voice.append((text, language))
        yield tts.synthesize(text, tts.known_speakers(1).vectors[0])

    speech = StreamedSpeech(marks.parts(say, "Good night.", "en-GB", tts.sample_rate_hz), tts.sample_rate_hz)
    assert voice == [("This is a synthetic voice.", "en"), ("Good night.", "en-GB")]
    path, _ = write_speech(tmp_path / "a.wav", speech, {"marks": marks.record()})
    found = verify(path)
    assert (found.problems, found.watermark.state, found.label.state) == ((), "found", "valid")
    assert found.provenance["marks"]["announcement"] == "This is a synthetic voice."
    subprocess.run([shipped_ffmpeg(), "-v", "error", "-i", path, "-b:a", "64k", tmp_path / "a.mp3"], check=True)
    lossy = verify(tmp_path / "a.mp3")
    assert (lossy.label.state, lossy.signature.state, lossy.watermark.state) == ("absent", "absent", "found")


def test_a_label_does_not_choose_what_is_imported(tmp_path):
    speech = StreamedSpeech([np.random.default_rng(0).normal(0, 0.1, 8000)], 16_000)
    (tmp_path / "planted.py").write_text("raise SystemExit('imported')")
    for name in ("python:planted:Mark", "python:os:getcwd", "nonsense", None, 5, ["perth"], {}, "perth:x"):
        path, _ = write_speech(tmp_path / "a.wav", speech, {"marks": {"watermark": {"name": name}}})
        assert verify(path).watermark.state == "not checked"


def test_the_network_is_that_of_the_package(perth, monkeypatch):
    """Whose own import needs packages that it does not declare; the network alone needs none."""
    site = Path(str(distribution("resemble-perth").locate_file("")))
    for name in ("perth", "perth.perth_net"):
        package = types.ModuleType(name)
        package.__path__ = [str(site.joinpath(*name.split(".")))]
        monkeypatch.setitem(sys.modules, name, package)
    from perth.perth_net.perth_net_implicit.model.decoder import Decoder
    from perth.perth_net.perth_net_implicit.model.encoder import Encoder

    torch.manual_seed(0)
    ours, encoder, decoder = PerthNet(), Encoder(256, 128), Decoder(256, 128)
    for theirs, prefix in ((encoder, "encoder."), (decoder, "decoder.")):
        state = ours.state_dict()
        theirs.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    levels = torch.rand(1, 1025, 70) * torch.linspace(0, 1, 70)
    loudness = levels.sum(1)
    mask = (loudness > 0.05 * loudness.max()).float()[:, None]
    assert 0 < mask.mean() < 1
    with torch.no_grad():
        residual = encoder(levels)[0][:, :128] - levels[:, :128]
        assert torch.allclose(ours.residual(levels[:, :128], mask), residual, atol=1e-6)
        assert torch.allclose(ours.confidence(levels[:, :128], mask), decoder(levels), atol=1e-6)


def test_missing_and_other_weights_are_errors(tmp_path, monkeypatch):
    folder = tmp_path / "perth/perth_net/pretrained/implicit"
    folder.mkdir(parents=True)
    (tmp_path / "resemble_perth-9.dist-info").mkdir()
    (tmp_path / "resemble_perth-9.dist-info" / "METADATA").write_text("Name: resemble-perth\nVersion: 9\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="No such file"):
        Perth()
    (folder / "perth_net_250000.pth.tar").write_bytes(b"other")
    with pytest.raises(InputError, match="expected a15bce45"):
        Perth()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "empty")])
    with pytest.raises(InputError, match=r"needs the package resemble-perth; pip install 'vclip\[watermark\]'"):
        Perth()
