"""The command line, `vclip`; also a file that `ray submit` runs."""

import os.path
import sys

if __name__ == "__main__":  # as a file, whose folder would stand before all libraries: `inspect` is one of Python's
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from pipelines.cli import app

__all__ = ["app"]

if __name__ == "__main__":
    app(prog_name="vclip")
