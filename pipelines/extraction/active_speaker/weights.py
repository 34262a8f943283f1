"""Weights from a path or an address: downloaded once, checked against their SHA-256, read without executing code."""

import hashlib
import shutil
import urllib.request
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vclip.errors import InputError
from vclip.files import whole_file

DOWNLOAD_LIMIT_S = 60  # without receiving a byte


def read_weights(source: str, sha256: str = "") -> dict[str, Tensor]:
    """Returns the tensors of a state dict, by name.

    Args:
        source: the path of a .safetensors file or of one that `torch.save` wrote, or its http(s) address.
        sha256: the checksum that the file must have, hexadecimal. Not needed for a path.

    Raises:
        InputError: there is no such file, it has another checksum, or it cannot be read safely as a state dict.
    """
    path = weights_file(source, sha256)
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, SafetensorError, UnpicklingError):
        state = None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"weights {source}: found no plain state dict, expected one of torch.save or safetensors")
    return state


def weights_file(source: str, sha256: str = "") -> Path:
    """Returns the path of a file of weights; an address is downloaded once, into ~/.cache/vclip.

    Raises:
        InputError: there is no such file, it has another checksum, or an address comes without a checksum.
    """
    path = Path(source)
    if source.startswith(("http://", "https://")):
        if not sha256:
            raise InputError(f"weights {source}: found no checksum, expected the SHA-256 of the file")
        path = Path.home() / ".cache" / "vclip" / sha256.lower() / source.partition("?")[0].rpartition("/")[2]
        if not path.is_file() or _digest(path) != sha256.lower():
            _download(source, sha256, path)
    if not path.is_file():
        raise InputError(f"weights {source}: no such file")
    if sha256:
        _check(source, path, sha256)
    return path


def _download(address: str, sha256: str, path: Path) -> None:
    with whole_file(path) as draft:  # another process may be downloading it, too
        try:
            with urllib.request.urlopen(address, timeout=DOWNLOAD_LIMIT_S) as answer, draft.open("wb") as file:
                shutil.copyfileobj(answer, file)
        except (OSError, ValueError) as error:
            raise InputError(f"weights {address}: download failed ({error})") from None
        _check(address, draft, sha256)


def _check(source: str, path: Path, sha256: str) -> None:
    if (found := _digest(path)) != sha256.lower():
        raise InputError(f"weights {source}: found SHA-256 {found}, expected {sha256.lower()}")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
