"""The provenance label of generated speech: inside the WAV file and in a JSON file beside it.

`x.wav` carries the label as JSON in its comment, `x.json` carries the same. Both hold `"synthetic": true` and the
SHA-256 of the samples, by which `vclip.marking.verify` finds out whether label and samples still belong together.
"""

import hashlib
import json
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import vclip
from vclip.errors import InputError
from vclip.files import fitting, whole_file
from vclip.marking.signature import Signer
from vclip.tts.wav import LONGEST_BYTES, StreamedSpeech, parse_wav, wav_parts

SYNTHETIC = {"synthetic": True}
SOFTWARE = f"vclip {vclip.__version__} (synthetic speech)"
_SOFTWARE = re.compile(rb"vclip [\w.+-]+ \(synthetic speech\)")
DEEPEST = 40  # levels of lists and objects in a label; what is written has five


def write_speech(
    path: str | Path,
    speech: StreamedSpeech,
    provenance: Mapping[str, Any],
    longest_bytes: int = LONGEST_BYTES,
    signer: Signer | None = None,
) -> tuple[Path, Path]:
    """Writes a labelled WAV file and its sidecar, each whole or not at all, the sidecar last; returns both paths.

    Args:
        path: ends in `.wav`; missing folders are created.
        speech, provenance, longest_bytes, signer: as `speech_file` takes them.

    Raises:
        InputError: the path has another ending or cannot be written, the speech is too long for a WAV file, or it
            cannot be signed.
    """
    path = Path(path)
    if path.suffix.lower() != ".wav":
        raise InputError(f"speech file {path}: expected a name that ends in .wav")
    try:
        wav, label = speech_file(speech, provenance, longest_bytes, signer)
    except InputError as error:
        raise InputError(f"speech file {path}: {error}") from None
    sidecar = sidecar_of(path)
    for place, content in ((path, wav), (sidecar, [label])):
        with whole_file(place) as draft, open(draft, "wb") as file:
            file.writelines(content)
    return path, sidecar


def sidecar_of(wav: Path) -> Path:
    """Returns the path of the JSON file beside a WAV file: its stem, cut where the ending would not fit, and `.json`.

    Example:
        >>> sidecar_of(Path("speech/a.wav")).as_posix()
        'speech/a.json'
    """
    return wav.with_name(fitting(wav.stem, ".json"))


def speech_file(
    speech: StreamedSpeech,
    provenance: Mapping[str, Any],
    longest_bytes: int = LONGEST_BYTES,
    signer: Signer | None = None,
) -> tuple[Iterator[bytes], bytes]:
    """Returns the bytes of a labelled WAV file, in parts, and the bytes of its sidecar.

    Args:
        speech: the samples; the file holds them at -23 LUFS, or quieter where they would clip.
        provenance: models, face, text, scores: anything that JSON can hold, and numpy scalars.
        longest_bytes: the size of samples that the file may hold; what the format allows by default.
        signer: signs the whole file, label and samples, see `vclip.marking.signature`; None does not.

    Raises:
        InputError: the speech is longer than a WAV file can hold, or it cannot be signed.
    """
    digest = hashlib.sha256()
    for pcm in speech.pcm():
        digest.update(pcm)
    # First, to be seen; and last, so that no caller can deny it.
    label = SYNTHETIC | dict(provenance) | {"audio": _audio(digest.hexdigest(), speech.sample_rate_hz)} | SYNTHETIC
    comment = json.dumps(label, default=np.generic.item)
    sidecar = json.dumps(json.loads(comment), indent=2, ensure_ascii=False) + "\n"
    wav = wav_parts(speech, SOFTWARE, comment, longest_bytes)
    return signer.sign(wav) if signer else wav, sidecar.encode()


def read_provenance(path: str | Path) -> dict[str, Any]:
    """Returns the provenance label inside a WAV file that `write_speech` wrote.

    Raises:
        InputError: the file is missing, not a WAV file, or carries no provenance.
    """
    return read_label(path).label


@dataclass(frozen=True)
class FileLabel:
    """The provenance label inside a WAV file, and what the rest of the file says."""

    label: dict[str, Any]
    audio: dict[str, Any]  # the `audio` entry that fits the samples in the file; the label's, unless it was changed
    problems: tuple[str, ...]  # where the file is not of the form in which vclip writes it


def read_label(path: str | Path) -> FileLabel:
    """Returns the provenance label inside a WAV file.

    Raises:
        InputError: the file is missing, not a WAV file, or carries no provenance.
    """
    return label_of(read_file(path), path)


def read_file(path: str | Path) -> bytes:
    """Returns the content of a speech file; raises InputError if it cannot be read or is no regular file."""
    try:
        if Path(path).exists() and not Path(path).is_file():
            found = (
                f"a folder; name the files in it, as {path}/*.wav" if Path(path).is_dir() else "not a regular file"
            )
            raise InputError(f"speech file {path}: {found}; expected a WAV by vclip")
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"speech file {path}: {reason}; expected a WAV by vclip") from None


def label_of(data: bytes, path: str | Path) -> FileLabel:
    """Returns the provenance label inside the content of a WAV file; raises InputError, which names the path."""
    try:
        wav = parse_wav(data)
        label = plain_json(wav.comment)
        if isinstance(label, dict) and "synthetic" in label:
            problems = list(wav.problems)
            if json.dumps(label).encode() != wav.comment.rstrip():
                problems.append("the provenance is not in the form in which vclip writes it")
            if not _SOFTWARE.fullmatch(wav.software):
                problems.append("it does not name vclip, with synthetic speech, as its software")
            audio = _audio(hashlib.sha256(wav.pcm).hexdigest(), wav.sample_rate_hz)
            return FileLabel(label, audio, tuple(problems))
    except (LookupError, ValueError, struct.error):
        pass
    found = "a WAV file without provenance" if data[:4] == b"RIFF" else "no WAV file"
    raise InputError(
        f"speech file {path}: found {found}, expected a WAV by vclip; it does not say whether it is synthetic"
    )


def plain_json(content: bytes) -> Any:
    """Returns the value of JSON of at most DEEPEST levels; raises ValueError for other content."""
    try:
        value = json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    level = [value]
    for _ in range(DEEPEST):
        inner = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list)]
        level = [value for values in inner for value in values]
        if not level:
            return value
    raise ValueError("nested too deeply")


def _audio(sha256: str, sample_rate_hz: int) -> dict[str, Any]:
    return {"sha256": sha256, "sample_rate_hz": sample_rate_hz}
