"""Files and folders that are written whole or not at all: as a draft beside the target, which replaces it at the end.

The library and the pipelines write every file this way that a reader may open meanwhile.
"""

import ctypes
import errno
import hashlib
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
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}  # of file systems that cannot say when bytes are on the disk
_HERE = -100  # AT_FDCWD
NAME_BYTES = 255  # of a name in a folder
_OLD = "-old"  # ends the name of a folder that is about to be replaced, where two cannot be exchanged
# The name of a draft holds the host and the process that write it, so that `sweep_drafts` can remove abandoned ones.
_DRAFT = re.compile(r"(?:^|/)\.[^/]*\.(?P<host>[^/.]+)-(?P<pid>\d+)\.part[^/]*$")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields the path of a draft beside `path`; the draft replaces `path` when the block ends without an error.

    Drafts of `path` that killed processes of this machine left are removed.

    Raises:
        InputError: the draft cannot be written or moved. Every other error of the block, such as that of an
            unreadable input, passes unchanged.
    """
    # Threads may write the same file. The suffix is kept, because writers choose the format by it.
    draft = _draft_of(path, path.stem, f"{threading.get_ident()}{path.suffix}")
    new_folders = _make_folder(path.parent, path)
    _sweep_drafts_of(path, path.stem)
    try:
        yield draft
        move(draft, path)
        for folder in new_folders:
            _fsync(folder.parent)
    except OSError as error:
        if not _is_of_writing(error, draft):
            raise
        raise _cannot_write(path, error) from None
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file (UTF-8), whole or not at all; raises InputError as `whole_file` does."""
    with whole_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Yields a draft folder beside `out`; the draft becomes `out` when the block ends without an error.

    Raises:
        InputError: `out` is a file or a folder that is not empty, or the draft or a file in it cannot be written.
            Every other error of the block passes unchanged.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        what = "a folder with files in it" if out.is_dir() else "a file"
        raise InputError(f"{out}: found {what}, expected a new or empty folder")
    with replaced_folder(out, f"--out {out}") as draft:
        yield draft


@contextmanager
def replaced_folder(folder: Path, what: str) -> Iterator[Path]:
    """Yields a draft folder beside `folder`; it takes the place of `folder` when the block ends without an error.

    Drafts of `folder` that killed processes of this machine left are removed.

    Args:
        folder: what it holds is deleted at the end. Readers find the old folder or the new one; only where the
            system cannot exchange two folders in one step, there is none for an instant.
        what: names the folder in messages.

    Raises:
        InputError: the draft or a file in it cannot be written. Every other error of the block passes unchanged.
    """
    draft = _draft_of(folder.absolute(), folder.absolute().name)
    shutil.rmtree(draft, ignore_errors=True)  # left by an earlier process with the same id
    new_folders = _make_folder(draft, what)
    _sweep_drafts_of(folder.absolute(), folder.absolute().name)
    try:
        yield draft
        move(draft, folder.absolute())
        for made in new_folders:
            if made != draft:
                _fsync(made.parent)
    except OSError as error:
        if not _is_of_writing(error, draft, folder):
            raise
        raise _cannot_write(what, error) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def move(draft: Path, target: Path) -> None:
    """Gives a file or folder another name, in place of what has that name; both must lie in one folder.

    What the draft holds is on the disk before it has the name, and the name before this returns: after a loss of
    power, too, the target is the old one or the new one, and whole. A folder that was replaced is at `draft` then.

    Raises:
        OSError: the draft cannot be written to the disk or moved.
    """
    _sync(draft)
    if draft.is_dir() and target.is_dir() and any(target.iterdir()):
        _exchange(draft, target)
    else:
        os.replace(draft, target)  # a file takes the place of a file, a folder that of an empty folder
    _fsync(target.parent)


def fitting(stem: str, tail: str) -> str:
    """Returns a file name of a stem and a tail; a stem that would make it too long is cut, and ends in its hash.

    Example:
        >>> fitting("a", ".wav"), len(fitting("a" * 255, ".wav"))
        ('a.wav', 255)
    """
    return _shortened(stem, NAME_BYTES - len(os.fsencode(tail))) + tail


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


def _draft_of(path: Path, stem: str, end: str = "") -> Path:
    """The name of a draft of `path`: hidden, with host and process, and not longer than a name may be."""
    tail = f".{_host()}-{os.getpid()}.part{end}"
    return path.with_name(f".{_shortened(stem, NAME_BYTES - len(os.fsencode(f'.{tail}{_OLD}')))}{tail}")


def _shortened(stem: str, size: int) -> str:
    """The stem, or its beginning and a hash in at most `size` bytes."""
    encoded = os.fsencode(stem)
    if len(encoded) <= size:
        return stem
    kept = encoded[: size - 9].decode(errors="ignore")
    return f"{kept}-{hashlib.sha256(encoded).hexdigest()[:8]}"


def _sweep_drafts_of(path: Path, stem: str) -> None:
    """Removes the drafts of one file or folder that ended processes of this machine left."""
    begin = _draft_of(path, stem).name.partition(f".{_host()}-")[0] + f".{_host()}-"
    with suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            draft = _DRAFT.search(entry.name) if entry.name.startswith(begin) else None
            if draft and not process_runs(int(draft["pid"])):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    os.unlink(entry.path)


def _make_folder(folder: Path, what: Path | str) -> list[Path]:
    """Creates a folder and its parents; returns those that were not there."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(what, error) from None
    return missing


def _sync(path: Path) -> None:
    """Writes a file, or a folder with all that it holds, to the disk."""
    if path.is_dir():
        for place in path.iterdir():
            if not place.is_symlink():
                _sync(place)
    _fsync(path)


def _fsync(path: Path) -> None:
    """Writes the content of a file, or the names in a folder, to the disk, where the file system can."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(handle)


def _exchange(draft: Path, target: Path) -> None:
    """Exchanges two folders in one step; in two where the system or the file system cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(draft), os.fsencode(target)
    if hasattr(libc, "renameat2"):  # Linux: RENAME_EXCHANGE
        failed = libc.renameat2(_HERE, names[0], _HERE, names[1], 2)
    elif hasattr(libc, "renamex_np"):  # macOS: RENAME_SWAP
        failed = libc.renamex_np(names[0], names[1], 2)
    else:
        failed = True
    if failed:
        old = draft.with_name(f"{draft.name}{_OLD}")
        os.replace(target, old)
        try:
            os.replace(draft, target)
        except OSError:
            os.replace(old, target)
            raise
        os.replace(old, draft)


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
