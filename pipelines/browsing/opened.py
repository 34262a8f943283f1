"""What the page looks at."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.config import Config
from pipelines.searching import Searcher
from stores import Store


@dataclass
class Opened:
    """One store, and perhaps an association model and speakers."""

    store: Store
    config: Config
    model_folder: Path | None = None
    speakers_folder: Path | None = None
    encoding: threading.Lock = field(default_factory=threading.Lock)  # encoders are not asked by two at once
    _searcher: Searcher | None = None

    def searcher(self) -> Searcher:
        """Returns the searcher, opened when it is first needed; raises InputError where the models do not fit."""
        with self.encoding:
            if self._searcher is None:
                from vclip.association.methods import load

                model = load(self.model_folder) if self.model_folder else None
                self._searcher = Searcher(self.store, model, self.config)
            return self._searcher
