"""An encoder's network in an ONNX file, with a YAML beside it that says how to prepare its input.

`w600k_r50.onnx` has `w600k_r50.onnx.yaml` beside it. The space of the vectors is named after the name and version in
the YAML and a hash of the weights and the preprocessing, so two networks, or two preparations for one network, never
share a space.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import ConfigDict, Field

from vclip.config import Settings, load
from vclip.device import torch_device
from vclip.errors import InputError
from vclip.onnx_session import has_gpu, open_session

SAME = 1e-3  # largest difference of an element of two vectors that count as the same here
NAME = r"^[A-Za-z0-9._-]+$"  # a part of a space
TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
# Where a tensor names the file that holds its numbers: "location" as the key of an entry, then the value's length in
# bytes of 7 bits, the lowest first, each but the last with its highest bit set.
OTHER_FILE = re.compile(rb"\n\x08location\x12([\x80-\xff]*[\x00-\x7f])")
CPU_NUMBERS, GPU_NUMBERS = 300_000, 2_400_000  # of the inputs in one pass: 8 and 64 aligned faces


class NetworkSettings(Settings):
    """The keys of every YAML beside a network."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    name: str = Field(pattern=NAME)
    version: str = Field(pattern=NAME)
    licence: str = Field(min_length=1, description="of the weights")
    size: int = Field(ge=1, description="of a vector")
    output: str = Field(default="", description="the name of the network's output, if it has several")

    def preparation(self) -> dict[str, Any]:
        """Returns what decides what the network is given; left-out keys and their defaults are the same."""
        own = self.model_dump(mode="json", exclude_defaults=True)
        return {key: own[key] for key in sorted(own) if key not in ("name", "version", "licence")}


S = TypeVar("S", bound=NetworkSettings)


def read_settings(spec: str, path: Path, kind: type[S]) -> S:
    """Returns the settings beside a network.

    Args:
        spec: the encoder's, for messages.
        path: the ONNX file.
        kind: the settings of this kind of encoder.

    Raises:
        InputError: the network or its YAML is missing, or a key is missing, unknown or wrong.
    """
    beside = path.with_name(f"{path.name}.yaml")
    for file in (path, beside):
        if not file.is_file():
            raise InputError(
                f"{spec}: no file {file.absolute()} on {os.uname().nodename}, expected the network and {beside.name} "
                "beside it at this path on every node; give its new place with --set encoders.face=... (or "
                "encoders.voice); docs/encoders.md says what the YAML holds"
            )
    return load(kind, beside)


