"""The faces that voices are made for: out of a photo, to the vector that the association model takes."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipelines.config import Config
from pipelines.extraction.faces.detectors import FaceDetector
from pipelines.extraction.faces.photos import decoded, face_in_photo, read_photo
from pipelines.progress import say
from vclip.association.base import Association
from vclip.encoders import FaceEncoder, embed_texts, open_face_encoder, spec_of_space
from vclip.encoders.face_crop import crop_face
from vclip.errors import InputError, SpaceError


@dataclass(frozen=True)
class Portrait:
    """One face, ready to be encoded."""

    uri: str  # the photo, or the face of a store
    sha256: str  # of the picture's file
    face_index: int  # which face of the photo, from the left
    faces: int  # how many the photo has
    crop: np.ndarray  # (side, side, 3) uint8 RGB


@dataclass(frozen=True)
class Face:
    """One face, encoded."""

    uri: str
    sha256: str  # "" where there is no picture
    face_index: int
    faces: int
    vector: np.ndarray  # (d_face,) float32
    called = "face"

    @property
    def key(self) -> str:
        """Equal for equal faces, whatever their files are called."""
        return f"{self.sha256 or self.uri}/{self.face_index}"

    @property
    def vectors(self) -> np.ndarray:
        return self.vector[None]

    @property
    def told(self) -> dict[str, Any]:
        """What provenance says of it."""
        return {
            "face": self.uri,
            "face_sha256": self.sha256,
            "face_index": self.face_index,
            "faces_in_photo": self.faces,
        }


def read_portraits(paths: Sequence[Path], detector: FaceDetector, index: int | None) -> list[Portrait]:
    """Returns the chosen face of each photo, and tells where a photo has several.

    Raises:
        InputError: unreadable, no face, or none of that index; names the file.
    """
    portraits = []
    for path in paths:
        portrait = portrait_in(read_photo(path), str(path), detector, index)
        if portrait.faces > 1:
            used = f"{portrait.faces} faces, used number {portrait.face_index} from the left"
            say(f"photo {path}: {used}; choose with --face-index")
        portraits.append(portrait)
    return portraits


def portrait_in(photo: bytes, uri: str, detector: FaceDetector, index: int | None) -> Portrait:
    """Returns the chosen face of a photo.

    Args:
        photo: the content of a picture file.
        uri: its name.
        detector: finds faces.
        index: as `face_in_photo` takes it.

    Raises:
        InputError: no picture, no face, or none of that index; names the photo.
    """
    try:
        image = decoded(photo)
        face, used, count = face_in_photo(image, detector, index)
    except InputError as error:
        raise InputError(f"photo {uri}: {error}") from None
    return Portrait(uri, hashlib.sha256(photo).hexdigest(), used, count, crop_face(image, face.landmarks))


def encoded(portraits: Sequence[Portrait], encoder: FaceEncoder) -> list[Face]:
    """Returns the portraits' faces.

    One by one: in a batch, the last bits of a vector depend on what is beside it, and a run that goes on where
    another stopped must choose the same voices.
    """
    vectors = (encoder.embed([portrait.crop])[0] for portrait in portraits)
    return [Face(p.uri, p.sha256, p.face_index, p.faces, v) for p, v in zip(portraits, vectors, strict=True)]


def face_encoder_spec(model: Association, config: Config) -> str:
    """Returns the spec of the face encoder that a model needs; the configured one only where the model tells none."""
    return spec_of_space(model.face_space, model.encoders, config.encoders.face)


def open_encoder(spec: str, space: str) -> FaceEncoder:
    """Returns the face encoder of a spec; raises SpaceError if its space is another than the model's."""
    encoder = open_face_encoder(spec)
    if encoder.space != space:
        raise SpaceError(encoder.space, space, f"face encoder '{spec}'")
    return encoder


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
