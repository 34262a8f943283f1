"""Remote files: look them up, list them and read them, with retries when the connection is lost.

Buckets are read through the library that LanceDB uses as well, so one environment serves the input and the store:

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

from pipelines.files.addresses import BUCKETS, FileInfo, scheme_of
from vclip.config import Settings

T = TypeVar("T")


class RemoteConfig(Settings):
    """How remote files are read: each is copied to a temporary folder while it is processed, then deleted."""

    folder: str = Field(default="", description="folder of the copies; '' for TMPDIR, or /tmp")
    max_gb: float = Field(default=50.0, gt=0, description="a larger file fails")
    limit_s: float = Field(default=3600.0, gt=0, description="seconds that reading one file may take")
    stall_s: float = Field(
        default=60.0, gt=0, description="seconds without a byte after which a connection counts as lost"
    )
    retries: int = Field(default=5, ge=0, description="lost connections in a row before a file fails")
    pause_s: float = Field(default=0.5, ge=0, description="seconds before the first retry; each pause doubles it")


def look(address: str, config: RemoteConfig) -> FileInfo:
    """Returns size, time and etag of a file, as far as the server reports them.

    Raises:
        OSError: there is no such file (FileNotFoundError), or it cannot be reached.
    """
    return _retried(lambda left_s: _reader(address).look(address, config.stall_s, left_s), config)


def listed(prefix: str, config: RemoteConfig) -> list[tuple[str, FileInfo]]:
    """Returns the objects below a prefix of a bucket, in the order of their keys; raises OSError as `look` does."""
    return _retried(lambda left_s: _reader(prefix).listed(prefix, config.stall_s), config)


def read(address: str, config: RemoteConfig, etag: str | None = None) -> Iterator[bytes]:
    """Yields the bytes of a file in pieces; after a lost connection, resumes where it broke off.

    Args:
        address: of the file.
        config: the limits.
        etag: the expected version; None accepts any.

    Raises:
        OSError: the file is missing, forbidden, changed meanwhile, too large or too slow.
    """
    until_s, done, lost = time.monotonic() + config.limit_s, 0, 0
    while True:
        try:
            left_s = until_s - time.monotonic()
            etag, pieces = _reader(address).read(address, done, etag, config.stall_s, left_s)
            for piece in pieces:
                done, lost = done + len(piece), 0
                check_size(done, config)
                _check_time(until_s, config)
                yield piece
            return
        except ConnectionError as error:
            _check_time(until_s, config)
            lost += 1
            if lost > config.retries:
                raise OSError(f"connection lost after {done} bytes, tried {lost} times: {error}") from None
            _wait(lost, config)


def _check_time(until_s: float, config: RemoteConfig) -> None:
    if time.monotonic() > until_s:
        raise TimeoutError(f"took more than remote.limit_s = {config.limit_s:g} s")


def check_size(size_bytes: int | None, config: RemoteConfig) -> None:
    """Raises OSError if a file is larger than the configuration allows."""
    if size_bytes and size_bytes > config.max_gb * 1e9:
        raise OSError(f"larger than remote.max_gb = {config.max_gb:g}")


def unreadable(error: OSError) -> str:
    """Returns the reason why a file cannot be read, in one line."""
    return f"cannot be read ({error.strerror or error})".splitlines()[0]


def _retried(ask: Callable[[float], T], config: RemoteConfig) -> T:
    """Returns the result of `ask`, which is called with the seconds that are left."""
    until_s = time.monotonic() + config.limit_s
    for lost in range(1, config.retries + 1):
        try:
            return ask(until_s - time.monotonic())
        except ConnectionError:
            _check_time(until_s, config)
            _wait(lost, config)
    return ask(until_s - time.monotonic())


def _wait(lost: int, config: RemoteConfig) -> None:
    time.sleep(min(30.0, config.pause_s * 2 ** (lost - 1)))


def _reader(address: str) -> ModuleType:
    # Imported here: a job on local files needs neither.
    if scheme_of(address) in BUCKETS:
        from pipelines.files import buckets

        return buckets
    from pipelines.files import web

    return web
