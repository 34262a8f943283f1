"""Retry failures that pass by themselves: conflicts with other writers, and connections that are lost for a while.

The type of an error decides where possible. But lancedb and pylance have few types of their own, and errors from Rust
are a RuntimeError, OSError or ValueError whose text alone distinguishes a lost connection from a damaged file (in
lancedb 0.40 and pylance 14). Such texts are interpreted here only, and without the paths and addresses in them: a
store at `/data/connection-study` is no lost connection.
"""

import errno
import random
import re
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote, urlsplit

from lance.commit import CommitConflictError
from lance_namespace.errors import (
    ConcurrentModificationError,
    LanceNamespaceError,
    ServiceUnavailableError,
    ThrottlingError,
)
from lancedb.db import DBConnection

from stores.errors import StoreError, StoreUnavailable, reason

PATIENCE_S = 300.0  # after the retries of the object store's own client
LONGEST_PAUSE_S = 30.0

_RAISED = (OSError, RuntimeError, ValueError, LanceNamespaceError)
_LASTING = (FileNotFoundError, PermissionError, FileExistsError, NotADirectoryError, IsADirectoryError)
_FULL = ("no space left", "disk quota", "os error 28", "os error 122")
_REFUSED = (
    "permission denied",
    "privileges",
    "access denied",
    "accessdenied",
    "forbidden",
    "quota",
    "read-only file system",
)
_CONFLICT = ("conflict", "concurrent", "preempted")
_CONNECTION = (
    *("timed out", "timeout", "connection", "connect error", "error sending request", "dispatch failure"),
    *("reset by peer", "broken pipe", "unavailable", "slowdown", "too many requests", "internalerror"),
)

T = TypeVar("T")


class TryAgainError(Exception):
    """Raised by an action that found its own attempt outdated; `retry` repeats the action."""


def retry(
    db: DBConnection,
    what: str,
    act: Callable[[], T],
    patience_s: float = PATIENCE_S,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Returns the result of `act`, repeated with growing pauses while another writer or the connection stops it.

    Args:
        db: the store's connection, whose address is ignored in error texts.
        what: names the action in messages.
        act: the action, which must be repeatable, also after a partial failure.
        patience_s: seconds after which a temporary failure becomes an error.
        sleep: called with the pause between two attempts, in seconds.

    Raises:
        StoreUnavailable: the disk is full, writing is not allowed, or the action still fails after `patience_s`.
    """
    started_s, pause_s = time.monotonic(), 0.05
    while True:
        try:
            return act()
        except StoreError:
            raise
        except (TryAgainError, *_RAISED) as error:
            if _full(error, db.uri):
                raise StoreUnavailable(
                    f"{what}: no space left on the store's device; free some and run again: what is committed stays"
                ) from None
            if isinstance(error, PermissionError) or _says(error, db.uri, _REFUSED):
                raise StoreUnavailable(
                    f"{what}: the store may not be written ({_brief(error)}); check the account, its quota and its "
                    "permissions, then run again: what is committed stays"
                ) from None
            if not (is_conflict(error, db.uri) or is_lost_connection(error, db.uri)):
                raise
            if time.monotonic() - started_s > patience_s:
                raise StoreUnavailable(
                    f"{what}: the store could not be written for {patience_s:.0f} s ({reason(error)}); "
                    "run again when it can be reached: what is committed stays"
                ) from None
        sleep(pause_s * random.uniform(0.5, 1.5))  # so that two writers do not meet again
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def is_conflict(error: Exception, uri: str) -> bool:
    """Returns whether another writer came first.

    Args:
        error: raised by lancedb or pylance.
        uri: the store's address.
    """
    if isinstance(error, TryAgainError | CommitConflictError | ConcurrentModificationError):
        return True
    return _says(error, uri, _CONFLICT)


def is_lost_connection(error: Exception, uri: str) -> bool:
    """Returns whether the store could not be reached, or was too busy; arguments as for `is_conflict`."""
    if isinstance(error, ConnectionError | TimeoutError | ServiceUnavailableError | ThrottlingError):
        return True
    return _says(error, uri, _CONNECTION)


def _full(error: Exception, uri: str) -> bool:
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or _says(error, uri, _FULL)


def _brief(error: Exception) -> str:
    """The phrase that says why writing is not allowed."""
    text = str(error).lower()
    return next((phrase for phrase in _REFUSED if phrase in text), reason(error))


def _says(error: Exception, uri: str, phrases: tuple[str, ...]) -> bool:
    if isinstance(error, _LASTING):
        return False
    text = _without_paths(str(error), uri).lower()
    return any(phrase in text for phrase in phrases)


def _without_paths(text: str, uri: str) -> str:
    """The text without the store's address, in the forms that object stores give it, and without any other path."""
    parts = urlsplit(uri)
    path = parts.path if "://" in uri else uri
    named = {uri, path, f"{parts.netloc}{path}", f"{path.strip('/')}/"}
    for form in sorted({*named, *map(quote, named)} - {"", "/"}, key=len, reverse=True):
        text = text.replace(form, "/")
    return re.sub(r"[^\s\"'(]*/[^\s\"')]*", " ", text)
