"""The protocols of encoders: fixed maps from face crops or utterances to unit vectors in a named space.

A space must have the same vectors on every device: ingest embeds on GPUs if there are any, and a search embeds its
photo on a CPU. An encoder therefore sets its own precision; the built-in ones compute in float32 everywhere.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from vclip.errors import InputError


class FaceEncoder(Protocol):
    """Embeds face crops that `vclip.encoders.face_crop` cut."""

    space: str  # encoder, weights and preprocessing; vectors of two spaces cannot be compared
    dim: int

    def embed(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """Returns vectors (n, dim) float32, unit norm, for n crops (side, side, 3) uint8 RGB."""
        ...


@runtime_checkable
class Prepares(Protocol):
    """An encoder whose work before its network can be done elsewhere: in other processes, while a GPU embeds.

    `embed(media)` equals `embed_prepared([prepare(one) for one in media])`.
    """

    # Of one crop or utterance; it can be pickled, is small and holds no weights. Raises InputError as `embed` does.
    prepare: Callable[[np.ndarray], np.ndarray]

    def embed_prepared(self, prepared: Sequence[np.ndarray]) -> np.ndarray:
        """Returns vectors (n, dim) float32, unit norm, for n prepared media."""
        ...


def gains_from_gpu(encoder: Any) -> bool:
    """Returns whether an encoder says, by an attribute of this name, that a GPU makes it faster.

    Jobs keep other encoders on the CPUs, of which a cluster has hundreds for each GPU.
    """
    return bool(getattr(encoder, "gains_from_gpu", False))


def licence_of(encoder: Any) -> str:
    """Returns the licence of an encoder's weights, which it says by an attribute `licence`; "" where it says none."""
    return str(getattr(encoder, "licence", ""))


@runtime_checkable
class ReadsTexts(Protocol):
    """A face encoder with a text tower that embeds texts in the space of the crops."""

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Returns vectors (n, dim) float32, unit norm, for n texts."""
        ...


class VoiceEncoder(Protocol):
    """Embeds utterances, each of one speaker."""

    space: str  # encoder, weights and preprocessing
    dim: int
    sample_rate_hz: int

    def embed(self, utterances: Sequence[np.ndarray]) -> np.ndarray:
        """Returns vectors (n, dim) float32, unit norm, for n utterances (samples,) float32 at `sample_rate_hz`.

        Args:
            utterances: mono samples in -1..1.

        Raises:
            InputError: an utterance is empty, silent or not finite.
        """
        ...


def prepared_utterances(
    prepare: Callable[[np.ndarray], np.ndarray], utterances: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Returns what `prepare` makes of each utterance; an InputError names the utterance."""
    prepared = []
    for row, utterance in enumerate(utterances):
        try:
            prepared.append(prepare(utterance))
        except InputError as error:
            raise InputError(f"utterance {row}: {error}") from None
    return prepared
