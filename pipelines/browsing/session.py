"""The store and the models that one page shows."""

import threading
import time
from pathlib import Path

from pipelines.config import Config
from pipelines.search import Searcher
from stores import Snapshot, Store
from vclip.association.methods import load as load_association

MAX_AGE_S = 2.0  # of the snapshot that requests read: a page asks for dozens of images at once


class Session:
    """A store, optionally with an association model and speakers.

    Args:
        store: the store to show.
        config: its sections `encoders`, `extraction`, `generate` and `marks`.
        model_folder: folder of an association model.
        speakers_folder: folder made by `fit-speakers` and `distill`.
        max_age_s: age up to which requests share a snapshot of the store.
    """

    def __init__(
        self,
        store: Store,
        config: Config,
        model_folder: Path | None = None,
        speakers_folder: Path | None = None,
        max_age_s: float = MAX_AGE_S,
    ):
        self.store, self.config = store, config
        self.model_folder, self.speakers_folder = model_folder, speakers_folder
        self.encoding = threading.Lock()  # encoders serve one request at a time
        self._max_age_s = max_age_s
        self._searcher: Searcher | None = None
        self._latest: tuple[float, Snapshot] | None = None

    def snapshot(self) -> Snapshot:
        """Returns the state of the store, at most `max_age_s` old."""
        now, latest = time.monotonic(), self._latest
        if latest is None or now - latest[0] > self._max_age_s:
            self._latest = latest = (now, self.store.snapshot())
        return latest[1]

    def refresh(self) -> None:
        """Makes the next `snapshot` a new one, because the store was changed."""
        self._latest = None

    def searcher(self) -> Searcher:
        """Returns the searcher, opened at the first call; raises InputError where the model cannot be used."""
        with self.encoding:
            if self._searcher is None:
                model = load_association(self.model_folder, None) if self.model_folder else None
                self._searcher = Searcher(self.store, model, self.config)
            return self._searcher
