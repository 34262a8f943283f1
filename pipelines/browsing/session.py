"""What the page looks at."""

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.config import Config
from pipelines.search import Searcher
from stores import Snapshot, Store

FRESH_S = 2.0


@dataclass
class Opened:
    """One store, and perhaps an association model and speakers."""

    store: Store
    config: Config
    model_folder: Path | None = None
    speakers_folder: Path | None = None
    encoding: threading.Lock = field(default_factory=threading.Lock)  # encoders are not asked by two at once
    _searcher: Searcher | None = None
    _seen: tuple[float, Snapshot] | None = None

    def snapshot(self) -> Snapshot:
        """Returns the store's state, at most FRESH_S old: a page asks for dozens of pictures at once."""
        now, seen = time.monotonic(), self._seen
        if seen is None or now - seen[0] > FRESH_S:
            self._seen = seen = (now, self.store.snapshot())
        return seen[1]

    def changed(self) -> None:
        """Has the next `snapshot` be a new one."""
        self._seen = None

    def searcher(self) -> Searcher:
        """Returns the searcher, opened when it is first needed; raises InputError where the models do not fit."""
        with self.encoding:
            if self._searcher is None:
                from vclip.association.methods import load

                model = load(self.model_folder) if self.model_folder else None
                self._searcher = Searcher(self.store, model, self.config)
            return self._searcher
