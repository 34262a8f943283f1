"""What is shared of a folder, and where: another folder, or a model repository `hf:OWNER/NAME` of the hub."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vclip import checkpoint
from vclip.errors import InputError

FILES = ("model.safetensors", "config.json", "metrics.json", "README.md")
SPEAKERS = {"generator": "speaker-generator", "signature": "tts-signature"}  # folder -> kind of checkpoint
_REPOSITORY = re.compile(r"hf:(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class Shared:
    """A model or speakers that were pushed or pulled."""

    kind: str  # "association" or "speakers"
    place: str  # where it was pushed to, or pulled from
    folder: str  # on this machine
    weights: dict[str, str]  # checkpoint -> SHA-256 of its weights, which provenance records name


@dataclass(frozen=True)
class Repository:
    """A model repository of the hub."""

    name: str  # OWNER/NAME
    revision: str | None  # a branch, a tag or a commit; None for the newest


def repository_of(place: str) -> Repository | None:
    """Returns the repository that a place names; None for a folder.

    Raises:
        InputError: the place starts with `hf:` and is no repository.
    """
    if not place.startswith("hf:"):
        return None
    found = _REPOSITORY.fullmatch(place)
    if found is None:
        raise InputError(f"'{place}': expected hf:OWNER/NAME, perhaps with @REVISION, or a folder")
    return Repository(found["name"], found["revision"])


def checkpoints_of(folder: Path) -> dict[str, Path]:
    """Returns kind -> checkpoint of a model's or speakers' folder, each readable.

    Raises:
        InputError: the folder holds neither, or a checkpoint is damaged.
    """
    if (folder / "config.json").is_file():
        found = {"association": folder}
    else:
        found = {kind: folder / name for name, kind in SPEAKERS.items() if (folder / name).is_dir()}
    if not found:
        what = "no such folder" if not folder.is_dir() else "found neither a model nor speakers"
        raise InputError(
            f"folder {folder}: {what}, expected a folder made by `vclip train`, or by `vclip fit-speakers`"
        )
    for kind, path in found.items():
        checkpoint.load(path, kind)
    return found


def described(place: str, folder: Path) -> Shared:
    """Returns what a folder of checkpoints holds; raises InputError as `checkpoints_of` does."""
    found = checkpoints_of(folder)
    kind = "association" if "association" in found else "speakers"
    return Shared(kind, place, str(folder), {name: checkpoint.digest(path) for name, path in found.items()})


@contextmanager
def hub_errors(place: str) -> Iterator[None]:
    """Raises InputError if the block cannot reach the hub, or may not read or write there."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # the hub client's errors share no narrower base
        first = (str(error).strip() or "no reason given").splitlines()[0]
        raise InputError(
            f"{place}: the hub refused or cannot be reached ({type(error).__name__}: {first}); log in by `hf auth "
            "login` for private or new repositories, or name a folder"
        ) from error
