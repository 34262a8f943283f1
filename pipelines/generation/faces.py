"""The targets of generation: the face in a photo, a person in several photos, or a description in words.

photos -> `PhotoFace` (one face, cut out) -> `TargetFace` (its vector in the association model's face space)
"""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from pipelines.config import Config
from pipelines.extraction.faces.detectors import FaceDetector
from pipelines.extraction.faces.photos import decoded, face_in_photo, read_photo
from pipelines.progress import say, warn
from stores import video_id
from vclip.association.base import Association
from vclip.encoders import FaceEncoder, embed_texts, open_face_encoder, spec_of_space
from vclip.encoders.face_crop import crop_face
from vclip.errors import InputError, SpaceError

# Texts in the form of a prompt that do not describe the person's looks.
NEUTRAL = ("a person", "a person with a voice", "somebody", "somebody who speaks", "a face", "the face of a person")


class Target(Protocol):
    """The face, person or description that a voice is made for."""

    @property
    def noun(self) -> str:
        """The word for the target in the notice of a speech file, such as "face"."""
        ...

    @property
    def vectors(self) -> np.ndarray:
        """The face vectors of one person, (n, d_face) float32 in the association model's face space."""
        ...

    @property
    def provenance(self) -> Mapping[str, Any]:
        """The fields of a speech file's provenance that name the target."""
        ...


@dataclass(frozen=True)
class PhotoFace:
    """One face cut out of a photo, ready for the face encoder."""

    uri: str  # the photo, or the face of a store
    sha256: str  # of the image file
    face_index: int  # the face's position in the photo, from the left, from 0
    faces: int  # the number of faces in the photo
    crop: np.ndarray  # (side, side, 3) uint8 RGB
    content_hash: str = ""  # of the image file, as a store that imports it computes it
    scale: float = 1.0  # of the image in which it was found, see `FaceInPhoto`


@dataclass(frozen=True)
class TargetFace:
    """One face with its vector."""

    uri: str
    sha256: str  # of the image file; "" if there is no image
    face_index: int
    faces: int
    vector: np.ndarray  # (d_face,) float32
    content_hash: str = ""  # as that of `PhotoFace`
    scale: float = 1.0  # likewise
    noun = "face"

    @property
    def key(self) -> str:
        """Equal for equal faces, whatever the names of their files."""
        return face_key(self.provenance)

    @property
    def vectors(self) -> np.ndarray:
        return self.vector[None]

    @property
    def provenance(self) -> dict[str, Any]:
        return {
            "face": self.uri,
            "face_sha256": self.sha256,
            "face_content_hash": self.content_hash,
            "face_index": self.face_index,
            "faces_in_photo": self.faces,
            **({"face_found_at_scale": self.scale} if self.scale != 1 else {}),
        }


def face_key(provenance: Mapping[str, Any]) -> str:
    """Returns the identifier of the face that a speech file was made for, equal for equal faces."""
    return f"{provenance['face_sha256'] or provenance['face']}/{provenance['face_index']}"


def target_key(provenance: Mapping[str, Any]) -> str:
    """Returns the identifier of the face, person or description that a voice is for; "" if for none."""
    if "photos" in provenance:
        return " ".join(sorted(map(face_key, provenance["photos"])))
    if "prompt" in provenance:
        return f"prompt/{provenance['prompt']}"
    return face_key(provenance) if "face" in provenance else ""


@dataclass(frozen=True)
class TargetPerson:
    """One person in several photos, represented by the mean direction of the faces."""

    faces: tuple[TargetFace, ...]
    noun = TargetFace.noun

    @property
    def vectors(self) -> np.ndarray:
        return np.concatenate([face.vectors for face in self.faces])

    @property
    def provenance(self) -> dict[str, Any]:
        return {
            "face": ", ".join(face.uri for face in self.faces),
            "photos": [face.provenance for face in self.faces],
        }


@dataclass(frozen=True)
class TargetDescription:
    """A prompt with the face vector that represents it."""

    prompt: str
    vector: np.ndarray  # (d_face,) float32
    noun = "description (experimental)"

    @property
    def vectors(self) -> np.ndarray:
        return self.vector[None]

    @property
    def provenance(self) -> dict[str, Any]:
        return {"prompt": self.prompt}


