"""Files and folders that are written whole or not at all: as a draft beside the target, which replaces it at the end.

The library and the pipelines write every file this way that a reader may open meanwhile.
"""

import errno
import os
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vclip.errors import InputError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# The name of a draft holds the host and the process that write it, so that `sweep_drafts` can remove abandoned ones.
_DRAFT = re.compile(r"(?:^|/)\.[^/]*\.(?P<host>[^/.]+)-(?P<pid>\d+)\.part[^/]*$")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields the path of a draft beside `path`; the draft replaces `path` when the block ends without an error.

    Raises:
        InputError: the draft cannot be written or moved. Every other error of the block, such as that of an
            unreadable input, passes unchanged.
    """
    # Threads may write the same file. The suffix is kept, because writers choose the format by it.
    draft = path.with_name(f".{path.stem}.{_host()}-{os.getpid()}.part{threading.get_ident()}{path.suffix}")
    _make_folder(path.parent, path)
    try:
        yield draft
        os.replace(draft, path)
    except OSError as error:
        if not _is_of_writing(error, draft):
            raise
        raise _cannot_write(path, error) from None
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Yields a draft folder beside `out`; the draft becomes `out` when the block ends without an error.

    Raises:
        InputError: `out` is a file or a folder that is not empty, or the draft or a file in it cannot be written.
            Every other error of the block passes unchanged.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        what = "a folder with files in it" if out.is_dir() else "a file"
        raise InputError(f"--out {out}: found {what}, expected a new or empty folder")
    draft = out.absolute().with_name(f".{out.name}.{_host()}-{os.getpid()}.part")
    shutil.rmtree(draft, ignore_errors=True)  # left by an earlier process with the same id
    _make_folder(draft, f"--out {out}")
    try:
        yield draft
        if out.exists():
            out.rmdir()
        draft.rename(out)
    except OSError as error:
        if not _is_of_writing(error, draft, out):
            raise
        raise _cannot_write(f"--out {out}", error) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def is_draft(name: str) -> bool:
    """Returns whether a path names a draft of `whole_file`."""
    return _DRAFT.search(name) is not None


def sweep_drafts(folder: Path) -> None:
    """Removes the drafts below a folder that belong to ended processes of this machine."""
    for path in folder.rglob(".*.part*"):
        draft = _DRAFT.search(str(path))
        if path.is_file() and draft and draft["host"] == _host() and not process_runs(int(draft["pid"])):
            path.unlink(missing_ok=True)


def process_runs(pid: int) -> bool:
    """Returns whether a process of this machine runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _make_folder(folder: Path, what: Path | str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(what, error) from None


def _is_of_writing(error: OSError, *places: Path) -> bool:
    """Returns whether an error names one of these paths or a file below one, or says that the disk is full."""
    if error.filename is None:
        return error.errno in _NO_ROOM
    names = (os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes | Path))
    return any(Path(name).absolute().is_relative_to(place.absolute()) for name in names for place in places)


def _cannot_write(what: Path | str, error: OSError) -> InputError:
    return InputError(f"{what}: cannot be written ({error.strerror or error})")


def _host() -> str:
    return socket.gethostname().replace(".", "_")
