"""Errors of the store; the message is one line: what was found, what was expected and what to do."""

import difflib
import re
from collections.abc import Iterable

REMOVED = "a deletion or a compaction removed files that were being read; run again"
_FILE_GONE = re.compile(r"not found: \S+\.lance\b", re.IGNORECASE)


class StoreError(ValueError):
    """The store or a request cannot be used. The command line prints the message and exits with code 2."""


class StoreUnavailable(StoreError):
    """The store cannot be written now, because the disk is full or the connection is lost; the rows may be valid."""


class StoreGone(StoreError):
    """The store that was opened is no longer there."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns the end of a message about an unknown name: the nearest known one, or all of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"


def is_file_gone(error: Exception) -> bool:
    """Returns whether Lance failed because a file of the version that it reads is no longer there."""
    return _FILE_GONE.search(str(error)) is not None


def reason(error: Exception) -> str:
    """Returns LanceDB's message in one line, without paths of its build machine."""
    line = str(error).strip().splitlines()[0]
    for built in (", /home/", ", /root/", ", rust/", ", src/"):
        line = line.partition(built)[0]
    return line
