"""Files that are there whole or not at all."""

import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vclip.errors import InputError


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Gives a folder beside `out`, which takes its place when the block ends well, and goes when it does not.

    Raises:
        InputError: `out` holds something already, or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        what = "a folder with files in it" if out.is_dir() else "a file"
        raise InputError(f"--out {out}: found {what}, expected a new or empty folder")
    part = out.absolute().with_name(f".{out.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        yield part
        if out.exists():
            out.rmdir()
        part.rename(out)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


# A draft says who writes it, so that those of the dead can be told.
_DRAFT = re.compile(r"(?:^|/)\.[^/]*\.(?P<host>[^/.]+)-(?P<pid>\d+)\.part[^/]*$")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a temporary name beside `path`, and puts what was written there in its place when the block ends well.

    Raises:
        InputError: the file cannot be written.
    """
    part = path.with_name(f".{path.stem}.{_host()}-{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def is_draft(name: str) -> bool:
    """Returns whether a path is that of a temporary file of `whole_file`."""
    return _DRAFT.search(name) is not None


def sweep_drafts(folder: Path) -> None:
    """Removes the temporary files below a folder that processes of this machine left when they were killed."""
    for path in folder.rglob(".*.part*"):
        found = _DRAFT.search(str(path))
        if found and found["host"] == _host() and not alive(int(found["pid"])):
            path.unlink(missing_ok=True)


def alive(pid: int) -> bool:
    """Returns whether a process of this machine runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _host() -> str:
    return socket.gethostname().replace(".", "_")
