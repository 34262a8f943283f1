"""The `morph` backend: one neural voice, transformed so that its speaker embedding approaches the requested one.

It needs no download. The base voice is the default voice of hibari-tts (`base_voice`). Twelve controls transform it
(`controls`, `synthesis`), and a calibrated map (`inverse_map`, fitted by tools/calibrate_morph.py) finds the controls
for a GE2E embedding. The obtained embedding differs from the requested one; the TTS signature learns the difference.

Measured with the shipped calibration on 261 LibriSpeech speakers, one or two utterances each, speaking two sentences
that are not in the calibration:

    cosine of the requested and the obtained embedding         .781
    the same after removing the mean of each                   .507
    rank of the requested speaker among the 261, median        2     first .47, among ten .85
    cosine between two obtained voices, 10 / 50 / 90 %         .582 / .679 / .791

Measured with an earlier calibration, which differed only in the level of its speech:

    log pitch of speaker and voice, correlation                .80
    pitch of speaker and voice on the same side of 155 Hz      91 %
    words recognised by pocketsphinx, 66 of the voices         89 %, at least half for each; base voice 88 %
    rendering, one core                                        180 times real time
    choice of the controls, one core                           12 ms

`morph.json` holds the same measures on held-out synthetic voices.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vclip.speakers.bank import SpeakerBank
from vclip.tts.languages import language_to_speak
from vclip.tts.morph import inverse_map
from vclip.tts.morph.base_voice import SAMPLE_RATE_HZ, BaseVoice
from vclip.tts.morph.controls import Controls, known_speakers
from vclip.tts.morph.synthesis import speak
from vclip.tts.sentences import whole
from vclip.tts.speaker_table import unit_speaker


class Morph:
    """The morph backend, which approaches any voice of GE2E's space; implements `vclip.tts.base.TTS`."""

    name = "morph"
    sample_rate_hz = SAMPLE_RATE_HZ
    languages = ("en",)

    def __init__(self, calibration: Path = inverse_map.HERE):
        self._voice = BaseVoice()
        self._map = inverse_map.load(calibration, hibari_sha256=self._voice.model_sha256)
        self.space = self.predicted_space = self._map.calibration.space
        self.dim = self._map.dim
        self.made_of = {
            "hibari-tts": self._map.calibration.hibari_version,
            "hibari_sha256": self._voice.model_sha256,
            "calibration_sha256": self._map.sha256,
        }

    def synthesize(self, text: str, speaker: np.ndarray, language: str = "") -> np.ndarray:
        """Returns speech (samples,) float32 at 24 kHz and -23 LUFS, in the voice nearest to an embedding (dim,).

        The output of the network is cached, so a second voice for the same text needs rendering only.

        Raises:
            InputError: as `TTS.synthesize` does.
        """
        return whole(self.parts(text, speaker, language), SAMPLE_RATE_HZ)

    def parts(self, text: str, speaker: np.ndarray, language: str = "") -> Iterator[np.ndarray]:
        """Yields the same speech in parts, as `TTS.parts` does."""
        language_to_speak(language, self.languages, self.name)
        return speak(self._voice, text, self.controls(speaker))

    def known_speakers(self, count: int) -> SpeakerBank:
        """Returns `count` plausible voices, half of them female, of which there are as many as asked for.

        The calibrated network predicts their vectors, so no speech is synthesised.
        """
        controls, genders = known_speakers(count)
        ids = np.array([f"morph-{i:05d}" for i in range(count)], dtype=str)
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
        return whole(speak(self._voice, text, controls), SAMPLE_RATE_HZ)
