"""The one error of the store: one line that says what was found, what was expected and what to do."""

import difflib
from collections.abc import Iterable


class StoreError(ValueError):
    """The store, or what was asked of it, cannot be used. The command line prints its one line and exits with 2."""


class StoreUnavailable(StoreError):
    """The store cannot be written now, for a full disk or a lost connection; the rows may be right."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns the end of a message about an unknown name: the nearest known one, or all of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"


def reason(error: Exception) -> str:
    """Returns what LanceDB said in one line, without the paths of the machine that it was built on."""
    line = str(error).strip().splitlines()[0]
    for built in (", /home/", ", /root/", ", rust/", ", src/"):
        line = line.partition(built)[0]
    return line
