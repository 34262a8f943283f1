"""Whether given bytes stand anywhere in a store's files: in what readers see, in old versions, in what nobody names.

Lance stores media, vectors and most ids as they are, and those are found in the raw bytes. Text that repeats itself
it may compress; so the text columns of all data files are decoded as well, deleted rows included.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lance.file import LanceFileReader
from lancedb.db import DBConnection

from stores import files
from stores.connection import local_path

PROBE = 12  # bytes in the middle of a needle (files of one kind begin alike) by which it is looked for
_WORD = re.compile(r"[0-9A-Za-z_-]+")


@dataclass(frozen=True)
class Sought:
    """What is looked for: kind -> bytes, ids, names."""

    blobs: Mapping[str, Collection[bytes]]  # media and vectors; those shorter than PROBE are not looked for
    ids: Collection[str]  # wherever they stand, also within a text
    names: Collection[str]  # of files and people: whole texts of a column, for one may be the beginning of another


def traces(db: DBConnection, uri: str, sought: Sought) -> dict[str, dict[str, int]]:
    """Returns kind -> file -> how many of them stand there; kinds and files without any are left out.

    The kinds are those of `blobs`, and `ids` and `names`.
    """
    kind_of = {blob: kind for kind, blobs in sought.blobs.items() for blob in blobs if len(blob) >= PROBE}
    kind_of |= {name.encode(): "ids" for name in sought.ids if len(name.encode()) >= PROBE}
    ids, names = set(sought.ids), set(sought.names)
    found: dict[str, dict[str, int]] = {}
    for name in files.names(uri):
        met = {(kind_of[blob], blob) for blob in occurring(files.pieces(uri, name), kind_of)} if kind_of else set()
        if "/data/" in name and name.endswith(".lance") and (ids or names):
            for text in _texts_of(db, uri, name):
                met |= {("ids", word.encode()) for word in ids.intersection(_WORD.findall(text))}
                met |= {("names", text.encode())} if text in names else set()
        for kind, count in Counter(kind for kind, _ in met).items():
            found.setdefault(kind, {})[name] = count
    return found


def occurring(pieces: Iterable[bytes], needles: Iterable[bytes]) -> set[bytes]:
    """Returns which needles stand in a stream of bytes; reads it once, however many there are.

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
    """Needles by PROBE bytes in their middle; nearly all places are ruled out by the first six of these."""

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
        """Returns which needles stand in `data`."""
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


def _texts_of(db: DBConnection, uri: str, name: str) -> Iterator[str]:
    """Yields the texts of a data file, of deleted rows as well; each once in a batch of rows."""
    table, root = name.partition(".lance/")[0], local_path(uri)
    path = f"{uri.rstrip('/')}/{name}" if root is None else str(root.absolute() / name)
    opened = {"storage_options": db.open_table(table).to_lance().latest_storage_options()}
    try:
        schema = LanceFileReader(path, **opened).metadata().schema
        columns = [column.name for column in schema if _is_text(column.type)]
        if not columns:
            return
        for batch in LanceFileReader(path, columns=columns, **opened).read_all(batch_size=1 << 14).to_batches():
            for column in batch.columns:
                yield from filter(None, pc.unique(_flat(column)).to_pylist())
    except (OSError, ValueError, RuntimeError):
        return  # half of a file, of a writer that died; its bytes were looked at as they are


def _flat(column: pa.Array) -> pa.Array:
    return pc.list_flatten(column).field("uri") if pa.types.is_list(column.type) else column


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or (pa.types.is_list(kind) and pa.types.is_struct(kind.value_type))
