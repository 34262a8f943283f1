"""The values that the columns of clips have, counted once for each version of the store."""

import threading
from collections import Counter

from stores import Snapshot

SHOWN = 200


class Values:
    """Counts when asked."""

    def __init__(self) -> None:
        self._version: dict[str, int] = {}
        self._counted: dict[str, Counter] = {}
        self._lock = threading.Lock()

    def of(self, snapshot: Snapshot, column: str) -> list[tuple[str, int]]:
        """Returns the commonest values of a column of text and how many clips have them; unknown ones are "?"."""
        with self._lock:
            if snapshot.version != self._version:
                self._version, self._counted = snapshot.version, {}
            if column not in self._counted:
                counts: Counter = Counter()
                for batch in snapshot.batches("clips", [column]):
                    for entry in batch[column].value_counts().to_pylist():
                        counts[entry["values"] or "?"] += entry["counts"]
                self._counted[column] = counts
            return self._counted[column].most_common(SHOWN)
