"""A local path for any file: the tools that read videos seek in them, so remote files are copied first."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from pipelines.files.addresses import is_remote
from pipelines.files.remote import RemoteConfig, check_size, read
from vclip.files import process_runs

_OWNER = f"vclip-copy-{socket.gethostname()}-"


@contextmanager
def local_copy(
    name: str, config: RemoteConfig | None = None, size_bytes: int | None = None, etag: str | None = None
) -> Iterator[str]:
    """Yields a local path with the content of a file, valid until the block ends.

    The path of a local file is yielded as it is. A remote file is copied into a temporary folder, and the copy is
    deleted afterwards.

    Args:
        name: a path or an address.
        config: the folder and the limits.
        size_bytes: as the server reports it, if known; the download of a file that does not fit is not started.
        etag: the expected version; None accepts any.

    Raises:
        OSError: the file is missing, forbidden, changed meanwhile, too large or too slow, or the disk is full.
    """
    if not is_remote(name):
        yield name
        return
    config = config or RemoteConfig()
    parent = config.folder or tempfile.gettempdir()
    os.makedirs(parent, exist_ok=True)
    _sweep(parent)
    check_size(size_bytes, config)
    if size_bytes and size_bytes > (free := shutil.disk_usage(parent).free):
        raise OSError(f"{size_bytes / 1e9:.1f} GB do not fit into {parent}, {free / 1e9:.1f} GB are free")
    with tempfile.TemporaryDirectory(prefix=f"{_OWNER}{os.getpid()}-", dir=parent) as folder:
        path = Path(folder) / f"video{_suffix(name)}"
        with open(path, "wb") as file:
            for piece in read(name, config, etag):
                file.write(piece)
        yield str(path)


def _suffix(name: str) -> str:
    suffix = Path(name.partition("?")[0]).suffix
    return suffix if suffix[1:].isalnum() and len(suffix) < 8 else ""


@lru_cache(maxsize=8)
def _sweep(parent: str) -> None:
    """Removes the copies that killed workers of this machine left; once in each process."""
    for folder in Path(parent).glob(f"{_OWNER}*"):
        pid = folder.name.removeprefix(_OWNER).partition("-")[0]
        if pid.isdigit() and not process_runs(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
