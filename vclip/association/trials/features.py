"""Vectors by name, in which the names of a trial list are looked up."""

import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vclip.association.trials.plain_pickle import load_plain_pickle
from vclip.errors import InputError
from vclip.tables import nfc

Named = Mapping[Any, Any] | Sequence[tuple[Any, Any]]  # name -> vector, or pairs of both


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
        for i, name in enumerate(map(name_of, names)):
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
        path: a file for `named_vectors`.

    Raises:
        InputError: as `named_vectors` and `features_of`.
    """
    return features_of(named_vectors(path), str(path))


def named_vectors(path: str | Path) -> Named:
    """Returns the vectors of a file under their names, as they are there.

    Args:
        path: a pickled dict name -> vector (.pkl, .pickle); or .npz with the arrays `names` (n,) and `vectors`
            (n, dim), or with one array (dim,) under each name.

    Raises:
        InputError: no such file, or another format.
    """
    if Path(path).suffix in (".pkl", ".pickle"):
        content = load_plain_pickle(path)
        if not isinstance(content, dict):
            raise InputError(f"{path}: found {type(content).__name__}, expected a dict of names and vectors")
        return content
    try:
        with np.load(path, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise InputError(f"{path}: cannot read this as .npz of plain arrays ({error})") from None
    if set(content) != {"names", "vectors"}:
        return content
    names, vectors = content["names"], content["vectors"]
    if names.ndim != 1 or vectors.ndim != 2 or len(names) != len(vectors):
        raise InputError(f"{path}: found names {names.shape} and vectors {vectors.shape}, expected (n,), (n, dim)")
    return list(zip(names.tolist(), vectors, strict=True))


def features_of(named: Named, where: str) -> Features:
    """Returns named vectors (dim,) as features.

    Args:
        named: each name, a text or its bytes in UTF-8, with its vector.
        where: their source in error messages.

    Raises:
        InputError: as `checked_features`; or any vector cannot be used.
    """
    features, unusable = checked_features(named, where)
    if unusable:
        row, why = next(iter(unusable.items()))
        name = list(features.row_of)[row]
        raise InputError(f"{where}: vector '{name}' {why} ({len(unusable)} of {len(named)} cannot be used)")
    return features


def checked_features(named: Named, where: str) -> tuple[Features, dict[int, str]]:
    """Returns named vectors (dim,) as features, and row -> why it cannot be used; such a row is all zero.

    A vector cannot be used if it holds anything but finite numbers, or has another length than most.

    Args:
        named: as `features_of` takes them.
        where: their source in error messages.

    Raises:
        InputError: there are no vectors, none can be used, or a name appears twice.
    """
    named = list(named.items()) if isinstance(named, Mapping) else named
    if not named:
        raise InputError(f"{where}: found no vector, expected some")
    row_of: dict[str, int] = {}
    unusable: dict[int, str] = {}
    for row, (raw, _) in enumerate(named):
        name = name_of(raw)
        if not isinstance(name, str) or not name:
            unusable[row], name = f"has the name {raw!r:.40}, expected a text", f"number {row + 1}"
        if row_of.setdefault(name, row) != row:
            raise InputError(
                f"{where}: vectors {row_of[name] + 1} and {row + 1} both have the name '{name}', expected each name "
                "once"
            )
    read = [_vector(vector) for _, vector in named]
    lengths = Counter(len(vector) for vector in read if not isinstance(vector, str))
    dim = lengths.most_common(1)[0][0] if lengths else 0
    vectors = np.zeros((len(read), dim), np.float32)
    for row, vector in enumerate(read):
        if isinstance(vector, str):
            unusable.setdefault(row, vector)
        elif len(vector) != dim:
            unusable.setdefault(row, f"has {len(vector)} numbers, expected {dim} as most have")
        elif row not in unusable:
            vectors[row] = vector
    if len(unusable) == len(read):
        raise InputError(
            f"{where}: none of the {len(read)} vectors can be used; vector '{next(iter(row_of))}' {unusable[0]}"
        )
    return Features(row_of, vectors), dict(sorted(unusable.items()))


def _vector(value: Any) -> np.ndarray | str:
    """A vector (dim,) float32, or why the value is none."""
    vector = np.empty(0, np.float32)
    if isinstance(value, np.ndarray | list):
        with suppress(TypeError, ValueError, OverflowError), np.errstate(over="ignore"):
            given = np.asarray(value)
            vector = given.astype(np.float32) if given.dtype.kind in "biuf" else vector
    if vector.ndim != 1 or not len(vector):
        return f"is of type {type(value).__name__}, expected a list or array of numbers"
    return vector if np.isfinite(vector).all() else "holds NaN or infinity, expected numbers"


def name_of(name: Any) -> Any:
    """Returns a name of text, or of its bytes in UTF-8, in Unicode's NFC and with "/" between its parts.

    Anything else is returned as it is. Lists and vectors that were written on Windows have backslashes.
    """
    if isinstance(name, bytes):
        name = name.replace(b"\\", b"/").decode("utf-8", "backslashreplace")
    elif isinstance(name, str):
        name = name.replace("\\", "/")
    return nfc(name) if isinstance(name, str) else name


def _ends(names: Iterable[tuple[str, int]], parts: int) -> dict[str, int]:
    """Returns the rows by the last `parts` parts of their names; -1 for an end that several rows share."""
    rows: dict[str, int] = {}
    for name, row in names:
        end = "/".join(name.rsplit("/", parts)[-parts:])
        rows[end] = row if rows.get(end, row) == row else -1
    return rows
