"""Face and voice encoders, opened by a spec string (see `vclip.registry`).

dlib                                     dlib's face-recognition ResNet, 128-d, no download
open_clip:MODEL/TAG                      any open_clip model, with a pretrained tag or the path of a local checkpoint,
                                         as in open_clip:ViT-B-32-quickgelu/openai
mirrored:SPEC                            another face encoder, with the mirror image of each face, as in mirrored:dlib
onnx-face:FILE.onnx                      a network on aligned crops of 112x112 pixels, with FILE.onnx.yaml beside it
onnx-voice:FILE.onnx                     a network on filter banks or the waveform, with FILE.onnx.yaml beside it
resemblyzer                              Resemblyzer's GE2E, 256-d, no download

Other packages register encoders in the entry-point groups `vclip.face_encoders` and `vclip.voice_encoders`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vclip.encoders.base import FaceEncoder, Prepares, ReadsTexts, VoiceEncoder, gains_from_gpu, licence_of
from vclip.encoders.mirrored import MIRRORED, Mirrored
from vclip.errors import InputError
from vclip.registry import Plugin, Registry

__all__ = [
    "FACE_ENCODERS",
    "VOICE_ENCODERS",
    "FaceEncoder",
    "Prepares",
    "VoiceEncoder",
    "embed_texts",
    "gains_from_gpu",
    "licence_of",
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
        Plugin(
            "dlib", "vclip.encoders.dlib:DlibResNet", about="dlib's face-recognition ResNet, 128-d", licence="CC0-1.0"
        ),
        Plugin(
            "open_clip",
            "vclip.encoders.open_clip:open_clip_encoder",
            "MODEL/TAG",
            needs_argument=True,
            about="a CLIP image tower, with a pretrained tag or a local checkpoint",
            licence="of the tag or checkpoint",
        ),
        Plugin(
            MIRRORED,
            "vclip.encoders:mirrored",
            "SPEC",
            needs_argument=True,
            about="another face encoder, the mean over each face and its mirror image",
            licence="of SPEC",
        ),
        Plugin(
            "onnx-face",
            "vclip.encoders.onnx_face:OnnxFace",
            "FILE.onnx",
            needs_argument=True,
            about="a network on aligned faces, see docs/encoders.md",
            licence="in FILE.onnx.yaml",
        ),
    ),
)
VOICE_ENCODERS: Registry[VoiceEncoder] = Registry(
    "voice encoder",
    "vclip.voice_encoders",
    ("space", "dim", "sample_rate_hz", "embed"),
    "vclip.encoders.VoiceEncoder",
    (
        Plugin("resemblyzer", "vclip.encoders.ge2e:GE2E", about="Resemblyzer's GE2E, 256-d", licence="Apache-2.0"),
        Plugin(
            "onnx-voice",
            "vclip.encoders.onnx_voice:OnnxVoice",
            "FILE.onnx",
            needs_argument=True,
            about="a network on filter banks or the waveform, see docs/encoders.md",
            licence="in FILE.onnx.yaml",
        ),
    ),
)


def open_face_encoder(spec: str, device: str | None = None) -> FaceEncoder:
    """Returns the face encoder that `spec` names.

    Args:
        spec: one of the forms above.
        device: "cpu", "cuda", ...; None selects a GPU if there is one.

    Raises:
        InputError: the name is unknown, or a package or the weights are missing.
    """
    return FACE_ENCODERS.open(spec, device=device)


def mirrored(spec: str, device: str | None = None) -> Mirrored:
    """Returns the face encoder that `spec` names, with mirror images; errors as for `open_face_encoder`."""
    return Mirrored(open_face_encoder(spec, device))


def open_voice_encoder(spec: str, device: str | None = None) -> VoiceEncoder:
    """Returns the voice encoder that `spec` names; arguments and errors as for `open_face_encoder`."""
    return VOICE_ENCODERS.open(spec, device=device)


def embed_texts(encoder: FaceEncoder, texts: Sequence[str]) -> np.ndarray:
    """Returns vectors (n, dim) float32, unit norm, for n texts, from the encoder's text tower.

    Raises:
        InputError: the encoder has no text tower.
    """
    if not isinstance(encoder, ReadsTexts):
        raise InputError(
            f"text '{texts[0]}': the face encoder of '{encoder.space}' reads no text; expected faces embedded by "
            "open_clip (configs/default.yaml)"
        )
    return encoder.embed_texts(texts)


def spec_of_space(space: str, recorded: Mapping[str, str] | None = None, configured: str = "") -> str:
    """Returns the spec that opens the encoder of `space`.

    Args:
        space: of face or voice vectors.
        recorded: space -> spec, as a store or a model records it. Older stores and models record none; then the name
            of the space gives the spec of a built-in encoder.
        configured: the spec to return if neither the record nor the name gives one, or if the recorded spec names a
            file that is not on this machine and this one is of the same kind.

    Raises:
        InputError: no spec is recorded, implied by the name or configured.
    """
    if recorded and space in recorded:
        found_again = _kind(configured) == _kind(recorded[space]) and _lost_file(space, recorded[space])
        return configured if found_again else recorded[space]
    kind, *parts = space.split("/")
    if kind == MIRRORED:
        other = configured.removeprefix(f"{MIRRORED}:")
        return f"{MIRRORED}:{spec_of_space('/'.join(parts), None, other)}"
    if kind in ("dlib", "resemblyzer"):
        return kind
    if kind == "open_clip" and len(parts) == 3 and not parts[1].startswith("file-"):
        return f"open_clip:{parts[0]}/{parts[1]}"
    if configured:
        return configured
    raise InputError(
        f"space '{space}': found no record of its encoder; name the encoder with --set encoders.face=... "
        "(or encoders.voice)"
    )


def _lost_file(space: str, spec: str) -> bool:
    """Returns whether a spec names a local file that is not on this machine: a checkpoint or an ONNX file."""
    argument = spec.removeprefix(f"{MIRRORED}:").partition(":")[2]
    if _kind(spec) == "open_clip":
        return "/file-" in space and not Path(argument.partition("/")[2]).is_file()
    return _kind(spec) in ("onnx-face", "onnx-voice") and not Path(argument).is_file()


def _kind(spec: str) -> str:
    """Returns the name in a spec; for mirror images, that of the other encoder."""
    return spec.removeprefix(f"{MIRRORED}:").partition(":")[0]
