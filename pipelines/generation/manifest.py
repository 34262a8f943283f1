"""Manifests of speech: a row is a face and a text, with options; csv, jsonl or parquet.

    face,text                           a photo: relative to the manifest's folder, absolute, or an address
    ann.jpg,Hello there.
    s3://photos/bob.png,"Good night, Bob."

`face_id` instead of `face` names a face of the store. Options, each a column: `id` (the row's own name, handed
through), `voices`, `face_index`, `seed`. Other columns are an error of the row: a misspelt option must not pass.
"""

import difflib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.files.addresses import WEB, recorded, scheme_of
from pipelines.files.download import local_copy
from pipelines.files.remote import RemoteConfig, unreadable
from pipelines.ingest.sources.manifest import read_rows, resolved
from vclip.errors import InputError

COLUMNS = ("face", "face_id", "text", "id", "voices", "face_index", "seed")
FORMATS = (".csv", ".jsonl", ".parquet")


@dataclass(frozen=True)
class Photo:
    """Which face: one of a photo, or one of a store. Exactly one of `uri` and `face_id` is given."""

    uri: str = ""  # a path or an address
    face_id: str = ""
    index: int | None = None  # which face of the photo, from the left; None takes the largest

    def __str__(self) -> str:
        return recorded(self.uri) if self.uri else f"face_id {self.face_id}"


@dataclass(frozen=True)
class Job:
    """One row. `reason` says why it cannot be done, where that is to be seen in the row itself."""

    row: int  # from 1, the header not counted
    id: str
    photo: Photo
    text: str
    voices: int = 0
    seed: int = 0
    reason: str = ""


def read_jobs(given: str, voices: int, face_index: int | None, seed: int, config: RemoteConfig) -> list[Job]:
    """Returns the rows of a manifest.

    Args:
        given: its path or address.
        voices, face_index, seed: of rows that do not say.
        config: how remote files are read.

    Raises:
        InputError: it cannot be read, or no row of it can be used; names the first.
    """
    name = given.partition("?")[0]
    if os.path.splitext(name)[1].lower() not in FORMATS:
        raise InputError(f"manifest {recorded(given)}: expected a name that ends in {', '.join(FORMATS)}")
    folder = os.path.dirname(name if scheme_of(given) in WEB else given)
    defaults = {"voices": voices, "face_index": face_index, "seed": seed}
    try:
        with local_copy(given, config) as path:
            jobs = [_job(number, row, folder, defaults) for number, row in read_rows(path, recorded(given))]
    except OSError as error:
        raise InputError(f"manifest {recorded(given)}: {unreadable(error)}") from None
    if all(job.reason for job in jobs):
        raise InputError(f"manifest {recorded(given)}: none of {len(jobs)} rows can be used; row 1: {jobs[0].reason}")
    return jobs


def _job(number: int, row: Mapping[str, Any], folder: str, defaults: Mapping[str, int | None]) -> Job:
    given = {str(name): value for name, value in row.items() if not _missing(value)}
    face, text = str(given.get("face", "")), str(given.get("text", ""))
    told = {"id": str(given.get("id", "")), "text": text}
    try:
        _check(given)
        uri = resolved(face, folder) if face else ""
        photo = Photo(uri, str(given.get("face_id", "")), _number(given, "face_index", 0, defaults["face_index"]))
        voices = _number(given, "voices", 1, defaults["voices"])
        return Job(number, photo=photo, voices=voices, seed=_number(given, "seed", 0, defaults["seed"]), **told)
    except InputError as error:
        return Job(number, photo=Photo(face, str(given.get("face_id", ""))), reason=str(error), **told)


def _check(given: Mapping[str, Any]) -> None:
    for name in given:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            raise InputError(f"unknown option '{name}'; {_meant(near)}")
    faces = [name for name in ("face", "face_id") if name in given]
    if len(faces) != 1:
        raise InputError(f"found {' and '.join(faces) or 'neither face nor face_id'}, expected one of the two")
    if not str(given.get("text", "")).strip():
        raise InputError("found an empty text, expected something to say")


def _meant(near: list[str]) -> str:
    return f"did you mean '{near[0]}'?" if near else f"expected {', '.join(COLUMNS)}"


def _number(given: Mapping[str, Any], name: str, least: int, default: int | None) -> int | None:
    if name not in given:
        return default
    try:
        number = float(given[name])
    except (TypeError, ValueError):
        number = math.nan
    if not number.is_integer() or number < least:
        raise InputError(f"{name} = {given[name]!r}: expected a whole number, {least} or more")
    return int(number)


def _missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))
