"""Whom a voice is made for: the face of a photo, several photos of one person, or a description in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pipelines.generation.portraits import Face
from pipelines.progress import say
from vclip.association.protocol import Association
from vclip.encoders import FaceEncoder, embed_texts
from vclip.errors import InputError

# Of the form of a prompt, and saying nothing of what the person looks like.
NEUTRAL = ("a person", "a person with a voice", "somebody", "somebody who speaks", "a face", "the face of a person")


class Subject(Protocol):
    """What an utterance is made for; `Face` is one too."""

    called: str  # in the notice of a file
    key: str  # equal for equal ones
    vectors: np.ndarray  # (n, d_face) float32, of the association model's face space; all of one person
    told: Mapping[str, Any]  # of it in the provenance


@dataclass(frozen=True)
class Person:
    """One person on several photos, who counts as the mean of their directions."""

    faces: tuple[Face, ...]
    called = Face.called

    @property
    def key(self) -> str:
        return " ".join(sorted(face.key for face in self.faces))

    @property
    def vectors(self) -> np.ndarray:
        return np.concatenate([face.vectors for face in self.faces])

    @property
    def told(self) -> dict[str, Any]:
        return {"face": ", ".join(face.uri for face in self.faces), "photos": [face.told for face in self.faces]}


@dataclass(frozen=True)
class Description:
    """A prompt, put where a face that it fits might lie."""

    prompt: str
    vector: np.ndarray  # (d_face,) float32
    called = "description (experimental)"

    @property
    def key(self) -> str:
        return f"prompt/{self.prompt}"

    @property
    def vectors(self) -> np.ndarray:
        return self.vector[None]

    @property
    def told(self) -> dict[str, Any]:
        return {"prompt": self.prompt}


def described(prompts: Sequence[str], encoder: FaceEncoder, model: Association) -> list[Description]:
    """Returns prompts as faces: mean of the training faces + text - mean of neutral texts.

    CLIP's texts lie elsewhere than its pictures (Liang et al., Mind the gap, 2022); the shift puts a text that says
    nothing at the mean face. It is a heuristic: that what a text differs by from others is what faces differ by is
    assumed. Not normed, as the mean face is not.

    Raises:
        InputError: the face encoder reads no text, or a prompt is empty.
    """
    if any(not prompt.strip() for prompt in prompts):
        raise InputError('--prompt: found an empty text, expected a description, as in "an old man"')
    vectors = embed_texts(encoder, prompts) - embed_texts(encoder, NEUTRAL).mean(axis=0)
    say("--prompt is experimental: no trained weights were at hand to measure whether such voices fit")
    return [
        Description(prompt, vector)
        for prompt, vector in zip(prompts, vectors + model.face_input.mean.numpy(force=True), strict=True)
    ]
