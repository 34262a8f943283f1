"""Deterministic ids: the same content at the same place has the same id in every run, so commits can be repeated.

Only `run_id` and `edit_id` differ between calls. A run's id contains the time at which the job started, for people:
no decision rests on it.
"""

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from stores.errors import StoreError

_EDIT = "edit-"  # sorts after digits
_STAMP = "%Y%m%dT%H%M%S%f"  # 21 characters; sorts as text by time


def video_id(source: str | Path | BinaryIO) -> str:
    """Returns the id of a video: 32 hex digits, a hash of its content alone.

    Args:
        source: a local file, or a binary stream at its start (of an object store, say).

    Raises:
        OSError: the file cannot be read.
    """
    if isinstance(source, str | Path):
        with open(source, "rb") as stream:
            return video_id(stream)
    digest = hashlib.blake2b(digest_size=16)
    while chunk := source.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def tombstone(video_id: str) -> str:
    """Returns the id of a deleted video's tombstone: a one-way hash of the video's id."""
    return hashlib.blake2b(video_id.encode(), digest_size=16, person=b"vclip deleted").hexdigest()


def clip_id(video_id: str, start_s: float, box: Sequence[float]) -> str:
    """Returns the id of a clip: its video, its start (to the millisecond) and its median box (to 1/10000)."""
    return _digest(video_id, _ms(start_s), *(round(edge * 10_000) for edge in box))


def face_id(clip_id: str, time_s: float) -> str:
    """Returns the id of the crop at `time_s`; a clip has one visible person, so one face per instant."""
    return _digest(clip_id, "face", _ms(time_s))


def voice_id(clip_id: str, start_s: float, end_s: float) -> str:
    """Returns the id of a speech segment of the clip."""
    return _digest(clip_id, "voice", _ms(start_s), _ms(end_s))


def generation_id(face: str, text: str, speaker: Sequence[float], language: str = "en") -> str:
    """Returns the id of one text spoken by one speaker vector for one face, whichever files hold it.

    English is not part of the hash, so that the ids of speech made before there were languages stay.
    """
    other = () if language == "en" else (language,)
    return _digest(face, text, *(f"{value:.6g}" for value in speaker), *other)


def generated_file_id(generation_id: str, address: str) -> str:
    """Returns the id of one file of an utterance: `generation_id`, a hyphen and a hash of the file's address.

    Each copy of an utterance has its own row in `generations`, so that a deletion finds all of them.
    """
    return f"{generation_id}-{_digest(address)[:8]}"


def kept_voice_id(name: str, voice_sha256: str) -> str:
    """Returns the id of a voice that is kept under a name."""
    return f"voice-{_digest(name, voice_sha256)}"


def config_hash(config: Mapping[str, Any]) -> str:
    """Returns 16 hex digits of a JSON-like configuration; the order of its keys does not matter."""
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def run_id() -> str:
    """Returns a new id for a job: the UTC time, then 8 random hex digits."""
    return f"{datetime.now(UTC).strftime(_STAMP)}-{secrets.token_hex(4)}"


def edit_id(number: int) -> str:
    """Returns a new id for a correction by hand: "edit-", its number among the store's edits, 8 random hex digits."""
    return f"{_EDIT}{number:012d}-{secrets.token_hex(4)}"


def edit_number(edit_id: str) -> int:
    """Returns the number in an id of `edit_id`, 0 for ids of version 0.1, which start with a time."""
    number = edit_id.removeprefix(_EDIT).partition("-")[0]
    return int(number) if edit_id.startswith(_EDIT) and number.isdigit() else 0


def run_time(run_id: str) -> datetime:
    """Returns when the run began (UTC).

    Raises:
        StoreError: it is not an id that `run_id()` made.
    """
    try:
        return datetime.strptime(run_id.partition("-")[0], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        raise StoreError(f"run_id '{run_id}': expected YYYYMMDDTHHMMSSffffff-xxxxxxxx; use stores.run_id()") from None


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _digest(*parts: object) -> str:
    text = "\x1f".join(str(part) for part in parts)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
