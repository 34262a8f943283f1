"""The child process: one JSON line in, see `look`; lines with `at` while it works, then one with the answer."""

import json
import sys
from pathlib import Path

if not __package__:  # run by its path (PEP 366)
    sys.path.insert(0, str(Path(__file__).parents[1]))
    __package__ = "joined"

from .look import look

if __name__ == "__main__":
    # Modules beside this folder have names of packages, such as `ffmpeg`.
    del sys.path[0]
    for line in sys.stdin:
        print(json.dumps(look(json.loads(line))), flush=True)
