"""Remote files: what is there, and their bytes, whatever happens to the connection.

Buckets are read by the library with which LanceDB keeps a store, so that one environment serves the input and the
store:

    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN   an account; else the machine's role
    AWS_SKIP_SIGNATURE=true                                       no account: public buckets
    AWS_REGION
    AWS_ENDPOINT_URL=http://127.0.0.1:9000                        another service than Amazon's
    GOOGLE_APPLICATION_CREDENTIALS                                for gs://

Each process reads its own environment. On a cluster, give the nodes a role, or the variables to the whole job (`ray
job submit --runtime-env-json '{"env_vars": {...}}'`).
"""

import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TypeVar

from pydantic import Field

from pipelines.files.addresses import BUCKETS, Seen, scheme_of
from vclip.config import Settings

T = TypeVar("T")


class RemoteConfig(Settings):
    """How remote files are read: each is copied to a temporary folder while it is worked on, then deleted."""

    folder: str = Field(default="", description="where the copies lie; '' takes TMPDIR, or /tmp")
    max_gb: float = Field(default=50.0, gt=0, description="a larger file fails")
    limit_s: float = Field(default=3600.0, gt=0, description="seconds that the reading of one file may take")
    stall_s: float = Field(default=60.0, gt=0, description="seconds without a byte after which a connection is lost")
    retries: int = Field(default=5, ge=0, description="lost connections in a row before a file fails")
    pause_s: float = Field(default=0.5, ge=0, description="seconds before the first retry; each pause doubles it")


def look(address: str, config: RemoteConfig) -> Seen:
    """Returns what the server says of a file.

    Raises:
        OSError: there is no such file (FileNotFoundError), or why it cannot be had.
    """
    return _retried(lambda: _reader(address).look(address, config.stall_s), config)


def listed(prefix: str, config: RemoteConfig) -> list[tuple[str, Seen]]:
    """Returns the objects below a prefix of a bucket, in the order of their keys; raises OSError as `look` does."""
    return _retried(lambda: _reader(prefix).listed(prefix, config.stall_s), config)


def read(address: str, config: RemoteConfig, etag: str | None = None) -> Iterator[bytes]:
    """Yields the bytes of a file in pieces; goes on where a lost connection broke off.

    Args:
        address: of the file.
        config: the limits.
        etag: the version that is wanted; None takes what is there.

    Raises:
        OSError: why it cannot be read: missing, forbidden, changed meanwhile, too large, too slow.
    """
    until_s, done, lost = time.monotonic() + config.limit_s, 0, 0
    while True:
        try:
            etag, pieces = _reader(address).read(address, done, etag, config.stall_s)
            for piece in pieces:
                done, lost = done + len(piece), 0
                check_size(done, config)
                if time.monotonic() > until_s:
                    raise TimeoutError(f"took more than remote.limit_s = {config.limit_s:g} s")
                yield piece
            return
        except ConnectionError as error:
            lost += 1
            if lost > config.retries or time.monotonic() > until_s:
                raise OSError(f"connection lost after {done} bytes, tried {lost} times: {error}") from None
            _wait(lost, config)


def check_size(size_bytes: int | None, config: RemoteConfig) -> None:
    """Raises OSError if a file is larger than the configuration allows."""
    if size_bytes and size_bytes > config.max_gb * 1e9:
        raise OSError(f"larger than remote.max_gb = {config.max_gb:g}")


def unreadable(error: OSError) -> str:
    """Returns in one line why a file cannot be read."""
    return f"cannot be read ({error.strerror or error})".splitlines()[0]


def _retried(ask: Callable[[], T], config: RemoteConfig) -> T:
    for lost in range(1, config.retries + 1):
        try:
            return ask()
        except ConnectionError:
            _wait(lost, config)
    return ask()


def _wait(lost: int, config: RemoteConfig) -> None:
    time.sleep(min(30.0, config.pause_s * 2 ** (lost - 1)))


def _reader(address: str) -> ModuleType:
    # Imported here: a job on local files needs neither.
    if scheme_of(address) in BUCKETS:
        from pipelines.files import buckets

        return buckets
    from pipelines.files import web

    return web
