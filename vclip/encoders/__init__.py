"""Face and voice encoders, opened by a spec string (see `vclip.registry`).

dlib                                     dlib's face-recognition ResNet, 128-d, no download
open_clip:MODEL/TAG                      any open_clip model with a pretrained tag or a local checkpoint,
                                         as in open_clip:ViT-B-32-quickgelu/openai
resemblyzer                              Resemblyzer's GE2E, 256-d, no download

Packages add theirs in the entry-point groups `vclip.face_encoders` and `vclip.voice_encoders`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vclip.encoders.base import FaceEncoder, VoiceEncoder
from vclip.errors import InputError
from vclip.registry import Plugin, Registry

__all__ = [
    "FACE_ENCODERS",
    "VOICE_ENCODERS",
    "FaceEncoder",
    "VoiceEncoder",
    "embed_texts",
    "open_face_encoder",
    "open_voice_encoder",
    "spec_of_space",
]

FACE_ENCODERS: Registry[FaceEncoder] = Registry(
    "face encoder",
    "vclip.face_encoders",
    ("space", "dim", "embed"),
    "vclip.encoders.FaceEncoder",
    (
        Plugin("dlib", "vclip.encoders.dlib:DlibResNet", about="dlib's face-recognition ResNet, 128-d"),
        Plugin(
            "open_clip",
            "vclip.encoders.open_clip:open_clip_encoder",
            "MODEL/TAG",
            needs_argument=True,
            about="a CLIP image tower, with a pretrained tag or a local checkpoint",
        ),
    ),
)
VOICE_ENCODERS: Registry[VoiceEncoder] = Registry(
    "voice encoder",
    "vclip.voice_encoders",
    ("space", "dim", "sample_rate_hz", "embed"),
    "vclip.encoders.VoiceEncoder",
    (Plugin("resemblyzer", "vclip.encoders.ge2e:GE2E", about="Resemblyzer's GE2E, 256-d"),),
)


def open_face_encoder(spec: str, device: str | None = None) -> FaceEncoder:
    """Returns the face encoder that `spec` names.

    Args:
        spec: see the module.
        device: "cpu", "cuda", ...; None takes a GPU if there is one.

    Raises:
        InputError: no such name, or a package or the weights are missing.
    """
    return FACE_ENCODERS.open(spec, device=device)


def open_voice_encoder(spec: str, device: str | None = None) -> VoiceEncoder:
    """Returns the voice encoder that `spec` names; arguments and errors as of `open_face_encoder`."""
    return VOICE_ENCODERS.open(spec, device=device)


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


def spec_of_space(space: str, recorded: Mapping[str, str] | None = None, configured: str = "") -> str:
    """Returns the spec that opens the encoder of `space`.

    Args:
        space: of face or voice vectors.
        recorded: space -> spec, as a store or a model records it; the name of a space of ours tells by itself, as
            those of stores and models that record nothing do.
        configured: the spec to return where neither tells, and where the recorded one is a checkpoint file that is
            not on this machine.

    Raises:
        InputError: neither tells, and none is configured; the user must name the spec.
    """
    if recorded and space in recorded:
        return configured if configured and _lost_file(space, recorded[space]) else recorded[space]
    kind, *parts = space.split("/")
    if kind in ("dlib", "resemblyzer"):
        return kind
    if kind == "open_clip" and len(parts) == 3 and not parts[1].startswith("file-"):
        return f"open_clip:{parts[0]}/{parts[1]}"
    if configured:
        return configured
    raise InputError(
        f"space '{space}': nothing records which encoder made it; name it with --set encoders.face=... "
        "(or encoders.voice)"
    )


def _lost_file(space: str, spec: str) -> bool:
    """Whether a spec names a local checkpoint of open_clip that is not here."""
    kind, _, argument = spec.partition(":")
    return kind == "open_clip" and "/file-" in space and not Path(argument.partition("/")[2]).is_file()
