"""The rows of the table `generations` that a job writes for its speech files."""

import os
from collections.abc import Mapping
from typing import Any

from pipelines.files.addresses import scheme_of
from pipelines.generation.utterances import generation_row
from stores import Store
from stores.ids import generated_file_id


class Recorder:
    """Writes a row of the table `generations` for each speech file, in batches; without a store it does nothing.

    Args:
        store: the store, or None.
        run_id: the run that writes the rows.
        every: rows in one commit, at most.
    """

    def __init__(self, store: Store | None, run_id: str, every: int):
        self.summary: Mapping[str, Any] = {}  # of the job, for the store's record of the run
        self._store, self._run_id, self._every = store, run_id, every
        rows = store.query("generations", ["generation_id", "audio_uri"]).to_pylist() if store else []
        # (utterance, file) -> id of its row. Rows of version 0.1 have the utterance's id alone and keep it.
        self._row_ids = {
            (row["generation_id"].partition("-")[0], row["audio_uri"]): row["generation_id"] for row in rows
        }
        self._rows: dict[str, dict[str, Any]] = {}

    def lacks(self, generation_id: str, audio_uri: str) -> bool:
        """Returns whether there is a store that has no row of this utterance and file."""
        return self._store is not None and (generation_id, _absolute(audio_uri)) not in self._row_ids

    def add(self, record: Mapping[str, Any], audio_uri: str) -> None:
        """Adds the row of a speech file, given its provenance record and its path or address."""
        if self._store is None:
            return
        utterance, uri = record["generation_id"], _absolute(audio_uri)
        row_id = self._row_ids.setdefault((utterance, uri), generated_file_id(utterance, uri))
        self._rows[row_id] = generation_row(record, row_id, self._run_id, uri)
        if len(self._rows) >= self._every:
            self.flush()

    def flush(self) -> None:
        """Writes the rows that wait."""
        rows, self._rows = self._rows, {}
        if self._store and rows:
            self._store.add_generations(list(rows.values()))


def _absolute(audio_uri: str) -> str:
    """Returns the name of a file that does not depend on the folder in which a command runs."""
    return audio_uri if scheme_of(audio_uri) else os.path.abspath(audio_uri)
