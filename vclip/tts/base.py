"""What a text-to-speech backend is: text and a speaker vector of a named space in, a waveform out."""

from collections.abc import Iterator, Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from vclip.speakers.bank import SpeakerBank


class TTS(Protocol):
    """Speaks any text in the voice that a speaker vector describes."""

    name: str  # the spec that opens it, as in "morph"
    space: str  # of the speaker vectors that it takes; vectors of two spaces cannot be compared
    dim: int
    sample_rate_hz: int
    made_of: Mapping[str, str]  # the versions and hashes that decide how it sounds, for provenance

    def synthesize(self, text: str, speaker: np.ndarray) -> np.ndarray:
        """Returns (samples,) float32 in -1..1 at `sample_rate_hz`; the same samples whenever asked the same.

        Args:
            text: any length, in a language of the backend.
            speaker: (dim,) float32 in `space`. Only its direction counts, unless the bank that `known_speakers`
                returns has `length_counts`.

        Raises:
            InputError: the text has nothing to speak or letters that the backend has no sound for, or the vector has
                another size, is not finite or is zero.
        """
        ...

    def parts(self, text: str, speaker: np.ndarray) -> Iterator[np.ndarray]:
        """Yields the same speech before its loudness is set, (samples,) a sentence or a pause at a time.

        Raises:
            InputError: as `synthesize`, before the first part.
        """
        ...

    def known_speakers(self, count: int) -> SpeakerBank:
        """Returns `count` of the speakers that the backend knows, or all of them where it knows fewer."""
        ...


@runtime_checkable
class PredictsVoices(Protocol):
    """A backend that knows, without speaking, about which voice comes of a speaker vector."""

    predicted_space: str  # of these voices

    def predict_voices(self, speakers: np.ndarray) -> np.ndarray:
        """Returns the voice embeddings (n, dim) float32, unit norm, that speakers (n, dim) are expected to have."""
        ...
