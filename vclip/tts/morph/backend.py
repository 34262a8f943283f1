"""The `morph` backend: one neural voice, bent until a speaker encoder hears the voice that was asked for.

It needs no download. The voice is hibari-tts' default one (`base_voice`), the bending a handful of controls
(`morph_controls`, `morph_synthesis`), and the controls are found from a GE2E embedding by a calibrated map
(`morph_map`, made by `calibrate`). It misses the asked embedding by a margin, which the TTS signature learns.

Measured with the shipped calibration on 261 LibriSpeech speakers, one utterance or two each, answered with two
sentences that the calibration does not hold:

    cosine of the asked and the obtained embedding             .781
    the same after removing each side's mean                   .507
    asked speaker's rank among the 261, median                 2     first .47, among ten .85
    cosine between two obtained voices, 10 / 50 / 90 %         .582 / .679 / .791

With the calibration before it, which was alike but for the level of its speech:

    log pitch of speaker and voice, correlation                .80
    pitch of speaker and voice on the same side of 155 Hz      91 %
    words found by pocketsphinx, 66 of the voices              89 %, at least half for each; base voice 88 %
    rendering, one core                                        180 times real time
    choice of the controls, one core                           12 ms

What a voice's own limits and held-out synthetic voices give is in `morph.json`.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vclip.speakers.bank import SpeakerBank
from vclip.tts.morph import inverse_map
from vclip.tts.morph.base_voice import SAMPLE_RATE_HZ, BaseVoice
from vclip.tts.morph.controls import Controls
from vclip.tts.morph.known_speakers import people
from vclip.tts.morph.synthesis import speak
from vclip.tts.sentences import whole
from vclip.tts.speaker_table import unit_speaker


class Morph:
    """Speaks in any voice of GE2E's space, as far as its controls reach; obeys `vclip.tts.base.TTS`."""

    name = "morph"
    sample_rate_hz = SAMPLE_RATE_HZ

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

    def synthesize(self, text: str, speaker: np.ndarray) -> np.ndarray:
        """Returns (samples,) float32 at 24 kHz and -23 LUFS, in the voice nearest to an embedding (dim,).

        A second voice for the same text costs its rendering only; the network's sentences are remembered.

        Raises:
            InputError: the text has nothing to speak, or the vector has another size or is not finite.
        """
        return self.speak(text, self.controls(speaker))

    def parts(self, text: str, speaker: np.ndarray) -> Iterator[np.ndarray]:
        """Yields the same speech in sentences, before its loudness is set; raises as `synthesize` does."""
        return speak(self._voice, text, self.controls(speaker))

    def known_speakers(self, count: int) -> SpeakerBank:
        """Returns `count` voices that people could have, half of them female; there is no end to them.

        Their vectors are predicted by the calibrated network, not measured on speech, so this takes no time.
        """
        controls, genders = people(count)
        ids = np.array([f"morph-{i:05d}" for i in range(count)], dtype=str)
        return SpeakerBank(self.space, ids, self._map.embeddings(controls), np.array(genders, dtype=str))

    def predict_voices(self, speakers: np.ndarray) -> np.ndarray:
        """Returns the embeddings (n, dim) float32 that the calibrated network expects of speakers (n, dim)."""
        return self._map.predict_voices(speakers)

    def controls(self, speaker: np.ndarray) -> Controls:
        """Returns the controls that `synthesize` takes for an embedding (dim,).

        Raises:
            InputError: the vector has another size, is not finite or is zero.
        """
        return self._map.controls(unit_speaker(speaker, self.dim, self.name, self.space))

    def speak(self, text: str, controls: Controls) -> np.ndarray:
        """Returns (samples,) float32 at 24 kHz and -23 LUFS, in the voice that the controls make.

        Raises:
            InputError: the text has nothing to speak.
        """
        return whole(speak(self._voice, text, controls), SAMPLE_RATE_HZ)
