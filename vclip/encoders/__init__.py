"""Face and voice encoders, opened by a spec string.

dlib                                     dlib's face-recognition ResNet, 128-d, no download
open_clip:MODEL/TAG                      any open_clip model with a pretrained tag or a local checkpoint,
                                         as in open_clip:ViT-B-32-quickgelu/openai
resemblyzer                              Resemblyzer's GE2E, 256-d, no download
"""

from collections.abc import Sequence

import numpy as np

from vclip.encoders.base import FaceEncoder, VoiceEncoder
from vclip.errors import InputError

__all__ = ["FaceEncoder", "VoiceEncoder", "embed_texts", "open_face_encoder", "open_voice_encoder", "spec_of_space"]


def open_face_encoder(spec: str, device: str | None = None) -> FaceEncoder:
    """Returns the face encoder that `spec` names, on `device` ("cpu", "cuda", ...; None takes a GPU if there is one).

    Raises:
        InputError: the spec is unknown, or its weights cannot be had.
    """
    kind, _, rest = spec.partition(":")
    if kind == "dlib" and not rest:
        from vclip.encoders.dlib import DlibResNet

        return DlibResNet()
    if kind == "open_clip" and "/" in rest:
        from vclip.encoders.open_clip import OpenClip

        model, _, weights = rest.partition("/")
        return OpenClip(model, weights, device)
    raise InputError(f"face encoder '{spec}': expected 'dlib' or 'open_clip:MODEL/TAG'")


def open_voice_encoder(spec: str, device: str | None = None) -> VoiceEncoder:
    """Returns the voice encoder that `spec` names, on `device` (None takes a GPU if there is one).

    Raises:
        InputError: the spec is unknown, or its weights cannot be had.
    """
    if spec == "resemblyzer":
        from vclip.encoders.ge2e import GE2E

        return GE2E(device)
    raise InputError(f"voice encoder '{spec}': expected 'resemblyzer'")


def embed_texts(encoder: FaceEncoder, texts: Sequence[str]) -> np.ndarray:
    """Returns (n, dim) float32, unit norm, of n texts, by the encoder's text tower.

    Raises:
        InputError: it has none.
    """
    if not hasattr(encoder, "embed_texts"):
        raise InputError(
            f"text '{texts[0]}': the face encoder of '{encoder.space}' reads no text; expected faces embedded by "
            "open_clip (configs/default.yaml)"
        )
    return encoder.embed_texts(texts)


def spec_of_space(space: str) -> str:
    """Returns the spec that opens the encoder of `space`, so that a model says itself which encoders it needs.

    Raises:
        InputError: the space is of a local checkpoint, or of no encoder here; the user must name the spec.
    """
    kind, *parts = space.split("/")
    if kind in ("dlib", "resemblyzer"):
        return kind
    if kind == "open_clip" and len(parts) == 3 and not parts[1].startswith("file-"):
        return f"open_clip:{parts[0]}/{parts[1]}"
    raise InputError(f"space '{space}': cannot tell which encoder made it; name it with --set encoders.face=...")
