"""A checkpoint is a folder: `model.safetensors`, `config.json`, `metrics.json`, `README.md`; no pickle.

`config.json` holds the shape of the model and the record of how it was made; `metrics.json` holds its measurements.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vclip import __version__
from vclip.errors import InputError
from vclip.files import replaced_folder

Model = TypeVar("Model", bound=nn.Module)
SMALL_BYTES = 256 << 20  # of a model that is built without a look at its weights

# The command that makes each kind, for the message about a missing one.
MADE_BY = {
    "association": "vclip train",
    "speaker-generator": "vclip fit-speakers",
    "tts-signature": "vclip distill",
}


def save(
    folder: str | Path,
    kind: str,
    tensors: Mapping[str, torch.Tensor | np.ndarray],
    config: Mapping[str, Any],
    metrics: Mapping[str, Any],
    about: str,
) -> Path:
    """Writes a checkpoint folder and returns it. A reader finds the old checkpoint or the new one, never a part.

    If writing fails, the old checkpoint stays.

    Args:
        folder: the folder to write; an existing checkpoint of the same kind is replaced.
        kind: the kind of model, such as "association"; `load` checks it.
        tensors: the weights.
        config: the values that rebuild the model, JSON-ready.
        metrics: the measurements, JSON-ready.
        about: one paragraph for the checkpoint's README.

    Raises:
        InputError: the folder holds something other than a checkpoint of this kind, or cannot be written.
    """
    folder = Path(folder)
    check_free(folder, kind)
    with replaced_folder(folder, f"folder {folder}") as draft:
        save_tensors(draft / "model.safetensors", {name: _on_cpu(value) for name, value in tensors.items()})
        (draft / "config.json").write_text(
            json.dumps({"kind": kind, "vclip": __version__, **config}, indent=2) + "\n"
        )
        (draft / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
        (draft / "README.md").write_text(_readme(kind, about, metrics))
    return folder


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Writes a safetensors file; raises OSError, as other writers do, where the system refuses."""
    try:
        save_file(dict(tensors), path, dict(metadata) if metadata else None)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None


def check_free(folder: str | Path, kind: str) -> None:
    """Raises InputError unless the folder is new, empty, or a checkpoint of this kind (which `save` replaces)."""
    folder = Path(folder)
    if folder.is_file():
        raise InputError(
            f"folder {folder}: found a file, expected a new folder, or a model of kind '{kind}' to replace"
        )
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    try:
        found = json.loads((folder / "config.json").read_text()).get("kind")
    except (OSError, ValueError, AttributeError, RecursionError):
        found = None
    if found != kind:
        inside = f"a model of kind '{found}'" if found else f"a folder with {min(p.name for p in folder.iterdir())}"
        raise InputError(
            f"folder {folder}: found {inside}, expected a new folder, or a model of kind '{kind}' to replace"
        )


