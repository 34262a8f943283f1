"""Search the files of a store for given bytes: in visible rows, in old versions, and in files that no version names.

What is searched for is given by fingerprints, so that the search can be repeated when the bytes themselves are gone.
Lance stores media, vectors and most ids as they are, so these are found in the raw bytes. It may compress text that
repeats; so the text columns of the data files are decoded as well, deleted rows included.
"""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
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

PROBE = 12  # bytes from within a needle by which it is looked up
_PIECE = 8 << 20  # bytes read at a time
_WORD = re.compile(r"[0-9A-Za-z_-]+")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Enough of a sequence of bytes to find it again: a few of its bytes, its length and its hash."""

    probe: bytes  # PROBE of its bytes
    at: int  # position of the probe in it
    length: int
    digest: bytes  # blake2b of all of it, 16 bytes

    def to_json(self) -> list[str | int]:
        """Returns the fields as values of JSON."""
        return [self.probe.hex(), self.at, self.length, self.digest.hex()]

    @classmethod
    def of_json(cls, fields: list) -> "Fingerprint":
        """Returns the fingerprint that `to_json` wrote."""
        probe, at, length, digest = fields
        return cls(bytes.fromhex(probe), at, length, bytes.fromhex(digest))

    @property
    def is_distinct(self) -> bool:
        """Whether it can tell its sequence from others: one of zeros occurs in every file."""
        return len(set(self.probe)) > 2


def fingerprint(content: bytes) -> Fingerprint:
    """Returns the fingerprint of a sequence of at least PROBE bytes.

    The probe is the most varied of a few parts inside: files of one kind begin alike, and padding is everywhere.
    """
    last = len(content) - PROBE
    at = max(
        (last // 2, last // 3, 2 * last // 3, last // 5, last), key=lambda at: len(set(content[at : at + PROBE]))
    )
    return Fingerprint(content[at : at + PROBE], at, len(content), _digest(content))


@dataclass(frozen=True)
class Needles:
    """What to search for."""

    blobs: Mapping[str, Collection[Fingerprint]]  # kind -> media or vectors
    ids: Collection[str]  # anywhere, also within a text
    names: Collection[str]  # of files and people: whole values of a text column, for one may begin another


@dataclass(frozen=True)
class ByteScan:
    """The result of a search."""

    found: dict[str, dict[str, int]]  # kind (of `blobs`, `ids`, `names`) -> file -> number of needles; none that is 0
    searched_bytes: int  # size of the files that were searched
    skipped_bytes: int  # size of the others

    def joined(self, other: "ByteScan") -> "ByteScan":
        """Returns the result of both searches, of different files."""
        found = {
            kind: {**self.found.get(kind, {}), **other.found.get(kind, {})} for kind in {**self.found, **other.found}
        }
        searched = self.searched_bytes + other.searched_bytes
        return ByteScan(found, searched, self.skipped_bytes + other.skipped_bytes)


def scan(
    db: DBConnection,
    uri: str,
    needles: Needles,
    skip: Collection[str] = (),
    among: Callable[[str], bool] = lambda name: True,
) -> ByteScan:
    """Returns where in the files of a store the needles are.

    Args:
        db, uri: the store.
        needles: what to search for.
        skip: names of files, relative to the store, that are not searched.
        among: takes the name of a file, and returns whether it is searched or skipped at all.

    Raises:
        StoreError: the object store cannot be reached.
    """
    ids, names = set(needles.ids), set(needles.names)
    id_of = {fingerprint(name.encode()): name for name in ids if len(name.encode()) >= PROBE}
    kind_of = {blob: kind for kind, blobs in needles.blobs.items() for blob in blobs} | dict.fromkeys(id_of, "ids")
    found: dict[str, dict[str, int]] = {}
    sizes = {name: size for name, size in _file_sizes(uri).items() if among(name)}
    for name in sorted(sizes.keys() - set(skip)):
        hits = {(kind_of[blob], id_of.get(blob, blob)) for blob in occurring(_pieces(uri, name), kind_of)}
        if "/data/" in name and name.endswith(".lance") and (ids or names):
            for text in _texts_of(db, uri, name):
                hits |= {("ids", word) for word in ids.intersection(_WORD.findall(text))}
                hits |= {("names", name) for name in names.intersection(_values_of(text))}
        for kind, count in Counter(kind for kind, _ in hits).items():
            found.setdefault(kind, {})[name] = count
    skipped = sum(size for name, size in sizes.items() if name in skip)
    return ByteScan(found, sum(sizes.values()) - skipped, skipped)


def occurring(pieces: Iterable[bytes], needles: Iterable[Fingerprint]) -> set[Fingerprint]:
    """Returns the needles that occur in a stream of bytes, which is read once however many needles there are.

    Args:
        pieces: the stream, in pieces of any size.
        needles: fingerprints of what to look for.
    """
    index = _Index(needles)
    found: set[Fingerprint] = set()
    rest = b""
    for piece in pieces:
        window = rest + piece
        found |= index.within(window)
        rest = window[-(index.longest - 1) :]
    return found


class _Index:
    """Needles by their probes; the first six bytes of these rule out nearly all positions."""

    def __init__(self, needles: Iterable[Fingerprint]):
        self._of_probe: dict[bytes, list[Fingerprint]] = {}
        for needle in needles:
            self._of_probe.setdefault(needle.probe, []).append(needle)
        self.longest = max((needle.length for group in self._of_probe.values() for needle in group), default=PROBE)
        self._pairs = [np.zeros(1 << 16, bool) for _ in range(3)]
        for probe in self._of_probe:
            for place, known in enumerate(self._pairs):
                known[probe[2 * place] + 256 * probe[2 * place + 1]] = True

    def within(self, data: bytes) -> set[Fingerprint]:
        """Returns the needles that occur in `data`."""
        if len(data) < PROBE or not self._of_probe:
            return set()
        raw = np.frombuffer(data, np.uint8)
        both = raw[:-1].astype(np.uint16) | (raw[1:].astype(np.uint16) << 8)
        places = np.flatnonzero(self._pairs[0][both[: len(raw) - PROBE + 1]])
        for shift, known in ((2, self._pairs[1]), (4, self._pairs[2])):
            places = places[known[both[places + shift]]]
        found: set[Fingerprint] = set()
        for place in places.tolist():
            for needle in self._of_probe.get(data[place : place + PROBE], ()):
                start = place - needle.at
                end = start + needle.length
                known = needle in found or start < 0 or end > len(data)
                if not known and _digest(data[start:end]) == needle.digest:
                    found.add(needle)
        return found


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def file_names(uri: str) -> set[str]:
    """Returns the names of all files of a store, relative to it; raises StoreError if they cannot be listed."""
    return set(_file_sizes(uri))


def remove_file(uri: str, name: str) -> None:
    """Removes a file of a store, which no version of a table may name; it may be gone already."""
    root = local_path(uri)
    with suppress(FileNotFoundError):
        if root is None:
            obstore.delete(_object_store(uri), name)
        else:
            (root / name).unlink()


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


def _values_of(text: str) -> Iterator[str]:
    """The text, and those within it if it is JSON."""
    yield text
    if text.startswith("{"):
        for quoted in _QUOTED.findall(text):
            with suppress(ValueError):
                yield json.loads(quoted)


def _flat(column: pa.Array) -> pa.Array:
    return compute.list_flatten(column).field("uri") if pa.types.is_list(column.type) else column


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or (pa.types.is_list(kind) and pa.types.is_struct(kind.value_type))
