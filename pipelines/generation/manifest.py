"""Manifests of speech: each row is a face or a voice and a text, with options; csv, tsv, json, jsonl or parquet.

    face,text                           a photo: relative to the manifest's folder, absolute, or an address
    ann.jpg,Hello there.
    s3://photos/bob.png,"Good night, Bob."

Instead of `face`, `face_id` names a face of the store, and `voice` a kept voice: a name, or a file. Optional columns:
`id` (a name of the row, copied to the results), `language`, and for faces `voices`, `face_index` and `seed`. Any
other column is an error of its rows, so that a misspelt option is not overlooked.
"""

import difflib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.cluster.failures import Failure
from pipelines.files.addresses import WEB, is_remote, recorded, scheme_of, storable
from pipelines.files.download import local_copy
from pipelines.files.folders import existing
from pipelines.files.remote import RemoteConfig, unreadable
from pipelines.files.tables import TableRow, read_table, unusable_text
from pipelines.ingest.sources.manifest import resolved
from pipelines.voices.find import names_a_file
from pipelines.wording import none_usable
from vclip.errors import InputError
from vclip.tts.languages import primary_tag

COLUMNS = ("face", "face_id", "voice", "text", "language", "id", "voices", "face_index", "seed")
SHOWN = ("face", "face_id", "voice", "id", "text")
OF_FACES = ("voices", "face_index", "seed")  # options of the choice of voices for a face
FORMATS = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
LARGEST = 2**63 - 1  # number of an option


@dataclass(frozen=True)
class Photo:
    """A face to make voices for: one in a photo, or one of a store. At most one of `uri` and `face_id` is given."""

    uri: str = ""  # a path or an address
    face_id: str = ""
    index: int | None = None  # the face's position in the photo, from the left; None takes the largest

    def __str__(self) -> str:
        return recorded(self.uri) if self.uri else f"face_id {self.face_id}" if self.face_id else ""


@dataclass(frozen=True)
class Job:
    """One row of a manifest."""

    row: int  # number of the row, from 1, without the header
    id: str
    photo: Photo
    text: str
    language: str = ""  # primary tag of BCP 47; "" for the first language of the TTS
    voices: int = 0
    seed: int = 0
    voice: str = ""  # a kept voice, by name, path or address; it has no photo then
    failure: Failure | None = None  # why the row cannot be used

    @property
    def reason(self) -> str:
        """Why the row cannot be used; "" if it can."""
        return self.failure.reason if self.failure else ""


def read_jobs(
    manifest: str, voices: int, face_index: int | None, seed: int, config: RemoteConfig, language: str = ""
) -> list[Job]:
    """Returns the rows of a manifest.

    Args:
        manifest: its path or address.
        voices, face_index, seed: the values for rows that do not give them.
        config: how remote files are read.
        language: the language of rows that do not give one.

    Raises:
        InputError: the manifest cannot be read, or none of its rows can be used; gives the reason of the first.
    """
    name = manifest.partition("?")[0]
    if os.path.splitext(name)[1].lower() not in FORMATS:
        raise InputError(f"manifest {recorded(manifest)}: expected a name that ends in {', '.join(FORMATS)}")
    folder = os.path.dirname(name if scheme_of(manifest) in WEB else manifest)
    defaults = Job(0, "", Photo(index=face_index), "", language, voices, seed)
    try:
        with local_copy(manifest, config) as path:
            rows = read_table(path, f"manifest {recorded(manifest)}", COLUMNS)
            jobs = [_job(row, folder, defaults) for row in rows]
    except OSError as error:
        raise InputError(f"manifest {recorded(manifest)}: {unreadable(error)}") from None
    if all(job.reason for job in jobs):
        raise InputError(f"manifest {recorded(manifest)}: {none_usable(len(jobs), 'row')}; row 1: {jobs[0].reason}")
    return jobs


def _job(row: TableRow, folder: str, defaults: Job) -> Job:
    values = {name: value for name, value in row.values.items() if not _missing(value)}
    face, face_id, voice, row_id, text = (storable(_shown(values, name)) for name in SHOWN)
    try:
        if row.problem:
            raise InputError(row.problem)
        _check(values)
        index = _number(values, "face_index", 0) if "face_index" in values else defaults.photo.index
        voices = _number(values, "voices", 1) if "voices" in values else defaults.voices
        seed = _number(values, "seed", 0) if "seed" in values else defaults.seed
        language = primary_tag(str(values["language"])) if "language" in values else defaults.language
        uri = resolved(str(values["face"]), folder) if face else ""
        photo = Photo(uri if is_remote(uri) or not uri else existing(uri), face_id, None if voice else index)
        voice = resolved(voice, folder) if names_a_file(voice) else voice
        return Job(row.number, row_id, photo, text, language, voices, seed, voice)
    except InputError as error:
        failure = Failure(str(error))
    except Exception as error:
        failure = Failure.of_defect(error)
    return Job(row.number, row_id, Photo(face, face_id), text, voice=voice, failure=failure)


def _shown(values: Mapping[str, Any], name: str) -> str:
    try:
        return str(values.get(name, ""))
    except (ValueError, RecursionError):
        return "?"  # a number of thousands of digits, or a list of thousands of lists


def _check(values: Mapping[str, Any]) -> None:
    """Raises InputError where a row has an unknown column, no face or voice or two, or no text."""
    for name, value in values.items():
        wrong = unusable_text(value) if isinstance(value, str) and name not in ("face", "voice") else ""
        if wrong or (wrong := unusable_text(name)):
            raise InputError(f"{storable(name)}: {wrong}")
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            expected = f"did you mean '{near[0]}'?" if near else f"expected {', '.join(COLUMNS)}"
            raise InputError(f"unknown column '{name}'; {expected}")
    given = [name for name in ("face", "face_id", "voice") if name in values]
    if len(given) != 1:
        raise InputError(f"found {' and '.join(given) or 'no face, face_id or voice'}, expected one of the three")
    if given == ["voice"] and (wrong := [name for name in OF_FACES if name in values]):
        raise InputError(f"found {wrong[0]} beside voice; it is for a row with a face, and a kept voice is one voice")
    if not str(values.get("text", "")).strip():
        raise InputError("found an empty text, expected something to say")


def _number(values: Mapping[str, Any], name: str, least: int) -> int:
    """Returns the whole number in a column; raises InputError if it is not one, or less than `least`."""
    try:
        number = float(values[name])
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not number.is_integer() or not least <= number <= LARGEST:
        found = values[name] if isinstance(values[name], float | int) else repr(values[name])
        raise InputError(f"{name} = {str(found)[:80]}: expected a whole number, {least} or more")
    return int(number)


def _missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))
