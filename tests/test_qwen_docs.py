"""The Qwen3-TTS page of docs/extending.md runs, against a stand-in with the API of qwen_tts that is no TTS."""

import re
import sys

import numpy as np
import pytest
import soundfile

from pipelines.config import Config
from pipelines.generation.fit_speakers import fit_speakers
from tests.support import ROOT
from tests.support.distributions import write_distribution
from vclip.errors import InputError
from vclip.speakers.generator import SpeakerGenerator
from vclip.testing import utterances
from vclip.tts import open_tts

SPEC = "python:qwen_base:QwenBase"
STAND_IN = '''
"""No TTS: a tone whose pitch is the length of the speaker vector, in noise. The signatures are those of qwen_tts."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch


@dataclass
class VoiceClonePromptItem:
    ref_code: object
    ref_spk_embedding: torch.Tensor
    x_vector_only_mode: bool
    icl_mode: bool
    ref_text: str | None = None


class Qwen3TTSModel:
    def __init__(self, dtype):
        self.device = torch.device("cpu")
        self.model = SimpleNamespace(config=SimpleNamespace(speaker_encoder_config=SimpleNamespace(enc_dim=1024)))
        self.dtype = dtype

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, **kwargs):
        assert set(kwargs) == {"device_map", "dtype"}
        return cls(kwargs["dtype"])

    def create_voice_clone_prompt(self, ref_audio, ref_text=None, x_vector_only_mode=False):
        items = []
        for wave, rate_hz in ref_audio:
            assert wave.dtype == np.float32 and wave.ndim == 1 and rate_hz == 24_000
            power = np.log(np.abs(np.fft.rfft(wave, 8192))[:4096].reshape(1024, 4).mean(axis=1) + 1e-4)
            items.append(VoiceClonePromptItem(None, torch.tensor(power).to(self.dtype), True, False, ref_text))
        return items

    def generate_voice_clone(
        self, text, language=None, ref_audio=None, ref_text=None, x_vector_only_mode=False, voice_clone_prompt=None,
        non_streaming_mode=False, **kwargs,
    ):
        (item,) = voice_clone_prompt
        assert language in ("English", "German") and item.x_vector_only_mode and not item.icl_mode and not kwargs
        assert item.ref_code is None and item.ref_spk_embedding.shape == (1024,)
        assert item.ref_spk_embedding.dtype == self.dtype
        at_s = np.arange(int(24_000 * (0.5 + len(text) / 50))) / 24_000
        tone = np.sin(2 * np.pi * float(item.ref_spk_embedding.float().norm()) * at_s)
        return [(0.1 * tone + 0.01 * torch.randn(len(at_s)).numpy()).astype(np.float32)], 24_000
'''


@pytest.fixture
def _qwen(tmp_path, monkeypatch):
    page = (ROOT / "docs" / "extending.md").read_text()
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "class QwenBase" in block]
    write_distribution(tmp_path, "qwen-tts", "0.1.1", {"qwen_tts.py": STAND_IN, "qwen_base.py": code}, {})
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("qwen_tts", "qwen_base"):
        sys.modules.pop(name, None)


@pytest.fixture
def speech(tmp_path):
    folder = tmp_path / "speech"
    for number, samples in enumerate(utterances(36, 24_000)):
        file = folder / f"person{number // 3}" / f"{number}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, samples, 24_000)
    return folder


@pytest.mark.usefixtures("_qwen")
def test_its_speakers_are_fitted_from_speech_and_keep_their_length(speech, tmp_path):
    assert fit_speakers(tmp_path / "out", Config(), speech=speech, tts=SPEC).speakers == 12
    generator = SpeakerGenerator.load(tmp_path / "out" / "generator")
    tts = open_tts(SPEC)
    assert (generator.space, generator.length_counts) == (tts.space, True)
    known, drawn = (np.linalg.norm(rows, axis=1) for rows in (generator.bank.vectors, generator.sample(200)))
    assert known.min() > 10
    assert known.min() / 2 < np.median(drawn) < 2 * known.max()
    waves = [soundfile.read(file, dtype="float32")[0] for file in sorted((speech / "person0").glob("*.wav"))]
    np.testing.assert_allclose(generator.bank.vectors[0], tts.embed_speech(waves).mean(axis=0), rtol=0.1, atol=0.3)


@pytest.mark.usefixtures("_qwen")
def test_it_speaks_a_vector_at_its_length():
    tts = open_tts(SPEC)
    vector = tts.embed_speech(utterances(1, 24_000))[0]
    wave = tts.synthesize("It used 5 kWh.", vector)
    np.testing.assert_array_equal(tts.synthesize("It used five kilowatt hours.", vector, "en-GB"), wave)
    assert np.abs(tts.synthesize("It used 5 kWh.", 2 * vector) - wave).max() > 0.01
    assert len(tts.synthesize("Es sind 5.", vector, "de"))
    for bad in (vector[:-1], vector * np.nan, vector * 0):
        with pytest.raises(InputError, match="speaker vector of"):
            tts.synthesize("Hello.", bad)
    with pytest.raises(InputError, match="language 'fi'"):
        tts.synthesize("Hei.", vector, "fi")
    with pytest.raises(InputError, match="--speech FOLDER --tts"):
        tts.known_speakers(1)


def test_a_tts_that_cannot_embed_speech_is_an_error(speech, tmp_path):
    with pytest.raises(InputError, match="--speech with --tts morph, which cannot embed speech"):
        fit_speakers(tmp_path / "out", Config(), speech=speech, tts="morph")
