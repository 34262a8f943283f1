"""The command line as a file, which `ray submit` can run: `pipelines/cli/__main__.py`."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Python puts the file's folder first on the path, where `inspect.py` would hide the standard library's.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from pipelines.cli import main

if __name__ == "__main__":
    main()