def read_photo_faces(paths: Sequence[Path], detector: FaceDetector, index: int | None) -> list[PhotoFace]:
    """Returns the chosen face of each photo; reports on stderr which of several it is, and if it was hard to find.

    Raises:
        InputError: a photo is unreadable, has no face, or no face of this index; the message names the file.
    """
    found = []
    for path in paths:
        face = cut_face(read_photo(path), str(path), detector, index)
        if face.faces > 1:
            used = f"{face.faces} faces, used number {face.face_index} from the left"
            say(f"photo {path}: {used}; choose with --face-index")
        if face.scale != 1:
            warn(
                f"photo {path}: the face was found only in a copy of {face.scale:g} of its size, as in paintings and "
                "drawings; voices fit such images less well than photos"
            )
        found.append(face)
    return found


def cut_face(photo: bytes, uri: str, detector: FaceDetector, index: int | None) -> PhotoFace:
    """Returns the chosen face of a photo, cut out for the face encoder.

    Args:
        photo: the content of an image file.
        uri: the name of the photo, for provenance and errors.
        detector: the face detector.
        index: the face, counted from the left from 0; None takes the largest.

    Raises:
        InputError: the content is not an image, or has no face or no face of this index; the message names the photo.
    """
    try:
        found = face_in_photo(decoded(photo), detector, index, stylised=True)
    except InputError as error:
        raise InputError(f"photo {uri}: {error}") from None
    crop = crop_face(found.image, found.face.landmarks)
    content_hash = video_id(io.BytesIO(photo))
    return PhotoFace(
        uri, hashlib.sha256(photo).hexdigest(), found.index, found.count, crop, content_hash, found.scale
    )


def encode_faces(faces: Sequence[PhotoFace], encoder: FaceEncoder) -> list[TargetFace]:
    """Returns the faces with their vectors.

    They are encoded one by one: in a batch, the last bits of a vector depend on the other faces, and a run that
    resumes must choose the same voices.
    """
    vectors = (encoder.embed([face.crop])[0] for face in faces)
    return [
        TargetFace(face.uri, face.sha256, face.face_index, face.faces, vector, face.content_hash, face.scale)
        for face, vector in zip(faces, vectors, strict=True)
    ]


def encode_prompts(prompts: Sequence[str], encoder: FaceEncoder, model: Association) -> list[TargetDescription]:
    """Returns a face vector for each prompt: mean training face + text - mean of neutral texts.

    CLIP embeds texts and images in different regions (Liang et al., Mind the gap, 2022); the shift moves neutral
    texts to the mean face. This is a heuristic: it assumes that texts differ from each other as the described faces
    do. The vectors are not normalised, because the mean face is not.

    Args:
        prompts: descriptions of people.
        encoder: the face encoder, which must have a text tower.
        model: the association model, whose mean training face is used.

    Raises:
        InputError: the face encoder has no text tower, or a prompt is empty.
    """
    if any(not prompt.strip() for prompt in prompts):
        raise InputError('--prompt: found an empty text, expected a description, as in "an old man"')
    vectors = embed_texts(encoder, prompts) - embed_texts(encoder, NEUTRAL).mean(axis=0)
    warn("--prompt is experimental: whether such voices fit the description has not been measured")
    mean_face = torch.as_tensor(model.face_input.mean, device="cpu").numpy()
    return [TargetDescription(prompt, vector) for prompt, vector in zip(prompts, vectors + mean_face, strict=True)]


def face_encoder_spec(model: Association, config: Config) -> str:
    """Returns the spec of a model's face encoder, or the configured one if the model records none."""
    return spec_of_space(model.face_space, model.encoders, config.encoders.face)


def open_encoder(spec: str, space: str, device: str | None) -> FaceEncoder:
    """Returns the face encoder that a spec opens on a device; None for a GPU if there is one.

    Raises:
        SpaceError: its vectors are not in `space`, the model's.
    """
    encoder = open_face_encoder(spec, device)
    if encoder.space != space:
        raise SpaceError(encoder.space, space, f"face encoder '{spec}'")
    return encoder
