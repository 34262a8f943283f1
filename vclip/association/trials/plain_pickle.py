"""A reader of pickles of plain data, which runs no code in them; trial lists and vectors are published as pickles.

A pickle is a program that may call any function by its name. This reader knows containers, strings, numbers and numpy
arrays of numbers or text, rebuilds those with its own code, and refuses any other name before it is called.

Memory and time are bounded by the size of the file: nine bytes can ask for a table of 2**29 entries, an array can
state a shape without having the numbers, and what is in the file once can be copied, or hashed, any number of times.
"""

import io
import pickle
import pickletools
import re
import zipfile
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from vclip.errors import InputError

_DTYPE = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248]|c(8|16)|[SU]\d+)")
_NUMPY = {"numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric"}


def load_plain_pickle(path: str | Path | zipfile.Path) -> Any:
    """Returns the object in a pickle file: lists, tuples, dicts, sets, text, bytes, numbers, None and numpy arrays.

    Ordered and default dicts become plain ones. Pickles of Python 2 are read as well; their byte strings become text.

    Args:
        path: the file, or a member of a zip archive.

    Raises:
        InputError: no such file, not a pickle, or a pickle that names anything else; no code in it has run.
    """
    try:
        content = (path if isinstance(path, zipfile.Path) else Path(path)).read_bytes()
        _check_hashes(content)
        return _plain(_Reader(content).load(), {})
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; expected a pickle") from None
    except _RefusedError as error:
        raise InputError(f"{path}: found {error} in the pickle, expected plain data; nothing of it has run") from None
    except Exception as error:  # a damaged stream may raise nearly anything
        raise InputError(f"{path}: not a whole pickle of plain data ({type(error).__name__}: {error})") from None


class _RefusedError(pickle.UnpicklingError):
    """A pickle names something that plain data does not need."""


# What a file may have copied: the text of an array twice (as latin1 and as bytes), then the array; entries of a list.
_COPIES, _ENTRY_BYTES, _LEAST_BYTES = 8, 64, 1 << 20
_HASHED = 50  # objects in keys and in members of sets, for each byte of a file
_HASHING = {"SETITEM", "SETITEMS", "ADDITEMS", "FROZENSET", "REDUCE"}  # and what they hash is on the stack


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

    __slots__ = ("_reader", "array")

    def __init__(self, reader: "_Reader"):
        self._reader = reader

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, data = state
        self.array = self._reader.array(data, dtype, shape, "F" if fortran else "C")


def _dtype(name: str, *_: Any) -> _DType:
    if not isinstance(name, str) or not _DTYPE.fullmatch(name):
        raise _RefusedError(f"an array of dtype {name!r}")
    return _DType(name)


