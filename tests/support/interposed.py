"""A connection to a store on which a test chooses what happens in between: another job's commit, or a crash."""

from collections.abc import Callable
from typing import Any

from lancedb.db import DBConnection


class Interposed:
    """Behaves as the connection of a store; give it to `Store(uri, db)`.

    Example:
        `Interposed(store.db).before("videos", "merge_insert", act)` calls `act` just before the next merge into the
        ledger.
    """

    def __init__(self, db: DBConnection):
        self._db, self._acts = db, {}

    def before(self, table: str, method: str, act: Callable[[], Any], calls: int = 1) -> "Interposed":
        """Arms `act` for the `calls`-th call of a method of a table; "" is the connection itself. Once."""
        self._acts[table, method] = [calls, act]
        return self

    def open_table(self, name: str) -> "_Table":
        self.fire("", "open_table")
        self.fire(name, "open_table")
        return _Table(self, name, self._db.open_table(name))

    def __getattr__(self, name: str) -> Any:
        self.fire("", name)
        return getattr(self._db, name)

    def fire(self, table: str, method: str) -> None:
        armed = self._acts.get((table, method))
        if armed:
            armed[0] -= 1
            if not armed[0]:
                del self._acts[table, method]
                armed[1]()


class _Table:
    def __init__(self, db: Interposed, name: str, table: Any):
        self._interposed, self._name, self._table = db, name, table

    def __getattr__(self, name: str) -> Any:
        self._interposed.fire(self._name, name)
        return getattr(self._table, name)


def killed() -> None:
    """The end of a process at this point."""
    raise KeyboardInterrupt
