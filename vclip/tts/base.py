"""The protocol of text-to-speech backends: text and a speaker vector of a named space in, a waveform out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from vclip.speakers.bank import SpeakerBank


class TTS(Protocol):
    """Speaks any text in the voice that a speaker vector describes."""

    name: str  # the spec that opens the backend, as in "morph"
    space: str  # the space of the speaker vectors; vectors of two spaces cannot be compared
    dim: int
    sample_rate_hz: int
    languages: Sequence[str]  # primary tags of BCP 47, as in ("en", "de"); the first is the default
    made_of: Mapping[str, str]  # the versions and hashes that determine the speech, for provenance

    def synthesize(self, text: str, speaker: np.ndarray, language: str = "") -> np.ndarray:
        """Returns speech (samples,) float32 in -1..1 at `sample_rate_hz`; equal arguments give equal samples.

        Args:
            text: a text of any length.
            speaker: (dim,) float32 in `space`. Only its direction counts, unless the bank that `known_speakers`
                returns has `length_counts`.
            language: a tag of BCP 47, as in "en" or "en-GB"; "" for the first of `languages`.

        Raises:
            InputError: the text has nothing to speak or letters that the backend cannot pronounce, the backend does
                not speak the language (see `vclip.tts.languages`), or the vector has another size, is not finite or
                is zero.
        """
        ...

    def parts(self, text: str, speaker: np.ndarray, language: str = "") -> Iterator[np.ndarray]:
        """Yields the same speech before its loudness is set: (samples,) for each sentence and each pause.

        Raises:
            InputError: as `synthesize` does, before the first part.
        """
        ...

    def known_speakers(self, count: int) -> SpeakerBank:
        """Returns `count` speakers that the backend knows, or all of them if it knows fewer."""
        ...


@runtime_checkable
class EmbedsSpeech(Protocol):
    """A backend that embeds recorded speech as speaker vectors, so that `fit-speakers` can learn from anybody."""

    length_counts: bool  # whether the length of a speaker vector changes the voice

    def embed_speech(self, utterances: Sequence[np.ndarray]) -> np.ndarray:
        """Returns speaker vectors (n, dim) float32 of utterances, each (samples,) float32 at `sample_rate_hz`."""
        ...


@runtime_checkable
class PredictsVoices(Protocol):
    """A backend that predicts, without synthesis, the voice that a speaker vector gives."""

    predicted_space: str  # the space of the predicted voices

    def predict_voices(self, speakers: np.ndarray) -> np.ndarray:
        """Returns predicted voice embeddings (n, d_voice) float32, unit norm, of speaker vectors (n, dim)."""
        ...