class _Reader(pickle.Unpickler):
    """Reads one pickle.

    Args:
        content: the pickle. From memory, the sizes that it states are no more than what is there.
    """

    def __init__(self, content: bytes):
        super().__init__(io.BytesIO(content), encoding="latin1")
        self._left = _COPIES * len(content) + _LEAST_BYTES
        self._numpy = {
            "dtype": _Maker(_dtype),
            "ndarray": _Maker(lambda *_: _Array(self)),  # only ever an argument of the next
            "_reconstruct": _Maker(lambda *_: _Array(self)),
            "_frombuffer": _Maker(self.array),
            "scalar": _Maker(lambda dtype, data: self.array(data, dtype, (1,), "C")[0]),
        }
        self._encode, self._dict = _Maker(self._encoded), _Maker(self._dict_of)
        self._builtins = {
            kind.__name__: _Maker(lambda *args, kind=kind: self._made(kind, args))
            for kind in (set, frozenset, list, dict, int, float, complex, str)
        }
        self._builtins["bytes"] = _Maker(lambda: b"")  # the empty ones, in old protocols

    def find_class(self, module: str, name: str) -> Any:
        if module in _NUMPY and name in self._numpy:
            return self._numpy[name]
        if module in ("builtins", "__builtin__") and name in self._builtins:
            return self._builtins[name]
        if module == "collections" and name in ("OrderedDict", "defaultdict"):
            return self._dict
        if (module, name) == ("_codecs", "encode"):
            return self._encode
        raise _RefusedError(f"'{module}.{name}'")

    def array(self, data: Any, dtype: _DType, shape: tuple, order: Literal["C", "F"]) -> np.ndarray:
        """Returns an array of its own over data from the pickle."""
        self._charge(2 * len(data) if isinstance(data, str) else len(data))
        data = data.encode("latin1") if isinstance(data, str) else data
        kind = dtype.dtype()
        # A copy: an array over the bytes would be read-only and keep them in memory.
        if len(data):
            return np.frombuffer(data, kind).reshape(shape, order=order).copy(order)
        if 0 not in shape:
            raise _RefusedError(f"an array of shape {shape} without its numbers")
        return np.empty(shape, kind, order)

    def _made(self, kind: type, args: tuple) -> Any:
        """Returns a set or a number, as old protocols make them; or what is empty."""
        if not args:
            return kind()
        if kind in (set, frozenset) and len(args) == 1 and isinstance(args[0], list | tuple):
            self._charge(_ENTRY_BYTES * len(args[0]))
            return kind(args[0])
        if kind in (int, float, complex) and all(isinstance(value, int | float) for value in args):
            return kind(*args)
        raise _RefusedError(f"a call of {kind.__name__}")

    def _dict_of(self, *args: Any) -> dict:
        """Returns a dict of pairs, as an ordered dict of Python 2 has; the class of a default dict is left out."""
        pairs = args[0] if args and isinstance(args[0], list | tuple) else ()
        self._charge(_ENTRY_BYTES * len(pairs))
        return dict(pairs)

    def _encoded(self, text: str, encoding: str) -> bytes:
        """Returns bytes, as old protocols write them. Other encodings would import a codec by its name."""
        if encoding != "latin1":
            raise _RefusedError(f"text in the encoding {encoding!r}")
        self._charge(len(text))
        return text.encode("latin1")

    def _charge(self, copied_bytes: int) -> None:
        self._left -= copied_bytes
        if self._left < 0:
            raise _RefusedError("copies of more data than the file holds")


def _check_hashes(content: bytes) -> None:
    """Raises an error if a pickle numbers its objects beyond the file, or its keys stand for more than it holds.

    A tuple of twice the same tuple of twice the same tuple, and so on, is short, but its hash is computed from all
    that it stands for. So the stack is followed with the number of objects that each entry stands for: tuples and
    frozen sets for all in them, anything else for one.
    """
    stack: list[int] = []
    marks: list[int] = []
    memo: dict[int, int] = {}
    hashed, most = 0, _HASHED * len(content) + _LEAST_BYTES
    for opcode, given, _ in pickletools.genops(content):
        name, argument = opcode.name, cast(int, given)
        if name in ("PUT", "BINPUT", "LONG_BINPUT"):
            if argument > len(content):
                raise _RefusedError(f"an object with the number {argument}")
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "MARK":
            marks.append(len(stack))
        else:
            before = opcode.stack_before
            if pickletools.markobject in before:
                start = marks.pop()
                taken = stack[start:]
                # What is below the mark is taken as well: the list or dict that is added to, which comes back.
                del stack[start - before.index(pickletools.markobject) :]
            else:
                taken = stack[len(stack) - len(before) :]
                del stack[len(stack) - len(before) :]
            weight = sum(taken)
            hashed += weight if name in _HASHING else 0
            if hashed > most or weight > most:
                raise _RefusedError("keys that stand for far more than the file holds")
            whole = name.startswith("TUPLE") or name in ("FROZENSET", "REDUCE")
            stack += [1 + weight if whole else 1] * len(opcode.stack_after)


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
