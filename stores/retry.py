"""Patience with what passes by itself: other writers' commits, and connections that are lost for a while."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from stores.errors import StoreError, StoreUnavailable, reason

PATIENCE_S = 300.0  # how long a lost connection is waited for; an object store's client has waited itself by then
LONGEST_PAUSE_S = 30.0

_CONFLICT = ("conflict", "concurrent", "preempted")
_CONNECTION = (
    *("timed out", "timeout", "connection", "connect error", "error sending request", "dispatch failure"),
    *("reset by peer", "broken pipe", "unavailable", "slowdown", "too many requests", "internalerror"),
)
_FULL = ("no space left", "disk quota", "os error 28", "os error 122")

T = TypeVar("T")


def retry(what: str, act: Callable[[], T]) -> T:
    """Returns what `act` returns, trying again with growing pauses while it trips over what may pass.

    Args:
        what: is being done, for the message.
        act: may be repeated, also when it has failed half way.

    Raises:
        StoreUnavailable: the disk is full, or nothing has passed for PATIENCE_S.
    """
    started_s, pause_s = time.monotonic(), 0.05
    while True:
        try:
            return act()
        except StoreError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            said = str(error).lower()
            if any(word in said for word in _FULL):
                raise StoreUnavailable(
                    f"{what}: no space left on the store's device; free some and run again: what is committed stays"
                ) from None
            if not any(word in said for word in (*_CONFLICT, *_CONNECTION)):
                raise
            if time.monotonic() - started_s > PATIENCE_S:
                raise StoreUnavailable(
                    f"{what}: the store could not be written for {PATIENCE_S:.0f} s ({reason(error)}); "
                    "run again when it can be reached: what is committed stays"
                ) from None
        time.sleep(pause_s * random.uniform(0.5, 1.5))  # so that two writers do not meet again
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
