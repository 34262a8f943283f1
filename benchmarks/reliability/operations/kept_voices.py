"""Keeping and removing voices, in a store and in a folder."""

import numpy as np

from benchmarks.reliability.operations import Operation
from benchmarks.reliability.operations.starts import made, nothing, place, state
from benchmarks.reliability.states import State, files_state
from pipelines.voices.collections import VoiceCollection, open_collection
from pipelines.voices.keep import keep
from vclip.speakers.voice import Voice


def voice() -> Voice:
    """Returns a voice as `vclip generate` chooses one, unlike every known speaker."""
    about = {"nearest_known_cosine": 0.1, "known_similarity_limit": 0.5, "seed": 1}
    return Voice(np.eye(1, 8, dtype=np.float32)[0], "resemblyzer/ge2e-256", "morph", about)


def operations(where_kept: str, folder: bool) -> list[Operation]:
    """Returns the operations on the voices of a folder, or of a store."""

    def collection(where: str) -> VoiceCollection:
        return open_collection(f"{where}/voices", None) if folder else open_collection(None, place(where))

    def keep_one(where: str) -> None:
        keep(voice(), "ann", collection(where))

    def remove_all(where: str) -> None:
        voices = collection(where)
        for kept in voices.kept():
            voices.remove(kept)

    start = nothing if folder else made

    def with_one(where: str) -> None:
        start(where)
        keep_one(where)

    def seen(where: str) -> State:
        if folder:
            return files_state(where)
        return state(where) | {f"voice/{one.voice.name}": "" for one in collection(where).kept()}

    return [
        Operation(f"voices keep, {where_kept}", start, keep_one, seen, bucket=not folder),
        Operation(f"voices remove, {where_kept}", with_one, remove_all, seen, bucket=not folder),
    ]


OPERATIONS = [*operations("store", folder=False), *operations("folder", folder=True)]
