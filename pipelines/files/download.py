"""A local path for any file: workers read videos with tools that seek, so a remote one is copied first."""

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
    """Gives a local path with the content of a file, until the block ends.

    A local file is given as it is. A remote one is copied into a temporary folder, and deleted afterwards.

    Args:
        name: a path or an address.
        config: the folder and the limits.
        size_bytes: what the server said, so that a file that does not fit is not even begun.
        etag: the version that is wanted; None takes what is there.

    Raises:
        OSError: why there is no copy: missing, forbidden, changed meanwhile, too large, too slow, no room.
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
    """Removes, once per process, what killed workers of this machine left."""
    for folder in Path(parent).glob(f"{_OWNER}*"):
        pid = folder.name.removeprefix(_OWNER).partition("-")[0]
        if pid.isdigit() and not process_runs(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