def digest(folder: str | Path) -> str:
    """Returns the SHA-256 of a checkpoint's weights, which identifies the model in provenance records."""
    with open(Path(folder) / "model.safetensors", "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load(folder: str | Path, kind: str) -> tuple[dict[str, torch.Tensor], dict[str, Any], dict[str, Any]]:
    """Returns the tensors, the config and the metrics of a checkpoint folder.

    Raises:
        InputError: the folder is not a checkpoint, is damaged, or is of another kind.
    """
    folder = Path(folder)
    config = load_config(folder, kind)
    metrics = folder / "metrics.json"
    try:
        tensors = load_file(folder / "model.safetensors")
    except (ValueError, SafetensorError) as error:
        raise _damaged(folder, error) from None
    return tensors, config, _json(metrics) if metrics.is_file() else {}


def load_config(folder: str | Path, kind: str) -> dict[str, Any]:
    """Returns the config of a checkpoint folder, whose tensors are not read; errors as for `load`."""
    folder = Path(folder)
    missing = [name for name in ("model.safetensors", "config.json") if not (folder / name).is_file()]
    if missing:
        found = "no such folder" if not folder.exists() else f"found no {missing[0]}"
        how = f"; make one with `{MADE_BY[kind]}`" if kind in MADE_BY else ""
        raise InputError(f"checkpoint {folder}: {found}, expected the folder of a model of kind '{kind}'{how}")
    config = _json(folder / "config.json")
    if not isinstance(config, dict):
        raise InputError(f"checkpoint {folder}: damaged (config.json holds no object)")
    if config.get("kind") != kind:
        raise InputError(f"checkpoint {folder}: found kind '{config.get('kind')}', expected '{kind}'")
    return config


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except RecursionError:
        raise InputError(f"checkpoint {path.parent}: damaged (its JSON is nested too deeply)") from None
    except ValueError as error:
        raise _damaged(path.parent, error) from None


def _damaged(folder: Path, error: Exception) -> InputError:
    return InputError(f"checkpoint {folder}: damaged ({str(error).splitlines()[0]})")


def load_weights(folder: str | Path, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Loads the weights of a checkpoint into a model of the same shape.

    Raises:
        InputError: a weight is missing, unknown or of another shape; the message names the first few.
    """
    check_weights(folder, model, tensors)
    model.load_state_dict(dict(tensors))


def rebuilt(
    folder: str | Path,
    shape: Mapping[str, Any],
    build: Callable[[], Model],
    completed: Callable[[Model], Mapping[str, Tensor]],
) -> Model:
    """Returns the untrained model that a config.json states, if the weights in the file are those of such a model.

    The numbers in a config.json may be anybody's. A model that may be large by them is built without memory first (on
    torch's device "meta", whose import takes a second) and compared with the weights, so that it takes no more memory
    than the file that holds them.

    Args:
        folder: the checkpoint, for the messages.
        shape: the part of config.json that states the sizes.
        build: makes the model.
        completed: returns the weights of the file for a model, with those that the file leaves out.

    Raises:
        InputError: a number cannot be used, or the weights have other shapes.
    """
    with as_it_was(folder):
        if _most_bytes(shape) <= SMALL_BYTES:
            return build()
        try:
            with torch.device("meta"):
                sketch = build()
        except NotImplementedError:  # a model of another package that computes while it is built
            return build()
        check_weights(folder, sketch, completed(sketch))
        return build()


def _most_bytes(shape: Mapping[str, Any]) -> int:
    """Returns a bound of the bytes of a model: every layer as wide, on both sides, as the largest number."""
    sizes, layers, left = [1], 8, list(shape.items())
    while left:
        name, value = left.pop()
        if isinstance(value, Mapping):
            left += value.items()
        elif isinstance(value, int | float):
            sizes.append(int(min(abs(value), sys.maxsize)) if value == value else 0)
            layers += 2 * sizes[-1] if name == "couplings" else 0
    return 4 * max(sizes) ** 2 * layers


def check_weights(folder: str | Path, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Raises InputError, which names the first few, if weights are missing, unknown or of another shape."""
    expected = model.state_dict()
    lacking = [name for name in expected if name not in tensors]
    unknown = [name for name in tensors if name not in expected]
    shapes = [name for name in expected if name in tensors and tensors[name].shape != expected[name].shape]
    for what, names in (
        ("lacks weights", lacking),
        ("has unknown weights", unknown),
        ("has other shapes", shapes),
    ):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise InputError(
                f"checkpoint {folder}: {what} {', '.join(names[:3])}{more}; copy the folder again, or train again"
            )


def encoders_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Returns the encoders that a checkpoint's config records, space -> spec; empty if it records none."""
    made_by = config.get("made_by")
    found = made_by.get("encoders") if isinstance(made_by, dict) else None
    return dict(found) if isinstance(found, dict) else {}


def with_encoders(encoders: Mapping[str, str], made_by: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the `made_by` record of a checkpoint, with the model's encoders added if it has none.

    Args:
        encoders: space -> the spec that opens its encoder.
        made_by: the resolved configuration and the data of the run, or None.
    """
    return ({"encoders": dict(encoders)} if encoders else {}) | dict(made_by or {})


@contextmanager
def as_it_was(folder: str | Path) -> Iterator[None]:
    """Raises InputError if the block cannot rebuild a model, because another version wrote the checkpoint."""
    try:
        yield
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, RuntimeError, ArithmeticError, AttributeError, MemoryError) as error:
        first = (str(error).strip() or "no reason given").splitlines()[-1].strip()
        raise InputError(
            f"checkpoint {folder}: not of the form that vclip {__version__} reads ({type(error).__name__}: {first}); "
            "train it again"
        ) from None


def _on_cpu(value: Tensor | np.ndarray) -> Tensor:
    return (value.detach() if isinstance(value, Tensor) else torch.tensor(value, device="cpu")).cpu().contiguous()


def _readme(kind: str, about: str, metrics: Mapping[str, Any]) -> str:
    scalars = {k: v for k, v in metrics.items() if isinstance(v, int | float | str)}
    rows = "".join(f"| {k} | {v:.4g} |\n" if isinstance(v, float) else f"| {k} | {v} |\n" for k, v in scalars.items())
    return f"# Vclip {kind}\n\n{about}\n\n| metric | value |\n|---|---|\n{rows}"
