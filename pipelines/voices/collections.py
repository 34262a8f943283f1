"""Where voices are kept: a folder with a file for each, or the table `speakers` of a store."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipelines.config import Config
from pipelines.files.folders import APPLE_DOUBLE
from pipelines.progress import warn
from stores import Store
from stores.ids import kept_voice_id
from vclip.errors import InputError
from vclip.speakers.bank import SpeakerBank
from vclip.speakers.voice import FILE, Voice, made_for, name_key


@dataclass(frozen=True)
class KeptVoice:
    """A voice, and the file or the row of a store that holds it."""

    voice: Voice
    place: str

    def to_json(self) -> dict[str, Any]:
        """Returns what identifies the voice, and what it was made for."""
        voice, about = self.voice, self.voice.provenance
        return {
            "name": voice.name,
            "tts": voice.tts,
            "space": voice.space,
            "dim": len(voice.speaker),
            "sha256": voice.sha256,
            "made_for": made_for(about) if about else "",
            "nearest_known_cosine": about.get("nearest_known_cosine"),
            "place": self.place,
        }


class VoiceCollection(Protocol):
    """Voices of different names."""

    where: str  # for messages

    def kept(self) -> list[KeptVoice]:
        """Returns all voices, sorted by name."""
        ...

    def add(self, voice: Voice) -> str:
        """Keeps a named voice and returns its place; raises InputError if another voice has the name."""
        ...

    def remove(self, kept: KeptVoice) -> None:
        """Removes a voice of this collection."""
        ...

    def known_speakers(self) -> list[SpeakerBank]:
        """Returns the known speakers that are recorded beside the voices, a bank for each space."""
        ...


class VoiceFolder:
    """The voice files of a folder. A voice has the name that its file holds, whatever the file is called."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.where = f"folder {folder}"

    def kept(self) -> list[KeptVoice]:
        """Returns the voices of the folder, sorted by name; files that cannot be used are reported on stderr.

        Raises:
            InputError: there is no such folder.
        """
        if not self.folder.is_dir():
            where = f"voices {self.folder}: no such folder"
            raise InputError(f"{where}; make it with `vclip voices keep --to {self.folder}`")
        found = []
        for path in sorted(self.folder.glob(f"*{FILE}")):
            if not path.name.startswith((".", APPLE_DOUBLE)):
                try:
                    found.append(KeptVoice(Voice.load(path), str(path)))
                except InputError as error:
                    warn(f"{error}; left out")
        return _sorted(found)

    def add(self, voice: Voice) -> str:
        """Writes the voice to NAME.safetensors, and returns the path."""
        path = self.folder / f"{voice.name}{FILE}"
        if self.folder.is_dir() and (place := _place_of(voice, self.kept())):
            return place
        if path.exists():
            raise InputError(f"voice file {path}: the file exists and holds another voice; choose another --name")
        return str(voice.save(path))

    def remove(self, kept: KeptVoice) -> None:
        """Deletes the voice's file."""
        Path(kept.place).unlink(missing_ok=True)

    def known_speakers(self) -> list[SpeakerBank]:
        """Returns none: a folder holds voices only."""
        return []


class VoiceTable:
    """The kept voices among the rows of a store's table `speakers`, which also holds the known speakers of a TTS."""

    def __init__(self, store: Store):
        self.store = store
        self.where = f"store {store.uri}"

    def kept(self) -> list[KeptVoice]:
        """Returns the kept voices of the store, sorted by name."""
        return _sorted([KeptVoice(_voice_of(row), self.where) for row in self.store.kept_voices().to_pylist()])

    def add(self, voice: Voice) -> str:
        """Writes the voice's row and returns the name of the store."""
        if not _place_of(voice, self.kept()):
            with self.store.run({"job": "voices keep"}, {}) as run:
                row = {"run_id": run.run_id, "tts": voice.tts, "space": voice.space, "vector": voice.speaker}
                about = {"name": voice.name, "provenance": voice.provenance}
                self.store.add_speakers([row | about | {"speaker_id": kept_voice_id(voice.name, voice.sha256)}])
        return self.where

    def remove(self, kept: KeptVoice) -> None:
        """Deletes the voice's row; the next compaction of the store frees its bytes."""
        self.store.remove_speakers([kept_voice_id(kept.voice.name, kept.voice.sha256)])

    def known_speakers(self) -> list[SpeakerBank]:
        """Returns the known speakers of the store's TTSs, a bank for each space."""
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in self.store.speakers().to_pylist():
            rows.setdefault(row["space"], []).append(row)
        return [_bank(space, of) for space, of in rows.items()]


def open_collection(folder: str | Path | None, store_uri: str | None) -> VoiceCollection:
    """Returns the voices of a store, or of a folder.

    Raises:
        InputError, StoreError: neither or both are named, or there is no such store.
    """
    if bool(folder) == bool(store_uri):
        found = "both a folder and --store" if store_uri else "neither a folder nor --store"
        raise InputError(f"voices: found {found}, expected one of the two, where the voices are kept")
    return VoiceTable(Store.open(store_uri)) if store_uri else VoiceFolder(folder or "")


def collections_of(config: Config, store: Store | None) -> list[VoiceCollection]:
    """Returns where a job looks up names of voices: the folder `generate.voices_from` and its store, where given."""
    folder = config.generate.voices_from
    found: list[VoiceCollection] = [VoiceFolder(folder)] if folder else []
    return [*found, VoiceTable(store)] if store else found


def _place_of(voice: Voice, kept: Sequence[KeptVoice]) -> str:
    """Returns where the voice is kept already, or ""; raises InputError if another voice has its name."""
    for other in kept:
        if name_key(other.voice.name) == name_key(voice.name):
            if other.voice.sha256 != voice.sha256:
                raise InputError(
                    f"voice '{voice.name}': {other.place} has another voice of this name; choose another --name, or "
                    f"remove that one with `vclip voices remove`"
                )
            return other.place
    return ""


def _sorted(kept: list[KeptVoice]) -> list[KeptVoice]:
    return sorted(kept, key=lambda one: (name_key(one.voice.name), one.place))


def _voice_of(row: dict[str, Any]) -> Voice:
    vector = np.asarray(row["vector"], np.float32)
    return Voice(vector, row["space"], row["tts"], json.loads(row["provenance"]), row["name"])


def _bank(space: str, rows: Sequence[dict[str, Any]]) -> SpeakerBank:
    names, genders = ([row[name] or "" for row in rows] for name in ("speaker_id", "gender"))
    vectors = np.asarray([row["vector"] for row in rows], np.float32)
    return SpeakerBank(space, np.array(names, str), vectors, np.array(genders, str), length_counts=True)
