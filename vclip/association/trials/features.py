"""Vectors by name, in which the names of a trial list are looked up."""

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vclip.association.trials.plain_pickle import load_plain_pickle
from vclip.errors import InputError
from vclip.tables import nfc


@dataclass(frozen=True)
class Features:
    """Named rows of one or more vectors each. Each name is of one row; a row may have several names."""

    row_of: dict[str, int]
    vectors: np.ndarray  # (n, dim) float32
    row: np.ndarray | None = None  # (n,) int, the row of each vector; every vector is a row of its own if None

    def of_rows(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the vectors (m, dim) of rows (k,), and the position of the row of each vector, (m,) in 0..k-1."""
        if self.row is None:
            return self.vectors[rows], np.arange(len(rows))
        order = np.argsort(self.row, kind="stable")
        start, end = (np.searchsorted(self.row[order], rows, side) for side in ("left", "right"))
        count = end - start
        first = np.repeat(start - (np.cumsum(count) - count), count)
        return self.vectors[order[first + np.arange(len(first))]], np.repeat(np.arange(len(rows)), count)

    def find(self, names: Sequence[str]) -> np.ndarray:
        """Returns the row of each name, -1 for names that are not found. Names are compared in Unicode's NFC.

        A name may also be the end of a longer one, if only one row has such a name: `id1/a/1.wav` finds
        `/data/wav/id1/a/1.wav`.
        """
        ends: dict[int, dict[str, int]] = {}
        found = np.full(len(names), -1)
        for i, name in enumerate(map(nfc, names)):
            if name in self.row_of:
                found[i] = self.row_of[name]
                continue
            parts = name.count("/") + 1
            if parts not in ends:
                ends[parts] = _ends(self.row_of.items(), parts)
            found[i] = ends[parts].get(name, -1)
        return found


def read_features(path: str | Path) -> Features:
    """Returns the vectors of a file.

    Args:
        path: a pickled dict name -> vector (.pkl, .pickle); or .npz with the arrays `names` (n,) and `vectors`
            (n, dim), or with one array (dim,) under each name.

    Raises:
        InputError: no such file, another format, vectors of several lengths, or a vector with NaN or infinity.
    """
    if Path(path).suffix in (".pkl", ".pickle"):
        content = load_plain_pickle(path)
        if not isinstance(content, dict):
            raise InputError(f"{path}: found {type(content).__name__}, expected a dict of names and vectors")
    else:
        try:
            with np.load(path, allow_pickle=False) as file:
                content = {name: file[name] for name in file.files}
        except (OSError, ValueError, zipfile.BadZipFile, AttributeError, TypeError) as error:
            raise InputError(f"{path}: cannot read this as .npz of plain arrays ({error})") from None
        if set(content) == {"names", "vectors"}:
            names, vectors = content["names"], content["vectors"]
            if names.ndim != 1 or vectors.ndim != 2 or len(names) != len(vectors):
                raise InputError(
                    f"{path}: found names {names.shape} and vectors {vectors.shape}, expected (n,), (n, dim)"
                )
            return features_of(list(zip(names.tolist(), vectors, strict=True)), str(path))
    return features_of(content, str(path))


def features_of(found: Mapping[Any, Any] | Sequence[tuple[Any, Any]], where: str) -> Features:
    """Returns named vectors (dim,) as features.

    Args:
        found: each name, a text or its bytes in UTF-8, with its vector.
        where: their source in error messages.

    Raises:
        InputError: there are no vectors, they have several lengths, a name appears twice, or a vector holds NaN or
            infinity.
    """
    found = list(found.items()) if isinstance(found, Mapping) else found
    if not found:
        raise InputError(f"{where}: found no vector, expected some")
    names, first = [name_of(name) for name, _ in found], found[0][1]
    place: dict[Any, int] = {}
    for number, name in enumerate(names, start=1):
        if isinstance(name, str) and place.setdefault(name, number) != number:
            raise InputError(
                f"{where}: vectors {place[name]} and {number} both have the name '{name}', expected each name once"
            )
    for name, (_, vector) in zip(names, found, strict=True):
        if not isinstance(name, str) or not isinstance(vector, np.ndarray | list) or np.ndim(vector) != 1:
            raise InputError(f"{where}: found {type(vector).__name__} under {name!r}, expected a vector under a name")
        if len(vector) != len(first):
            raise InputError(
                f"{where}: vector '{name}' has {len(vector)} numbers, expected {len(first)} as the first"
            )
    try:
        vectors = np.array([vector for _, vector in found], dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: its vectors are not of numbers ({error})") from None
    bad = ~np.isfinite(vectors).all(1)
    if bad.any():
        name = names[int(np.argmax(bad))]
        raise InputError(f"{where}: vector '{name}' holds NaN or infinity, expected numbers ({bad.sum()} in all)")
    return Features({name: row for row, name in enumerate(names)}, vectors)


def name_of(name: Any) -> Any:
    """Returns a name in Unicode's NFC, of text or of its bytes in UTF-8; anything else as it is."""
    if isinstance(name, bytes):
        name = name.decode("utf-8", "backslashreplace")
    return nfc(name) if isinstance(name, str) else name


def _ends(names: Iterable[tuple[str, int]], parts: int) -> dict[str, int]:
    """Returns the rows by the last `parts` parts of their names; -1 for an end that several rows share."""
    rows: dict[str, int] = {}
    for name, row in names:
        end = "/".join(name.rsplit("/", parts)[-parts:])
        rows[end] = row if rows.get(end, row) == row else -1
    return rows
