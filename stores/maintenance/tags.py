"""Names for versions of the whole store. A tagged version stays readable, whatever is compacted and pruned.

A tag is one of Lance's on each table, those on `videos` written last and removed first: it is the one that counts.
"""

import re
from collections.abc import Mapping

from lancedb.db import DBConnection
from lancedb.table import Table

from stores.errors import StoreError, nearest, reason
from stores.retry import retry
from stores.schema import PINNED

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def put(db: DBConnection, name: str, version: Mapping[str, int]) -> None:
    """Names a version of the store.

    Raises:
        StoreError: the name is taken, or is none; or that version is gone.
    """
    if not _NAME.fullmatch(name):
        raise StoreError(f"tag '{name}': expected letters, digits, '.', '_' and '-', as in 'paper-v1'")
    if name in listed(db):
        raise StoreError(f"tag '{name}': is there already; remove it first, or take another name")
    for table in (table for table in reversed(PINNED) if table in version):  # an older one knows fewer
        tags = db.open_table(table).tags
        try:
            # What an interrupted call has left is replaced.
            act = tags.update if name in tags.list() else tags.create
            retry("the tag", lambda act=act, table=table: act(name, version[table]))
        except (ValueError, RuntimeError) as error:
            raise StoreError(f"tag '{name}': {table} has no version {version[table]} ({reason(error)})") from None


def listed(db: DBConnection) -> dict[str, dict[str, int]]:
    """Returns name -> table -> version, in the order of the names."""
    of_table = {table: _versions(db.open_table(table)) for table in PINNED}
    return {
        name: {table: found[name] for table, found in of_table.items() if name in found}
        for name in sorted(of_table["videos"])
    }


def version_of(db: DBConnection, name: str) -> dict[str, int]:
    """Returns table -> version of a tag; raises StoreError if there is none."""
    known = listed(db)
    if name not in known:
        raise StoreError(f"tag '{name}': no such tag; {nearest(name, known) if known else 'the store has none'}")
    return known[name]


def remove(db: DBConnection, name: str) -> None:
    """Removes a tag, not what it names; raises StoreError if there is none."""
    if name not in (known := listed(db)):
        raise StoreError(f"tag '{name}': no such tag; {nearest(name, known) if known else 'the store has none'}")
    for table in PINNED:
        tags = db.open_table(table).tags
        if name in tags.list():
            retry("the tag", lambda tags=tags: tags.delete(name))


def _versions(table: Table) -> dict[str, int]:
    return {name: tag["version"] for name, tag in table.tags.list().items()}
