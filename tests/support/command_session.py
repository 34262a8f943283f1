"""Commands one after another in one process, which imports the toolkit and starts Ray once."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Self

from tests.support.vclip_command import ROOT, Answer, call


class CommandSession:
    """A process of its own for `vclip ARGS`, in another environment than this one; ends with its `with` block.

    Args:
        env: variables to set in the process and in the Ray workers that it starts.
    """

    def __init__(self, env: Mapping[str, str]):
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], cwd=ROOT, env={**os.environ, **env},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, *args: object) -> Answer:
        """Runs one command and returns its exit code and what it printed."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps([str(arg) for arg in args]), file=self._process.stdin, flush=True)
        return Answer(*json.loads(self._process.stdout.readline()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)  # closes its standard input, at which it ends


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            code = call(*json.loads(line))
            sys.stdout.flush()
            sys.stderr.flush()
            out.seek(0)
            err.seek(0)
            print(json.dumps([code, out.read(), err.read()]), file=answers, flush=True)


if __name__ == "__main__":
    _serve()
