"""Runs a function over many inputs in a process whose memory is limited, and says what became of each."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from vclip.errors import InputError

MORE_BYTES = 1 << 30  # of address space, beyond what the imports take
LONGEST_S = 5.0


def try_each(load: Callable[[Path], object], paths: Iterable[Path]) -> None:
    """Prints a line of JSON for each input: [path, outcome, seconds]; for use in the child."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MORE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for path in paths:
        start_s = time.monotonic()
        try:
            load(path)
            outcome = "loaded"
        except InputError as error:
            outcome = "several lines" if "\n" in str(error) else "refused"
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"
        print(json.dumps([str(path), outcome, time.monotonic() - start_s]), flush=True)


def outcomes(load: str, paths: list[Path], longest_s: float = LONGEST_S) -> dict[str, str]:
    """Returns path -> loaded or refused, and asserts that nothing else happened, each within `longest_s`.

    Args:
        load: what loads a path, as `from a.b import c as load`.
        paths: the inputs.
        longest_s: seconds that one may take.
    """
    code = f"import sys; from pathlib import Path; {load}; from tests.support.bounded import try_each; "
    code += "try_each(load, map(Path, sys.stdin.read().split('\\0')))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input="\0".join(map(str, paths)),
        capture_output=True,
        text=True,
        timeout=300,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(paths), (paths[len(rows)], done.stderr[-2000:])
    for path, outcome, seconds in rows:
        assert outcome in ("loaded", "refused"), (path, outcome)
        assert seconds < longest_s, (path, seconds)
    return {path: outcome for path, outcome, _ in rows}
