"""Recognise, create and open the store at a URI. A failure writes nothing.

`lancedb.connect` creates the folder that it is given, so a local path is checked before the connection.

A store in a bucket (`s3://bucket/folder`) reads its account and service from the environment: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL; storage options override them.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import lancedb
import pyarrow as pa
from lancedb.db import DBConnection

from stores import schema as schemas
from stores.errors import StoreError, reason
from stores.maintenance import migrations
from stores.schema import EMBEDDED, TABLES, Spaces

Options = Mapping[str, str] | None  # LanceDB's storage options: credentials, region, endpoint


def connect(uri: str, options: Options = None) -> DBConnection:
    """Returns a connection to the store at `uri`, of any schema version.

    Raises:
        StoreError: there is no store; the message says what was found instead.
    """
    path = local_path(uri)
    if path is not None:
        _check_folder(uri, path)
    db, tables = _connect(uri, options)
    if not tables:
        raise StoreError(
            f"store {uri}: nothing there, expected a vclip store; `vclip ingest` and `vclip import` create one"
        )
    if not _finished(uri, db, tables) or schemas.version_of(_schema(uri, db, "videos")) is None:
        if _ours(uri, db, tables):
            raise StoreError(
                f"store {uri}: found one whose creation was interrupted; run the ingest again to finish it"
            )
        raise StoreError(
            f"store {uri}: found a LanceDB with the tables {', '.join(sorted(tables)[:4])}, expected a vclip store; "
            "give another folder"
        )
    return db


def open_current(uri: str, spaces: Spaces | None = None, options: Options = None) -> DBConnection:
    """Returns a connection to the store at `uri`, which must hold `spaces` if they are given.

    Raises:
        StoreError: there is no store, its schema has another version, or it holds other spaces.
    """
    db = connect(uri, options)
    migrations.check(uri, schemas.version_of(_schema(uri, db, "videos")))
    if missing := sorted(set(TABLES) - set(_tables(db))):
        raise StoreError(f"store {uri}: the table {missing[0]} is missing; restore the folder or make a new store")
    for table, wanted in (spaces or {}).items():
        found = schemas.spaces_of(_schema(uri, db, table))
        for space, dim in wanted.items():
            if found.get(space) != dim:
                raise StoreError(
                    f"store {uri}: {table} hold vectors of {_named(found)}, asked for {_named({space: dim})}; "
                    "use the encoders that the store was made with, or another store"
                )
    return db


def create(
    uri: str, spaces: Spaces, options: Options = None, encoders: Mapping[str, str] | None = None
) -> DBConnection:
    """Creates a store at `uri` for `spaces`, or finishes an interrupted creation, and returns a connection.

    `encoders` maps space -> the spec that opens its encoder, which the store records.

    Raises:
        StoreError: the folder holds something else, or the spaces cannot be stored.
    """
    if not all(spaces.get(table) for table in EMBEDDED) or set(spaces) - set(EMBEDDED):
        raise StoreError(
            f"spaces for {', '.join(spaces) or 'nothing'}: expected at least one each for faces and voices"
        )
    wanted = {table: schemas.schema(table, spaces.get(table), encoders) for table in TABLES}
    path = local_path(uri)
    if path is not None and path.exists() and (not path.is_dir() or any(_strangers(path))):
        raise StoreError(
            f"store {uri}: {_what(path)} is in the way, expected a new or empty folder; give another one"
        )
    db, tables = _connect(uri, options)
    if _finished(uri, db, tables) or (tables and not _ours(uri, db, tables)):
        raise StoreError(
            f"store {uri}: found a LanceDB with the table {min(tables)}, expected nothing; open it instead"
        )
    for table in reversed(TABLES):  # `videos` last: it makes the folder a store
        found = _schema_if_made(uri, db, table) if table in tables else None
        if found and not found.equals(wanted[table]):
            raise StoreError(
                f"store {uri}: an interrupted creation used other spaces; remove the folder and run again"
            )
        if not found:
            _create_table(uri, db, table, wanted[table])
    return db


def exists(uri: str, options: Options = None) -> bool:
    """Returns whether a complete store is at `uri`, as `Store.exists` does."""
    path = local_path(uri)
    if path is not None and (not path.exists() or (path.is_dir() and not any(path.iterdir()))):
        return False
    if path is not None:
        _check_folder(uri, path)
    db, tables = _connect(uri, options)
    if _finished(uri, db, tables) or (tables and not _ours(uri, db, tables)):
        connect(uri, options)
        return True
    return False


def local_path(uri: str) -> Path | None:
    """Returns the folder that `uri` names, or None for an object store."""
    if uri.startswith("file://"):
        return Path(uri.removeprefix("file://"))
    return None if "://" in uri else Path(uri).expanduser()


def plain_http() -> bool:
    """Returns whether the environment names an object store without TLS, which libraries refuse by default."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    return endpoint.startswith("http://")


