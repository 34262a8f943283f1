"""The files of a store, whatever they are, as bytes: in a folder, or as objects below a prefix."""

import os
from collections.abc import Iterator

import obstore
from obstore.store import from_url

from stores.connection import local_path, plain_http
from stores.errors import StoreError, reason

_PIECE = 8 << 20


def names(uri: str) -> list[str]:
    """Returns the names of all files below the store, relative to it, sorted; those that no version names as well.

    Raises:
        StoreError: the object store cannot be reached.
    """
    root = local_path(uri)
    if root is not None:
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    try:
        return sorted(entry["path"] for page in obstore.list(_opened(uri)) for entry in page)
    except (OSError, ValueError, obstore.exceptions.BaseError) as error:
        raise StoreError(f"store {uri}: cannot be listed ({reason(error)})") from None


def pieces(uri: str, name: str) -> Iterator[bytes]:
    """Yields the bytes of a file in pieces of some megabytes; nothing if it has gone."""
    root = local_path(uri)
    try:
        if root is None:
            yield from (bytes(piece) for piece in obstore.get(_opened(uri), name).stream(min_chunk_size=_PIECE))
            return
        with open(os.path.join(root, name), "rb") as file:
            while piece := file.read(_PIECE):
                yield piece
    except FileNotFoundError:
        return


def _opened(uri: str) -> "obstore.store.ObjectStore":
    client = {"allow_http": True} if plain_http() else {}
    return from_url(uri, client_options=client)
