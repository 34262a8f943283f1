"""A reader of pickles of plain data, which runs no code in them; trial lists and vectors are published as pickles.

A pickle is a program that may call any function by its name. This reader knows containers, strings, numbers and numpy
arrays of numbers or text, rebuilds those with its own code, and refuses any other name before it is called.
"""

import pickle
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vclip.errors import InputError

_DTYPE = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248]|c(8|16)|[SU]\d+)")
_NUMPY = {"numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric"}


def load_plain_pickle(path: str | Path) -> Any:
    """Returns the object in a pickle file: lists, tuples, dicts, sets, text, bytes, numbers, None and numpy arrays.

    Ordered and default dicts become plain ones. Pickles of Python 2 are read as well; their byte strings become text.

    Raises:
        InputError: no such file, not a pickle, or a pickle that names anything else; no code in it has run.
    """
    try:
        with open(path, "rb") as file:
            return _plain(_Reader(file, encoding="latin1").load(), {})
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; expected a pickle") from None
    except _RefusedError as error:
        raise InputError(f"{path}: found {error} in the pickle, expected plain data; nothing of it has run") from None
    except Exception as error:  # a damaged stream may raise nearly anything
        raise InputError(f"{path}: not a whole pickle of plain data ({type(error).__name__}: {error})") from None


class _RefusedError(pickle.UnpicklingError):
    """A pickle names something that plain data does not need."""


class _Maker:
    """A function that a pickle may call but not change."""

    __slots__ = ("_make",)

    def __init__(self, make: Any):
        self._make = make

    def __call__(self, *args: Any) -> Any:
        return self._make(*args)

    def __setstate__(self, state: Any) -> None:
        raise _RefusedError("a function to be changed")


class _DType:
    """A placeholder for a dtype while its array is read; numpy's own dtype accepts forged sizes and flags."""

    __slots__ = ("_name",)

    def __init__(self, name: str):
        self._name = name

    def __setstate__(self, state: tuple) -> None:
        self._name = {"<": "<", ">": ">"}.get(state[1], "|") + self._name.lstrip("<>=|")

    def dtype(self) -> np.dtype:
        return np.dtype(self._name)


class _Array:
    """A placeholder for an array until its content is read."""

    __slots__ = ("array",)

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, data = state
        self.array = _array(data, dtype, shape, "F" if fortran else "C")


def _dtype(name: str, *_: Any) -> _DType:
    if not isinstance(name, str) or not _DTYPE.fullmatch(name):
        raise _RefusedError(f"an array of dtype {name!r}")
    return _DType(name)


def _array(data: Any, dtype: _DType, shape: tuple, order: Literal["C", "F"]) -> np.ndarray:
    data = data.encode("latin1") if isinstance(data, str) else data
    kind = dtype.dtype()
    # A copy: an array over the bytes would be read-only and keep them in memory.
    flat = np.frombuffer(data, kind) if kind.itemsize and len(data) else np.empty(int(np.prod(shape)), kind)
    return flat.reshape(shape, order=order).copy(order)


def _encoded(text: str, encoding: str) -> bytes:
    """Returns bytes, as old protocols write them. Other encodings would import a codec by its name."""
    if encoding != "latin1":
        raise _RefusedError(f"text in the encoding {encoding!r}")
    return text.encode("latin1")


_MAKERS = {
    "dtype": _Maker(_dtype),
    "ndarray": _Maker(lambda *_: _Array()),  # only ever an argument of the next
    "_reconstruct": _Maker(lambda *_: _Array()),
    "_frombuffer": _Maker(_array),
    "scalar": _Maker(lambda dtype, data: _array(data, dtype, (1,), "C")[0]),
}
_ENCODE = _Maker(_encoded)
_DICT = _Maker(lambda *args: dict(args[0]) if args and isinstance(args[0], list | tuple) else {})
_BUILTINS: dict[str, Any] = {kind.__name__: kind for kind in (set, frozenset, list, dict, int, float, complex, str)}
_BUILTINS["bytes"] = _Maker(lambda: b"")  # the empty ones, in old protocols


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module in _NUMPY and name in _MAKERS:
            return _MAKERS[name]
        if module in ("builtins", "__builtin__") and name in _BUILTINS:
            return _BUILTINS[name]
        if module == "collections" and name in ("OrderedDict", "defaultdict"):
            return _DICT
        if (module, name) == ("_codecs", "encode"):
            return _ENCODE
        raise _RefusedError(f"'{module}.{name}'")


def _plain(value: Any, done: dict[int, Any]) -> Any:
    """Replaces placeholders by arrays, each value once: a value may be in many places, or contain itself."""
    if isinstance(value, _Array):
        return value.array
    if isinstance(value, _Maker | _DType | type):
        raise _RefusedError("the name of a function")
    if not isinstance(value, list | dict | tuple) or id(value) in done:
        return done.get(id(value), value)
    done[id(value)] = value
    if isinstance(value, list):
        value[:] = [_plain(item, done) for item in value]
    elif isinstance(value, dict):
        for key, item in value.items():
            value[key] = _plain(item, done)
    else:
        items = tuple(_plain(item, done) for item in value)
        if any(new is not old for new, old in zip(items, value, strict=True)):
            done[id(value)] = items
            return items
    return value