def _connect(uri: str, options: Options) -> tuple[DBConnection, set[str]]:
    path = local_path(uri)
    try:
        # An absolute path: the connection must not depend on the working folder of a worker that it is sent to.
        storage = ({"allow_http": "true"} if path is None and plain_http() else {}) | dict(options or {})
        db = lancedb.connect(uri if path is None else str(path.absolute()), storage_options=storage or None)
        return db, set(_tables(db))
    except (ValueError, RuntimeError, OSError) as error:
        raise StoreError(f"store {uri}: cannot be reached ({reason(error)}); expected a folder or s3://...") from None


def _create_table(uri: str, db: DBConnection, table: str, schema: pa.Schema) -> None:
    try:
        db.create_table(table, schema=schema)
    except (ValueError, RuntimeError) as error:
        # Another job creates the same store at this moment: the table is there, or its creation is a conflict.
        if table not in _tables(db) or not _schema(uri, db, table).equals(schema):
            raise StoreError(f"store {uri}: the table {table} cannot be created ({reason(error)})") from None


def _tables(db: DBConnection) -> Sequence[str]:
    names, token = [], None
    while True:
        page = db.list_tables(page_token=token, limit=100)
        names += page.tables
        token = page.page_token
        if not token:
            return names


def _schema(uri: str, db: DBConnection, table: str) -> pa.Schema:
    try:
        return db.open_table(table).schema
    except (ValueError, RuntimeError) as error:
        raise StoreError(
            f"store {uri}: the table {table} is damaged ({reason(error)}), expected a vclip store"
        ) from None


def _schema_if_made(uri: str, db: DBConnection, table: str) -> pa.Schema | None:
    """Returns the schema, or None for a bare folder, whose creation was killed or is under way."""
    try:
        return db.open_table(table).schema
    except (ValueError, RuntimeError) as error:
        if "was not found" in str(error):
            return None
        return _schema(uri, db, table)


def _finished(uri: str, db: DBConnection, tables: set[str]) -> bool:
    return "videos" in tables and _schema_if_made(uri, db, "videos") is not None


def _ours(uri: str, db: DBConnection, tables: set[str]) -> bool:
    schemata = [_schema_if_made(uri, db, table) for table in tables]
    return tables <= set(TABLES) and all(found is None or schemas.version_of(found) for found in schemata)


def _check_folder(uri: str, path: Path) -> None:
    if not path.exists():
        raise StoreError(
            f"store {uri}: no such folder, expected a vclip store; `vclip ingest` and `vclip import` create one"
        )
    if not path.is_dir() or not any(path.glob("*.lance")):
        raise StoreError(f"store {uri}: found {_what(path)}, expected a vclip store or a new folder for one")


def _strangers(path: Path) -> list[Path]:
    return [entry for entry in path.iterdir() if entry.suffix != ".lance"]


def _what(path: Path) -> str:
    if not path.is_dir():
        return "a file"
    names = sorted(entry.name for entry in path.iterdir())
    return f"a folder with {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}" if names else "an empty folder"


def _named(spaces: Mapping[str, int]) -> str:
    return ", ".join(f"'{space}' ({dim}-d)" for space, dim in spaces.items()) or "no space"