class Network:
    """A network with one input, whose output is a vector for each item of a batch.

    Args:
        spec: the encoder's, for messages.
        path: the ONNX file.
        settings: what is beside it.
        device: "cpu", "cuda", ...; None selects a GPU if there is one. The network runs on CPUs where the installed
            onnxruntime has no GPU.

    Raises:
        InputError: the file is no network, or has other inputs or outputs.
    """

    def __init__(self, spec: str, path: Path, settings: NetworkSettings, device: str | None):
        self._spec, self._size = spec, settings.size
        chosen = torch_device(device)
        on_gpu = chosen.type == "cuda" and has_gpu()
        try:
            self._session = open_session(path, on_gpu, chosen.index or 0)
        except Exception as error:  # the errors of onnxruntime share no narrower base
            raise InputError(f"{spec}: onnxruntime cannot open it ({_first_line(error)})") from None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or inputs[0].type not in TYPES:
            found = ", ".join(f"'{one.name}' of {one.type}" for one in inputs)
            raise InputError(f"{spec}: has the inputs {found or 'none'}, expected one of floating-point numbers")
        names = [one.name for one in outputs]
        if settings.output not in (names if settings.output or len(names) > 1 else [""]):
            raise InputError(
                f"{spec}: has the outputs {', '.join(map(repr, names))}, and the YAML names {settings.output!r}; "
                "name one of them with the key 'output'"
            )
        self._output = settings.output or names[0]
        self._input, self._type = inputs[0].name, TYPES[inputs[0].type]
        # The sides of its input; None where any is taken.
        self.shape = [side if isinstance(side, int) and side > 0 else None for side in inputs[0].shape]
        self._batch = self.shape[0] if self.shape else None
        self._numbers = GPU_NUMBERS if on_gpu else CPU_NUMBERS

    def expect(self, *sides: int | None, key: str = "layout") -> None:
        """Raises InputError unless the network takes a batch of such inputs; None for any side."""
        fits = len(self.shape) == 1 + len(sides) and all(
            None in (mine, side) or mine == side for mine, side in zip(self.shape[1:], sides, strict=True)
        )
        if not fits:
            raise self.unexpected(*sides, key=key)

    def unexpected(self, *sides: int | None, key: str) -> InputError:
        """Returns the error that says what the network takes and what its YAML says."""
        return InputError(
            f"{self._spec}: takes {_written(self.shape)}, expected {_written([None, *sides])} by its YAML; "
            f"change its key '{key}'"
        )

    def check(self, inputs: Sequence[np.ndarray]) -> None:
        """Raises InputError if the vectors of two inputs are not those that the network gives to each alone.

        So is one that was exported for training, with batch normalisation or dropout. A file that gives no vectors
        fails here as well, and not in a job.
        """
        together, alone = self(inputs), np.concatenate([self([one]) for one in inputs])
        if np.abs(together - alone).max() > SAME:
            raise InputError(
                f"{self._spec}: its vectors depend on the other inputs of a batch, or on chance; export it for "
                "inference (model.eval() in torch), or for batches of 1"
            )

    def __call__(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Returns vectors (n, size) float32, unit norm, for n inputs; those of one shape go in batches.

        Raises:
            InputError: the network fails, or its output is of another shape, not finite or zero.
        """
        vectors = np.zeros((len(inputs), self._size), np.float32)
        for rows in self._batches(inputs):
            vectors[rows] = self._run(np.stack([inputs[row] for row in rows]))
        return vectors

    def _batches(self, inputs: Sequence[np.ndarray]) -> Iterator[list[int]]:
        alike: dict[tuple[int, ...], list[int]] = {}
        for row, one in enumerate(inputs):
            alike.setdefault(one.shape, []).append(row)
        for rows in alike.values():
            most = self._batch or max(1, self._numbers // inputs[rows[0]].size)
            yield from (rows[start : start + most] for start in range(0, len(rows), most))

    def _run(self, batch: np.ndarray) -> np.ndarray:
        missing = (self._batch or len(batch)) - len(batch)
        whole = np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)]).astype(self._type)
        try:
            (found,) = self._session.run([self._output], {self._input: whole})
        except Exception as error:  # likewise
            raise InputError(f"{self._spec}: fails on {_written(whole.shape)} ({_first_line(error)})") from None
        if np.shape(found) != (len(whole), self._size):
            raise InputError(
                f"{self._spec}: gives {_written(np.shape(found))} for a batch of {len(whole)}, expected "
                f"{len(whole)} x {self._size} (the size in the YAML)"
            )
        vectors = np.asarray(found[: len(batch)], np.float32)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(norms) & (norms > 0)).all():
            raise InputError(f"{self._spec}: gives NaN, infinity or zero for a vector; check the preprocessing")
        return vectors / norms


def digest(path: Path, settings: NetworkSettings, rule: str) -> str:
    """Returns the hash of a network's weights, also those in other files, and of how its input is prepared.

    Args:
        path: the ONNX file.
        settings: what is beside it.
        rule: names the code that prepares the input; another rule gives another hash.

    Raises:
        InputError: a file of its weights is missing.
    """
    content = path.read_bytes()
    found = hashlib.sha256(json.dumps([rule, settings.preparation()]).encode() + content)
    lengths = (
        (match.end(), sum((byte & 0x7F) << 7 * place for place, byte in enumerate(match[1])))
        for match in OTHER_FILE.finditer(content)
    )
    others = {content[start : start + length] for start, length in lengths}
    for name in sorted(others):
        other = path.parent / os.fsdecode(name)
        if not other.is_file():
            raise InputError(
                f"{path}: its weights are in {other.absolute()}, which is missing; copy that file as well"
            )
        found.update(other.read_bytes())
    return found.hexdigest()[:12]


def _written(shape: Sequence[int | None]) -> str:
    return " x ".join("any" if side is None else str(side) for side in shape) or "a number"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
