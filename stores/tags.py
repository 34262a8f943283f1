"""Names for versions of the whole store. A tagged version stays readable, whatever is compacted and pruned.

A tag of the store is a Lance tag on each table. The one on `videos` is written last and removed first, so it decides
whether the tag exists. A call that was killed is finished by repeating it.
"""

import re
from collections.abc import Mapping

from lancedb.db import DBConnection
from lancedb.table import Table

from stores.errors import StoreError, StoreUnavailable, nearest, reason
from stores.exclusion import check_no_deletion
from stores.retry import retry
from stores.schema import PINNED

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def add(db: DBConnection, name: str, version: Mapping[str, int]) -> None:
    """Names a version (table -> version), as `Store.tag` does."""
    if not _NAME.fullmatch(name):
        raise StoreError(f"tag '{name}': expected letters, digits, '.', '_' and '-', as in 'paper-v1'")
    check_no_deletion(db, "tag add")
    if name in tags(db):
        raise StoreError(f"tag '{name}': exists already; remove it first, or take another name")
    for table in (table for table in reversed(PINNED) if table in version):  # old versions have fewer tables
        of_table = db.open_table(table).tags
        try:
            # The tag that an interrupted call left on this table is replaced.
            write = of_table.update if name in of_table.list() else of_table.create
            retry(db, "the tag", lambda write=write, table=table: write(name, version[table]))
        except StoreUnavailable:
            raise
        except (ValueError, RuntimeError) as error:
            raise StoreError(f"tag '{name}': {table} has no version {version[table]} ({reason(error)})") from None


def tags(db: DBConnection) -> dict[str, dict[str, int]]:
    """Returns name -> table -> version, sorted by name."""
    of_table = {table: _versions(db.open_table(table)) for table in PINNED}
    return {
        name: {table: found[name] for table, found in of_table.items() if name in found}
        for name in sorted(of_table["videos"])
    }


def version_of(db: DBConnection, name: str) -> dict[str, int]:
    """Returns table -> version of a tag; raises StoreError if the tag does not exist."""
    known = tags(db)
    if name not in known:
        raise StoreError(f"tag '{name}': no such tag; {nearest(name, known) if known else 'the store has none'}")
    return known[name]


def remove(db: DBConnection, name: str) -> None:
    """Removes a tag, not the version it names; raises StoreError if the tag does not exist."""
    left = {table for table in PINNED if name in db.open_table(table).tags.list()}
    if not left:
        version_of(db, name)  # raises
    for table in PINNED:
        of_table = db.open_table(table).tags
        if name in of_table.list():
            retry(db, "the tag", lambda of_table=of_table: of_table.delete(name))


def _versions(table: Table) -> dict[str, int]:
    return {name: tag["version"] for name, tag in table.tags.list().items()}
