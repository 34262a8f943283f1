"""Search the files of a store for given bytes: in visible rows, in old versions, and in files that no version names.

Lance stores media, vectors and most ids as they are, so these are found in the raw bytes. It may compress text that
repeats; so the text columns of the data files are decoded as well, deleted rows included.
"""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import obstore
import pyarrow as pa
from lance.file import LanceFileReader
from lancedb.db import DBConnection
from obstore.store import from_url

from stores.arrow import compute
from stores.connection import local_path, plain_http
from stores.errors import StoreError, reason

PROBE = 12  # bytes from the middle of a needle (files of one kind begin alike) by which it is looked up
_PIECE = 8 << 20  # bytes read at a time
_WORD = re.compile(r"[0-9A-Za-z_-]+")


@dataclass(frozen=True)
class Needles:
    """What to search for."""

    blobs: Mapping[str, Collection[bytes]]  # kind -> media or vectors; those shorter than PROBE are ignored
    ids: Collection[str]  # anywhere, also within a text
    names: Collection[str]  # of files and people: whole values of a text column, for one may begin another


@dataclass(frozen=True)
class ByteScan:
    """The result of a search."""

    found: dict[str, dict[str, int]]  # kind (of `blobs`, `ids`, `names`) -> file -> number of needles; none that is 0
    searched_bytes: int  # size of the files that were searched
    skipped_bytes: int  # size of the others


def scan(db: DBConnection, uri: str, needles: Needles, skip: Collection[str] = ()) -> ByteScan:
    """Returns where in the files of a store the needles are.

    Args:
        db, uri: the store.
        needles: what to search for.
        skip: names of files, relative to the store, that are not searched.

    Raises:
        StoreError: the object store cannot be reached.
    """
    kind_of = {blob: kind for kind, blobs in needles.blobs.items() for blob in blobs if len(blob) >= PROBE}
    kind_of |= {name.encode(): "ids" for name in needles.ids if len(name.encode()) >= PROBE}
    ids, names = set(needles.ids), set(needles.names)
    found: dict[str, dict[str, int]] = {}
    sizes = _file_sizes(uri)
    for name in sorted(sizes.keys() - set(skip)):
        hits = {(kind_of[blob], blob) for blob in occurring(_pieces(uri, name), kind_of)} if kind_of else set()
        if "/data/" in name and name.endswith(".lance") and (ids or names):
            for text in _texts_of(db, uri, name):
                hits |= {("ids", word.encode()) for word in ids.intersection(_WORD.findall(text))}
                hits |= {("names", text.encode())} if text in names else set()
        for kind, count in Counter(kind for kind, _ in hits).items():
            found.setdefault(kind, {})[name] = count
    skipped = sum(size for name, size in sizes.items() if name in skip)
    return ByteScan(found, sum(sizes.values()) - skipped, skipped)


def occurring(pieces: Iterable[bytes], needles: Iterable[bytes]) -> set[bytes]:
    """Returns the needles that occur in a stream of bytes, which is read once however many needles there are.

    Args:
        pieces: the stream, in pieces of any size.
        needles: each of PROBE bytes or more.
    """
    index = _Index(needles)
    found: set[bytes] = set()
    rest = b""
    for piece in pieces:
        window = rest + piece
        found |= index.within(window)
        rest = window[-(index.longest - 1) :]
    return found


class _Index:
    """Needles by PROBE bytes from their middle; the first six of these rule out nearly all positions."""

    def __init__(self, needles: Iterable[bytes]):
        self._of_probe: dict[bytes, list[tuple[int, bytes]]] = {}
        for needle in needles:
            middle = (len(needle) - PROBE) // 2
            self._of_probe.setdefault(needle[middle : middle + PROBE], []).append((middle, needle))
        self.longest = max((len(needle) for group in self._of_probe.values() for _, needle in group), default=PROBE)
        self._pairs = [np.zeros(1 << 16, bool) for _ in range(3)]
        for probe in self._of_probe:
            for place, known in enumerate(self._pairs):
                known[probe[2 * place] + 256 * probe[2 * place + 1]] = True

    def within(self, data: bytes) -> set[bytes]:
        """Returns the needles that occur in `data`."""
        if len(data) < PROBE or not self._of_probe:
            return set()
        raw = np.frombuffer(data, np.uint8)
        both = raw[:-1].astype(np.uint16) | (raw[1:].astype(np.uint16) << 8)
        places = np.flatnonzero(self._pairs[0][both[: len(raw) - PROBE + 1]])
        for shift, known in ((2, self._pairs[1]), (4, self._pairs[2])):
            places = places[known[both[places + shift]]]
        found = set()
        for place in places.tolist():
            for middle, needle in self._of_probe.get(data[place : place + PROBE], ()):
                if place >= middle and data.startswith(needle, place - middle):
                    found.add(needle)
        return found


def _file_sizes(uri: str) -> dict[str, int]:
    """All files below the store, relative to it, with their sizes in bytes; also those that no version names."""
    root = local_path(uri)
    if root is not None:
        return {str(path.relative_to(root)): path.stat().st_size for path in root.rglob("*") if path.is_file()}
    try:
        return {entry["path"]: entry["size"] for page in obstore.list(_object_store(uri)) for entry in page}
    except (OSError, ValueError, obstore.exceptions.BaseError) as error:
        raise StoreError(f"store {uri}: cannot be listed ({reason(error)})") from None


def _pieces(uri: str, name: str) -> Iterator[bytes]:
    """The bytes of a file in pieces; nothing if it was removed meanwhile."""
    root = local_path(uri)
    try:
        if root is None:
            yield from (bytes(piece) for piece in obstore.get(_object_store(uri), name).stream(min_chunk_size=_PIECE))
            return
        with open(os.path.join(root, name), "rb") as file:
            while piece := file.read(_PIECE):
                yield piece
    except FileNotFoundError:
        return


def _object_store(uri: str) -> "obstore.store.ObjectStore":
    return from_url(uri, client_options={"allow_http": True} if plain_http() else {})


def _texts_of(db: DBConnection, uri: str, name: str) -> Iterator[str]:
    """The texts of a data file, deleted rows included; each once in a batch of rows."""
    table, root = name.partition(".lance/")[0], local_path(uri)
    path = f"{uri.rstrip('/')}/{name}" if root is None else str(root.absolute() / name)
    options = db.open_table(table).to_lance().latest_storage_options()
    try:
        schema = LanceFileReader(path, storage_options=options).metadata().schema
        columns = [column.name for column in schema if _is_text(column.type)]
        if not columns:
            return
        reader = LanceFileReader(path, columns=columns, storage_options=options)
        for batch in reader.read_all(batch_size=1 << 14).to_batches():
            for column in batch.columns:
                yield from filter(None, compute.unique(_flat(column)).to_pylist())
    except (OSError, ValueError, RuntimeError):
        return  # half of a file, left by a writer that died; its raw bytes were searched


def _flat(column: pa.Array) -> pa.Array:
    return compute.list_flatten(column).field("uri") if pa.types.is_list(column.type) else column


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or (pa.types.is_list(kind) and pa.types.is_struct(kind.value_type))
