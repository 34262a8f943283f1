"""Utterances as rows of a store's table `generations`, a batch at a time, those of an interrupted run included."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipelines.config import Config
from pipelines.generation.speaking import Fate, Recipe, files_of
from pipelines.generation.utterances import Spoken, Utterance, store_row
from stores import Store


class Recorder:
    """Collects what was spoken; without a store it does nothing."""

    def __init__(self, store: Store | None, recipe: Recipe, space: str, every: int):
        self.run_id = ""
        self.summary: Mapping[str, Any] = {}  # for the store's record of the run
        self._store, self._recipe, self._space, self._every = store, recipe, space, every
        names = store.query("generations", ["generation_id", "audio_uri"]).to_pylist() if store else []
        self._known = {(row["generation_id"], row["audio_uri"]) for row in names}
        self._rows: list[dict[str, Any]] = []

    def add(self, utterance: Utterance, fate: Fate, new: bool) -> None:
        """Takes an utterance; one that is not new only if the store lacks its row."""
        if self._store is None or not isinstance(fate, Spoken):
            return
        wav = self._recipe.output.address(files_of(utterance)[0])
        if new or (utterance.generation_id, wav) not in self._known:
            said = self._recipe.provenance(utterance, fate)
            self._rows.append(store_row(said, self.run_id, self._space, wav))
        if len(self._rows) >= self._every:
            self.flush()

    def flush(self) -> None:
        """Writes the rows that wait."""
        if self._store:
            self._store.add_generations(self._rows)
        self._rows = []


@contextmanager
def recording(
    store: Store | None, command: Mapping[str, Any], config: Config, recipe: Recipe, space: str
) -> Iterator[Recorder]:
    """Gives a recorder whose run the store has on record.

    Args:
        store: may be None.
        command: what the job is.
        config: resolved.
        recipe: what the utterances have in common.
        space: of the speaker vectors.

    Raises:
        StoreUnavailable: the store cannot be written now; a second run writes what it lacks.
    """
    recorder = Recorder(store, recipe, space, config.batch.record_every)
    if store is None:
        yield recorder
        return
    with store.run(command, config.model_dump()) as run:
        recorder.run_id = run.run_id
        yield recorder
        run.summary = dict(recorder.summary)
