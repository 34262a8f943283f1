"""Kokoro's other languages, read by espeak-ng: every phoneme is one that the network knows, and it speaks them."""

import json
import re
from pathlib import Path

import hibari
import numpy as np
import pytest

from vclip.errors import InputError
from vclip.tts import espeak, open_tts
from vclip.tts.kokoro.backend import ESPEAK_VOICES, TIED
from vclip.tts.kokoro.graph import PACKAGES

for package in (*PACKAGES, "onnx", "phonemizer", "espeakng_loader"):
    pytest.importorskip(package)

TEXTS = {
    "es": "El niño comió 25 pingüinos; ¿dónde está la llave? ¡Aquí, señor!",
    "fr": "L'élève naïf a mangé 25 œufs à l'hôtel : où est la clé ? Un bon vin blanc.",
    "hi": "नमस्ते दुनिया, आप कैसे हैं? मेरे पास 25 किताबें हैं।",
    "it": "Gli gnocchi della zia costano 25 euro; perché non vieni più?",
    "pt": "O coração da irmã não está aqui; há 25 pães e três maçãs na mesa.",
}


@pytest.fixture(scope="module")
def kokoro():
    return open_tts("kokoro")


def test_it_names_its_languages(kokoro):
    assert set(kokoro.languages) == {"en", *TEXTS} == {"en", *ESPEAK_VOICES}
    assert kokoro.languages[0] == "en"


@pytest.mark.parametrize("language", TEXTS)
def test_the_network_knows_every_phoneme(language):
    spoken = espeak.phonemes(TEXTS[language], ESPEAK_VOICES[language])
    for pair, one in TIED.items():
        spoken = spoken.replace(pair, one)
    vocabulary = json.loads((Path(hibari.__file__).parent / "assets" / "vocab.json").read_text())
    assert set(spoken) - set(vocabulary) <= set("^-¿¡")  # left out
    assert len(re.findall(r"\w", spoken)) > 30


def test_it_speaks_and_refuses(kokoro):
    speaker = kokoro.known_speakers(1).vectors[0]
    wave = kokoro.synthesize("Buenos días.", speaker, "es-MX")
    assert 0.4 < len(wave) / kokoro.sample_rate_hz < 3
    english = kokoro.synthesize("Buenos días.", speaker)
    assert len(wave) != len(english) or np.abs(wave - english).max() > 0.01
    with pytest.raises(InputError, match="found '世', which kokoro cannot pronounce"):
        next(kokoro.parts("Hola 世", speaker, "es"))
    with pytest.raises(InputError, match="nothing to speak"):
        next(kokoro.parts("...", speaker, "fr"))
    with pytest.raises(InputError, match="language 'ja': kokoro speaks en, es, fr, hi, it, pt"):
        kokoro.parts("こんにちは", speaker, "ja")
