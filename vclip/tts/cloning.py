"""The `clone` backend: any TTS that clones a recording, given one sentence spoken in the chosen voice.

`clone:python:package.module:Factory` speaks REFERENCE in the voice of a speaker vector, by `kokoro` where its extra
is installed and else by `morph`, and hands it to the TTS that the factory returns (`CloningTTS`). The space stays
that of the reference. What the TTS makes of a voice cannot be predicted, so `vclip distill` speaks to learn it.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np

from vclip.errors import InputError
from vclip.registry import Registry
from vclip.speakers.bank import SpeakerBank
from vclip.tts.languages import language_to_speak
from vclip.tts.sentences import speak, whole

# Eight seconds that hold most phonemes of English, as cloning TTS ask for.
REFERENCE = (
    "The old man walked along the river with his dog, and nobody knew his name; "
    "he thought of the green hills, the church and the joy of younger years."
)
CACHED_REFERENCES = 64  # 0.8 MB each


class CloningTTS(Protocol):
    """A TTS that speaks any text in the voice of a recording."""

    name: str  # for errors and provenance, as in "my-tts 1.2"
    sample_rate_hz: int  # of its speech
    languages: Sequence[str]  # primary tags of BCP 47; the first is the default
    made_of: Mapping[str, str]  # the versions and hashes that determine the speech, for provenance

    def clone(
        self, text: str, reference: np.ndarray, sample_rate_hz: int, reference_text: str, language: str
    ) -> np.ndarray:
        """Returns speech (samples,) float32 in -1..1 at its own sample rate; equal arguments give equal samples.

        Args:
            text: one sentence; numbers, units and the like of English are written as words.
            reference: (n,) float32 in -1..1, speech in the voice to clone.
            sample_rate_hz: the sample rate of the reference.
            reference_text: the words of the reference, in English.
            language: one of `languages`.

        Raises:
            InputError: the text cannot be spoken.
        """
        ...


CLONING_TTS: Registry[CloningTTS] = Registry(
    "cloning TTS",
    "vclip.cloning_tts",
    ("name", "sample_rate_hz", "languages", "made_of", "clone"),
    "vclip.tts.cloning.CloningTTS",
)


class Cloning:
    """The clone backend; implements `vclip.tts.base.TTS`.

    Args:
        spec: opens the cloning TTS: `python:package.module:Factory[:argument]`, or a name of the entry-point group
            `vclip.cloning_tts`.
        reference_tts: the spec of the TTS that speaks the reference, in English; "" for kokoro or morph.

    Raises:
        InputError: the cloning TTS, or the TTS that speaks the reference, cannot be opened.
    """

    def __init__(self, spec: str, reference_tts: str = ""):
        from vclip.tts import AUTO, open_tts

        self.name = f"clone:{spec}"
        self._cloner = CLONING_TTS.open(spec)
        self._voice = open_tts(reference_tts or AUTO)
        self._reference = lru_cache(CACHED_REFERENCES)(self._spoken_reference)
        self.space, self.dim = self._voice.space, self._voice.dim
        self.sample_rate_hz, self.languages = self._cloner.sample_rate_hz, tuple(self._cloner.languages)
        reference = {f"reference_{name}": value for name, value in self._voice.made_of.items()}
        self.made_of = {"cloning_tts": self._cloner.name, **self._cloner.made_of} | reference
        self.made_of |= {"reference_tts": self._voice.name, "reference_text": REFERENCE}

    def synthesize(self, text: str, speaker: np.ndarray, language: str = "") -> np.ndarray:
        """Returns speech (samples,) float32 at `sample_rate_hz` and -23 LUFS, as `TTS.synthesize` does."""
        return whole(self.parts(text, speaker, language), self.sample_rate_hz)

    def parts(self, text: str, speaker: np.ndarray, language: str = "") -> Iterator[np.ndarray]:
        """Yields the same speech in parts, as `TTS.parts` does; the TTS clones each sentence by itself."""
        spoken = language_to_speak(language, self.languages, self.name)
        reference = self._reference(np.asarray(speaker, np.float32).tobytes(), np.shape(speaker))
        return speak(
            text, str, lambda text: self._say(text, reference, spoken), self.sample_rate_hz, self.name, spoken
        )

    def known_speakers(self, count: int) -> SpeakerBank:
        """Returns the speakers of the TTS that speaks the reference."""
        return self._voice.known_speakers(count)

    def _spoken_reference(self, speaker: bytes, shape: tuple[int, ...]) -> np.ndarray:
        samples = self._voice.synthesize(REFERENCE, np.frombuffer(speaker, np.float32).reshape(shape), "en")
        samples.flags.writeable = False  # a cloning TTS that changes it would change later speech
        return samples

    def _say(self, text: str, reference: np.ndarray, language: str) -> np.ndarray:
        rate_hz = self._voice.sample_rate_hz
        made = np.asarray(self._cloner.clone(text, reference, rate_hz, REFERENCE, language))
        if made.ndim != 1 or not len(made) or not np.isfinite(made).all():
            raise InputError(
                f"text {text[:40]!r}: {self._cloner.name} returned samples of shape {made.shape}, expected finite "
                "mono speech (n,)"
            )
        return made.astype(np.float32)
