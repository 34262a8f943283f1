"""A process that dies at one of the calls by which it changes anything: tables, tags, indices, files."""

import os
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self
from unittest import mock

import lance
import lancedb.db
import lancedb.merge
import lancedb.table
from lance import optimize

CALLS = (
    (lancedb.table.LanceTable, ("add", "delete", "update", "create_index", "drop_index")),
    (lancedb.table.LanceTable, ("add_columns", "drop_columns")),
    (lancedb.table.Tags, ("create", "update", "delete")),
    (lancedb.merge.LanceMergeInsertBuilder, ("execute",)),
    (lancedb.db.LanceDBConnection, ("create_table", "drop_table")),
    (lance.LanceDataset, ("delete", "update_config", "cleanup_old_versions", "add_columns", "drop_columns")),
    (optimize.Compaction, ("commit",)),
    (os, ("replace", "unlink", "rmdir")),
    (Path, ("unlink", "rename")),
)


class Killed(BaseException):
    """The end of the process."""


class Dying:
    """Within its `with` block, the `at`-th changing call, and each one after it, raises Killed instead.

    Args:
        at: the number of the call, from 1; None counts the calls and lets all of them through.
        error: raised instead of Killed; then only the `at`-th call fails, and the process goes on.
        after: a call and how many of them go through; the next of them is the last call of the process.
    """

    def __init__(self, at: int | None = None, error: Exception | None = None, after: tuple[str, int] | None = None):
        self.calls: Counter[str] = Counter()
        self._at, self._error, self._after = at, error, after
        self._stack = ExitStack()

    @property
    def count(self) -> int:
        """The number of changing calls so far."""
        return self.calls.total()

    def __enter__(self) -> Self:
        for owner, names in CALLS:
            for name in names:
                self._stack.enter_context(mock.patch.object(owner, name, self._counted(owner, name)))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _counted(self, owner: Any, name: str) -> Any:
        real = owner.__dict__[name]
        static = isinstance(real, staticmethod)
        function = real.__func__ if static else real

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls[f"{owner.__name__}.{name}"] += 1
            if self._after and self.calls[self._after[0]] > self._after[1]:
                raise Killed
            if self._at is not None and self._error is None and self.count >= self._at:
                raise Killed
            if self._error is not None and self.count == self._at:
                raise self._error
            return function(*args, **kwargs)

        return staticmethod(counted) if static else counted
