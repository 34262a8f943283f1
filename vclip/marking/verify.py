"""What the marks of a speech file say, and whether they and the file still belong together.

The label holds the hash of the samples, so `verify` recognises a file whose audio was edited or whose label was
copied from another file. It also recognises one whose structure would make a player play something else than those
samples: another format, a second piece of samples. Anybody can write a false label, or remove it. A C2PA signature
shows that no byte was changed since somebody with a certain key signed the file; it can be removed as well. A
watermark stays in the samples, also after most conversions, and says nothing but that it is there.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from vclip.audio import to_mono
from vclip.errors import InputError
from vclip.marking.provenance import FileLabel, label_of, plain_json, read_file, sidecar_of
from vclip.marking.signature import MIXED, SYNTHETIC, Signature, read_signature
from vclip.marking.watermark import WATERMARKS, open_watermark


@dataclass(frozen=True)
class Layer:
    """What was found of one kind of mark."""

    state: str  # of the label: valid, altered, absent; of a watermark: found, not found, not checked, absent
    says: str  # the same in words


@dataclass(frozen=True)
class Verified:
    """The marks of a speech file, and the problems that were found with them."""

    path: str
    provenance: dict[str, Any]  # the label; empty if there is none
    label: Layer
    signature: Signature
    watermark: Layer
    problems: tuple[str, ...]  # empty where audio, label, sidecar and signature belong together


def verify(path: str | Path, trust: str | Path | None = None) -> Verified:
    """Returns the label, the signature and the watermark of an audio file, and where they contradict the file.

    The sidecar may be missing; one that exists must equal the label. A file needs a label or a signature.

    Args:
        path: a file that Vclip wrote, or any other; what is no WAV file has no label.
        trust: a PEM file of certificates: the issuers of signatures that are trusted.

    Raises:
        InputError: the file is missing or not a regular file, or `trust` cannot be used.
    """
    data = read_file(path)
    signature = read_signature(data, trust)
    try:
        found = label_of(data, path)
    except InputError as error:
        absent = Layer("absent", str(error).removeprefix(f"speech file {path}: "))
        unsigned = signature.state in ("absent", "not checked")
        problems = [absent.says] if unsigned else _of_signature(signature, {})
        return Verified(str(path), {}, absent, signature, _watermark(data, {}), tuple(problems))
    problems = _of_label(found, path)
    layer = Layer("altered", "; ".join(problems)) if problems else Layer("valid", "fits the samples")
    problems += _of_signature(signature, found.label)
    return Verified(str(path), found.label, layer, signature, _watermark(data, found.label), tuple(problems))


def _of_label(file_label: FileLabel, path: str | Path) -> list[str]:
    label, problems = file_label.label, []
    if (written := label.get("audio")) is None:
        problems.append("the provenance names no hash of the samples, expected one; it was not written by this vclip")
    elif written != file_label.audio:
        problems.append("the samples or their rate are not those that the provenance was written for")
    if label["synthetic"] is not True:
        said = json.dumps(label["synthetic"])[:40]
        problems.append(f"the provenance says synthetic: {said}, expected true, which vclip always writes")
    problems += file_label.problems
    sidecar = sidecar_of(Path(path))
    if sidecar.exists() and _read(sidecar) != label:
        problems.append(f"the sidecar {sidecar.name} differs from the provenance inside the file")
    return problems


def _of_signature(signature: Signature, label: dict[str, Any]) -> list[str]:
    if signature.state == "altered":
        return [f"the C2PA signature does not hold: {signature.says}"]
    signed = isinstance(marks := label.get("marks"), dict) and marks.get("signature")
    if signature.state == "absent" and signed:
        return ["the provenance says that the file was signed, and there is no C2PA signature: it was removed"]
    if signature.state not in ("absent", "not checked") and signature.source not in (SYNTHETIC, MIXED):
        return [f"the C2PA signature states {signature.source or 'no source'}, expected {SYNTHETIC}"]
    return []


def _watermark(data: bytes, label: dict[str, Any]) -> Layer:
    """What is found of the watermark that the label names; of those of this installation if there is no label."""
    marks = label.get("marks")
    named = marks.get("watermark") if isinstance(marks, dict) else None
    if label and not named:
        return Layer("absent", "the provenance names none, so none was looked for")
    known, said = WATERMARKS.names(), []
    if isinstance(named, dict) and named.get("name") not in known:  # a label must not choose what is imported here
        return Layer("not checked", f"the provenance names another than {', '.join(known)}")
    for spec in [named["name"]] if isinstance(named, dict) else known:
        try:
            watermark = open_watermark(spec)
        except InputError as error:
            said.append(Layer("not checked", str(error).splitlines()[0]))
            continue
        try:
            samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
            if not len(samples) or not np.isfinite(samples).all():
                raise ValueError("no finite samples")
            confidence = watermark.detect(to_mono(samples), rate)
        except (soundfile.SoundFileError, ValueError, TypeError, RuntimeError, MemoryError) as error:
            why = getattr(error, "error_string", str(error))  # libsndfile's own words, without the Python object
            said.append(Layer("not checked", f"the audio cannot be read ({' '.join(why.split()).rstrip('.')[:80]})"))
            continue
        state = "found" if confidence > watermark.threshold else "not found"
        said.append(Layer(state, f"'{watermark.name}', confidence {confidence:.2f} of {watermark.threshold:.2f}"))
    return max(said, key=lambda layer: ("not checked", "not found", "found").index(layer.state))


def _read(sidecar: Path) -> Any:
    try:
        return plain_json(sidecar.read_bytes()) if sidecar.is_file() else None
    except (OSError, ValueError):
        return None
