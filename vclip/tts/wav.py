"""Speech files that say what they are: 16-bit mono WAV, with its provenance inside it and in a JSON file beside it.

`x.wav` carries a RIFF INFO list (ISFT the program, ICMT the provenance as JSON), `x.json` the same provenance. Both
hold `"synthetic": true` and the hash of the samples, by which `verify` tells whether they still belong together.
Loudness is EBU R 128's -23 LUFS (`loudness`). A file is written in parts, as long as it may be (`spool`).
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

import vclip
from vclip.errors import InputError
from vclip.tts.streaming_wav import Spool

_SYNTHETIC = {"synthetic": True}
LONGEST_BYTES = (4 << 30) - (1 << 20)  # of samples; sizes in the file have 32 bits
SOFTWARE = f"vclip {vclip.__version__} (synthetic speech)"


def write_speech(path: str | Path, speech: Spool, provenance: Mapping[str, Any]) -> tuple[Path, Path]:
    """Returns the paths of the WAV file and its sidecar, both written whole or not at all, the sidecar last.

    Args:
        path: ends in `.wav`; missing folders are made.
        speech, provenance: as `speech_file` takes them.

    Raises:
        InputError: the path has another ending or cannot be written, or the speech is too long for a WAV file.
    """
    path = Path(path)
    if path.suffix.lower() != ".wav":
        raise InputError(f"speech file {path}: expected a name that ends in .wav")
    try:
        wav, said = speech_file(speech, provenance)
    except InputError as error:
        raise InputError(f"speech file {path}: {error}") from None
    sidecar = path.with_suffix(".json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(path, wav)
        _write_whole(sidecar, [said])
    except OSError as error:
        raise InputError(f"speech file {path}: cannot be written ({error.strerror or error})") from None
    return path, sidecar


def speech_file(speech: Spool, provenance: Mapping[str, Any]) -> tuple[Iterator[bytes], bytes]:
    """Returns what a WAV file, in parts, and its sidecar hold.

    Args:
        speech: what was spoken; the file has it at -23 LUFS, or quieter where it would clip.
        provenance: models, face, text, scores: what JSON can hold, and numpy scalars.

    Raises:
        InputError: the speech is longer than a WAV file can hold.
    """
    size = 2 * speech.samples
    if size > LONGEST_BYTES:
        raise InputError(f"{speech.seconds / 3600:.1f} h of speech are more than a WAV file holds; divide the text")
    digest = hashlib.sha256()
    for pcm in _pcm(speech):
        digest.update(pcm)
    # First, to be seen; and last, so that no caller can deny it.
    said = _SYNTHETIC | dict(provenance) | {"audio": _mark(digest, speech.sample_rate_hz)} | _SYNTHETIC
    comment = json.dumps(said, default=np.generic.item)
    sidecar = json.dumps(json.loads(comment), indent=2, ensure_ascii=False) + "\n"
    return chain([_head(size, speech.sample_rate_hz, comment)], _pcm(speech)), sidecar.encode()


def _pcm(speech: Spool) -> Iterator[bytes]:
    return (np.rint(chunk * 32767).astype("<i2").tobytes() for chunk in speech.chunks())


def audio_mark(pcm: bytes, sample_rate_hz: int) -> dict[str, Any]:
    """Returns what provenance says of the samples that it belongs to: their hash and their rate."""
    return _mark(hashlib.sha256(pcm), sample_rate_hz)


def _mark(digest: "hashlib._Hash", sample_rate_hz: int) -> dict[str, Any]:
    return {"sha256": digest.hexdigest(), "sample_rate_hz": sample_rate_hz}


def read_provenance(path: str | Path) -> dict[str, Any]:
    """Returns the provenance inside a WAV file that `write_speech` made.

    Raises:
        InputError: the file is missing, not a WAV file, or carries no provenance.
    """
    return read_speech(path)[0]


def read_speech(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the provenance inside a WAV file, and the `audio_mark` of the samples that are really in it.

    Raises:
        InputError: as `read_provenance`.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"speech file {path}: {error.strerror or error}; expected a WAV by vclip") from None
    try:
        # Of lists there may be several; the others of other programs.
        chunks = {name: body for name, body in _chunks(data[12:]) if name != b"LIST" or body[:4] == b"INFO"}
        said = json.loads(dict(_chunks(chunks[b"LIST"][4:]))[b"ICMT"].rstrip(b"\0"))
        mark = audio_mark(chunks[b"data"], struct.unpack_from("<I", chunks[b"fmt "], 4)[0])
    except (KeyError, ValueError, struct.error):
        said = None
    if data[:4] != b"RIFF" or not isinstance(said, dict) or "synthetic" not in said:
        found = "a WAV file without provenance" if data[:4] == b"RIFF" else "no WAV file"
        raise InputError(
            f"speech file {path}: found {found}, expected a WAV by vclip; it does not say whether it is synthetic"
        )
    return said, mark


def _head(size: int, sample_rate_hz: int, comment: str) -> bytes:
    """Returns all that stands before so many bytes of samples."""
    info = b"INFO" + _chunk(b"ISFT", SOFTWARE.encode() + b"\0") + _chunk(b"ICMT", comment.encode() + b"\0")
    # PCM, one channel, samples and bytes a second, bytes and bits a sample.
    kind = struct.pack("<HHIIHH", 1, 1, sample_rate_hz, 2 * sample_rate_hz, 2, 16)
    before = b"WAVE" + _chunk(b"fmt ", kind) + _chunk(b"LIST", info) + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", len(before) + size) + before


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        yield name, data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _write_whole(path: Path, parts: Iterable[bytes]) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(partial, "wb") as file:
            file.writelines(parts)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
